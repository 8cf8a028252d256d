"""What is left of a kernel whose dump was cut, or is damaged?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from forge.linux_memory import RELEASE, ROWS, UTS, Kernel, linux
from forge.pagetables import KB, MB

from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.formats import Anchor, Image
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.space import Physical, VirtualMemory
from kvm_exporter.kvm.vmcore.finding import find_vmcoreinfo
from kvm_exporter.kvm.vmcore.translating import complete, with_told_direct_map
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

IMAGE = 2 * MB
ALL = sorted(ROWS)


def memory(source, image: Image) -> VirtualMemory:
    """Over a completed image."""
    return VirtualMemory(source, image.physical, image.translator, image.page_size)


def tables_below(kernel: Kernel, address: int) -> list[int]:
    """The physical addresses of the tables that lead to an address, the root's first."""
    found, at = [], kernel.root
    for low, high in kernel.row.form.indices:
        found.append(at)
        at = kernel.ram.tables.get(at + (address >> low) % (1 << high - low + 1) * 8, 0)
    return [one for one in found if one]


class Symbols:
    """Of a kernel whose image ends with its variable page_offset_base."""

    def __init__(self, kernel: Kernel, value: int) -> None:
        self.at = kernel.ram.base + IMAGE + 0x8000
        kernel.ram.put(self.at, (value % (1 << 64)).to_bytes(8, "little"))
        self.address = kernel.virtual(self.at)

    def lookup(self, names) -> list[Symbol | None]:
        return [Symbol(one, self.address) if one == "page_offset_base" else None for one in names]

    def __iter__(self):
        return iter(())


def cut(core, kernel: Kernel, *lost: int):
    """A core without the pages of tables at some addresses."""
    size = kernel.row.page
    return core(kernel, kernel.text, tuple((at, at + size) for at in sorted(lost)))


@pytest.mark.parametrize("name", ALL)
def test_without_the_top_table(core, name: str) -> None:
    """The kernel's image is read all the same, and facts tell why nothing else is."""
    kernel = linux(name)
    made = cut(core, kernel, kernel.root)
    image = complete(made.image, made.source, Vmcoreinfo.parse(kernel.text))
    base = kernel.ram.base
    assert memory(made.source, image).read(kernel.virtual(base + IMAGE + UTS), 5) == b"Linux"
    assert "lost" in dict(image.facts)["page tables"]
    if not image.windows:
        with pytest.raises(Fault):
            image.translator.translate(kernel.virtual(base + IMAGE) - 1, 1)


@pytest.mark.parametrize("name", ["x86_64", "x86_64-la57", "arm64-4k-48", "riscv64-48"])
def test_without_the_images_last_table(core, name: str) -> None:
    """The tables still count for all that they have."""
    kernel = linux(name)
    start = kernel.virtual(kernel.ram.base + IMAGE)
    made = cut(core, kernel, tables_below(kernel, start)[-1])
    image = complete(made.image, made.source, Vmcoreinfo.parse(kernel.text))
    held = memory(made.source, image)
    assert held.read(start + UTS, 5) == b"Linux"
    assert image.direct(kernel.ram.base) == kernel.ram.base + kernel.offset
    # what lies behind the last of the known variables may be anything
    known = max(Vmcoreinfo.parse(kernel.text).symbols())
    with pytest.raises(Fault):
        held.read(start + 4 * MB if known < start + 4 * MB else known + 4 * MB, 1)


def test_where_tables_say_that_nothing_is_there_it_is_not(core) -> None:
    """Only what a lost table would tell is taken from elsewhere."""
    kernel = linux("x86_64")
    start = kernel.virtual(IMAGE)
    slot = tables_below(kernel, start)[-1] + (start + 16 * KB >> 12) % 512 * 8
    kernel.ram.put(slot, bytes(8))
    made = core(kernel, kernel.text)
    image = complete(made.image, made.source, Vmcoreinfo.parse(kernel.text))
    with pytest.raises(Fault, match="no page"):
        image.translator.translate(start + 16 * KB, 1)


def test_arm64s_direct_map_without_its_tables(core) -> None:
    """What VMCOREINFO tells of it does instead."""
    kernel = linux("arm64-4k-48")
    base = kernel.ram.base
    made = cut(core, kernel, *tables_below(kernel, base + kernel.offset)[1:])
    image = complete(made.image, made.source, Vmcoreinfo.parse(kernel.text))
    assert image.direct(base) == base + kernel.offset
    held = memory(made.source, image)
    assert held.read(base + IMAGE + UTS + kernel.offset, 5) == b"Linux"
    assert held.read(kernel.virtual(base + IMAGE + UTS), 5) == b"Linux"


