"""How is a disk read that gives whole sectors only?  FreeBSD's are such: read(2) fails else."""

from __future__ import annotations

from kvm_exporter.kvm.source import Source

SECTOR = 4096
"""A multiple of every disk's sector."""


class Sectors:
    """A disk, read at any offset: in whole sectors underneath."""

    def __init__(self, disk: Source) -> None:
        self._disk = disk
        self.name = disk.name
        self.size = disk.size

    def read(self, offset: int, length: int) -> bytes:
        """As Source.read."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        start = offset // SECTOR * SECTOR
        stop = min(-(-end // SECTOR) * SECTOR, self.size)
        return self._disk.read(start, stop - start)[offset - start : end - start]

    def write(self, offset: int, data: bytes) -> int:
        """As Source.write, which takes whole sectors too."""
        return self._disk.write(offset, data)

    def close(self) -> None:
        """As Source.close."""
        self._disk.close()
