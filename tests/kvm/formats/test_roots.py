"""Are page tables found in dumps that do not tell where they are, and believed only if they fit?"""

from __future__ import annotations

import pytest
from fakes.sources import Bytes
from forge import elf
from forge.booted import FAR, MODELS, NAMES, VERSION, boot
from forge.elfcore import write_full_dump
from forge.minidump import write_minidump
from forge.pagetables import FORMS, Page, Ram, build
from forge.rawmem import write_raw

from kvm_exporter.kvm.arch import find_by_elf
from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.formats import Segment, formats, open_image
from kvm_exporter.kvm.formats.rawmem import open_raw
from kvm_exporter.kvm.formats.roots import complete
from kvm_exporter.kvm.space import VirtualMemory


class File:
    """A kernel file as formats.KernelSymbols: ``names`` it knows, of those of its symbol table."""

    def __init__(self, booted, names=None, physical=None):
        (_, image), _ = booted.runs
        machine, bits, order = elf.MACHINES[booted.arch]
        self.arch = find_by_elf((machine, bits // 32, 1 if order == "<" else 2))
        self.booted = booted
        self.image = image
        self.names = names
        where = booted.base if physical is None else physical
        self.segments = (Segment(booted.base, where, len(image)),)

    def address(self, name):
        if self.names is not None and name not in self.names:
            return None
        return self.booted.symbols.get(name)

    def read(self, address, length):
        at = address - self.booted.base
        return self.image[at:][:length] if at >= 0 else b""


def found(booted, *, data=None, file=None, raw=False):
    """The completed image of a full dump of ``booted``, and its memory."""
    data = write_full_dump(booted.arch, runs=booted.runs) if data is None else data
    source = Bytes(data)
    file = file or File(booted)
    image = complete(open_raw(source) if raw else open_image(source), source, file.arch, file)
    return image, VirtualMemory(source, image.physical, image.translator, image.page_size)


@pytest.mark.parametrize("name", NAMES)
def test_tables_of_every_architecture_are_found(name):
    """In a full dump without any hint: the kernel's text, and a page that only tables lead to."""
    booted = boot(name)
    image, memory = found(booted)
    assert memory.read(booted.version[0], len(VERSION)) == VERSION
    assert memory.read(booted.far[0], len(FAR)) == FAR
    assert image.page_size == image.arch.page_size
    linked = booted.version[1] - booted.load + booted.base
    assert image.displacement == booted.version[0] - linked


@pytest.mark.parametrize("name", [name for name in NAMES if boot(name).load < 1 << 28])
def test_the_same_in_raw_memory(name):
    """Where a physical address is a file's offset, the architecture is the kernel's."""
    booted = boot(name)
    image, memory = found(booted, data=write_raw(booted.runs), raw=True)
    assert image.arch.name == booted.arch
    assert memory.read(booted.far[0], len(FAR)) == FAR


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].direct])
def test_direct_maps_are_found(name):
    """By the tables, with LA57 at 0xff01…; pointers into it translate."""
    booted = boot(name)
    image, memory = found(booted)
    model = MODELS[name]
    _, physical = booted.version
    address = physical - model.direct_from + model.direct
    assert image.direct(physical) == address
    assert memory.read(address, len(VERSION)) == VERSION


@pytest.mark.parametrize("name", ["i386", "armv7"])
def test_kernels_without_a_direct_map_have_none(name):
    """Nothing is made up."""
    image, _ = found(boot(name))
    assert image.windows == ()
    assert image.direct(0x800000) is None


def test_i386_is_not_taken_for_pae_by_its_names():
    """A kernel that has IdlePDPT, as all have since 13.0, but runs without PAE, is read as such."""
    booted = boot("i386")
    assert "IdlePDPT" in booted.symbols
    image, _ = found(booted)
    assert dict(image.facts)["page tables"].startswith("i386,")
    pae, _ = found(boot("i386-pae"))
    assert dict(pae.facts)["page tables"].startswith("pae,")


