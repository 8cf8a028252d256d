"""How is an index of a compressed dump laid out in its file?

``HEADER``, the blocks that were added, one ``ROW`` a block, little-endian.  The header's checksum
covers itself and the rows, each row's its block; a file that is not as it was written is as none.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.source import Source

MAGIC = b"kvmidx\x00\x01"
"""The last byte is the version of this layout."""

HEADER = struct.Struct("<8s8s32sQQQ160s")
"""Magic, kind, key, size of the dump, where the rows are, their count, why it is broken."""

CHECKSUM = struct.Struct("<I")

ROW = struct.Struct("<QQQIII")
"""See Row."""

START = HEADER.size + CHECKSUM.size
"""Where the blocks begin."""


class Row(NamedTuple):
    """A place in the dump: ``position`` in it, ``at`` in the compressed file, ``tag`` the kind's.

    ``where`` and ``length`` are the block's place in the index file, ``checksum`` its CRC-32.
    """

    position: int
    at: int
    where: int
    length: int
    tag: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Index:
    """An index that was read or just written; ``rows`` are packed, ``ROW.size`` bytes each.

    ``size`` bytes of dump can be read, and ``broken`` says why there are no more, if there ought
    to be.
    """

    source: Source
    size: int
    rows: bytes
    broken: str | None

    def __len__(self) -> int:
        return len(self.rows) // ROW.size

    def row(self, number: int) -> Row:
        """The ``number``-th row."""
        return Row._make(ROW.unpack_from(self.rows, number * ROW.size))

    def block(self, row: Row, most: int) -> bytes:
        """A row's block, of ``most`` bytes at most."""
        data = self.source.read(row.where, row.length) if row.length <= most else b""
        if len(data) != row.length or zlib.crc32(data) != row.checksum:
            raise FormatError(
                f"{self.source.name}: the index is damaged at {row.where:#x}: delete the file, and "
                "it is made anew"
            )
        return data


class Draft:
    """An index being written through ``put`` (offset, data): first its blocks, at last ``seal``."""

    def __init__(self, put: Callable[[int, bytes], None]) -> None:
        self._put = put
        self._end = START
        self._rows = bytearray()

    def add(self, position: int, at: int, tag: int, block: bytes) -> None:
        """One more row, and its block."""
        if block:
            self._put(self._end, block)
        self._rows += ROW.pack(position, at, self._end, len(block), tag, zlib.crc32(block))
        self._end += len(block)

    def seal(self, kind: bytes, key: bytes, size: int, broken: str | None) -> bytes:
        """Write the rows, and the header that makes it an index; the rows."""
        rows = bytes(self._rows)
        reason = (broken or "").encode("utf-8", "replace")[:160].decode("utf-8", "ignore").encode()
        count = len(rows) // ROW.size
        header = HEADER.pack(MAGIC, kind, key, size, self._end, count, reason)
        self._put(self._end, rows)
        self._put(0, header + CHECKSUM.pack(zlib.crc32(rows, zlib.crc32(header))))
        return rows


def load(source: Source, kind: bytes, key: bytes) -> Index | None:
    """The index in a file; None where it is another dump's, of another version, or damaged."""
    try:
        head = source.read(0, START)
        if len(head) < START:
            return None
        magic, its_kind, its_key, size, at, count, reason = HEADER.unpack_from(head)
        wanted = (MAGIC, kind.ljust(8, b"\0"), key)
        if (magic, its_kind, its_key) != wanted or at + count * ROW.size != source.size:
            return None
        rows = source.read(at, count * ROW.size)
    except KvmError:
        return None
    (checksum,) = CHECKSUM.unpack_from(head, HEADER.size)
    if zlib.crc32(rows, zlib.crc32(head[: HEADER.size])) != checksum:
        return None
    return Index(source, size, rows, reason.rstrip(b"\0").decode("utf-8", "replace") or None)
