"""Are the addresses of every architecture's kernel, and of its processes, translated?"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
from forge.linux_memory import NAMES, RELEASE, ROWS, UTS, Kernel, linux
from forge.pagetables import KB, MB

from kvm_exporter.kvm.arch import find_by_name
from kvm_exporter.kvm.errors import Fault, FormatError, Unsupported
from kvm_exporter.kvm.formats import Image
from kvm_exporter.kvm.formats.pages import pages
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import Extent, VirtualMemory
from kvm_exporter.kvm.vmcore.finding import find_vmcoreinfo
from kvm_exporter.kvm.vmcore.translating import UserSpaces, complete
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

ALL = sorted(ROWS)


def completed(core, kernel: Kernel, **how) -> tuple[object, Image]:
    """(source, image with a translator) of a core with the kernel's note."""
    made = core(kernel, kernel.text, **how)
    return made.source, complete(made.image, made.source, Vmcoreinfo.parse(kernel.text))


def memory(source, image: Image) -> VirtualMemory:
    """Over a completed image."""
    return VirtualMemory(source, image.physical, image.translator, image.page_size)


def without(kernel: Kernel, *keys: str) -> bytes:
    """The text without some lines."""
    kept = {key: value for key, value in kernel.values.items() if key not in keys}
    return replace(kernel, values=kept).text


@pytest.mark.parametrize("name", ALL)
def test_the_kernel_is_where_it_is(core, name: str) -> None:
    """Each byte of the image and of the direct map is read from where the tables have it."""
    kernel = linux(name)
    source, image = completed(core, kernel)
    held, base = memory(source, image), kernel.ram.base
    assert held.read(kernel.virtual(base + 2 * MB + UTS), 5) == b"Linux"
    step = 16 * KB
    for at in range(2 * MB, 6 * MB, step):
        if at + step <= source.size:
            wanted = source.read(at, step)
            assert held.read(kernel.virtual(base + at), step) == wanted
            assert held.read(base + at + kernel.offset, step) == wanted


@pytest.mark.parametrize("name", ALL)
def test_what_else_is_learnt(core, name: str) -> None:
    """Page size, byte order, displacement and the direct map, in both directions."""
    kernel = linux(name)
    source, image = completed(core, kernel)
    assert image.page_size == image.arch.page_size == kernel.row.page
    assert (image.abi.order, image.abi.pointer_size * 8) == (kernel.row.order, kernel.row.bits)
    assert image.displacement == int(kernel.values.get("KERNELOFFSET", "0"), 16)
    physical = kernel.ram.base + 3 * MB
    assert image.direct(physical) == physical + kernel.offset
    assert image.windows[0].end < kernel.ram.base + source.size + kernel.offset + 4 * KB
    facts = dict(image.facts)
    assert facts["kernel release"] == RELEASE
    assert f"{kernel.root:#x}" in facts["page tables"]


@pytest.mark.parametrize("name", ALL)
def test_every_page_is_listed(core, name: str) -> None:
    """Walking the pages meets all of the dump's memory, with its address in the direct map."""
    kernel = linux(name)
    source, image = completed(core, kernel)
    seen = set()
    for page in pages(image, image.translator):
        if page.offset is not None:
            assert page.offset == page.physical - kernel.ram.base
            assert page.direct_address == page.physical + kernel.offset
            seen.update(range(page.offset, page.offset + page.length, 4 * KB))
    assert seen == set(range(0, source.size, 4 * KB))


@pytest.mark.parametrize("name", ALL)
def test_a_process(core, name: str) -> None:
    """Its pages are read, hidden ones too; of those that are not there a Fault says why."""
    kernel = linux(name)
    source, image = completed(core, kernel)
    user, size = UserSpaces(image, source)(kernel.pgd), kernel.row.page
    assert user.read(kernel.user, 5) == b"first"
    assert user.read(kernel.user + size, 6) == b"hidden"
    assert user.read(kernel.user + size - 4, 8) == b"\0\0\0\0hidd"
    with pytest.raises(Fault, match="swapped out") as caught:
        user.read(kernel.user + 2 * size, 1)
    assert caught.value.address == kernel.user + 2 * size
    with pytest.raises(Fault, match="no page"):
        user.read(kernel.user + 3 * size, 1)
    with pytest.raises(Fault):
        UserSpaces(image, source)(0x10)


