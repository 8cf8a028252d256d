"""Where in physical memory does the kernel lie?  Its version string tells.

The kernel lies in one piece of memory: one ``delta`` makes physical addresses of link-time ones.
Tried are, in this order, what the dump says (PT_DUMP_DELTA, or a displacement), what the kernel
file says (p_paddr), what the architecture fixes (mips's kseg0), and where loaders may put it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.formats.model import Image, KernelSymbols
from kvm_exporter.kvm.space import PhysicalMemory

MOST_PLACES = 1 << 20
"""Where the kernel is looked for at most: two terabytes in steps of 2 MB."""

SHORTEST, LONGEST = 16, 256
"""Bytes of the kernel file that are compared."""


def deltas(
    image: Image, memory: PhysicalMemory, arch: Arch, kernel: KernelSymbols, alignment: int
) -> Iterator[int]:
    """Each delta at which memory has the kernel's version string, the most probable first.

    Older copies of a kernel (of the loader, of the boot before) are among them.  ``alignment``:
    loaders put kernels at multiples of it.  Errors: FormatError for a kernel file without text.
    """
    address, data = mark(kernel)
    told = list(dict.fromkeys(_told(image, arch, kernel)))
    for delta in told:
        if _has(memory, address + delta, data):
            yield delta
    for delta in islice(_anywhere(image, kernel, alignment), MOST_PLACES):
        if delta not in told and _has(memory, address + delta, data):
            yield delta


def mark(kernel: KernelSymbols) -> tuple[int, bytes]:
    """(link-time address, bytes) by which a kernel is known: its version, else its beginning."""
    version = kernel.address("version")
    if version is not None:
        text = kernel.read(version, LONGEST).partition(b"\0")[0]
        if len(text) >= SHORTEST:
            return version, text
    for segment in kernel.segments:
        data = kernel.read(segment.virtual, LONGEST)
        if len(data) >= SHORTEST:
            return segment.virtual, data
    raise FormatError("the kernel file has neither a version string nor loaded segments")


def _has(memory: PhysicalMemory, address: int, data: bytes) -> bool:
    try:
        return memory.read(address, len(data)) == data
    except Fault:
        return False


def _told(image: Image, arch: Arch, kernel: KernelSymbols) -> Iterator[int]:
    if image.anchor is not None:
        yield image.anchor.physical - image.anchor.virtual
        # amd64 since 14.0: kernphys is where the kernel begins, which KERNBASE is 2 MB before
        yield from (image.anchor.physical - segment.virtual for segment in kernel.segments[:1])
    if image.displacement:
        yield from (image.displacement + one.physical - one.base for one in image.windows)
    yield from (segment.physical - segment.virtual for segment in kernel.segments)
    yield from (one.physical - one.base for one in arch.windows)


def _anywhere(image: Image, kernel: KernelSymbols, alignment: int) -> Iterator[int]:
    first = min((segment.virtual for segment in kernel.segments), default=0)
    first -= first % alignment
    for extent in image.physical.extents():
        start = -(-extent.address // alignment) * alignment
        for place in range(start, extent.address + extent.length, alignment):
            yield place - first
