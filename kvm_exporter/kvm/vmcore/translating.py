"""How are a Linux core's addresses translated?  What VMCOREINFO tells, verified, becomes an Image.

``complete`` finds where the kernel lies (placing.py), which form its tables have (machines.py), and
its direct map (windows.py).  ``UserSpaces`` reads the memory of processes through their tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from kvm_exporter.kvm.arch import arches
from kvm_exporter.kvm.errors import FormatError, Unsupported
from kvm_exporter.kvm.formats import Image, KernelSymbols
from kvm_exporter.kvm.formats.windowed import Windowed
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.paging import PageTables
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.space import PhysicalMemory, VirtualMemory
from kvm_exporter.kvm.translation import DirectMap
from kvm_exporter.kvm.vmcore.facts import facts
from kvm_exporter.kvm.vmcore.machines import MACHINES
from kvm_exporter.kvm.vmcore.placing import Placed, Placing
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo
from kvm_exporter.kvm.vmcore.windows import direct_maps

USER = "processes"
"""Under which name Arch.pagings has the form of processes' tables."""

START = "_stext"


def complete(
    image: Image, source: Source, info: Vmcoreinfo | None, kernel: KernelSymbols | None = None
) -> Image:
    """``image`` with a translator and what else was learnt: arch, page size, direct map, KASLR.

    ``source``: the dump's file.  ``kernel``: its vmlinux, if there is one.
    ``arch.pagings`` are the kernel's own form, then that of its processes (USER).
    Errors: FormatError where nothing leads to page tables that fit.
    """
    if info is None:
        raise FormatError(
            f"{source.name}: no VMCOREINFO, neither in a note nor in memory: nothing tells where "
            "the kernel and its page tables are"
        )
    memory = PhysicalMemory(image.store or source, image.physical)
    placed = _place(image, memory, info)
    if placed is None:
        raise FormatError(
            f"{source.name}: nothing that VMCOREINFO says leads to page tables which map Linux "
            f"{info.release or ''}: the dump is damaged or incomplete, or VMCOREINFO is another "
            "kernel's"
        )
    windows = direct_maps(placed, image.physical, info)
    page_size = info.page_size or placed.arch.page_size
    user = placed.machine.user(placed.paging)
    arch = replace(
        placed.arch,
        page_size=page_size,
        pagings={placed.paging.name: placed.paging, USER: user},
        choice=None,
    )
    return replace(
        image,
        arch=arch,
        abi=arch.abi,
        page_size=page_size,
        translator=Windowed(windows, placed.tables) if windows else placed.tables,
        windows=windows,
        displacement=_displacement(info, kernel),
        facts=(*image.facts, *facts(info), *_found(placed, windows)),
    )


def is_at(image: Image, memory: PhysicalMemory, info: Vmcoreinfo) -> bool:
    """Whether the kernel that ``info`` tells of lies in the dump where that says."""
    return any(one.told() for one in _placings(image, memory, info))


def _place(image: Image, memory: PhysicalMemory, info: Vmcoreinfo) -> Placed | None:
    """Where the kernel lies: where it is told to, or wherever it is found."""
    placings = list(_placings(image, memory, info))
    told = (one.told() for one in placings)
    searched = (one.searched() for one in placings)
    return next((one for one in chain(told, searched) if one), None)


def _placings(image: Image, memory: PhysicalMemory, info: Vmcoreinfo) -> Iterator[Placing]:
    """One for the architecture that the dump names, or for each, once."""
    names = {image.arch.name} if image.arch else set(MACHINES)
    for arch in arches():
        if arch.name in names and arch.name in MACHINES:
            names.discard(arch.name)
            yield Placing(image, memory, info, arch)


def _displacement(info: Vmcoreinfo, kernel: KernelSymbols | None) -> int:
    """KERNELOFFSET; where a kernel has none (i386, arm, riscv), what its file says."""
    if info.kernel_offset is not None:
        return info.kernel_offset
    lies, linked = info.symbol(START), kernel.address(START) if kernel else None
    return 0 if lies is None or linked is None else lies - linked


def _found(placed: Placed, windows: tuple[DirectMap, ...]) -> tuple[tuple[str, str], ...]:
    """What is told of tables and maps."""
    tables = ("page tables", f"{placed.paging.name}, root at {placed.root:#x}")
    maps = (f"{one.base:#x} to {one.end:#x}, from physical {one.physical:#x}" for one in windows)
    return (tables, *(("direct map", one) for one in maps))


class UserSpaces:
    """The memory of processes: ``spaces(pgd)``, the kernel's address of the top table (mm->pgd).

    ``image`` is a completed one, ``source`` the dump's file.  A page that was never touched, or is
    swapped out, is a Fault that says so; pages that PROT_NONE or NUMA balancing hide are read.
    """

    def __init__(self, image: Image, source: Source) -> None:
        self._image = image
        self._source = image.store or source
        self._memory = PhysicalMemory(self._source, image.physical)

    def __call__(self, pgd: int) -> Memory:
        """The process's memory.  Errors: Fault where ``pgd`` is no address of the kernel's."""
        arch, translator = self._image.arch, self._image.translator
        if arch is None or translator is None or USER not in arch.pagings:
            raise Unsupported("this kernel's processes have no page tables that can be walked")
        tables = PageTables(self._memory, arch.pagings[USER], translator.translate(pgd, 1).address)
        return VirtualMemory(self._source, self._image.physical, tables, self._image.page_size)
