"""Where is each type of a BTF section, and under which name?  One quick pass over the records.

1. A record is three words (name, info, size or type) and what its kind has behind them
   (include/uapi/linux/btf.h).  The info word has the count of members, the kind and a flag; a
   kernel's 120,000 records have some 300 different ones, so its length is worked out once for each.
2. A kernel has as many functions as types: only what is asked for by name is put in the index.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.types.btf_section import LONGEST_NAME, NAME, Section

INTEGER, POINTER, ARRAY, STRUCT, UNION, ENUM, FORWARD, TYPEDEF = range(1, 9)
VOLATILE, CONST, RESTRICT, FUNCTION, PROTOTYPE, VARIABLE, DATASEC = range(9, 16)
FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(16, 20)
"""Kinds of types (BTF_KIND_*)."""

LENGTHS = {
    INTEGER: (1, 0), POINTER: (0, 0), ARRAY: (3, 0), STRUCT: (0, 3), UNION: (0, 3), ENUM: (0, 2),
    FORWARD: (0, 0), TYPEDEF: (0, 0), VOLATILE: (0, 0), CONST: (0, 0), RESTRICT: (0, 0),
    FUNCTION: (0, 0), PROTOTYPE: (0, 2), VARIABLE: (1, 0), DATASEC: (0, 3), FLOAT: (0, 0),
    DECL_TAG: (1, 0), TYPE_TAG: (0, 0), ENUM64: (0, 3),
}  # fmt: skip
"""Words behind the first three: so many, and so many for each member, value or argument."""

HEAD = 3
NAMED = frozenset((INTEGER, STRUCT, UNION, ENUM, TYPEDEF, VARIABLE, FLOAT, ENUM64))
"""Kinds that the index has."""

COUNT_MASK, KIND_MASK = 0xFFFFFF, 0x7F
"""Of the info word; the kernel uses 16 and 5 bits of them so far, the others are 0."""

MOST_TYPES = 1 << 20
"""In a section (BTF_MAX_TYPE)."""

MOST_SPELLINGS = 64
"""Copies of a name in the strings at most; who writes BTF writes each name once."""


def kind_of(info: int) -> int:
    """The kind that an info word tells."""
    return info >> 24 & KIND_MASK


@dataclass(frozen=True, slots=True)
class Index:
    """A section and the places of its types.

    ``starts``: word of each type's record, that of the first id first.  ``keys``: of each type that
    is found by its name (its name's offset << 32 | its number in ``starts``), in order.
    ``marks_signs``: whether enums tell if their values have signs (Linux 6.0); until then all have.
    """

    section: Section
    starts: Sequence[int] = field(repr=False)
    keys: Sequence[int] = field(repr=False)
    marks_signs: bool

    def at(self, offset: int) -> Iterator[tuple[int, int]]:
        """(kind, number) of every type whose name lies at ``offset``, the first first."""
        words, starts = self.section.words, self.starts
        first = bisect_left(self.keys, offset << 32)
        keys = map(self.keys.__getitem__, range(first, len(self.keys)))
        for key in takewhile(lambda key: key >> 32 == offset, keys):
            number = key & 0xFFFFFFFF
            yield kind_of(words[starts[number] + 1]), number


def spellings(strings: bytes, name: str) -> Iterator[int]:
    """Where ``name`` stands in ``strings``; a module's begin with a name, not with NUL."""
    wanted = b"\0" + name.encode("utf-8", "replace") + b"\0"
    if len(wanted) > LONGEST_NAME or wanted == b"\0\0":
        return
    if strings.startswith(wanted[1:]):
        yield 0
    at = -1
    for _ in range(MOST_SPELLINGS):
        at = strings.find(wanted, at + 1)
        if at < 0:
            break
        yield at + 1


class _Lengths(dict[int, int]):
    """Words of a record by its info word, each worked out at the first one."""

    def __missing__(self, info: int) -> int:
        known = LENGTHS.get(kind_of(info))
        if known is None:
            raise FormatError(f"{NAME}: a type of kind {kind_of(info)}, which is not known")
        self[info] = found = HEAD + known[0] + known[1] * (info & COUNT_MASK)
        return found


def build_index(section: Section) -> Index:
    """Walk the records once; FormatError where one is of no known kind or the last is cut."""
    lengths, starts = _Lengths(), array("I")
    try:
        end = _walk(section.words, lengths, starts)
    except IndexError:
        end = -1
    if end != len(section.words):
        raise FormatError(f"{NAME}: type {len(starts)} is cut off")
    if len(starts) > MOST_TYPES:
        raise FormatError(f"{NAME}: {len(starts)} types: at most {MOST_TYPES}")
    named = frozenset(info for info in lengths if kind_of(info) in NAMED)
    words = section.words
    keys = [
        words[at] << 32 | number
        for number, at in zip(count(), starts)
        if words[at + 1] in named and words[at]
    ]
    keys.sort()
    signs = any(kind_of(one) == ENUM64 or (kind_of(one) == ENUM and one >> 31) for one in lengths)
    return Index(section, starts, array("Q", keys), signs)


def _walk(words: Sequence[int], lengths: dict[int, int], starts: array[int]) -> int:
    # every statement of the loop runs 100,000 times
    put, at, end = starts.append, 0, len(words)
    while at < end:
        put(at)
        at += lengths[words[at + 1]]
    return at
