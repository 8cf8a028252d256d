"""How many values has an expression, and what tells them apart?  A Spread: values by keys.

1. Values differ by axes: the network stack (JAIL), the CPU, the STATE of an enum, and indexes
   (0, 1, ... in the order of their brackets).  A value has one key on each axis.
2. Two spreads meet on the axes that both have: values of the same keys belong together.  A spread
   without an axis has the same value all along it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kvm_exporter.kvm.errors import KvmError

JAIL, CPU, STATE = -3, -2, -1
"""Axes, in the order of their labels; indexes count from 0."""

MOST_VALUES = 1 << 17
"""Of an expression: more than anybody graphs."""

Key = int | str
Keys = tuple[Key, ...]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Spread(Generic[T_co]):
    """``items``: keys, one for each of ``axes``, and what they belong to."""

    axes: tuple[int, ...]
    items: tuple[tuple[Keys, T_co], ...]

    @property
    def values(self) -> Sequence[T_co]:
        """Without their keys."""
        return [value for _, value in self.items]

    @property
    def first(self) -> T_co:
        """Any of the values: what has the same type in all of them."""
        return self.items[0][1]

    @property
    def indexes(self) -> int:
        """How many of the axes are indexes."""
        return sum(axis >= 0 for axis in self.axes)


def single(value: T) -> Spread[T]:
    """One value, the same wherever one looks."""
    return Spread((), (((), value),))


def mapped(spread: Spread[T], of: Callable[[T], U]) -> Spread[U]:
    """Of each value."""
    return Spread(spread.axes, tuple((keys, of(value)) for keys, value in spread.items))


def widened(spread: Spread[T], axis: int, of: Callable[[T], Iterable[tuple[Key, U]]]) -> Spread[U]:
    """Several of each value, by their keys on a new axis.  KvmError for more than MOST_VALUES."""
    items: list[tuple[Keys, U]] = []
    for keys, value in spread.items:
        items += (((*keys, key), one) for key, one in of(value))
        _bound(len(items))
    if not items:
        raise KvmError("it has no elements here")
    return Spread((*spread.axes, axis), tuple(items))


def chosen(spread: Spread[T], axis: int, keys: Container[Key]) -> Spread[T]:
    """Those with one of ``keys`` on an axis; all where there is no such axis."""
    if axis not in spread.axes:
        return spread
    place = spread.axes.index(axis)
    return Spread(spread.axes, tuple(item for item in spread.items if item[0][place] in keys))


def folded(spread: Spread[T], axes: Iterable[int], of: Callable[[Sequence[T]], U]) -> Spread[U]:
    """Those that differ on ``axes`` only, together."""
    gone = frozenset(axes)
    kept = [place for place, axis in enumerate(spread.axes) if axis not in gone]
    groups: dict[Keys, list[T]] = {}
    for keys, value in spread.items:
        groups.setdefault(tuple(keys[place] for place in kept), []).append(value)
    axes_left = tuple(spread.axes[place] for place in kept)
    return Spread(axes_left, tuple((keys, of(values)) for keys, values in groups.items()))


def met(left: Spread[T], right: Spread[U], of: Callable[[T, U], V]) -> Spread[V]:
    """Of each two that belong together (rule 2); KvmError where one has no partner."""
    if not right.axes:
        only = right.first
        return mapped(left, lambda value: of(value, only))
    common = [axis for axis in right.axes if axis in left.axes]
    own = [place for place, axis in enumerate(right.axes) if axis not in common]
    partners: dict[Keys, list[tuple[Keys, U]]] = {}
    for keys, value in right.items:
        rest = tuple(keys[place] for place in own)
        partners.setdefault(_on(common, right.axes, keys), []).append((rest, value))
    items: list[tuple[Keys, V]] = []
    unmet = set(partners)
    for keys, one in left.items:
        shared = _on(common, left.axes, keys)
        if shared not in partners:
            raise KvmError(f"its two sides have different elements: only one has {_told(shared)}")
        unmet.discard(shared)
        items += ((keys + rest, of(one, other)) for rest, other in partners[shared])
        _bound(len(items))
    if unmet:
        raise KvmError(f"its two sides have different elements: only one has {_told(min(unmet))}")
    return Spread(left.axes + tuple(right.axes[place] for place in own), tuple(items))


def _on(common: Sequence[int], axes: tuple[int, ...], keys: Keys) -> Keys:
    return tuple(keys[axes.index(axis)] for axis in common)


def _told(keys: Keys) -> str:
    return ", ".join(map(str, keys))


def _bound(count: int) -> None:
    if count > MOST_VALUES:
        raise KvmError(f"it has more than {MOST_VALUES} values: choose some with [first:stop]")