def test_x86_64s_direct_map_without_its_tables(core) -> None:
    """An ELF core's segments tell it, or the kernel's variable; without either there is none."""
    kernel = linux("x86_64")
    symbols = Symbols(kernel, kernel.offset)
    made = cut(core, kernel, *tables_below(kernel, kernel.offset)[1:])
    info = Vmcoreinfo.parse(kernel.text)
    image = complete(made.image, made.source, info)
    assert image.windows == ()
    linear = Anchor(MB + kernel.offset, MB)
    told = complete(replace(made.image, linear=linear), made.source, info)
    image = with_told_direct_map(image, memory(made.source, image), symbols)
    assert told.windows == image.windows
    held = memory(made.source, image)
    assert held.read(IMAGE + UTS + kernel.offset, 5) == b"Linux"
    assert held.read(kernel.virtual(IMAGE + UTS), 5) == b"Linux"
    assert with_told_direct_map(image, held, symbols) is image


def test_segments_that_lie_elsewhere_are_not_the_direct_map(core) -> None:
    """What the tables say of an ELF core's largest segment counts."""
    kernel = linux("x86_64")
    made = core(kernel, kernel.text)
    linear = Anchor(0xFFFF_C900_0000_0000, MB)
    image = replace(made.image, linear=linear)
    image = complete(image, made.source, Vmcoreinfo.parse(kernel.text))
    assert image.direct(0) == kernel.offset


@pytest.mark.parametrize("lost", [False, True])
def test_a_variable_that_tells_nothing(core, lost: bool) -> None:
    """A damaged variable, or one that is lost, makes no direct map."""
    kernel = linux("x86_64")
    symbols = Symbols(kernel, -1)
    if lost:
        symbols.address = 0
    made = cut(core, kernel, *tables_below(kernel, kernel.offset)[1:])
    image = complete(made.image, made.source, Vmcoreinfo.parse(kernel.text))
    assert with_told_direct_map(image, memory(made.source, image), symbols) is image


@pytest.mark.parametrize("name", ["x86_64", "arm64-64k-48", "powerpc64le", "i386-pae"])
def test_without_the_names(core, name: str) -> None:
    """Where the page with the release is lost, tables that map the kernel are enough."""
    kernel = linux(name)
    at = kernel.ram.base + IMAGE
    made = core(kernel, kernel.text, ((at, at + 64 * KB),))
    image = complete(made.image, made.source, Vmcoreinfo.parse(kernel.text))
    assert image.translator.translate(kernel.virtual(at), 1).address == at
    assert "lost" not in dict(image.facts)["page tables"]


def test_without_names_and_tables(core) -> None:
    """Then there is nothing to go by: a FormatError."""
    kernel = linux("x86_64")
    made = core(kernel, kernel.text, ((0, kernel.root + 4 * KB),))
    with pytest.raises(FormatError, match="damaged or incomplete"):
        complete(made.image, made.source, Vmcoreinfo.parse(kernel.text))


@pytest.mark.parametrize("name", ["powerpc64le-hashed", "powerpc64-hashed-4k"])
def test_tables_apart(core, name: str) -> None:
    """With a hash table for a processor, vmalloc's memory is read through Linux's own tables."""
    kernel = linux(name)
    made = core(kernel)
    info = find_vmcoreinfo(made.image, made.memory)
    assert info.release == RELEASE
    image = complete(made.image, made.source, info)
    held = memory(made.source, image)
    assert held.read(kernel.row.apart + UTS, 5) == b"Linux"
    assert held.read(kernel.virtual(IMAGE + UTS), 5) == b"Linux"
    with pytest.raises(Fault):
        held.read(kernel.row.apart + 2 * MB, 1)
    assert "lost" not in dict(image.facts)["page tables"]


class LargePages:
    """Physical memory of a kdump, whose pages may be larger than those of the kernel's tables."""

    def __init__(self, physical: Physical) -> None:
        self.find = physical.find
        self.extents = physical.extents

    def offsets(self, pages, size: int) -> list[int]:
        return []


@pytest.mark.parametrize("name", ["powerpc64le-hashed", "powerpc64-hashed-4k"])
def test_tables_apart_of_a_dump_with_large_pages(core, name: str) -> None:
    """QEMU writes pages of 64 KB, whatever the kernel's are."""
    kernel = linux(name)
    made = core(kernel)
    large = replace(made.image, physical=LargePages(made.image.physical))
    image = complete(large, made.source, Vmcoreinfo.parse(kernel.text))
    assert memory(made.source, image).read(kernel.row.apart + UTS, 5) == b"Linux"
    assert "hashed" in dict(image.facts)["page tables"]
