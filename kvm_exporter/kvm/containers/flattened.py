"""How is a flattened dump read?  Where it lies: its pieces are put in order, not copied.

makedumpfile -F and QEMU write a dump that way, for a pipe takes nothing twice or out of order: in
pieces, each with the offset where makedumpfile -R puts it.

1. 4096 bytes of header: signature, type and version, big-endian as all of it.
2. Pieces: offset, size, and the bytes.  Offset and size of -1 end the file.
3. What a later piece has is what counts.  Bytes that no piece has are zeros, as -R leaves them.
4. A stream that breaks off is read as far as it goes.

Source: makedumpfile.h (struct makedumpfile_header, struct makedumpfile_data_header).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

from kvm_exporter.kvm.containers.model import Container, Stage, head
from kvm_exporter.kvm.containers.ordering import Piece, Pieces
from kvm_exporter.kvm.errors import AccessDenied, FormatError
from kvm_exporter.kvm.source import Source

MAGIC = b"makedumpfile".ljust(16, b"\0")
START = struct.pack(">16sqq", MAGIC, 1, 1)
"""Signature, TYPE_FLAT_HEADER, VERSION_FLAT_HEADER."""

HEADER_SIZE = 4096
PIECE = struct.Struct(">qq")
END = -1

MOST_PIECES = 1 << 23
"""200 MB of index, in the worst case; QEMU's pieces have 16 KiB, makedumpfile's more."""

LARGEST = 1 << 60
"""Bytes of a rearranged dump: far more than any machine has, and no overflow of any sum."""


class Flattened:
    """A flattened dump as if it had been rearranged; ``broken`` says why it ends early."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self.broken: str | None = None
        pieces = Pieces(self._pieces()).in_order()
        self._starts, self._places, self._lengths = pieces.starts, pieces.places, pieces.lengths
        self.size = self._starts[-1] + self._lengths[-1] if self._starts else 0

    def _pieces(self) -> Iterator[Piece]:
        """The pieces as the file has them."""
        at, size, read = HEADER_SIZE, self._source.size, self._source.read
        for _ in range(MOST_PIECES):
            data = read(at, PIECE.size)
            if len(data) < PIECE.size:
                self.broken = f"it ends at {size:#x} without its end mark"
                return
            start, length = PIECE.unpack(data)
            if start == length == END:
                return
            if not (0 <= start < LARGEST and 0 <= length < LARGEST):
                self.broken = f"a piece of {length:#x} bytes for {start:#x} at {at:#x} cannot be"
                return
            at += PIECE.size
            there = min(length, max(size - at, 0))
            if there:
                yield Piece(start, at, there)
            at += length
        self.broken = f"more than {MOST_PIECES} pieces"

    def read(self, offset: int, length: int) -> bytes:
        """As Source.read."""
        end = min(offset + length, self.size)
        if not 0 <= offset < end:
            return b""
        number = bisect_right(self._starts, offset) - 1
        if number >= 0 and end <= self._starts[number] + self._lengths[number]:
            place = self._places[number] + offset - self._starts[number]
            return self._source.read(place, end - offset)
        return b"".join(self._parts(max(number, 0), offset, end))

    def _parts(self, number: int, at: int, end: int) -> Iterator[bytes]:
        """What is from ``at`` to ``end``, from piece ``number`` on; zeros between pieces."""
        while at < end:
            start, length = self._starts[number], self._lengths[number]
            if at < start:
                yield bytes(min(start, end) - at)
                at = min(start, end)
            wanted = min(start + length, end) - at
            if wanted > 0:
                data = self._source.read(self._places[number] + at - start, wanted)
                yield data
                if len(data) < wanted:
                    return
                at += wanted
            number += 1

    def write(self, offset: int, data: bytes) -> int:
        """As Source.write: not possible."""
        raise AccessDenied(
            f"{self.name}: cannot write {len(data)} bytes at {offset:#x} of a flattened dump"
        )

    def close(self) -> None:
        """As Source.close."""
        self._source.close()


def open_flattened(stage: Stage) -> Stage:
    """Its pieces in order."""
    source = Flattened(stage.source)
    if not source.size:
        raise FormatError(
            f"{source.name}: a flattened dump without a piece: {source.broken or 'it is empty'}"
        )
    layer = "flattened, read in place" + (f"; {source.broken}" if source.broken else "")
    return replace(stage, source=source, layers=(*stage.layers, layer))


def _probe(stage: Stage) -> bool:
    return head(stage, len(START)) == START


CONTAINER = Container("flattened", _probe, open_flattened)