def test_la57_is_walked_from_its_top():
    """KPML4phys is there too and maps the kernel, but not the direct map: it is not believed."""
    booted = boot("amd64-la57")
    assert "KPML4phys" in booted.symbols
    image, _ = found(booted)
    assert dict(image.facts)["page tables"].startswith("5-level,")


@pytest.mark.parametrize("delta", [(0xFFFFFFFF80000000, 0x400000), (0xFFFFFFFF80000000, 0x600000)])
def test_pt_dump_delta_is_taken_either_way(delta):
    """As where KERNBASE is, or (as 15.1 means it) the kernel's start 2 MB above; no search."""
    booted = boot("amd64-la57")
    reads = {}
    for hint in (delta, None):
        # memory below the kernel, where a search begins
        runs = [(0, bytes(5 << 20)), *booted.runs]
        source = Bytes(write_full_dump("amd64", runs=runs, delta=hint))
        image = open_image(source)
        assert image.anchor == hint
        before = source.reads
        done = complete(image, source, image.arch, File(booted))
        reads[hint] = source.reads - before
        assert done.translator.translate(booted.far[0], 1).address == booted.far[1]
    assert reads[delta] < reads[None]


@pytest.mark.parametrize("inside", [0, 0x1000])
def test_kernels_are_looked_for_where_loaders_put_them(inside):
    """At multiples of 2 MB, of which the first segment need not be at one."""
    booted = boot("amd64-la57")
    file = File(booted)
    file.segments = (Segment(booted.base + inside, booted.base, 0x1000),)
    image, _ = found(booted, file=file)
    assert image.translator.translate(booted.far[0], 1).address == booted.far[1]


def test_a_root_that_maps_only_a_part_is_passed_over():
    """Such as a process's, or the loader's: kernel_pmap_store has to be mapped as well."""
    booted = boot("amd64")
    (load, image), tables = booted.runs
    ram = Ram(0x1000000)
    page = (booted.version[0] & -4096, booted.version[1] & -4096)
    root = build(FORMS["4-level"], [Page(*page, 4096)], ram)
    at = booted.symbols["KPML5phys"] - booted.base
    image = image[:at] + root.to_bytes(8, "little") + image[at + 8 :]
    data = write_full_dump("amd64", runs=[(load, image), tables, (ram.base, bytes(ram.bytes))])
    _, memory = found(booted, data=data)
    assert memory.read(booted.far[0], len(FAR)) == FAR


@pytest.mark.parametrize("groups", [0, 3, 1 << 40 | 1])
def test_hash_tables_have_a_power_of_two_groups(groups):
    """Any other number is a damaged variable's, and no table is believed."""
    booted = boot("powerpc64-hashed")
    (load, image), tables = booted.runs
    at = booted.symbols["moea64_pteg_count"] - booted.base
    image = image[:at] + groups.to_bytes(8, "big") + image[at + 8 :]
    with pytest.raises(FormatError):
        found(booted, data=write_full_dump("powerpc64", runs=[(load, image), tables]))


def test_the_kernel_file_may_tell_where_it_lies():
    """p_paddr is tried before every place in memory: few reads."""
    booted = boot("amd64")
    source = Bytes(write_full_dump("amd64", runs=[(1 << 32, 64 << 20), *booted.runs]))
    image = open_image(source)
    before = source.reads
    complete(image, source, image.arch, File(booted, physical=booted.load))
    assert source.reads - before < 20


def test_a_stripped_kernel_is_known_by_its_beginning():
    """Without a symbol for the version the first bytes of the file are looked for."""
    booted = boot("amd64")
    assert found(booted, file=File(booted, names=("KPML4phys",)))[0].translator is not None


def test_an_older_copy_of_the_kernel_is_passed_over():
    """A loader's staging copy has the same text, but no tables map it."""
    booted = boot("amd64")
    (load, image), tables = booted.runs
    copy = bytearray(image)
    copy[0x3000:0x3200] = bytes(0x200)
    runs = [(0, bytes(copy)), (load, image), tables]
    data = write_full_dump("amd64", runs=runs)
    _, memory = found(booted, data=data)
    assert memory.read(booted.far[0], len(FAR)) == FAR