def test_a_hidden_page_is_none_of_the_kernel(core) -> None:
    """Of the kernel's own tables what the processor would not use is not there."""
    kernel = linux("x86_64")
    entry = kernel.root + 511 * 8
    held = int.from_bytes(kernel.ram.bytes[entry : entry + 8], "little")
    assert held
    table = held & 0xFFFF_FFFF_F000
    for _ in range(2):  # down to the last table, by the image's first entry
        first = next(
            at for at in range(table, table + 4096, 8) if any(kernel.ram.bytes[at : at + 8])
        )
        table = int.from_bytes(kernel.ram.bytes[first : first + 8], "little") & 0xFFFF_FFFF_F000
    slot = table + 5 * 8
    before = int.from_bytes(kernel.ram.bytes[slot : slot + 8], "little")
    kernel.ram.put(slot, (before & ~1 | 1 << 8).to_bytes(8, "little"))
    _, image = completed(core, kernel)
    image_start = kernel.virtual(2 * MB)
    image.translator.translate(image_start + 4 * 4 * KB, 1)
    with pytest.raises(Fault):
        image.translator.translate(image_start + 5 * 4 * KB, 1)


@pytest.mark.parametrize("name", ["x86_64", "arm64-4k-48", "riscv64-39"])
def test_memory_outside_the_direct_map(core, name: str) -> None:
    """Firmware's memory, below and above the kernel's, is at no address of the direct map."""
    kernel = linux(name)
    made = core(kernel, kernel.text)
    size = made.source.size
    low = [Extent(0x1000, 0, 8 * KB), Extent(0x9000, 0, 4 * KB)] if kernel.ram.base else []
    extents = [*low, Extent(kernel.ram.base, 0, size), Extent(kernel.ram.base + (1 << 32), 0, MB)]
    image = replace(made.image, physical=Segments(extents, size))
    image = complete(image, made.source, Vmcoreinfo.parse(kernel.text))
    window, start = image.windows[0], kernel.ram.base + kernel.offset
    assert (window.base, window.physical) == (start, kernel.ram.base)
    assert size <= window.end - start < size + 4 * KB
    with pytest.raises(Fault):
        image.translator.translate(start - 4 * KB, 1)


# ---- what VMCOREINFO may lack


LACKS = {
    # 4.18 of RHEL 8 has no TCR_EL1_T1SZ; before 4.10 there was neither of the others
    "arm64-4k-48": [["NUMBER(TCR_EL1_T1SZ)"], ["NUMBER(TCR_EL1_T1SZ)", "NUMBER(kimage_voffset)"]],
    "arm64-64k-42": [["NUMBER(TCR_EL1_T1SZ)", "NUMBER(VA_BITS)", "NUMBER(PHYS_OFFSET)"]],
    "x86_64": [["NUMBER(phys_base)"], ["NUMBER(pgtable_l5_enabled)", "NUMBER(sme_mask)"]],
    "x86_64-la57": [["NUMBER(phys_base)", "NUMBER(pgtable_l5_enabled)", "KERNELOFFSET"]],
    "i386-pae": [["CONFIG_X86_PAE"]],
    "arm-lpae": [["CONFIG_ARM_LPAE"]],
    "powerpc64le": [["NUMBER(RADIX_MMU)"]],
    # before 6.4
    "riscv64-39": [
        ["NUMBER(va_kernel_pa_offset)"],
        ["NUMBER(va_kernel_pa_offset)", "NUMBER(VA_BITS)"],
    ],
    "riscv64-48": [["NUMBER(va_kernel_pa_offset)", "NUMBER(KERNEL_LINK_ADDR)"]],
}


@pytest.mark.parametrize(("name", "keys"), [(name, keys) for name in LACKS for keys in LACKS[name]])
def test_lines_that_lack(core, name: str, keys: list[str]) -> None:
    """What older kernels do not tell is found by trying, in the tables or in memory."""
    kernel = linux(name)
    text = without(kernel, *keys)
    made = core(kernel, text)
    image = complete(made.image, made.source, Vmcoreinfo.parse(text))
    held = memory(made.source, image)
    assert held.read(kernel.virtual(kernel.ram.base + 2 * MB + UTS), 5) == b"Linux"
    assert UserSpaces(image, made.source)(kernel.pgd).read(kernel.user, 5) == b"first"
    assert image.direct(kernel.ram.base) == kernel.ram.base + kernel.offset


