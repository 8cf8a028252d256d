"""Is each architecture found by every name it goes by, and are its records in themselves right?"""

from __future__ import annotations

from itertools import pairwise

import pytest
from forge.pagetables import MB, Page, mips_entry_lo

from kvm_exporter.kvm.arch import Arch, arches, find_by_elf, find_by_name
from kvm_exporter.kvm.errors import Fault, Unsupported
from kvm_exporter.kvm.space import READ, WRITE
from kvm_exporter.kvm.translation import Chain

ALL = arches()
IDS = [f"{arch.name}-{arch.page_size}" for arch in ALL]


@pytest.mark.parametrize(
    ("elf", "name"),
    [
        # e_machine, EI_CLASS, EI_DATA: sys/sys/elf_common.h
        ((62, 2, 1), "amd64"),
        ((3, 1, 1), "i386"),
        ((183, 2, 1), "aarch64"),
        ((40, 1, 1), "armv7"),
        ((243, 2, 1), "riscv64"),
        ((21, 2, 2), "powerpc64"),
        ((21, 2, 1), "powerpc64le"),
        ((8, 2, 2), "mips64"),
        ((8, 2, 1), "mips64el"),
        ((8, 1, 2), "mips"),
        ((8, 1, 1), "mipsel"),
    ],
)
def test_by_elf(elf: tuple[int, int, int], name: str) -> None:
    """An ELF header's machine, class and byte order name the architecture and its words."""
    arch = find_by_elf(elf)
    assert arch.name == name
    assert arch.abi.pointer_size == 4 * elf[1]
    assert arch.abi.order == ("<" if elf[2] == 1 else ">")


@pytest.mark.parametrize("elf", [(62, 1, 1), (2, 2, 2), (0, 0, 0), (62, 2, 2)])
def test_by_another_elf(elf: tuple[int, int, int]) -> None:
    """Anything else is Unsupported, and the message says what there is."""
    with pytest.raises(Unsupported, match="amd64"):
        find_by_elf(elf)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("amd64", "amd64"),
        ("x86_64", "amd64"),
        # the dump header says the one, the minidump's magic the other
        ("aarch64", "aarch64"),
        ("arm64", "aarch64"),
        ("riscv64", "riscv64"),
        ("riscv", "riscv64"),
        ("i386", "i386"),
        ("arm", "arm"),
        ("armv6", "armv6"),
        ("armv7", "armv7"),
        ("powerpc", "powerpc64"),
        ("powerpc64", "powerpc64"),
        ("powerpc64le", "powerpc64le"),
        ("mips", "mips"),
        ("mips64el", "mips64el"),
    ],
)
def test_by_name(name: str, found: str) -> None:
    """hw.machine_arch, hw.machine and what minidumps are called."""
    assert find_by_name(name).name == found


def test_by_name_and_page_size() -> None:
    """arm64 has three page sizes, 4 KB if nobody says another; others have one."""
    assert find_by_name("arm64").page_size == 4096
    assert find_by_name("arm64", 16384).page_size == 16384
    assert find_by_name("aarch64", 65536).page_size == 65536
    for name, page_size in (("amd64", 16384), ("vax", None), ("", None)):
        with pytest.raises(Unsupported, match="amd64"):
            find_by_name(name, page_size)


@pytest.mark.parametrize("arch", ALL, ids=IDS)
def test_records(arch: Arch) -> None:
    """Forms go by their names and end at the page size; a choice is among them."""
    for name, paging in arch.pagings.items():
        assert paging.name == name
        assert 1 << paging.levels[-1].shift == arch.page_size
        assert paging.span % (1 << paging.levels[-1].shift) == 0
        shifts = [level.shift for level in paging.levels]
        assert shifts == sorted(shifts, reverse=True)
        for above, below in pairwise(paging.levels):
            assert above.shift == below.shift + below.bits
    if arch.choice:
        assert set(arch.choice.names.values()) <= set(arch.pagings)
    if arch.direct_map:
        start, end = arch.direct_map
        assert arch.user_end <= start < end <= arch.abi.address_mask
    assert arch.kernel_base <= arch.abi.address_mask


@pytest.mark.parametrize("arch", ALL, ids=IDS)
@pytest.mark.parametrize("bits", [0, 1, 3, 0x83, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1])
def test_decoders_take_any_entry(arch: Arch, bits: int) -> None:
    """Every decoder gives an entry or None for anything, at each of its levels; None for 0."""
    for paging in arch.pagings.values():
        entry = bits & ((1 << 8 * paging.entry_size) - 1)
        for shift, _ in paging.levels:
            found = paging.decode(entry, shift)
            assert found is None or (entry and found.address >= 0)
            if found and found.size:
                assert found.leaf
                assert found.address % found.size == 0


@pytest.mark.parametrize(("width", "form"), [(4, "pte32"), (8, "pte64")])
@pytest.mark.parametrize("writable", [True, False])
def test_mips_entries(width: int, form: str, writable: bool) -> None:
    """What the TLB takes: the frame, V, and FreeBSD's read-only bit."""
    decode = find_by_name("mips64").pagings[form].decode
    entry = mips_entry_lo(Page(0, 0x1234_5000, 4096, writable), width)
    found = decode(entry, 12)
    assert found is not None
    assert (found.address, found.size) == (0x1234_5000, 4096)
    assert bool(found.protection & WRITE) == writable
    assert found.protection & READ
    assert decode(entry & ~0b10, 12) is None


def test_mips_windows() -> None:
    """kseg0, kseg1 and xkphys are physical memory; mapped kseg2 is not."""
    narrow = Chain(find_by_name("mips").windows)
    assert narrow.translate(0x8000_1000, 8) == (0x1000, 8)
    assert narrow.translate(0xBFC0_0000, 8) == (0x1FC0_0000, 8)
    wide = Chain(find_by_name("mips64").windows)
    assert wide.translate(0xFFFF_FFFF_8000_1000, 8) == (0x1000, 8)
    assert wide.translate(0x9800_0000_0010_0000, 8) == (MB, 8)
    assert wide.translate(0x8000_0000_0010_0000, 8) == (MB, 8)
    for windows, address in ((narrow, 0xC000_0000), (wide, 0xC000_0000_0000_0000)):
        with pytest.raises(Fault):
            windows.translate(address, 8)


def test_counters() -> None:
    """Only amd64 keeps per-CPU pointers relative to __pcpu (amd64/include/pcpu.h)."""
    assert {arch.name: arch.per_cpu_base for arch in ALL if arch.per_cpu_base} == {
        "amd64": "__pcpu"
    }
