"""Does every row of minidumps give back what its forge wrote?"""

from __future__ import annotations

import pytest
from fakes.sources import Bytes
from forge.minidump import ROWS, write_minidump

from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.formats import formats, open_image
from kvm_exporter.kvm.space import PhysicalMemory, VirtualMemory

R, W, X = 1, 2, 4

NEWEST = {"amd64": 3, "aarch64": 3, "aarch64-16k": 3}
FORGED = [
    (arch, version)
    for arch in ROWS
    for version in range(1, NEWEST.get(arch, 2) + 1)
    if not (arch == "aarch64-16k" and version < 3)
]
"""Flags, and with them pages of 16 KB, came with version 3."""

LOW = {"aarch64": 0x40000000, "aarch64-16k": 0x40000000, "riscv64": 0x80000000}
"""Where memory begins."""


class Made:
    """A dump of seven pages: two ranges of memory with a hole between them."""

    def __init__(self, arch, version, **options):
        row = ROWS[arch]
        self.row = row
        self.size = row.page
        self.low = LOW.get(arch, 0x100000)
        first = self.low // row.page
        self.numbers = [first, first + 1, first + 3, first + 70, first + 71, first + 100]
        self.pages = {number: self.text(number) for number in self.numbers}
        self.base = row.kernbase
        at = [self.base + n * row.page for n in (0, 1, 2, 5, 6, 9)]
        where = [self.numbers[n] * row.page for n in (3, 4, 0, 5, 0, 2)]
        prots = [R | X, R | W, R | W, R, R | W, R | W]
        self.mappings = [
            (va, pa, row.page, prot) for va, pa, prot in zip(at, where, prots, strict=True)
        ]
        high = (first + 70) * row.page
        options.setdefault(
            "dump_avail",
            [(self.low, self.low + 8 * row.page), (high, high + 64 * row.page)],
        )
        self.data = write_minidump(
            arch,
            version,
            pages=self.pages,
            mappings=self.mappings,
            msgbuf=b"<118>booting\n",
            **options,
        )
        self.source = Bytes(self.data)
        self.image = open_image(self.source)
        self.memory = VirtualMemory(
            self.source, self.image.physical, self.image.translator, self.image.page_size
        )

    def text(self, number):
        return (b"page %d of memory;" % number).ljust(64, b".") * (self.size // 64)

    def at(self, virtual):
        """What ought to lie at a mapped virtual address: the whole page."""
        for va, pa, size, _ in self.mappings:
            if va <= virtual < va + size:
                return self.text(pa // self.size)
        raise AssertionError


@pytest.fixture(params=FORGED, ids=lambda one: f"{one[0]}-v{one[1]}")
def made(request):
    """A dump of each row and version."""
    return Made(*request.param)


def test_every_row_gives_back_what_is_mapped(made):
    """Each mapped page is found at its kernel address, the twice mapped one at both."""
    for va, _, size, _ in made.mappings:
        assert made.memory.read(va, size) == made.at(va)


def test_reads_cross_pages_that_do_not_lie_together(made):
    """A read over a page's end goes on where the next page is, wherever that lies."""
    half = made.size // 2
    expected = (
        made.at(made.base)[half:]
        + made.at(made.base + made.size)
        + made.at(made.base + 2 * made.size)[:half]
    )
    assert made.memory.read(made.base + half, 2 * made.size) == expected


def test_a_read_into_nothing_is_short_and_one_of_nothing_faults(made):
    """As kvm_read: what is there first, and a Fault that names the address where nothing is."""
    last = made.base + 2 * made.size
    assert made.memory.read(last, 3 * made.size) == made.at(last)
    with pytest.raises(Fault) as caught:
        made.memory.read(last + made.size + 24, 8)
    assert caught.value.address == last + made.size + 24


def test_addresses_around_the_map_fault(made):
    """Below the page map, behind it, and at the ends of the address space nothing answers."""
    top = 1 << 64 if made.image.abi.pointer_size == 8 else 1 << 32
    for address in (made.base - 8, made.base + (1 << 27), top - 8, top, -8):
        with pytest.raises(Fault):
            made.memory.read(address, 8)


def test_physical_pages_are_those_of_the_model(made):
    """Every page at its physical address; the pages between, before and behind are absent."""
    memory = PhysicalMemory(made.source, made.image.physical)
    for number in made.numbers:
        assert memory.read(number * made.size, made.size) == made.text(number)
    first = made.numbers[0]
    for number in (first - 1, first + 2, first + 4, first + 20, first + 72, first + 10**6):
        with pytest.raises(Fault):
            memory.read(number * made.size, 8)


def test_the_direct_map_reaches_every_page(made):
    """Where the architecture has a direct map, each page is found there too."""
    if not made.image.windows:
        assert made.row.dmap == (0, 0)
        return
    low, _ = made.row.dmap
    from_ = made.row.extra.get("dmapphys", 0)
    for number in made.numbers:
        address = made.image.direct(number * made.size)
        if made.row.magic != b"minidump FreeBSD/mips":
            assert address == low + number * made.size - from_
        assert made.memory.read(address + 64, 64) == made.text(number)[64:128]


def test_what_the_header_says_is_told(made):
    """Architecture, page size, message buffer."""
    image = made.image
    names = {"aarch64-16k": "aarch64", "i386-pae": "i386"}
    arch = next(name for name, row in ROWS.items() if row is made.row)
    assert image.arch.name == names.get(arch, arch)
    assert image.page_size == image.arch.page_size == made.size
    assert image.abi == image.arch.abi
    assert made.source.read(*image.message_buffer) == b"<118>booting\n"
    assert dict(image.facts)["page size"] == str(made.size)


def test_exactly_one_format_claims_it(made):
    """Whatever the order of the formats."""
    assert [one.name for one in formats() if one.probe(made.source)] == ["minidump"]


def test_protections_are_those_of_the_entries(made):
    """Each mapping is listed with the protection it was written with."""
    listed = {
        one.virtual: one for one in made.image.translator.mappings() if one.length == made.size
    }
    for va, pa, size, prot in made.mappings:
        one = listed[va]
        assert (one.physical, one.length) == (pa, size)
        if made.row.magic in (b"minidump FreeBSD/i386", b"minidump FreeBSD/mips"):
            continue  # these cannot tell all three; their own tests do
        assert one.protection == prot


def test_runs_are_as_long_as_memory_lies_together(made):
    """Two pages that follow each other in both memories are one run."""
    pair = [(made.base, made.numbers[3] * made.size, 2 * made.size)]
    for va, pa, size in pair:
        mapped = made.image.translator.translate(va, 10 * made.size)
        assert mapped.address == pa
        assert mapped.length in (size, made.size)  # a hash table gives a page at a time


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("size", [1 << 21, 1 << 30])
def test_amd64_superpages(version, size):
    """2 MB pages, and 1 GB ones as 512 of them, are runs of 2 MB with one protection."""
    base = ROWS["amd64"].kernbase
    last = size // 4096 - 1
    dump = write_minidump(
        "amd64",
        version,
        pages={512 * 512: b"first", 512 * 512 + last: b"last"},
        mappings=[(base + (1 << 30), 1 << 30, size, R | X)],
    )
    source = Bytes(dump)
    image = open_image(source)
    memory = VirtualMemory(source, image.physical, image.translator, 4096)
    assert memory.read(base + (1 << 30), 5) == b"first"
    assert memory.read(base + (1 << 30) + last * 4096, 4) == b"last"
    assert image.translator.translate(base + (1 << 30) + 4096, 1 << 40).length == size - 4096
    found = [one for one in image.translator.mappings() if one.virtual >= base]
    assert {(one.length, one.protection) for one in found} == {(1 << 21, R | X)}
    assert len(found) == size >> 21


def test_amd64_5_level_dumps_only_move_the_direct_map():
    """With LA57 the direct map starts at 0xff01000000000000, and reads there work."""
    made = Made("amd64", 3, dmap=(0xFF01000000000000, 0xFF21000000000000))
    number = made.numbers[-1]
    address = 0xFF01000000000000 + number * 4096
    assert made.memory.read(address, 100) == made.text(number)[:100]
    assert made.image.direct(number * 4096) == address


def test_amd64_text_lies_in_the_page_map():
    """KERNBASE is 2 TB above where the page map begins: its entries are found all the same."""
    text = 0xFFFFFFFF80200000
    dump = write_minidump(pages={512: b"text"}, mappings=[(text, 512 * 4096, 4096, R | X)])
    source = Bytes(dump)
    image = open_image(source)
    memory = VirtualMemory(source, image.physical, image.translator, 4096)
    assert memory.read(text, 4) == b"text"


@pytest.mark.parametrize("arch", ["powerpc64", "powerpc64le"])
@pytest.mark.parametrize("mmu", ["mmu_g5", "mmu_phyp"])
def test_powerpc64_hash_tables_in_both_byte_orders(arch, mmu):
    """Bare metal has big-endian entries on either kernel, the hypervisor's are the kernel's own."""
    made = Made(arch, 2, mmu=mmu)
    for va, _, size, _ in made.mappings:
        assert made.memory.read(va, size) == made.at(va)
    assert made.image.displacement == 0xC000000000000000
    assert dict(made.image.facts)["MMU"] == mmu


def test_powerpc64_large_pages_in_the_hash_table():
    """More pages than their groups hold overflow into the secondary groups, and are found there."""
    base = ROWS["powerpc64"].kernbase
    count = 64
    pages = {0x100 + n: b"%d" % n for n in range(count)}
    # the same low bits of the page's number and of its segment: all in one group
    spans = [(base + n * (1 << 23), (0x100 + n) << 12, 4096, R | W) for n in range(12)]
    source = Bytes(write_minidump("powerpc64", 2, pages=pages, mappings=spans))
    image = open_image(source)
    memory = VirtualMemory(source, image.physical, image.translator, 4096)
    for n in range(12):
        assert memory.read(base + n * (1 << 23), len(str(n))) == str(n).encode()


def test_arm_64_kilobyte_pages():
    """A large page stands in sixteen entries; each maps its own 4 KB of it."""
    base = ROWS["armv7"].kernbase
    pages = {0x100 + n: b"%02d" % n for n in range(16)}
    spans = [(base + n * 4096, (0x100 + n) << 12, 4096, R) for n in range(16)]
    dump = bytearray(write_minidump("armv7", 2, pages=pages, mappings=spans))
    table = dump.index((0x100000 | 0x412 | 0x80 | 1).to_bytes(4, "little"))
    for n in range(16):
        dump[table + 4 * n : table + 4 * n + 4] = (0x100000 | 0x10 | 1).to_bytes(4, "little")
    source = Bytes(bytes(dump))
    image = open_image(source)
    memory = VirtualMemory(source, image.physical, image.translator, 4096)
    for n in range(16):
        assert memory.read(base + n * 4096, 2) == b"%02d" % n
    assert [one.physical for one in image.translator.mappings()] == [
        0x100000 + n * 4096 for n in range(16)
    ]


def test_ranges_that_are_not_whole_pages():
    """dump_avail may begin and end within pages: the bitmap counts the pages they touch."""
    dump = write_minidump(
        pages={0x10: b"a", 0x12: b"b", 0x20: b"c"},
        dump_avail=[(0x10800, 0x12400), (0x1F800, 0x21000)],
    )
    source = Bytes(dump)
    memory = PhysicalMemory(source, open_image(source).physical)
    assert [memory.read(at, 1) for at in (0x10000, 0x12000, 0x20000)] == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("arch", "version"), [("amd64", 4), ("amd64", 0), ("i386", 3), ("powerpc64le", 3), ("mips", 9)]
)
def test_unknown_versions_are_named(arch, version):
    """The error says which version the dump has, and which ones are known."""
    dump = write_minidump(arch, 2, pages={1: b""}, fields={"version": version})
    with pytest.raises(FormatError, match=rf"version {version:#x}.*: not of 1 to"):
        open_image(Bytes(dump))


@pytest.mark.parametrize(
    ("arch", "fields", "said"),
    [("aarch64", {"flags": 3}, "flags 0x3"), ("armv7", {"mmuformat": 4}, "MMU format 4")],
)
def test_unknown_forms_are_named(arch, fields, said):
    """A page size or an MMU format that there is not is an error with its value."""
    version = 3 if arch == "aarch64" else 2
    with pytest.raises(FormatError, match=said):
        open_image(Bytes(write_minidump(arch, version, pages={0x40000: b""}, fields=fields)))


def test_a_radix_dump_has_its_direct_map():
    """powerpc64's radix trees lie in memory: without the kernel file nothing translates yet."""
    source = Bytes(write_minidump("powerpc64le", 2, pages={0x10: b"data"}, mmu="mmu_radix"))
    image = open_image(source)
    assert image.translator is None
    assert image.direct(0x10000) == 0xC000000000010000


def test_opening_reads_no_page():
    """What opening costs is the header, dump_avail and the bitmap, not the dump's size."""
    source = Bytes(write_minidump(pages=dict.fromkeys(range(256, 1280), b"x" * 4096)))
    open_image(source)
    assert source.largest <= 4096
    assert source.reads < 10


@pytest.mark.parametrize("arch", ["powerpc64", "powerpc64le"])
def test_powerpc64_has_its_direct_maps_last_byte_in_the_header(arch):
    """Elsewhere dmapend is the first address behind: the last page is in both."""
    low = ROWS[arch].dmap[0]
    source = Bytes(write_minidump(arch, 2, pages={1: b"a", 2: b"b"}, dmap=(low, low + 0x2FFF)))
    image = open_image(source)
    assert image.direct(0x2FFF) == low + 0x2FFF
    assert image.direct(0x3000) is None
    memory = VirtualMemory(source, image.physical, image.translator, 4096)
    assert memory.read(low + 0x2000, 1) == b"b"


@pytest.mark.parametrize(
    ("arch", "version"), [("amd64", 1), ("amd64", 2), ("i386", 1), ("armv7", 1)]
)
def test_fields_of_later_versions_are_not_read(arch, version):
    """What an older kernel left in the header's page behind its own fields means nothing."""
    made = Made(arch, version, fields={"dumpavailsize": 0x1000})
    assert made.memory.read(made.base, 64) == made.at(made.base)[:64]


def test_a_page_map_ends_with_the_address_space():
    """32-bit addresses do not go on above 4 GB, however long the page map."""
    base = 0xFFFFF000
    dump = write_minidump(
        "i386", 2, pages={1: b"a", 2: b"b"}, mappings=[(base, 0x1000, 0x2000, R)], kernbase=base
    )
    image = open_image(Bytes(dump))
    assert [one.virtual for one in image.translator.mappings()] == [base]
    with pytest.raises(Fault, match="0xfffff000 to 0x100000000"):
        image.translator.translate(1 << 32, 1)


def test_tables_that_the_dump_does_not_have_are_left_out():
    """Their pages fault, those of other tables are listed."""
    base = ROWS["amd64"].kernbase
    spans = [(base, 0x10000, 4096, R), (base + (1 << 21), 0x10000, 4096, R)]
    dump = write_minidump(
        pages={0x10: b"a"}, mappings=spans, dump_avail=[(0x10000, 0x11000), (0x12000, 0x13000)]
    )
    source = Bytes(dump)
    image = open_image(source)
    listed = [one.virtual for one in image.translator.mappings() if one.virtual >= base]
    assert listed == [base + (1 << 21)]
    with pytest.raises(Fault):
        image.translator.translate(base, 1)


class Sparse(Bytes):
    """A file of a terabyte that is zeros behind its first bytes."""

    def __init__(self, data):
        super().__init__(data)
        self.size = 1 << 40

    def read(self, offset, length):
        super().read(offset, length)
        return self.data[offset : offset + length].ljust(min(length, 1 << 20), b"\0")


@pytest.mark.parametrize("field", ["bitmapsize", "dumpavailsize"])
def test_lengths_beyond_reason_are_refused(field):
    """Even where the file has as much: a bitmap of 4 GB, ranges of 4 GB."""
    source = Sparse(write_minidump(pages={1: b""}, fields={field: 0xFFFFFF00}))
    with pytest.raises(FormatError, match="0xffffff00 bytes: at most"):
        open_image(source)
    assert source.largest <= 4096


@pytest.mark.parametrize("cut", [4096, 8192, 12288, 16383])
def test_headers_that_promise_more_than_there_is(cut):
    """A dump cut before its pages is told as truncated, with the sizes."""
    dump = write_minidump(pages={1: b""}, mappings=[(ROWS["amd64"].kernbase, 4096, 4096, R)])
    with pytest.raises(FormatError, match=r"before its pages .*truncated or damaged"):
        open_image(Bytes(dump[:cut]))
