"""What does a .SUNW_ctf section hold?  Its header read, its data decompressed and cut in parts.

1. A header of 36 bytes (sys/sys/ctf.h: struct ctf_header): magic 0xcff1, version, flags, then the
   parent's label and name and six offsets from the header's end, which rise: labels, data objects,
   functions, types, strings; the last number is the strings' length.
2. Flag 1: all behind the header is one zlib stream, of exactly the length that the offsets say.
3. A type's record is made of units, of 16 bits in version 2 and 32 bits in version 3, but for its
   name, which has 32 bits in both; every record is a multiple of 32 bits long.  VERSIONS has the
   figures.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from dataclasses import dataclass, field
from typing import Final

from kvm_exporter.kvm.errors import FormatError

NAME: Final = ".SUNW_ctf"
MAGIC = 0xCFF1
HEADER = "HBB8I"
HEADER_SIZE = 36
COMPRESSED = 1

LARGEST = 1 << 25
"""Bytes at most behind the header: a kernel with every driver has some 6 MB."""

LONGEST_NAME = 512
"""Bytes of a name at most."""


@dataclass(frozen=True, slots=True)
class Version:
    """How wide things are in a version; lengths of records are in units (array's ``code``).

    ``per_word``: units in 32 bits.  ``head``: units of a record's start, ``long_head`` where its
    size needs 64 bits, which is so when the size says ``sentinel``.  ``member``: units of a member,
    ``long_member`` in structs of at least ``big`` bytes.  ``child`` is set in the ids of a module's
    own types.
    """

    code: str
    per_word: int
    head: int
    long_head: int
    kind_shift: int
    length_mask: int
    sentinel: int
    big: int
    member: int
    long_member: int
    array: int
    child: int


VERSIONS = {
    2: Version("H", 2, 4, 8, 11, 0x3FF, 0xFFFF, 1 << 13, 4, 8, 4, 0x8000),
    3: Version("I", 1, 3, 5, 26, 0xFFFFFF, 0xFFFFFFFF, 1 << 29, 3, 4, 3, 0x80000000),
}


@dataclass(frozen=True, slots=True)
class Section:
    """A section's parts; ``words`` and ``units`` are the same types, as 32 bits and as units.

    ``parent`` is the name of the section that ids without the child bit belong to ("" for none);
    ``objects`` are the type ids of the symbol table's data objects, 0 for unknown.
    """

    version: Version
    parent: str
    objects: array[int] = field(repr=False)
    words: array[int] = field(repr=False)
    units: array[int] = field(repr=False)
    strings: bytes = field(repr=False)

    def string(self, offset: int) -> str:
        """The name at ``offset``; empty for one in the ELF's own string table (the highest bit)."""
        if not 0 < offset < len(self.strings):
            return ""
        name = self.strings[offset : offset + LONGEST_NAME].partition(b"\0")[0]
        return name.decode("utf-8", "replace")


def read_section(data: bytes) -> Section:
    """The section in ``data``, of either byte order; FormatError says what is wrong with it."""
    order = _order(data)
    _magic, number, flags, _label, parent, *offsets, length = struct.unpack_from(
        order + HEADER, data
    )
    version = VERSIONS.get(number)
    if version is None:
        raise FormatError(f"{NAME}: version {number}; 2 and 3 are known")
    strings = offsets[-1]
    size = strings + length
    if offsets != sorted(offsets) or size > LARGEST:
        raise FormatError(f"{NAME}: its parts lie at {offsets}, {length} bytes of strings")
    body = _inflate(data, size) if flags & COMPRESSED else data[HEADER_SIZE : HEADER_SIZE + size]
    if len(body) < size:
        raise FormatError(f"{NAME}: {size} bytes are promised, {len(body)} are there")
    _labels, objects, functions, types, _ = offsets
    section = Section(
        version,
        "",
        _array(version.code, body[objects:functions], order),
        _array("I", body[types:strings], order),
        _array(version.code, body[types:strings], order),
        body[strings:],
    )
    return Section(
        version,
        section.string(parent),
        section.objects,
        section.words,
        section.units,
        section.strings,
    )


def _order(data: bytes) -> str:
    if len(data) < HEADER_SIZE:
        raise FormatError(f"{NAME}: {len(data)} bytes, where its header has {HEADER_SIZE}")
    for order in "<>":
        if struct.unpack_from(order + "H", data) == (MAGIC,):
            return order
    raise FormatError(f"{NAME}: starts with {data[:2].hex()}, not with 0xcff1")


def _inflate(data: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data[HEADER_SIZE:], size or 1)
    except zlib.error as e:
        raise FormatError(f"{NAME}: cannot be decompressed: {e}") from e


def _array(code: str, data: bytes, order: str) -> array[int]:
    found = array(code)
    found.frombytes(data[: len(data) // found.itemsize * found.itemsize])
    if (order == "<") != (sys.byteorder == "little"):
        found.byteswap()
    return found
