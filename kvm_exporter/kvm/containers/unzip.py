"""How is a gzip file read from any place?  One walk over its blocks, by libz.

Rules, from RFC 1951 and 1952, and examples/zran.c of zlib:

1. Where a deflate block ends, reading can start anew, given the bits of the last byte that are not
   used up and the 32 KiB of output before.
2. A member ends in 8 bytes of CRC and length.  Another may follow it; anything else (zeros up to
   the end of a dump device's block) does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvm_exporter.kvm.containers.libz import BLOCK, GZIP, NO_FLUSH, RAW, Inflater, Libz, Step
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.source import Source

MAGIC = b"\x1f\x8b\x08"
"""gzip, method deflate."""

TRAILER = 8
INPUT = 64 << 10
"""Bytes read at once."""

TRUNCATED = "the compressed file is truncated"


@dataclass(frozen=True, slots=True)
class Entry:
    """A place to start: offset in the output and in the file, rule 1's bits and output before."""

    position: int
    at: int
    bits: int
    window: bytes


class Unzip:
    """A walk over a gzip file from ``entry`` on; from its start where that is None.

    ``position`` is the offset in the output, ``at`` the one in the file, ``ended`` whether there
    is no more, and ``broken`` why, if that is not the end of a member.
    """

    def __init__(self, source: Source, libz: Libz, entry: Entry | None) -> None:
        self._source = source
        self._buffer = b""
        self._cursor = 0
        self._base = entry.at if entry else 0
        self._raw = entry is not None
        self._inflater = Inflater(libz, RAW if self._raw else GZIP)
        self.position = entry.position if entry else 0
        self.ended = False
        self.broken: str | None = None
        if entry:
            byte = source.read(entry.at - 1, 1) if entry.bits else b"\0"
            self._inflater.prime(entry.bits & 7, (byte or b"\0")[0], entry.window)

    @property
    def at(self) -> int:
        """Offset in the file of the next byte to be taken."""
        return self._base + self._cursor

    def produce(self, length: int) -> bytes:
        """As Stream.produce; FormatError behind damage that the walk of the index did not see."""
        while not self.ended:
            if data := self.step(length).data:
                return data
        if self.broken:
            raise FormatError(f"{self._source.name}: at {self.at:#x}: {self.broken}")
        return b""

    def step(self, length: int, *, blocks: bool = False) -> Step:
        """At most ``length`` bytes, and with ``blocks`` not past the end of a block."""
        fresh = self._fill(1)
        step = self._inflater.step(
            self._buffer, self._cursor, length, BLOCK if blocks else NO_FLUSH
        )
        self._cursor += step.taken
        self.position += len(step.data)
        if step.ended:
            self._next_member()
        elif step.error or not (fresh or step.data):
            self._stop(step.error or TRUNCATED)
        return step

    def _stop(self, broken: str | None) -> None:
        self.ended = True
        self.broken = broken
        self._inflater.close()

    def _next_member(self) -> None:
        """Rule 2."""
        skipped = TRAILER if self._raw else 0
        self._fill(skipped + len(MAGIC))
        self._cursor = min(self._cursor + skipped, len(self._buffer))
        if not self._buffer.startswith(MAGIC, self._cursor):
            self._stop(None)
            return
        self._raw = False
        self._inflater.reset(GZIP)

    def _fill(self, wanted: int) -> bool:
        """Have ``wanted`` bytes in the buffer, unless the file ends; is there one at least?"""
        left = len(self._buffer) - self._cursor
        if left < wanted:
            self._base += self._cursor
            self._buffer = self._buffer[self._cursor :]
            self._cursor = 0
            self._buffer += self._source.read(self._base + left, INPUT)
        return len(self._buffer) > self._cursor
