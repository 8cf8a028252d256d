"""How are a Linux core's addresses translated?  What VMCOREINFO tells, verified, becomes an Image.

``complete`` finds where the kernel lies (placing.py), which form its tables have (machines.py), and
its direct map (windows.py).  ``UserSpaces`` reads the memory of processes through their tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from kvm_exporter.kvm.arch import arches
from kvm_exporter.kvm.errors import FormatError, KvmError, SymbolMissing, Unsupported
from kvm_exporter.kvm.formats import Image, KernelSymbols
from kvm_exporter.kvm.formats.windowed import Windowed
from kvm_exporter.kvm.memory import Memory, Symbols
from kvm_exporter.kvm.paging import PageTables
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.space import PhysicalMemory, Translator, VirtualMemory
from kvm_exporter.kvm.translation import DirectMap
from kvm_exporter.kvm.vmcore.facts import facts
from kvm_exporter.kvm.vmcore.lost import START, Mended, image_of
from kvm_exporter.kvm.vmcore.machines import MACHINES
from kvm_exporter.kvm.vmcore.placing import Placed, Placing
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo
from kvm_exporter.kvm.vmcore.windows import direct_map, direct_map_from

SURE = {True: "", None: " (lost)", False: " (damaged: they do not map the kernel)"}

DIRECT_MAP = "page_offset_base"
"""The variable with the direct map's first address (arch/x86/kernel/head64.c, since 4.9)."""

USER = "processes"
"""Under which name Arch.pagings has the form of processes' tables."""


def complete(
    image: Image, source: Source, info: Vmcoreinfo, kernel: KernelSymbols | None = None
) -> Image:
    """``image`` with a translator and what else was learnt: arch, page size, direct map, KASLR.

    ``source``: the dump's file.  ``kernel``: its vmlinux, if there is one.
    ``arch.pagings`` are the kernel's own form, then that of its processes (USER).
    Errors: FormatError where nothing leads to page tables that fit; Unsupported for an architecture
    whose Linux is not known.
    """
    if image.arch and image.arch.name not in MACHINES:
        raise Unsupported(f"{source.name}: Linux on {image.arch.name} cannot be read")
    memory = PhysicalMemory(image.store or source, image.physical)
    placed = _place(image, memory, info)
    if placed is None:
        raise FormatError(
            f"{source.name}: nothing that VMCOREINFO says leads to page tables which map Linux "
            f"{info.release or ''}: the dump is damaged or incomplete, or VMCOREINFO is another "
            "kernel's"
        )
    window = direct_map(placed, image, info)
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
        translator=_translator(placed, info, window),
        windows=(window,) if window else (),
        displacement=_displacement(info, kernel),
        facts=(*image.facts, *facts(info), *_found(placed, window)),
    )


def with_told_direct_map(image: Image, memory: Memory, symbols: Symbols) -> Image:
    """A completed ``image`` that lacks its direct map, with it if the kernel's variable tells it.

    That is page_offset_base, of x86_64: the tables are lost that the kernel itself would follow,
    and ``memory`` has not much but the kernel's image, which is where its variables are.
    """
    if image.windows or image.translator is None or image.abi is None:
        return image
    try:
        (variable,) = symbols.lookup((DIRECT_MAP,))
        data = memory.read(variable.value, image.abi.pointer_size) if variable else b""
    except KvmError:
        return image
    window = direct_map_from(image, int.from_bytes(data, image.abi.byteorder))
    if not data or window is None:
        return image
    return replace(image, translator=Windowed((window,), image.translator), windows=(window,))


def fits(image: Image, memory: PhysicalMemory, info: Vmcoreinfo) -> bool:
    """Whether the kernel that ``info`` tells of lies in the dump where that says.

    Tables that are lost do not speak against it.
    """
    told = (one.told() for one in _placings(image, memory, info))
    return any(one.confirmed is not False for one in told if one)


def _place(image: Image, memory: PhysicalMemory, info: Vmcoreinfo) -> Placed | None:
    """Where the kernel lies: where it is told to, or wherever it is found."""
    placings = list(_placings(image, memory, info))
    told = (one.told() for one in placings)
    searched = (one.searched() for one in placings)
    return next((one for one in chain(told, searched) if one), None)


def _placings(image: Image, memory: PhysicalMemory, info: Vmcoreinfo) -> Iterator[Placing]:
    """One for the architecture that the dump names, or for each."""
    names: Iterable[str] = MACHINES
    if image.arch:
        machine = MACHINES.get(image.arch.name)
        names = dict.fromkeys((image.arch.name, *machine.kin)) if machine else ()
    known = {arch.name: arch for arch in reversed(arches())}
    for name in names:
        yield Placing(image, memory, info, known[name])


def _displacement(info: Vmcoreinfo, kernel: KernelSymbols | None) -> int:
    """KERNELOFFSET; where a kernel has none (i386, arm, riscv), what its file says."""
    if info.kernel_offset is not None:
        return info.kernel_offset
    lies, linked = info.symbol(START), _linked(kernel) if kernel else None
    return 0 if lies is None or linked is None else lies - linked


def _linked(kernel: KernelSymbols) -> int | None:
    try:
        return kernel.address(START)
    except SymbolMissing:  # of a stripped file nothing is displaced
        return None


def _translator(placed: Placed, info: Vmcoreinfo, window: DirectMap | None) -> Translator:
    """The direct map first: that needs no tables to be read."""
    lies = image_of(placed, info)
    tables = Mended(placed.tables, lies) if lies else placed.tables
    return Windowed((window,), tables) if window else tables


def _found(placed: Placed, window: DirectMap | None) -> Iterator[tuple[str, str]]:
    """What is told of tables and maps."""
    sure = SURE[placed.confirmed]
    yield "page tables", f"{placed.paging.name}, root at {placed.root:#x}{sure}"
    if window:
        there = f"from physical {window.physical:#x}"
        yield "direct map", f"{window.base:#x} to {window.end:#x}, {there}"


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
