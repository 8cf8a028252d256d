"""How is a zstd file walked?  Frame by frame, block by block (RFC 8878, section 3).

A block gives at most 128 KiB, whatever it claims: so feeding them one at a time bounds what a
decompressor can be made to give, and what is before damage is had to the last block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kvm_exporter.kvm.containers.zstdlib import Zstd
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.source import Source

MAGIC = b"\x28\xb5\x2f\xfd"

SKIPPABLE = tuple(bytes((0x50 + number, 0x2A, 0x4D, 0x18)) for number in range(16))
"""Magics of frames that hold no data: pzstd's sizes, the seekable format's table."""

SKIPPABLE_HEADER, LARGEST_HEADER = 8, 18
CHECKSUM = 4
RLE, RESERVED = 1, 3
"""Block types."""

TRUNCATED = "the compressed file is truncated"


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's header: its place, its length, and what it says of the rest.

    ``content`` is the number of bytes that come out of it, None where it does not tell.
    """

    at: int
    header: bytes
    content: int | None
    checksum: bool


def frame_at(source: Source, at: int) -> Frame | None:
    """The frame at ``at`` or behind skippable ones; None where there is none (padding).

    Errors: FormatError where the file ends in its header.
    """
    data = source.read(at, LARGEST_HEADER)
    while data.startswith(SKIPPABLE):
        if len(data) < SKIPPABLE_HEADER:
            raise FormatError(TRUNCATED)
        at += SKIPPABLE_HEADER + int.from_bytes(data[4:8], "little")
        data = source.read(at, LARGEST_HEADER)
    return _frame(data, at)


def _frame(data: bytes, at: int) -> Frame | None:
    """Section 3.1.1.1."""
    if not data or not (data.startswith(MAGIC) or MAGIC.startswith(data)):
        return None
    if len(data) < 5:
        raise FormatError(TRUNCATED)
    kind = data[4]
    single = kind >> 5 & 1
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[kind & 3]
    width = (single, 2, 4, 8)[kind >> 6]
    if len(data) < start + width:
        raise FormatError(TRUNCATED)
    content = int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)
    return Frame(at, data[: start + width], content if width else None, bool(kind & 4))


def pieces(source: Source, frame: Frame) -> Iterator[tuple[int, int]]:
    """Offset and length of each of a frame's blocks with its header, and of the checksum.

    Errors: FormatError where one lies past the file's end, or is of no known type.
    """
    at, last = frame.at + len(frame.header), False
    while not last:
        head = int.from_bytes(source.read(at, 3), "little")
        last = bool(head & 1)
        kind = head >> 1 & 3
        length = 3 + (1 if kind == RLE else head >> 3)
        if at + length > source.size:
            raise FormatError(TRUNCATED)
        if kind == RESERVED:
            raise FormatError(f"its compressed stream is damaged (block type 3 at {at:#x})")
        yield at, length
        at += length
    if frame.checksum:
        if at + CHECKSUM > source.size:
            raise FormatError(TRUNCATED)
        yield at, CHECKSUM


class Unzstd:
    """A walk over a zstd file from the frame at ``at`` on, which gives ``position`` first."""

    def __init__(self, source: Source, zstd: Zstd, at: int = 0, position: int = 0) -> None:
        self._source = source
        self._zstd = zstd
        self._pieces = self._walk(at)
        self._left = b""
        self.at = at
        self.position = position

    def produce(self, length: int) -> bytes:
        """As Stream.produce."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._left = piece
        data, self._left = self._left[:length], self._left[length:]
        self.position += len(data)
        return data

    def _walk(self, at: int) -> Iterator[bytes]:
        frame = frame_at(self._source, at)
        while frame:
            end = frame.at
            stream = self._zstd.frame()
            try:
                stream.decompress(frame.header)
                for start, length in pieces(self._source, frame):
                    end = self.at = start + length
                    yield stream.decompress(self._source.read(start, length))
            except self._zstd.error as e:
                raise FormatError(f"its compressed stream is damaged ({e})") from e
            frame = frame_at(self._source, end)
