"""Does the walker find what the manuals' tables say, and nothing else?"""

from __future__ import annotations

import random
from itertools import islice, pairwise

import pytest
from forge.pagetables import FORMS, GB, KB, MB, Form, Page, Ram, build
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.arch import arches
from kvm_exporter.kvm.errors import Fault, FormatError, KvmError
from kvm_exporter.kvm.paging import Entry, Level, PageTables, Paging
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE, Extent, Mapping, PhysicalMemory

PAGINGS = {name: paging for arch in arches() for name, paging in arch.pagings.items()}
NAMES = sorted(FORMS)


class Bytes:
    """A source of bytes at hand, counting reads."""

    name = "bytes"

    def __init__(self, data: bytes) -> None:
        self.data = bytes(data)
        self.size = len(data)
        self.reads = 0

    def read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return self.data[offset : offset + length]

    def write(self, offset: int, data: bytes) -> int:
        raise NotImplementedError

    def close(self) -> None:
        pass


def memory(ram: Ram) -> PhysicalMemory:
    """Just what the forge wrote, at its physical addresses."""
    size = len(ram.bytes)
    return PhysicalMemory(Bytes(ram.bytes), Segments([Extent(ram.base, 0, size)], size))


def walker(form: Form, pages: list[Page], base: int = 0) -> PageTables:
    """The product's walker over the forge's tables for ``pages``."""
    ram = Ram(base)
    root = build(form, pages, ram)
    return PageTables(memory(ram), PAGINGS[form.name], root)


def protection(page: Page) -> int:
    """As space.py has it."""
    return READ | (WRITE if page.writable else 0) | (EXECUTE if page.executable else 0)


def listed(form: Form, pages: list[Page]) -> list[Mapping]:
    """The pages as entries have them: one of more than a slot is repeated in each."""
    found = []
    for page in sorted(pages):
        slot = min(page.size, 1 << form.sizes[page.size])
        allowed = protection(page)
        found += [
            Mapping(page.va + at, page.pa + at, slot, allowed) for at in range(0, page.size, slot)
        ]
    return found


