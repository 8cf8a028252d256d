"""Where is each type of a CTF section, and under which name?  One quick pass over the records.

A kernel has some 100,000 types and one look is at about fifty: the pass keeps each record's place
and a key of each named one, and makes no object of any.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.types.ctf_section import NAME, Section

INTEGER, FLOAT, POINTER, ARRAY, FUNCTION, STRUCT, UNION, ENUM, FORWARD, TYPEDEF = range(1, 11)
VOLATILE, CONST, RESTRICT = 11, 12, 13
"""Kinds of types (sys/sys/ctf.h, CTF_K_*); 0 is a hole."""

SIZED = frozenset((INTEGER, FLOAT, ARRAY, STRUCT, UNION, ENUM))
BARE = frozenset((0, POINTER, FORWARD, TYPEDEF, VOLATILE, CONST, RESTRICT))
"""Kinds whose records have a size; kinds that are all head."""

MOST_SPELLINGS = 64
"""Copies of a name in the strings at most; ctfmerge(1) writes each name once."""


MOST_TYPES = 1 << 20
"""In a section: ten times a kernel's."""


@dataclass(frozen=True, slots=True)
class Index:
    """``starts``: unit of each type's record, that of id 1 first.

    ``keys`` and ``ids`` belong together: a named type's key (its name's offset and its kind) and
    its number; ``first`` is the first number of each key.
    """

    section: Section
    starts: array[int] = field(repr=False)
    keys: array[int] = field(repr=False)
    ids: array[int] = field(repr=False)
    first: dict[int, int] = field(repr=False)

    def find(self, kind: int, name: str) -> Iterator[int]:
        """The numbers of all types of ``kind`` that are called ``name``, the first first."""
        for offset in self._spellings(name):
            key = offset << 4 | kind
            number = self.first.get(key)
            if number is not None:
                yield number
                yield from self._others(key, number)

    def _others(self, key: int, number: int) -> Iterator[int]:
        at = self.ids.index(number)
        for _ in range(self.keys.count(key) - 1):
            at = self.keys.index(key, at + 1)
            yield self.ids[at]

    def _spellings(self, name: str) -> Iterator[int]:
        wanted = b"\0" + name.encode("utf-8", "replace") + b"\0"
        at = -1
        for _ in range(MOST_SPELLINGS):
            at = self.section.strings.find(wanted, at + 1)
            if at < 0:
                break
            yield at + 1

    def named(self) -> Iterator[tuple[int, str]]:
        """(kind, name) of every named type, each once."""
        for key in self.first:
            name = self.section.string(key >> 4)
            if name:
                yield key & 15, name


def build_index(section: Section) -> Index:
    """Walk the records once; FormatError where one is of no known kind or the last is cut."""
    starts = array("I")
    keys = array("Q")
    ids = array("I")
    try:
        end = _walk(section, starts, keys, ids)
    except IndexError:
        end = len(section.units) + 1
    if end != len(section.units):
        raise FormatError(f"{NAME}: type {len(starts)} is cut off")
    if len(starts) > MOST_TYPES:
        raise FormatError(f"{NAME}: {len(starts)} types: at most {MOST_TYPES}")
    # the first of several with one name is the last one put in
    first = dict(zip(reversed(keys), reversed(ids), strict=True))
    return Index(section, starts, keys, ids, first)


def _walk(section: Section, starts: array[int], keys: array[int], ids: array[int]) -> int:
    # every statement of the loop runs 100,000 times: locals only, and no call for most records
    version, units, words = section.version, section.units, section.words
    per_word, head, shift = version.per_word, version.head, version.kind_shift
    start, key, number_of = starts.append, keys.append, ids.append
    at, number, end = 0, 0, len(units)
    while at < end:
        start(at)
        number += 1
        kind = units[at + per_word] >> shift
        if kind != POINTER and (name := words[at // per_word]):
            key(name << 4 | kind)
            number_of(number)
        if kind in BARE:
            at += head
        else:
            record = read_record(section, at)
            at = record.body + _body_length(section, record)
    return at


class Record(NamedTuple):
    """A type's record: ``last`` is its size or the type it is made of, ``body`` where more follows.

    ``length`` counts the members, values or arguments that follow.
    """

    name: int
    kind: int
    length: int
    last: int
    body: int


def read_record(section: Section, at: int) -> Record:
    """The start of the record at unit ``at``; IndexError where it is cut off."""
    version, units = section.version, section.units
    info, last = units[at + version.per_word], units[at + version.per_word + 1]
    kind = info >> version.kind_shift
    body = at + version.head
    if last == version.sentinel and kind in SIZED:
        # the size has 64 bits then, behind the rest
        word = body // version.per_word
        last = section.words[word] << 32 | section.words[word + 1]
        body = at + version.long_head
    return Record(
        section.words[at // version.per_word], kind, info & version.length_mask, last, body
    )


def member_length(section: Section, record: Record) -> int:
    """Units of each member of a struct or union."""
    version = section.version
    return version.long_member if record.last >= version.big else version.member


def _body_length(section: Section, record: Record) -> int:
    per_word = section.version.per_word
    match record.kind:
        case 1 | 2:
            return per_word
        case 4:
            return section.version.array
        case 5:
            return -(-record.length // per_word) * per_word
        case 6 | 7:
            return record.length * member_length(section, record)
        case 8:
            return record.length * 2 * per_word
    raise FormatError(f"{NAME}: a type of kind {record.kind}, which is none")
