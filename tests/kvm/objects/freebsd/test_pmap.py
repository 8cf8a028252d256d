"""Is a process's own memory found through its page tables, on every architecture that has them?"""

from __future__ import annotations

import pytest
from fakes.sources import Bytes
from fakes.world import target
from forge import cdecl
from forge.pagetables import FORMS, Page, Ram, build
from forge.world import World

from kvm_exporter.kvm.arch import arches
from kvm_exporter.kvm.errors import Fault, KvmError, Unsupported
from kvm_exporter.kvm.objects.freebsd.pmap import UserSpaces
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import Extent
from kvm_exporter.kvm.translation import DirectMap

USER = 0x7654_0000
"""Where the process has two pages, which lie the other way round in physical memory."""

CASES = [
    # architecture, page, form, member of struct pmap, variable that says so and its value
    ("amd64", 4096, "4-level", "pm_pmltop", ("la57", "int", 0)),
    ("amd64", 4096, "4-level", "pm_pml4", None),
    ("amd64", 4096, "5-level", "pm_pmltop", ("la57", "int", 1)),
    ("i386", 4096, "i386", "pm_pdir_nopae", ("pae_mode", "int", 0)),
    ("i386", 4096, "pae", "pm_pdpt_pae", ("pae_mode", "int", 1)),
    ("i386", 4096, "i386", "pm_pdir", None),
    ("aarch64", 4096, "4k-48", "pm_l0", ("pmap_lpa_enabled", "_Bool", 0)),
    ("aarch64", 4096, "4k-48-lpa2", "pm_l0", ("pmap_lpa_enabled", "_Bool", 1)),
    ("aarch64", 16384, "16k-48", "pm_l0", None),
    ("armv7", 4096, "short", "pm_pt1", None),
    ("riscv64", 4096, "sv39", "pm_top", ("pmap_mode", "int", 0)),
    ("riscv64", 4096, "sv48", "pm_top", ("pmap_mode", "int", 1)),
    ("riscv64", 4096, "sv39", "pm_l1", None),
    ("powerpc64", 4096, "radix", "pm_pml1", ("radix_mmu", "int", 1)),
    ("powerpc64le", 4096, "radix", "pm_pml1", ("radix_mmu", "int", 1)),
]
ABIS = {
    "i386": cdecl.I386,
    "armv7": cdecl.ARMV7,
    "powerpc64": cdecl.POWERPC64,
}


def made(name, page, member, variable):
    """A world with a struct pmap, the architecture, and what its kernel's memory is."""
    world = World(f"struct pmap {{ int pm_pad[3]; void *{member}; }};", ABIS.get(name, cdecl.AMD64))
    if variable:
        world.define(*variable)
    arch = next(one for one in arches() if (one.name, one.page_size) == (name, page))
    return world, arch


def spaces(world, arch, ram, direct):
    """The reader under test; the kernel sees physical memory from ``direct`` on."""
    source = Bytes(bytes(ram.bytes))
    physical = Segments([Extent(ram.base, 0, source.size)], source.size)
    window = DirectMap(direct, direct + (1 << 32))
    return UserSpaces(target(world), arch, source, physical, window)


@pytest.mark.parametrize(("name", "page", "form", "member", "variable"), CASES)
def test_own_pages(name, page, form, member, variable):
    """Two neighbouring pages are read as one, and what is not mapped is a Fault."""
    world, arch = made(name, page, member, variable)
    direct = 0x8000_0000 if arch.abi.pointer_size == 4 else 0xFFFF_F800_0000_0000
    ram = Ram(0x10_0000)
    second, first = ram.allocate(page), ram.allocate(page)
    ram.put(first + page - 5, b"hello")
    ram.put(second, b", world")
    pages = [Page(USER, first, page), Page(USER + page, second, page)]
    root = build(FORMS[form], pages, ram)
    pmap = world.new("struct pmap").put(member, direct + root).address
    memory = spaces(world, arch, ram, direct)(pmap)
    assert memory.read(USER + page - 5, 12) == b"hello, world"
    with pytest.raises(Fault):
        memory.read(USER - page, 1)


@pytest.mark.parametrize(
    ("name", "variable"), [("powerpc64", ("radix_mmu", "int", 0)), ("mips64", None)]
)
def test_no_tables(name, variable):
    """Where the processor walks no tables, that is what is said."""
    world, arch = made(name, 4096, "pm_pml1", variable)
    reader = spaces(world, arch, Ram(), 0)
    with pytest.raises(Unsupported, match=name):
        reader(world.new("struct pmap").address)


@pytest.mark.parametrize("root", [0, 1, 2**63, 2**64 - 1])
def test_damaged_root(root):
    """A root that is nowhere is a Fault."""
    world, arch = made("amd64", 4096, "pm_pmltop", None)
    pmap = world.new("struct pmap").put("pm_pmltop", root).address
    reader = spaces(world, arch, Ram(), 0xFFFF_F800_0000_0000)
    with pytest.raises(Fault):
        reader(pmap).read(USER, 8)


def test_unknown_member():
    """A struct pmap without a root that is known is an error that names what was looked for."""
    world, arch = made("amd64", 4096, "pm_other", None)
    with pytest.raises(KvmError, match="pm_pmltop or pm_pml4"):
        spaces(world, arch, Ram(), 0)(world.new("struct pmap").address)
