"""Where does each architecture's Linux lie, and in which form are its tables?  A row each.

1. A kernel lies in one piece of physical memory: one ``delta`` makes physical addresses of the
   kernel's own virtual ones.  VMCOREINFO tells it, by a number here or there, or the architecture
   fixes it, or memory begins where the kernel does.
2. What a row says are guesses, the most probable first, and each is checked before it is believed
   (placing.py).  So a row may name what only some releases have.

Sources: arch_crash_save_vmcoreinfo() in arch/*/kernel; Documentation/arch/*/mm or memory.rst.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kvm_exporter.kvm.arch import amd64, arm, i386, riscv64
from kvm_exporter.kvm.paging import Paging
from kvm_exporter.kvm.vmcore import forms
from kvm_exporter.kvm.vmcore.forms import User
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

MB = 1 << 20
WORD = (1 << 64) - 1
Guess = Callable[[Vmcoreinfo], Iterator[int]]


def _nothing(_: Vmcoreinfo) -> Iterator[int]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Machine:
    """One architecture, as its Linux kernels see it.

    ``name``: what uname -m says.  ``forms``: which forms of paging a kernel may have; ``user``: a
    process's, given the kernel's.
    ``deltas``: what to add to a kernel's address for the physical one.  ``bases``: else, virtual
    addresses that a run of memory may begin at, and ``loaded`` how far in the kernel's begin.

    ``linear``: the kernel lies in the direct map.  ``offsets``: else, what may have to be taken
    from an address in the direct map for the physical one.  ``reach`` (start, end): where direct
    maps are; ``splits``: where one may start, if that is the kernel's choice, and then it ends
    somewhere too.  ``apart``: forms of tables that do not have the direct map in them.
    ``kin``: rows that a dump's header may mean when it names this one.
    """

    name: re.Pattern[bytes]
    forms: Callable[[Vmcoreinfo], Iterator[Paging]]
    user: User
    reach: tuple[int, int]
    deltas: Guess = _nothing
    bases: Guess = _nothing
    loaded: tuple[int, ...] = (0,)
    linear: bool = False
    offsets: Guess = _nothing
    splits: tuple[int, ...] = ()
    apart: tuple[Paging, ...] = ()
    kin: tuple[str, ...] = ()


# ---- x86_64

START_KERNEL_MAP = 0xFFFF_FFFF_8000_0000


def _x86_64_forms(info: Vmcoreinfo) -> Iterator[Paging]:
    five = info.number("pgtable_l5_enabled") == 1  # since 4.14; before there were four
    pagings = (amd64.FIVE_LEVEL, amd64.FOUR_LEVEL)
    mask = info.number("sme_mask") or 0
    for one in pagings if five else reversed(pagings):
        yield forms.encrypted(one, mask)


def _x86_64_deltas(info: Vmcoreinfo) -> Iterator[int]:
    base = info.number("phys_base")  # since 4.10
    if base is not None:
        yield base - START_KERNEL_MAP
        mask = info.number("sme_mask")
        if mask and base > 0:
            yield (base & ~mask) - START_KERNEL_MAP


# ---- i386 and arm: the kernel lies in its direct map, which begins where users' memory ends

SPLITS = (0xC000_0000, 0x8000_0000, 0x4000_0000, 0xB000_0000, 0x7800_0000)
"""CONFIG_PAGE_OFFSET, the usual one first (arch/x86/Kconfig, arch/arm/Kconfig)."""


def _splits(info: Vmcoreinfo) -> Iterator[int]:
    root = info.symbol("swapper_pg_dir") or 0
    return (one for one in SPLITS if root >= one)


def _i386_forms(info: Vmcoreinfo) -> Iterator[Paging]:
    pagings = (i386.PAE, i386.PLAIN)
    yield from pagings if info.config("X86_PAE") else reversed(pagings)


def _i386_deltas(info: Vmcoreinfo) -> Iterator[int]:
    return (-one for one in _splits(info))


def _arm_forms(info: Vmcoreinfo) -> Iterator[Paging]:
    pagings = (arm.LONG, arm.SHORT)
    yield from pagings if info.config("ARM_LPAE") else reversed(pagings)


# ---- arm64

ARM64_BITS = (48, 39, 42, 47, 52, 36)
ARM64_SHIFTS = (12, 14, 16)


def _arm64_forms(info: Vmcoreinfo) -> Iterator[Paging]:
    shift = (info.page_size or 4096).bit_length() - 1
    size = info.number("TCR_EL1_T1SZ")  # since 5.8: what the processor does
    told = [64 - size if size is not None else None, info.number("VA_BITS")]
    for bits in dict.fromkeys((*told, *ARM64_BITS)):
        if bits in ARM64_BITS and shift in ARM64_SHIFTS:
            yield forms.arm64(shift, bits)


def _arm64_deltas(info: Vmcoreinfo) -> Iterator[int]:
    offset = info.number("kimage_voffset")  # since 4.10
    if offset is not None:
        yield -(offset & WORD)


def _arm64_offsets(info: Vmcoreinfo) -> Iterator[int]:
    # memstart_addr, below 0 where VA_BITS are more than the processor's (arm64_memblock_init)
    start, bits = info.number("PHYS_OFFSET"), info.number("VA_BITS")
    if start is not None and bits in ARM64_BITS:
        # the direct map has the lower half of the addresses since 5.4, before the upper one
        yield from (-(1 << half) - start & WORD for half in (bits, bits - 1))


# ---- powerpc64: the kernel lies in its direct map, which begins at quadrant 3

QUADRANT = 0xC000_0000_0000_0000


def _powerpc64_forms(info: Vmcoreinfo) -> Iterator[Paging]:
    small = info.page_size == 4096
    yield forms.RADIX_4K if small else forms.RADIX_64K
    yield forms.HASHED_4K if small else forms.HASHED_64K


def _powerpc64_deltas(_: Vmcoreinfo) -> Iterator[int]:
    yield -QUADRANT


def _powerpc64(name: bytes) -> Machine:
    return Machine(
        re.compile(name),
        _powerpc64_forms,
        forms.powerpc64_user,
        (QUADRANT, 0xC008_0000_0000_0000),
        deltas=_powerpc64_deltas,
        linear=True,
        apart=(forms.HASHED_64K, forms.HASHED_4K),
        # QEMU writes headers as its firmware's interrupts are, big-endian (target/ppc/arch_dump.c)
        kin=("powerpc64", "powerpc64le"),
    )


# ---- riscv64

RISCV64_BITS = {39: riscv64.SV39, 48: riscv64.SV48, 57: riscv64.SV57}


def _riscv64_forms(info: Vmcoreinfo) -> Iterator[Paging]:
    told = info.number("VA_BITS")
    yield from sorted(RISCV64_BITS.values(), key=lambda one: RISCV64_BITS.get(told or 0) != one)


def _riscv64_deltas(info: Vmcoreinfo) -> Iterator[int]:
    offset = info.number("va_kernel_pa_offset")  # since 6.4
    if offset is not None:
        yield -(offset & WORD)


def _riscv64_bases(info: Vmcoreinfo) -> Iterator[int]:
    # the kernel left the direct map with 5.13 (arch/riscv/include/asm/page.h)
    for name in ("KERNEL_LINK_ADDR", "PAGE_OFFSET"):
        base = info.number(name)
        if base is not None:
            yield base & WORD


def _riscv64_offsets(info: Vmcoreinfo) -> Iterator[int]:
    base, start = info.number("PAGE_OFFSET"), info.number("phys_ram_base")
    if base is not None:
        yield (base & WORD) - (start or 0)
        yield base & WORD


MACHINES: Mapping[str, Machine] = MappingProxyType(
    {
        "amd64": Machine(
            re.compile(rb"x86_64"),
            _x86_64_forms,
            forms.x86_user,
            (0xFF00_0000_0000_0000, START_KERNEL_MAP),
            deltas=_x86_64_deltas,
        ),
        "i386": Machine(
            re.compile(rb"i[3-6]86"),
            _i386_forms,
            forms.x86_user,
            (SPLITS[2], 1 << 32),
            deltas=_i386_deltas,
            linear=True,
            splits=SPLITS,
        ),
        "armv7": Machine(
            re.compile(rb"arm.*"),
            _arm_forms,
            forms.arm_user,
            (SPLITS[2], 1 << 32),
            bases=_splits,
            linear=True,
            splits=SPLITS,
        ),
        "aarch64": Machine(
            re.compile(rb"aarch64.*"),
            _arm64_forms,
            forms.arm64_user,
            (2**64 - (1 << 52), 1 << 64),
            deltas=_arm64_deltas,
            offsets=_arm64_offsets,
        ),
        "powerpc64": _powerpc64(rb"ppc64"),
        "powerpc64le": _powerpc64(rb"ppc64le"),
        "riscv64": Machine(
            re.compile(rb"riscv64"),
            _riscv64_forms,
            forms.riscv_user,
            (0xFF00_0000_0000_0000, 1 << 64),
            deltas=_riscv64_deltas,
            bases=_riscv64_bases,
            # firmware has the first 2 MB
            loaded=(0, 2 * MB, 4 * MB),
            offsets=_riscv64_offsets,
        ),
    }
)
"""By Arch.name."""