@st.composite
def address_spaces(draw: st.DrawFn, form: Form) -> list[Page]:
    """Up to a dozen pages of any size that do not overlap, near each other or far apart."""
    pages: dict[tuple[int, int], Page] = {}
    taken: list[range] = []
    for _ in range(draw(st.integers(1, 12))):
        size = draw(st.sampled_from(sorted(form.sizes)))
        number = draw(st.integers(0, (1 << form.bits) // size - 1) | st.integers(0, 3))
        start = number * size
        # tables for one size must not be where a larger page is
        if any(start < other.stop and other.start < start + size for other in taken):
            continue
        taken.append(range(start, start + size))
        bits = form.narrow.get(size, form.physical_bits)
        pa = draw(st.integers(0, (1 << bits) // size - 1)) * size
        writable = not form.read_only or draw(st.booleans())
        executable = not form.no_execute or draw(st.booleans())
        page = Page(form.address(start), pa, size, writable, executable)
        pages[start, size] = page
    return list(pages.values())


@pytest.mark.parametrize("name", NAMES)
def test_random_address_spaces(name: str) -> None:
    """Whatever is mapped is listed in order with its protection, and every byte translates."""
    form = FORMS[name]

    @settings(max_examples=25, deadline=None)
    @given(address_spaces(form), st.integers(0, 2**16))
    def check(pages: list[Page], seed: int) -> None:
        tables = walker(form, pages)
        assert list(tables.mappings()) == listed(form, pages)
        chance = random.Random(seed)
        for page in pages:
            within = chance.randrange(page.size)
            mapped = tables.translate(page.va + within, 1)
            assert mapped == (page.pa + within, 1)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_mapped_faults(name: str) -> None:
    """The bytes before and after a lone page, and addresses beyond all tables, are Faults."""
    form = FORMS[name]
    size = min(form.sizes)
    page = Page(form.address(5 * size), 0, size)
    tables = walker(form, [page])
    for address in (page.va - 1, page.va + size):
        with pytest.raises(Fault) as caught:
            tables.translate(address, 1)
        assert caught.value.address == address
        assert caught.value.level == 1
    low = form.top or 0
    for address in (-1, 1 << 64, 1 << 70, low - 1 if low else 1 << form.bits, 1 << 63 | 1 << 58):
        if name == "5-level" and address >> 57:
            continue
        with pytest.raises(Fault) as caught:
            tables.translate(address, 1)
        assert caught.value.address == address


def test_five_levels_translate_more() -> None:
    """An address of 57 bits is one for five levels and none for four."""
    address = 0xFF01_0000_0000_0000
    page = Page(address, 0x1000, 4 * KB)
    assert walker(FORMS["5-level"], [page]).translate(address, 1).address == 0x1000
    with pytest.raises(Fault):
        walker(FORMS["4-level"], [page]).translate(address, 1)


def test_a_process_has_the_lower_half() -> None:
    """The same form with ``lower()`` translates from address 0 on, and the kernel's no more."""
    ram = Ram()
    root = build(FORMS["4k-48"], [Page(0x40_0000, 0x7000, 4 * KB)], ram)
    tables = PageTables(memory(ram), PAGINGS["4k-48"].lower(), root)
    assert tables.translate(0x40_0123, 8) == (0x7123, 8)
    assert [one.virtual for one in tables.mappings()] == [0x40_0000]
    with pytest.raises(Fault):
        tables.translate(0xFFFF_0000_0040_0000, 1)


@pytest.mark.parametrize("name", ["4k-52", "16k-48-lpa2", "16k-52", "64k-52", "short", "radix"])
def test_tables_may_lie_high(name: str) -> None:
    """Tables at physical addresses of all the bits that the form has are found."""
    form = FORMS[name]
    size = min(form.sizes)
    top = (1 << 52) - (1 << 30) if "radix" not in name and form.width == 8 else 0xC000_0000
    page = Page(form.address(3 * size), 9 * size, size)
    tables = walker(form, [page], base=top)
    assert tables.translate(page.va + 1, 1) == (page.pa + 1, 1)


class TestRuns:
    """Neighbours that lie together in physical memory are one run."""

    @pytest.mark.parametrize("name", NAMES)
    def test_contiguous(self, name: str) -> None:
        """Ten pages in a row are one run, whatever their flags, cut to what was asked for."""
        form = FORMS[name]
        size = min(form.sizes)
        pages = [
            Page(
                form.address((20 + n) * size),
                (50 + n) * size,
                size,
                n % 3 > 0 or not form.read_only,
            )
            for n in range(10)
        ]
        tables = walker(form, pages)
        start = pages[0]
        assert tables.translate(start.va + 5, 100 * size) == (start.pa + 5, 10 * size - 5)
        assert tables.translate(start.va + 5, 2 * size) == (start.pa + 5, 2 * size)
        assert tables.translate(start.va + size, size) == (start.pa + size, size)
        assert tables.translate(pages[9].va, 2 * size) == (pages[9].pa, size)

    @pytest.mark.parametrize("name", NAMES)
    def test_scattered(self, name: str) -> None:
        """A run ends where the next page lies elsewhere, or where there is none."""
        form = FORMS[name]
        size = min(form.sizes)
        places = [7, 8, 12, 11, 13]
        pages = [
            Page(form.address((20 + n) * size), at * size, size) for n, at in enumerate(places)
        ]
        tables = walker(form, pages)
        runs = [tables.translate(page.va, 1 << 30).length // size for page in pages]
        assert runs == [2, 1, 1, 1, 1]

    def test_an_overflow_ends_it(self) -> None:
        """Where the frame's bits run out, the next entry's carry is no neighbour."""
        ram = Ram()
        form = FORMS["4-level"]
        last = (1 << 52) - 4 * KB
        page = Page(form.address(0), last, 4 * KB)
        root = build(form, [page], ram)
        table = ram.tables[ram.tables[ram.tables[root]]]
        raw = int.from_bytes(ram.bytes[table : table + 8], "little")
        ram.put(table + 8, (raw + 0x1000 & (1 << 64) - 1).to_bytes(8, "little"))
        tables = PageTables(memory(ram), PAGINGS[form.name], root)
        assert tables.translate(page.va, 8 * KB) == (last, 4 * KB)

    def test_superpages(self) -> None:
        """Two 2 MB pages in a row are one run of 4 MB."""
        form = FORMS["4-level"]
        pages = [Page(form.address(n * 2 * MB), (5 + n) * 2 * MB, 2 * MB) for n in range(2)]
        assert walker(form, pages).translate(pages[0].va, GB) == (10 * MB, 4 * MB)


class TestHostile:
    """Tables may say anything: an answer or a KvmError, soon."""

    def test_a_slot_for_the_tables_themselves(self) -> None:
        """amd64 maps its tables through a root's entry for the root: listed are only real pages."""
        form = FORMS["4-level"]
        ram = Ram()
        page = Page(form.address((1 << 48) - 39 * GB), 0x5000, 4 * KB)
        root = build(form, [page], ram)
        ram.put(root + 256 * 8, (root | 0x67).to_bytes(8, "little"))
        tables = PageTables(memory(ram), PAGINGS[form.name], root)
        assert list(tables.mappings()) == listed(form, [page])
        # but the slot works: the root's own bytes are at the highest level of recursion
        assert tables.translate(0xFFFF_8040_2010_0000 + 8, 8) == (root + 8, 8)

    def test_a_table_full_of_itself(self) -> None:
        """512 entries that all lead back give no mappings, and no endless walk."""
        ram = Ram()
        root = ram.allocate(4 * KB)
        ram.put(root, (root | 0x67).to_bytes(8, "little") * 512)
        tables = PageTables(memory(ram), PAGINGS["5-level"], root)
        assert list(tables.mappings()) == []

    def test_a_table_named_by_all_entries_is_listed_once(self) -> None:
        """Four tables, each filled with entries for the next: one table's pages, not 512 ** 3."""
        ram = Ram()
        tables = [ram.allocate(4 * KB) for _ in range(4)]
        for above, below in pairwise(tables):
            ram.put(above, (below | 0x67).to_bytes(8, "little") * 512)
        ram.put(tables[3], (0x9000 | 0x67).to_bytes(8, "little") * 512)
        mappings = PageTables(memory(ram), PAGINGS["4-level"], tables[0]).mappings()
        found = list(islice(mappings, 1000))
        assert [one.virtual for one in found] == [n << 12 for n in range(512)]

    def test_too_many_tables_are_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """More tables than any kernel has end the listing with a FormatError."""
        monkeypatch.setattr("kvm_exporter.kvm.paging.MOST_TABLES", 3)
        form = FORMS["4-level"]
        tables = walker(form, [Page(form.address(n * GB), 0x1000, 4 * KB) for n in range(3)])
        with pytest.raises(FormatError):
            list(tables.mappings())

    @pytest.mark.parametrize("name", NAMES)
    def test_a_table_outside_of_memory(self, name: str) -> None:
        """A root that is not there is a Fault of the top level, and lists nothing."""
        form = FORMS[name]
        tables = PageTables(memory(Ram()), PAGINGS[name], 0x1234_5000)
        with pytest.raises(Fault) as caught:
            tables.translate(form.address(0), 1)
        assert caught.value.address == form.address(0)
        assert caught.value.level == len(form.indices)
        assert list(tables.mappings()) == []

    @pytest.mark.parametrize("name", NAMES)
    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def test_any_bytes(self, name: str, data: st.DataObject) -> None:
        """Tables of noise, near enough to lead to each other, give runs or Faults."""
        form = FORMS[name]
        chance = random.Random(data.draw(st.integers(0, 2**32)))
        noise = bytearray(chance.randbytes(4 * KB) * 4)
        for at in range(0, len(noise), form.width):
            if chance.random() < 0.5:
                entry = form.table(chance.randrange(4) * 4 * KB, form.indices[0][0])
                noise[at : at + form.width] = entry.to_bytes(form.width, form.order)
        ram = Ram()
        ram.allocate(16 * KB)
        ram.put(0, noise)
        tables = PageTables(memory(ram), PAGINGS[name], 0)
        for _ in range(20):
            address = form.address(chance.randrange(1 << form.bits))
            try:
                mapped = tables.translate(address, 1 << 20)
            except KvmError:
                continue
            assert 0 < mapped.length <= 1 << 20
        for _, mapping in zip(range(500), tables.mappings(), strict=False):
            assert mapping.length > 0


class TestRemembering:
    """Tables are read once, and not all of them are kept."""

    def scattered(self, count: int) -> tuple[list[Page], PageTables, Bytes]:
        form = FORMS["4-level"]
        pages = [Page(form.address(n * 2 * MB), n * 4 * KB, 4 * KB) for n in range(count)]
        ram = Ram()
        root = build(form, pages, ram)
        source = Bytes(ram.bytes)
        physical = PhysicalMemory(source, Segments([Extent(0, 0, source.size)], source.size))
        return pages, PageTables(physical, PAGINGS[form.name], root), source

    def test_each_table_once(self) -> None:
        """A second round over the same addresses reads nothing."""
        pages, tables, source = self.scattered(20)
        for page in pages:
            tables.translate(page.va, 1)
        before = source.reads
        for page in pages:
            assert tables.translate(page.va + 8, 1).address == page.pa + 8
        assert before == 23
        assert source.reads == before

    def test_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With room for a few tables only, all addresses are still answered."""
        monkeypatch.setattr("kvm_exporter.kvm.paging.MOST_REMEMBERED", 2048)
        pages, tables, source = self.scattered(20)
        for page in pages * 2:
            assert tables.translate(page.va + 8, 1).address == page.pa + 8
        assert source.reads > 46


@pytest.mark.parametrize(
    ("name", "change", "left"),
    [
        # R/W clear and XD set in a PDE; APTable[1], and UXNTable with PXNTable, in a table entry
        ("4-level", lambda entry: entry & ~2, READ | EXECUTE),
        ("4-level", lambda entry: entry | 1 << 63, READ | WRITE),
        ("4k-48", lambda entry: entry | 1 << 62, READ | EXECUTE),
        ("4k-48", lambda entry: entry | 1 << 60 | 1 << 59, READ | WRITE),
        ("4k-48", lambda entry: entry | 1 << 60, READ | WRITE | EXECUTE),
    ],
)
def test_a_table_restricts_its_pages(name: str, change, left: int) -> None:
    """What an entry for a table forbids, no page below may."""
    form = FORMS[name]
    ram = Ram()
    page = Page(form.address(0), 0x5000, 4 * KB)
    root = build(form, [page], ram)
    (at,) = [slot for slot, table in ram.tables.items() if table == ram.tables[root]]
    entry = int.from_bytes(ram.bytes[at : at + 8], "little")
    ram.put(at, change(entry).to_bytes(8, "little"))
    tables = PageTables(memory(ram), PAGINGS[name], root)
    assert [one.protection for one in tables.mappings()] == [left]


def test_levels_are_data() -> None:
    """A form that nobody has, one level of four entries, works like the others."""

    def decode(entry: int, shift: int) -> Entry | None:
        return Entry(entry & ~0xFFF, READ, 1 << shift) if entry & 1 else None

    paging = Paging("toy", (Level(12, 2),), entry_size=4, decode=decode, base=0x8000, order=">")
    ram = Ram()
    ram.allocate(64)
    ram.put(8, (0x7001).to_bytes(4, "big"))
    tables = PageTables(memory(ram), paging, 0)
    assert tables.translate(0xA010, 4) == (0x7010, 4)
    assert list(tables.mappings()) == [Mapping(0xA000, 0x7000, 0x1000, READ)]
    for address in (0x8000, 0x7FFF, 0xC000):
        with pytest.raises(Fault):
            tables.translate(address, 1)
