"""How is a zstd-compressed dump read?  In place if it has many frames, else through a copy."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import replace

from kvm_exporter.kvm.containers.cells import Cells, Streamed
from kvm_exporter.kvm.containers.copying import Packing, copied
from kvm_exporter.kvm.containers.model import Container, Stage, head
from kvm_exporter.kvm.containers.unzstd import MAGIC, SKIPPABLE, Unzstd, frame_at, pieces
from kvm_exporter.kvm.containers.zstdlib import Zstd, load
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.source import Source

CELL = 128 << 10
"""Bytes that are unpacked at once."""

LARGEST = 16 << 20
"""Bytes of a frame up to which entering it at its start is quick enough."""

APART = 1 << 20
"""Bytes of dump between two frames that are remembered, at least."""


class Frames:
    """Where a file's frames start.

    ``size`` is that of the dump, ``enterable`` whether all of them tell their size and are small.
    """

    def __init__(self, source: Source, zstd: Zstd) -> None:
        self._source = source
        self._zstd = zstd
        self._positions = array("Q", (0,))
        self._places = array("Q", (0,))
        self.size = 0
        try:
            self.enterable = self._scan()
        except FormatError:  # what there is before the damage is only known by unpacking
            self.enterable = False
        self.close = source.close

    def _scan(self) -> bool:
        frame = frame_at(self._source, 0)
        while frame:
            if frame.content is None or frame.content > LARGEST:
                return False
            if self.size - self._positions[-1] >= APART:
                self._positions.append(self.size)
                self._places.append(frame.at)
            end = frame.at
            for start, length in pieces(self._source, frame):
                end = start + length
            self.size += frame.content
            frame = frame_at(self._source, end)
        return True

    def enter(self, offset: int) -> Unzstd:
        """As Entries.enter."""
        number = bisect_right(self._positions, offset) - 1
        return Unzstd(self._source, self._zstd, self._places[number], self._positions[number])

    def before(self, offset: int) -> int:
        """As Entries.before."""
        return self._positions[bisect_right(self._positions, offset) - 1]


def open_zstd(stage: Stage) -> Stage:
    """By its frames; through a copy where that would mean to unpack far too much for a read."""
    zstd = load(stage.source.name)
    frames = Frames(stage.source, zstd)
    if not frames.enterable:
        packing = Packing("zstd", zstd.pack, zstd.unpack, zstd.error)
        return copied(stage, packing, lambda source: Unzstd(source, zstd))
    maker = Streamed(CELL, frames.size, frames)
    source = Cells(stage.source.name, frames.size, CELL, maker)
    return replace(stage, source=source, layers=(*stage.layers, "zstd, read in place"))


def _probe(stage: Stage) -> bool:
    return head(stage, 4).startswith((MAGIC, *SKIPPABLE))


CONTAINER = Container("zstd", _probe, open_zstd)
