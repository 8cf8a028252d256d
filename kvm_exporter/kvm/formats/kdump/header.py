"""What does a kdump file say of itself?  Its header and sub-header, whichever layout they have.

1. Nothing tells the layout but that the fields make sense in it: a block size that is a page size,
   a bitmap as long as memory, and a sub-header that agrees with the header.
2. Where no layout makes sense in all of that, the first that has sense in the header is taken.
3. Everything is in blocks of block_size bytes: the header, the sub-header, the bitmaps, and then
   the descriptors of pages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.formats.kdump.layouts import (
    FIELDS,
    HEAD,
    LAYOUTS,
    LONGEST_HEAD,
    SIGNATURES,
    WORDS,
    Layout,
    SubHeader,
)
from kvm_exporter.kvm.formats.model import Utsname
from kvm_exporter.kvm.source import Readable

ORDERS: tuple[Literal["<", ">"], ...] = ("<", ">")

SMALLEST, LARGEST = 1 << 12, 1 << 20
"""Bytes of a page."""

NEWEST = 64
"""Versions up to it are read as the newest that is known: versions add fields at the end."""

MOST_32 = 0xFFFF_FFFF


class Words(NamedTuple):
    """The fields of struct disk_dump_header behind the timeval."""

    status: int
    block_size: int
    sub_blocks: int
    bitmap_blocks: int
    pages: int


@dataclass(frozen=True, slots=True)
class Header:
    """A kdump file's two headers; sizes and offsets are bytes.

    ``width`` is that of the writing program's long; ``stamp`` seconds since 1970, None where the
    writer left it out; ``pages`` one more than the highest page's number; ``level`` makedumpfile's
    dump level, None of what had none yet; ``first`` and ``end`` the numbers of the pages that this
    file of a split set has, else those of all pages.
    """

    version: int
    order: Literal["<", ">"]
    layout: str
    width: Literal[4, 8]
    utsname: Utsname
    stamp: float | None
    words: Words
    sub: SubHeader
    level: int | None
    pages: int
    split: bool
    first: int
    end: int

    @property
    def bitmap_at(self) -> int:
        """Where the bitmaps begin: of pages that are memory, then of those in the file."""
        return (1 + self.words.sub_blocks) * self.words.block_size

    @property
    def bitmap_size(self) -> int:
        """Bytes of one of them (crash's dump_is_partial: the oldest files have one only)."""
        blocks = self.words.bitmap_blocks
        return (blocks // 2 if self.partial else blocks) * self.words.block_size

    @property
    def partial(self) -> bool:
        """Whether there are two bitmaps."""
        needed = -(-self.pages // (8 * self.words.block_size))
        return self.words.bitmap_blocks >= 2 * needed

    @property
    def kept_at(self) -> int:
        """Where the bitmap of the pages in the file begins."""
        return self.bitmap_at + (self.bitmap_size if self.partial else 0)

    @property
    def descriptors_at(self) -> int:
        """Where the descriptors of the pages in the file begin."""
        return self.bitmap_at + self.words.bitmap_blocks * self.words.block_size


def is_kdump(start: bytes) -> bool:
    """Whether a file that begins so is one."""
    return start.startswith(SIGNATURES)


def read_header(source: Readable) -> Header:
    """The headers of a kdump file; FormatError where they make no sense."""
    data = source.read(0, LONGEST_HEAD)
    if len(data) < LONGEST_HEAD:
        raise FormatError(f"{source.name}: ends within its kdump header: it is truncated")
    sensible = None
    for order, layout in product(ORDERS, LAYOUTS):
        words = _words(data, order, layout)
        version = _version(data, order)
        if words is None or version > NEWEST:
            continue
        sub = _sub_header(source, data, order, layout, words)
        if _agrees(sub, words, version):
            return _header(data, order, layout, words, sub)
        sensible = sensible or (order, layout, words, sub)
    if sensible is None:
        raise FormatError(
            f"{source.name}: no kdump header of any known layout: version "
            f"{data[8:12].hex()}, then {data[404:440].hex(' ', 4)}; it is damaged"
        )
    return _header(data, *sensible)


def _version(data: bytes, order: Literal["<", ">"]) -> int:
    """Of the sub-header: 0 for diskdump, which has registers there."""
    (version,) = struct.unpack_from(f"{order}I", data, 8)
    return 0 if data.startswith(SIGNATURES[1]) else int(version)


def _words(data: bytes, order: Literal["<", ">"], layout: Layout) -> Words | None:
    """The words, where they make sense (rule 1)."""
    words = Words._make(struct.unpack_from(order + WORDS, data, layout.words_at))
    size = words.block_size
    if not SMALLEST <= size <= LARGEST or size & (size - 1):
        return None
    if not words.sub_blocks or not words.bitmap_blocks:
        return None
    return words if words.bitmap_blocks * size * 8 >= words.pages else None


def _sub_header(
    source: Readable, data: bytes, order: Literal["<", ">"], layout: Layout, words: Words
) -> SubHeader:
    """The sub-header, zeros for what its version or a truncated file has not."""
    code = struct.Struct(order + layout.sub)
    fields = code.unpack(source.read(words.block_size, code.size).ljust(code.size, b"\0"))
    known = FIELDS[min(_version(data, order), len(FIELDS) - 1)]
    return SubHeader._make((*fields[:known], *(0 for _ in fields[known:])))


def _agrees(sub: SubHeader, words: Words, version: int) -> bool:
    """Whether header and sub-header tell the same story."""
    if version >= 6 and min(sub.pages, MOST_32) != words.pages:
        return False
    end = (1 + words.sub_blocks) * words.block_size
    areas = ((sub.vmcoreinfo_at, sub.vmcoreinfo_size), (sub.notes_at, sub.notes_size))
    return all(not (at or size) or words.block_size <= at <= at + size <= end for at, size in areas)


def _header(
    data: bytes, order: Literal["<", ">"], layout: Layout, words: Words, sub: SubHeader
) -> Header:
    _, told, *names = struct.unpack_from(order + HEAD, data)
    version = _version(data, order)
    seconds, micros = struct.unpack_from(order + layout.stamp, data, layout.stamp_at)
    pages = sub.pages if version >= 6 else words.pages
    split = version >= 2 and sub.split != 0
    first, end = (sub.start, sub.end) if version >= 6 else (sub.short_start, sub.short_end)
    return Header(
        version=told,
        order=order,
        layout=layout.name,
        width=layout.width,
        utsname=Utsname._make(_texts(names)),
        stamp=seconds + micros / 1e6 if seconds > 0 and 0 <= micros < 1_000_000 else None,
        words=words,
        sub=sub,
        level=sub.dump_level if version >= 1 else None,
        pages=pages,
        split=split,
        first=first if split else 0,
        end=min(end, pages) if split else pages,
    )


def _texts(fields: list[bytes]) -> Iterator[str]:
    for field in fields:
        yield field.partition(b"\0")[0].decode("utf-8", "replace")
