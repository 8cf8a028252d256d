"""What is a part of an expression, before it is read?  A place in memory, an address, or a number.

A place's ``base`` and ``offset`` are as a program's Read has them.
"""

from __future__ import annotations

from typing import NamedTuple

from kvm_exporter.kvm.expressions.program import Constant, Formula
from kvm_exporter.kvm.types.model import Enum, Float, Integer, Type


class Place(NamedTuple):
    """Something of a type in memory; ``type`` None: nobody knows which.

    ``size`` in bytes is that of a whole variable, where its symbol tells; it is no larger as any
    other type.
    ``bits`` of a bit-field are its first one (as model.Member counts them, from ``offset`` on) and
    their number.  With ``counters`` an array of counter_u64_t lies there, which is looked at as if
    each was a uint64_t: the place is so many bytes into that.  An ``open`` array may have more
    elements than its type says.
    """

    type: Type | None
    base: int
    offset: int
    bits: tuple[int, int] | None = None
    size: int | None = None
    counters: int | None = None
    open: bool = False


class Reference(NamedTuple):
    """The address of a place: a pointer that need not be read."""

    to: Place


class Number(NamedTuple):
    """What a program will work out; ``type`` is C's type of it, None for what C has none for."""

    formula: Formula
    type: Integer | Enum | Float | None = None


Operand = Place | Reference | Number


def constant(value: float) -> Number:
    """A number that is known."""
    return Number(Constant(value))
