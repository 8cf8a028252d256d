"""Which architectures are there?  The Arch record, and how one is found.

An architecture is one file with a constant ``ARCHES`` (byte orders and register widths share a
file); importing it does nothing.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Unsupported
from kvm_exporter.kvm.paging import Paging
from kvm_exporter.kvm.translation import DirectMap

Elf = tuple[int, int, int]
"""(e_machine, EI_CLASS, EI_DATA)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which paging a kernel runs: what the variable ``symbol`` of ``size`` bytes holds → its name.

    A kernel without the variable has the first.
    """

    symbol: str
    names: Mapping[int, str]
    size: int = 4


@dataclass(frozen=True, slots=True)
class Arch:
    """One architecture, as its FreeBSD kernels see it.

    ``name`` is hw.machine_arch (amd64, aarch64, powerpc64le), ``machine`` hw.machine (arm64,
    powerpc).  ``aliases`` are other names dumps and people use.  ``pagings`` are the forms its page
    tables can have, by name, the usual one first; ``choice`` says which one a kernel has.

    ``kernel_base`` is VM_MIN_KERNEL_ADDRESS and ``direct_map`` (start, end) of physical memory's
    image, as include/vmparam.h has them; a dump's header or the page tables know better.
    ``windows`` are direct maps that the processor itself makes.  User addresses are below
    ``user_end``.  ``per_cpu_base``: the symbol of an address that counter(9)'s and other pointers
    to per-CPU memory have had subtracted (include/pcpu.h, zpcpu_base_to_offset).  A CPU's copy lies
    ``page_size`` after the last one's, everywhere (sys/pcpu.h, UMA_PCPU_ALLOC_SIZE).
    """

    name: str
    machine: str
    elf: Elf
    abi: Abi
    page_size: int
    pagings: Mapping[str, Paging]
    aliases: tuple[str, ...] = ()
    choice: Choice | None = None
    kernel_base: int = 0
    direct_map: tuple[int, int] | None = None
    windows: tuple[DirectMap, ...] = ()
    user_end: int = 0
    per_cpu_base: str | None = None


def arches() -> tuple[Arch, ...]:
    """Every architecture there is."""
    files = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(arch for name in files for arch in import_module(f"{__name__}.{name}").ARCHES)


def find_by_elf(elf: Elf) -> Arch:
    """The architecture of an ELF file's header, with its usual pages; Unsupported for any other."""
    for arch in arches():
        if arch.elf == elf:
            return arch
    machine, bits, order = elf
    raise Unsupported(
        f"an ELF file of machine {machine}, class {bits}, byte order {order}: no architecture of "
        f"these: {_names()}"
    )


def find_by_name(name: str, page_size: int | None = None) -> Arch:
    """By hw.machine_arch, hw.machine or an alias, as minidumps and dump headers have them.

    ``page_size`` where it is not the usual one (arm64's 16 KB).  Errors: Unsupported for others.
    """
    known = [arch for arch in arches() if page_size in (None, arch.page_size)]
    for arch in known:
        if name == arch.name:
            return arch
    for arch in known:
        if name == arch.machine or name in arch.aliases:
            return arch
    pages = f" with pages of {page_size} bytes" if page_size else ""
    raise Unsupported(f"architecture {name!r}{pages}: none of these: {_names()}")


def _names() -> str:
    return ", ".join(arch.name for arch in arches())
