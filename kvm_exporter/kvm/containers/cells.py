"""How is a stream that costs effort to read (compressed, encrypted) read at any place?

In cells of a fixed size: a cell is made when it is first needed, and the last few are kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

from kvm_exporter.kvm.errors import AccessDenied, FormatError

KEPT = 8 << 20
"""Bytes of cells that a source keeps at most."""


class Maker(Protocol):
    """Who makes cells."""

    def make(self, index: int) -> dict[int, bytes]:
        """The bytes of cell ``index``, and of others if they came on the way.  Errors: KvmError."""

    def close(self) -> None:
        """Give the files back."""


class Cells:
    """A Source of ``size`` bytes in cells of ``cell`` bytes (a power of two), made by ``maker``.

    ``broken`` says why there is nothing after ``size``, where there should be.
    """

    def __init__(
        self, name: str, size: int, cell: int, maker: Maker, broken: str | None = None
    ) -> None:
        self.name = name
        self.size = size
        self._cell = cell
        self._maker = maker
        self._broken = broken
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        """As Source.read; FormatError behind the place where the file is broken."""
        end = min(offset + length, self.size)
        if not 0 <= offset < end:
            if length > 0 and self._broken:
                raise FormatError(f"{self.name}: nothing at {offset:#x}: {self._broken}")
            return b""
        first, start = divmod(offset, self._cell)
        last = (end - 1) // self._cell
        with self._lock:
            if first == last:
                return self._get(first)[start : start + end - offset]
            data = b"".join([self._get(index) for index in range(first, last + 1)])
        return data[start : start + end - offset]

    def _get(self, index: int) -> bytes:
        kept = self._kept
        if index in kept:
            kept.move_to_end(index)
            return kept[index]
        made = self._maker.make(index)
        expected = min(self._cell, self.size - index * self._cell)
        if len(made.get(index, b"")) != expected:
            raise FormatError(
                f"{self.name}: what its index tells of {index * self._cell:#x} is not there: it is "
                "damaged, or was changed since"
            )
        for other, data in made.items():
            kept[other] = data
        kept.move_to_end(index)
        while len(kept) * self._cell > KEPT:
            kept.popitem(last=False)
        return made[index]

    def write(self, offset: int, data: bytes) -> int:
        """As Source.write: not possible."""
        raise AccessDenied(
            f"{self.name}: cannot write {len(data)} bytes at {offset:#x} of a packed dump"
        )

    def close(self) -> None:
        """As Source.close."""
        self._kept.clear()
        self._maker.close()


class Stream(Protocol):
    """A decompressor somewhere in the stream."""

    @property
    def position(self) -> int:
        """Offset of the next byte it gives."""

    def produce(self, length: int) -> bytes:
        """Up to ``length`` next bytes; none at the end.  Errors: FormatError."""


class Entries(Protocol):
    """The places where a compressed stream can be entered."""

    def enter(self, offset: int) -> Stream:
        """A stream that starts at the last place not behind ``offset``."""

    def before(self, offset: int) -> int:
        """Where that place is."""

    def close(self) -> None:
        """Give the files back."""


class Streamed:
    """Cells of ``cell`` bytes, ``size`` bytes in all, out of streams.

    The last stream is kept: reading on from where it stands costs no second decompression.
    """

    def __init__(
        self,
        cell: int,
        size: int,
        entries: Entries,
    ) -> None:
        self._cell = cell
        self._size = size
        self._entries = entries
        self._stream: Stream | None = None
        self.close = entries.close

    def make(self, index: int) -> dict[int, bytes]:
        """As Maker.make: every whole cell from where the stream was entered."""
        start = index * self._cell
        stream, self._stream = self._stream, None
        if stream is None or not self._entries.before(start) <= stream.position <= start:
            stream = self._entries.enter(start)
        made: dict[int, bytes] = {}
        while stream.position <= start:
            number, within = divmod(stream.position, self._cell)
            wanted = min(self._cell - within, self._size - stream.position)
            data = _all(stream, wanted)
            if within == 0:
                made[number] = data
            made.pop(number - KEPT // self._cell, None)
            if len(data) < wanted or wanted <= 0:
                break
        self._stream = stream
        return made


def _all(stream: Stream, length: int) -> bytes:
    """Just ``length`` bytes, fewer where the stream ends."""
    parts: list[bytes] = []
    while length > 0 and (data := stream.produce(length)):
        parts.append(data)
        length -= len(data)
    return b"".join(parts)