@pytest.mark.parametrize("name", ALL)
def test_a_dump_that_does_not_tell_its_architecture(core, name: str) -> None:
    """Raw memory: whichever architecture's tables fit."""
    kernel = linux(name)
    made = core(kernel, named=False)
    info = find_vmcoreinfo(made.image, made.memory)
    assert info.text.encode() == kernel.text
    image = complete(made.image, made.source, info)
    assert image.arch.elf == kernel.row.elf


def test_a_header_in_the_wrong_byte_order(core) -> None:
    """QEMU's cores of powerpc64 say big-endian of a kernel that is not: its names tell."""
    kernel, other = linux("powerpc64le"), linux("powerpc64")
    made, wrong = core(kernel, kernel.text), core(other)
    image = replace(made.image, arch=wrong.image.arch, abi=wrong.image.abi)
    image = complete(image, made.source, Vmcoreinfo.parse(kernel.text))
    assert (image.arch.name, image.abi.order) == ("powerpc64le", "<")


def test_a_kernel_without_an_offset_has_its_files(core) -> None:
    """Where VMCOREINFO has no KERNELOFFSET, the kernel's file tells what it was moved by."""

    class File:
        segments = ()

        def address(self, name: str) -> int | None:
            return {"_stext": 0xC010_0000}.get(name)

        def read(self, address: int, length: int) -> bytes:
            return b""

    kernel = linux("i386")
    made = core(kernel)
    image = complete(made.image, made.source, Vmcoreinfo.parse(kernel.text), File())
    assert image.displacement == kernel.virtual(2 * MB) - 0xC010_0000


def test_encrypted_memory(core) -> None:
    """AMD's encryption bit in every entry is no part of an address (sme_mask)."""
    kernel = linux("x86_64")
    mask = 1 << 47
    for slot, table in kernel.ram.tables.items():
        entry = int.from_bytes(kernel.ram.bytes[slot : slot + 8], "little")
        kernel.ram.put(slot, (entry | mask).to_bytes(8, "little"))
        for at in range(table, table + 4096, 8):
            entry = int.from_bytes(kernel.ram.bytes[at : at + 8], "little")
            if entry & 1:
                kernel.ram.put(at, (entry | mask).to_bytes(8, "little"))
    kernel.values["NUMBER(sme_mask)"] = str(mask)
    source, image = completed(core, kernel)
    assert memory(source, image).read(kernel.virtual(2 * MB + UTS), 5) == b"Linux"
    tables = image.translator.rest
    assert all(one.physical < mask for one in tables.mappings())
    assert list(islice(tables.pages(kernel.virtual(2 * MB), 4 * KB, 2), 2)) == [
        2 * MB,
        2 * MB + 4 * KB,
    ]


# ---- what does not fit


def test_an_architecture_without_linux(core) -> None:
    """One that only FreeBSD is read of is Unsupported, not damaged."""
    kernel = linux("x86_64")
    made = core(kernel, kernel.text)
    image = replace(made.image, arch=find_by_name("mips64"))
    with pytest.raises(Unsupported, match="mips64"):
        complete(image, made.source, Vmcoreinfo.parse(kernel.text))


@pytest.mark.parametrize("name", ALL)
def test_another_kernels_vmcoreinfo(core, name: str) -> None:
    """A kernel that is nowhere in the dump is a FormatError, not another one's addresses."""
    kernel = linux(name)
    kernel.values["OSRELEASE"] = "6.13.0-other"
    kernel.values["SYMBOL(swapper_pg_dir)"] = f"{kernel.virtual(kernel.root) + 16 * MB:x}"
    with pytest.raises(FormatError, match=r"6\.13\.0-other"):
        completed(core, kernel)


def test_another_release_at_the_same_place(core) -> None:
    """The tables may fit: the names in memory are another kernel's."""
    kernel = linux("powerpc64le")
    kernel.values["OSRELEASE"] = "6.13.0-other"
    with pytest.raises(FormatError):
        completed(core, kernel)
    assert RELEASE in NAMES
