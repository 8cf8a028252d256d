"""Forged memory as the product's images."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from forge.linux_memory import Kernel

from kvm_exporter.kvm.arch import find_by_elf
from kvm_exporter.kvm.formats import Image
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import Extent, PhysicalMemory


class Bytes:
    """A source of bytes at hand."""

    name = "forged"

    def __init__(self, data: bytes) -> None:
        self.data = bytes(data)
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def write(self, offset: int, data: bytes) -> int:
        raise NotImplementedError

    def close(self) -> None:
        pass


class Core(NamedTuple):
    """A dump that is open, but not understood yet."""

    source: Bytes
    image: Image
    memory: PhysicalMemory


MakeCore = Callable[..., Core]


@pytest.fixture
def core() -> MakeCore:
    """A core of a forged kernel.

    ``note``: its VMCOREINFO note, else there is none; ``lost``: (start, end) of physical memory
    that it has not; ``named``: whether it tells its architecture.
    """

    def make(
        kernel: Kernel,
        note: bytes | None = None,
        lost: tuple[tuple[int, int], ...] = (),
        *,
        named: bool = True,
    ) -> Core:
        arch = find_by_elf(kernel.row.elf)
        source = Bytes(kernel.ram.bytes)
        start, end = kernel.ram.base, kernel.ram.base + source.size
        cuts = sorted((start, *(at for hole in lost for at in hole), end))
        extents = [
            Extent(one, one - start, other - one)
            for one, other in zip(cuts[::2], cuts[1::2], strict=True)
            if one < other
        ]
        image = Image(
            format="forged",
            arch=arch if named else None,
            abi=arch.abi if named else None,
            page_size=4096,
            physical=Segments(extents, source.size),
            vmcoreinfo=note,
        )
        return Core(source, image, PhysicalMemory(source, image.physical))

    return make