def test_another_kernels_file_is_refused():
    """The error says that the version string is nowhere."""
    booted, other = boot("amd64"), boot("amd64", version=b"FreeBSD 14.0-RELEASE another kernel")
    with pytest.raises(FormatError, match="version string is nowhere"):
        found(booted, file=File(other))


def test_tables_that_do_not_fit_are_not_believed():
    """A root that leads elsewhere is an error, not garbage."""
    booted = boot("amd64")
    (load, image), (at, tables) = booted.runs
    data = write_full_dump("amd64", runs=[(load, image), (at, bytes(len(tables)))])
    with pytest.raises(FormatError, match="page tables which map it"):
        found(booted, data=data)


def test_a_kernel_file_without_text_is_refused():
    """Nothing to look for: an error, no search."""
    booted = boot("amd64")

    class Empty(File):
        def read(self, address, length):
            return b""

    with pytest.raises(FormatError, match="neither a version string nor loaded segments"):
        found(booted, file=Empty(booted))


def test_a_minidump_needs_no_search():
    """An image that translates already comes back as it is."""
    source = Bytes(write_minidump(pages={1: b""}))
    image = open_image(source)
    assert complete(image, source, image.arch, File(boot("amd64"))) is image


@pytest.mark.parametrize("name", ["powerpc64", "powerpc64le"])
def test_radix_minidumps(name):
    """powerpc64's radix trees are found among the pages; without them the direct map is left."""
    booted = boot(name)
    start = 0xC000000000000000 + booted.load - booted.base + 0x100100
    whole = {}
    for at, data in booted.runs:
        for step in range(0, len(data), 4096):
            whole[at + step >> 12] = data[step : step + 4096]
    dump = write_minidump(name, 2, pages=whole, mmu="mmu_radix", fields={"startkernel": start})
    image, memory = found(booted, data=dump)
    assert memory.read(booted.version[0], len(VERSION)) == VERSION
    assert memory.read(booted.far[0], len(FAR)) == FAR
    assert image.displacement == start - 0x100100
    part = {number: data for number, data in whole.items() if number < booted.runs[1][0] >> 12}
    dump = write_minidump(name, 2, pages=part, mmu="mmu_radix", fields={"startkernel": start})
    image, memory = found(booted, data=dump)
    assert memory.read(booted.version[0], len(VERSION)) == VERSION
    with pytest.raises(Fault):
        memory.read(booted.far[0], 8)


def test_mips_has_its_windows():
    """Fixed by the processor: kseg0 shows the first 512 MB; what lies elsewhere faults."""
    text = b"FreeBSD 12.4-RELEASE forged for mips"
    image = bytearray(0x3000)
    image[0x1000 : 0x1000 + len(text)] = text
    source = Bytes(write_full_dump("mips64", runs=[(0x100000, bytes(image))]))
    opened = open_image(source)

    class Kernel:
        segments = (Segment(0xFFFFFFFF80100000, 0xFFFFFFFF80100000, 0x3000),)

        def address(self, name):
            return {"version": 0xFFFFFFFF80101000}.get(name)

        def read(self, address, length):
            return bytes(image[address - 0xFFFFFFFF80100000 :][:length])

    done = complete(opened, source, opened.arch, Kernel())
    memory = VirtualMemory(source, done.physical, done.translator, 4096)
    assert memory.read(0xFFFFFFFF80101000, len(text)) == text
    assert memory.read(0x9800000000101000, len(text)) == text
    with pytest.raises(Fault):
        memory.read(0xC000000000000000, 8)


@pytest.mark.parametrize("name", NAMES)
def test_exactly_one_format_claims_a_full_dump(name):
    """Whatever the order of the formats."""
    booted = boot(name)
    source = Bytes(write_full_dump(booted.arch, runs=booted.runs))
    assert [one.name for one in formats() if one.probe(source)] == ["elfcore"]
