"""How is a stream read at any place that can only be read from its start?  Through a copy.

FreeBSD's kernel writes a zstd dump as one frame of unknown size (sys/kern/subr_compressor.c), which
cannot be entered in its middle: a byte may refer to any before it.  So it is read once, and written
again in cells that are compressed each for itself.  Cells of zeros take no room.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from kvm_exporter.kvm.containers.cache import kept_index
from kvm_exporter.kvm.containers.cells import Cells
from kvm_exporter.kvm.containers.index import Draft, Index
from kvm_exporter.kvm.containers.model import Stage
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.source import Source

CELL = 128 << 10
"""Bytes of dump that are compressed for themselves."""

ZEROS, PACKED = 0, 1
"""A row's tag."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How cells are compressed: ``pack``, and ``unpack`` to at most so many bytes."""

    name: str
    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes, int], bytes]
    error: type[Exception]


DEFLATE = Packing(
    "gzip",
    lambda data: zlib.compress(data, 1),
    lambda data, most: zlib.decompressobj().decompress(data, most),
    zlib.error,
)


class Forward(Protocol):
    """A stream that is read from its start to its end."""

    @property
    def at(self) -> int:
        """How much of the file was taken."""

    def produce(self, length: int) -> bytes:
        """As Stream.produce."""


class Copying:
    """Builds the copy."""

    def __init__(self, stage: Stage, packing: Packing, start: Callable[[Source], Forward]) -> None:
        self._stage = stage
        self._pack = packing.pack
        self._start = start

    def __call__(self, draft: Draft) -> tuple[int, str | None]:
        """As cache.Build."""
        stream = self._start(self._stage.source)
        total = self._stage.source.size
        zeros = bytes(CELL)
        size, broken = 0, None
        while broken is None:
            data, broken = _cell(stream)
            if not data:
                break
            if data == zeros[: len(data)]:
                draft.add(size, stream.at, ZEROS, b"")
            else:
                draft.add(size, stream.at, PACKED, self._pack(data))
            size += len(data)
            if self._stage.options.progress:
                self._stage.options.progress(min(stream.at, total), total)
        return size, broken


def _cell(stream: Forward) -> tuple[bytes, str | None]:
    """The next cell, and what broke in it."""
    parts: list[bytes] = []
    wanted = CELL
    try:
        while wanted and (data := stream.produce(wanted)):
            parts.append(data)
            wanted -= len(data)
    except FormatError as e:
        return b"".join(parts), str(e)
    return b"".join(parts), None


class Copy:
    """Makes cells out of a copy."""

    def __init__(self, source: Source, packing: Packing, index: Index) -> None:
        self._source = source
        self._packing = packing
        self._index = index

    def make(self, index: int) -> dict[int, bytes]:
        """As Maker.make."""
        if index >= len(self._index):
            return {}
        row = self._index.row(index)
        if row.tag == ZEROS:
            return {index: bytes(max(min(CELL, self._index.size - row.position), 0))}
        try:
            packed = self._index.block(row, 2 * CELL)
            return {index: self._packing.unpack(packed, CELL)}
        except self._packing.error as e:
            raise FormatError(f"{self._index.source.name}: a cell of the copy: {e}") from e

    def close(self) -> None:
        """Give both files back."""
        self._source.close()
        self._index.source.close()


def copied(stage: Stage, packing: Packing, start: Callable[[Source], Forward]) -> Stage:
    """A stage read through a copy of what ``start`` gives."""
    kept = kept_index(stage, f"{packing.name}-c", Copying(stage, packing, start))
    broken = kept.index.broken
    maker = Copy(stage.source, packing, kept.index)
    source = Cells(stage.source.name, kept.index.size, CELL, maker, broken)
    layer = f"{packing.name}, copied to {kept.place}" + (f"; {broken}" if broken else "")
    return replace(stage, source=source, layers=(*stage.layers, layer))
