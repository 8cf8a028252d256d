"""Which values lie so near each other that one read gets them?  Chunks of fields at one base."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

GAP = 512
"""Bytes between two values that are rather read than avoided: that takes less than another read."""

PAGE = 4096
"""Bytes of a chunk or block at most.  The smallest page of any machine."""


class Field(NamedTuple):
    """A value: ``offset`` bytes from what is in the slot ``base``, to be put into ``slot``.

    ``code`` is the struct module's, without byte order; ``copies`` are as a Read has them.
    """

    base: int
    offset: int
    code: str
    slot: int
    copies: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.offset + width(self.code)


class Chunk(NamedTuple):
    """Fields of one base that are read together: ``size`` bytes from ``start`` on.

    ``slots`` are those of the values, in order; ``parts`` are the fields' (offset from ``start``,
    code).
    """

    base: int
    start: int
    size: int
    slots: tuple[int, ...]
    parts: tuple[tuple[int, str], ...]


def width(code: str) -> int:
    """Bytes of a code, which has no padding of its own."""
    return struct.calcsize("=" + code)


def chunk(fields: Sequence[Field]) -> Chunk:
    """Fields of one base as one chunk; they are in order and do not overlap."""
    start = fields[0].offset
    slots = tuple(field.slot for field in fields)
    parts = tuple((field.offset - start, field.code) for field in fields)
    return Chunk(fields[0].base, start, fields[-1].end - start, slots, parts)


def chunks(fields: Iterable[Field]) -> list[Chunk]:
    """Fields of any bases as chunks, as few as it makes sense."""
    found: list[list[Field]] = []
    for field in sorted(fields):
        last = found[-1] if found else []
        if last and last[0].base == field.base and _follows(last, field):
            last.append(field)
        else:
            found.append([field])
    return [chunk(together) for together in found]


def around(core: Iterable[Field], others: Iterable[Field]) -> Chunk:
    """A chunk of all of ``core``, which do not overlap, and of others that are near; same base."""
    taken = sorted(core)
    ordered = sorted(others)
    for field in reversed(ordered):
        if _near(field, taken[0]) and taken[-1].end - field.offset <= PAGE:
            taken.insert(0, field)
    for field in ordered:
        if _follows(taken, field):
            taken.append(field)
    return chunk(taken)


def _follows(before: Sequence[Field], field: Field) -> bool:
    return _near(before[-1], field) and field.end - before[0].offset <= PAGE


def _near(first: Field, second: Field) -> bool:
    return 0 <= second.offset - first.end <= GAP
