"""Which pages do the files of a kdump have?  Each file's own part of the bitmap, one after another.

1. A file that is no part of a split set has all pages; a member of a set has those from ``first``
   to ``end``, though its bitmap and header tell of all.
2. The bitmap of a machine whose memory lies far up is mostly zeros: those cost nothing but a look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.formats.kdump.header import Header, read_header
from kvm_exporter.kvm.pageset import PageSet, Place
from kvm_exporter.kvm.source import Source, exactly

PIECE = 1 << 16
"""Bytes of a bitmap that are looked at together: of 2 GiB of memory."""

LARGEST_BITMAP = 1 << 32
"""Bytes of one: of 128 TiB."""


class Member(NamedTuple):
    """A file of a dump and its header."""

    source: Source
    header: Header


@dataclass(frozen=True, slots=True)
class Members:
    """The files of a dump by their pages, and which pages they have.

    ``starts``: how many pages are before each file's first; the last entry is how many there are.
    """

    files: Sequence[Member]
    kept: PageSet
    starts: Sequence[int]


def read_members(sources: Sequence[Source]) -> Members:
    """The files of one dump in any order.

    Errors: FormatError where they are of different dumps, or more than one is no part of a set.
    """
    files = sorted(
        (Member(source, read_header(source)) for source in sources),
        key=lambda member: member.header.first,
    )
    _check_one_dump(files)
    lead = files[0].header
    page_size = lead.words.block_size
    size = min(lead.bitmap_size, -(-lead.pages // 8))
    if size > LARGEST_BITMAP:
        raise FormatError(f"{files[0].source.name}: a bitmap of {size:#x} bytes cannot be")
    counts = [0] * len(files)
    pieces: list[bytes] = []
    ranges: list[tuple[int, int]] = []
    for at in range(0, size, PIECE):
        parts = [_bits(member, at, min(PIECE, size - at)) for member in files]
        if any(parts):
            counts = [count + part.bit_count() for count, part in zip(counts, parts, strict=True)]
            pieces.append(sum(parts).to_bytes(PIECE, "little"))
            start = at * 8 * page_size
            if ranges and ranges[-1][1] == start:
                start, _ = ranges.pop()
            ranges.append((start, (at + PIECE) * 8 * page_size))
    starts = list(accumulate(counts, initial=0))
    kept = PageSet(b"".join(pieces), Place(0, starts[-1] * page_size), page_size, ranges=ranges)
    return Members(files, kept, starts)


def gaps(files: Sequence[Member]) -> Iterator[tuple[int, int]]:
    """(first, end) of pages that a file has which is not among ``files``."""
    reached = 0
    for _, header in files:
        if header.first > reached:
            yield reached, header.first
        reached = max(reached, header.end)
    if reached < files[0].header.pages:
        yield reached, files[0].header.pages


def _bits(member: Member, at: int, size: int) -> int:
    """The part of a member's bitmap at ``at`` that is its own."""
    header = member.header
    low = max(header.first - at * 8, 0)
    high = min(header.end - at * 8, size * 8)
    if low >= high:
        return 0
    data = exactly(member.source, header.kept_at + at, size, "its bitmap of pages")
    bits = int.from_bytes(data, "little")
    return (bits & (1 << high) - 1) >> low << low if low or high < size * 8 else bits


def _check_one_dump(files: Sequence[Member]) -> None:
    source, lead = files[0]
    for before, (other, header) in pairwise(files):
        if not (lead.split and header.split):
            alone = other if lead.split else source
            raise FormatError(f"{alone.name}: a whole dump, no part of a split one: open it alone")
        same = (header.utsname, header.stamp, header.pages, header.words.block_size, header.order)
        if same != (lead.utsname, lead.stamp, lead.pages, lead.words.block_size, lead.order):
            raise FormatError(f"{other.name} and {source.name} are parts of different dumps")
        if header.first < before.header.end:
            raise FormatError(
                f"{other.name} and {before.source.name} have the same pages: the same part twice"
            )
