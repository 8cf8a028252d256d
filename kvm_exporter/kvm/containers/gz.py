"""How is a gzip-compressed dump read in place?  Through places to start that an index keeps."""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_right
from dataclasses import replace

from kvm_exporter.kvm.containers.cache import Kept, kept_index
from kvm_exporter.kvm.containers.cells import Cells, Streamed
from kvm_exporter.kvm.containers.copying import DEFLATE, copied
from kvm_exporter.kvm.containers.index import Draft, Index
from kvm_exporter.kvm.containers.libz import WINDOW, Libz
from kvm_exporter.kvm.containers.model import Container, Stage, head
from kvm_exporter.kvm.containers.unzip import INPUT, MAGIC, TRUNCATED, Entry, Unzip
from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.source import Source

CELL = 128 << 10
"""Bytes that are unpacked at once."""

APART = 1 << 20
"""Bytes of dump between two places to start, at least ..."""

PACKED_APART = 128 << 10
"""... and of the file (so that an index stays small beside it), but ..."""

FAR_APART = 4 << 20
"""... never more bytes of dump than this, if the blocks allow it."""


class Growing:
    """Builds the index of a gzip file: the walk over all of it, once."""

    def __init__(self, stage: Stage, libz: Libz) -> None:
        self._stage = stage
        self._libz = libz

    def __call__(self, draft: Draft) -> tuple[int, str | None]:
        """As cache.Build."""
        stage = self._stage
        unzip = Unzip(stage.source, self._libz, None)
        window = b""
        position = at = told = 0
        while not unzip.ended:
            far = unzip.position - position
            due = far >= FAR_APART or (far >= APART and unzip.at - at >= PACKED_APART)
            step = unzip.step(CELL, blocks=due)
            window = (window + step.data)[-WINDOW:] if len(step.data) < WINDOW else step.data
            if due and step.bits is not None:
                position, at = unzip.position, unzip.at
                draft.add(position, at, step.bits, zlib.compress(window[-WINDOW:], 1))
            if stage.options.progress and unzip.at - told >= PACKED_APART:
                told = unzip.at
                stage.options.progress(told, stage.source.size)
        if stage.options.progress:
            stage.options.progress(stage.source.size, stage.source.size)
        return unzip.position, unzip.broken


class Places:
    """The places to start, and the file they are of."""

    def __init__(self, source: Source, libz: Libz, index: Index) -> None:
        self._source = source
        self._libz = libz
        self._index = index
        self._positions = array("Q", (index.row(number).position for number in range(len(index))))

    def enter(self, offset: int) -> Unzip:
        """As Entries.enter."""
        number = bisect_right(self._positions, offset) - 1
        if number < 0:
            return Unzip(self._source, self._libz, None)
        row = self._index.row(number)
        try:
            window = zlib.decompressobj().decompress(self._index.block(row, 2 * WINDOW), WINDOW)
        except zlib.error as e:
            raise FormatError(f"{self._index.source.name}: a window of the index: {e}") from e
        return Unzip(self._source, self._libz, Entry(row.position, row.at, row.tag, window))

    def before(self, offset: int) -> int:
        """As Entries.before."""
        number = bisect_right(self._positions, offset) - 1
        return self._positions[number] if number >= 0 else 0

    def close(self) -> None:
        """Give both files back."""
        self._source.close()
        self._index.source.close()


class Plain:
    """A walk by the standard library's zlib, which can only start at the start."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._inflate = zlib.decompressobj(31)
        self._input = b""
        self.at = 0

    def produce(self, length: int) -> bytes:
        """As Stream.produce."""
        while True:
            if self._inflate.eof:
                self._input = self._inflate.unused_data + self._more(len(MAGIC))
                if not self._input.startswith(MAGIC):
                    return b""
                self._inflate = zlib.decompressobj(31)
            self._input = self._input or self._more(INPUT)
            fresh = bool(self._input)
            before = self._inflate.copy()
            try:
                data = self._inflate.decompress(self._input, length)
                self._input = self._inflate.unconsumed_tail
            except zlib.error as e:
                data, self._inflate = self._until(before, length), before
                if not data:
                    raise FormatError(f"its compressed stream is damaged ({e})") from e
            if data:
                return data
            if not fresh and not self._inflate.eof:
                raise FormatError(TRUNCATED)

    def _until(self, inflate: zlib._Decompress, length: int) -> bytes:
        """What comes before damage: zlib keeps it back where it finds some in the same call."""
        parts: list[bytes] = []
        while length > 0 and self._input:
            try:
                parts.append(inflate.decompress(self._input[:1], length))
            except zlib.error:
                break
            self._input = inflate.unconsumed_tail + self._input[1:]
            length -= len(parts[-1])
        return b"".join(parts)

    def _more(self, length: int) -> bytes:
        data = self._source.read(self.at, length)
        self.at += len(data)
        return data


def open_gzip(stage: Stage) -> Stage:
    """Index it, or find its index; by a copy where there is no libz."""
    try:
        libz = Libz()
    except KvmError:
        return copied(stage, DEFLATE, Plain)
    kept = kept_index(stage, "gzip", Growing(stage, libz))
    places = Places(stage.source, libz, kept.index)
    maker = Streamed(CELL, kept.index.size, places)
    source = Cells(stage.source.name, kept.index.size, CELL, maker, kept.index.broken)
    return replace(stage, source=source, layers=(*stage.layers, _named(kept)))


def _named(kept: Kept) -> str:
    broken = f"; {kept.index.broken}" if kept.index.broken else ""
    return f"gzip, index in {kept.place}{broken}"


CONTAINER = Container("gzip", lambda stage: head(stage, len(MAGIC)) == MAGIC, open_gzip)
