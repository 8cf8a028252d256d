"""Does a trace name the entries through which an address is found, each as it lies in memory?"""

from __future__ import annotations

import pytest
from fakes.sources import Bytes
from forge.minidump import ROWS, write_minidump
from forge.pagetables import FORMS, KB, MB, Form, Page, Ram, build, hash_table

from kvm_exporter.kvm.arch import arches
from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.formats import open_image
from kvm_exporter.kvm.formats.windowed import Windowed
from kvm_exporter.kvm.hashed import Area, HashedPages
from kvm_exporter.kvm.memory import Place
from kvm_exporter.kvm.paging import PageTables
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import Extent, PhysicalMemory, Step, VirtualMemory
from kvm_exporter.kvm.translation import Chain, DirectMap
from kvm_exporter.kvm.vmcore.lost import Mended

PAGINGS = {name: paging for arch in arches() for name, paging in arch.pagings.items()}
LOW, HIGH = DirectMap(0x1000, 0x3000, 0x100), DirectMap(0x2000, 0x5000, 0x10000)


def tables(form: Form, ram: Ram, root: int, size: int | None = None) -> PageTables:
    """The product over the forge's memory, of which a dump may have only so much."""
    held = len(ram.bytes) if size is None else size
    physical = Segments([Extent(ram.base, 0, held)], held)
    return PageTables(PhysicalMemory(Bytes(bytes(ram.bytes)), physical), PAGINGS[form.name], root)


@pytest.mark.parametrize("name", sorted(FORMS))
def test_each_table_and_its_entry(name: str) -> None:
    """From the root to the page: where each table lies, which entry, and what its bytes say."""
    form = FORMS[name]
    for size, low in form.sizes.items():
        ram = Ram()
        page = Page(form.address(3 * size), 5 * size, size)
        at = root = build(form, [page], ram)
        steps = list(tables(form, ram, root).trace(page.va))
        indices = [index for index in form.indices if index[0] >= low]
        for step, (first, last) in zip(steps, indices, strict=True):
            number = (page.va >> first) % (1 << last - first + 1)
            entry = at + number * form.width
            raw = bytes(ram.bytes[entry - ram.base :][: form.width])
            assert step[1:] == (at, number, int.from_bytes(raw, form.order))
            at = ram.tables.get(entry, 0)
        assert [step.place for step in steps] == [
            f"page table of level {len(form.indices) - n}" for n in range(len(steps))
        ]


def test_a_trace_ends_at_an_empty_entry() -> None:
    """Of what is not mapped there are the tables that say so."""
    form, ram = FORMS["4-level"], Ram()
    root = build(form, [Page(form.address(0), 0, 4 * KB)], ram)
    steps = list(tables(form, ram, root).trace(form.address(2 * MB)))
    assert [step.entry for step in steps][-1] == 0
    assert len(steps) == 3


def test_a_table_that_is_not_there() -> None:
    """The steps that could be taken come before the Fault, which names the level."""
    form, ram = FORMS["4-level"], Ram()
    root = build(form, [Page(form.address(0), 0, 4 * KB)], ram)
    steps = tables(form, ram, root, root + 8 * KB).trace(form.address(0))
    assert [next(steps).number, next(steps).number] == [0, 0]
    with pytest.raises(Fault) as caught:
        next(steps)
    assert caught.value.level == 2


def test_direct_maps() -> None:
    """A direct map is one step, of a chain's link that answers; the last refuses for all."""
    chain = Chain((LOW, HIGH))
    assert list(chain.trace(0x2800)) == [Step("direct map from 0x1000 to 0x3000 of 0x100")]
    assert list(chain.trace(0x3800)) == [Step("direct map from 0x2000 to 0x5000 of 0x10000")]
    with pytest.raises(Fault, match="0x2000 to 0x5000"):
        list(chain.trace(0x6000))
    assert list(Chain(()).trace(0)) == []


def test_windows_come_before_the_rest() -> None:
    """What lies in a window is the window's."""
    windowed = Windowed((LOW,), HIGH)
    assert list(windowed.trace(0x2800)) == list(LOW.trace(0x2800))
    assert list(windowed.trace(0x3800)) == list(HIGH.trace(0x3800))


def test_a_lost_table_is_mended_by_the_image() -> None:
    """After the tables that are there comes the image of the kernel."""
    form, ram = FORMS["4-level"], Ram()
    at = form.address(0)
    root = build(form, [Page(at, 0, 4 * KB)], ram)
    mended = Mended(tables(form, ram, root, root + 4 * KB), DirectMap(at, at + 4 * KB, 0x1000))
    assert [step.place for step in mended.trace(at)] == [
        "page table of level 4",
        f"direct map from {at:#x} to {at + 4 * KB:#x} of 0x1000",
    ]
    with pytest.raises(Fault):
        list(mended.trace(at + 4 * KB))


def test_groups_of_a_hash_table() -> None:
    """The primary group has it, or the secondary one as well; its entry is the second word."""
    area = Area(0xC008_0000_0000_0000, 0xC008_0008_0000_0000)
    page = Page(area.start + 7 * 4 * KB, 9 * 4 * KB, 4 * KB, executable=False)
    table = hash_table([page], 1 << 11)
    hashed = HashedPages(lambda at, length: table[at : at + length], len(table), (area,))
    [step] = hashed.trace(page.va)
    assert step.place == "primary group of the page hash table"
    words = [table[128 * step.number + at :][:8] for at in range(8, 128, 16)]
    assert step.entry.to_bytes(8, "big") in words
    assert step.entry & 0xFFFF_FFFF_F000 == page.pa
    places = [one.place.split()[0] for one in hashed.trace(page.va + 4 * KB)]
    assert places == ["primary", "secondary"]


@pytest.mark.parametrize("arch", ["amd64", "aarch64", "i386", "riscv64", "armv7"])
def test_the_page_map_of_a_minidump(arch: str) -> None:
    """The map's entry is where the step says, in the file, and memory tells its file and offset."""
    row = ROWS[arch]
    low = {"aarch64": 0x40000000, "riscv64": 0x80000000}.get(arch, 0x100000)
    at = row.kernbase + 3 * row.page
    text = bytes(range(256)) * (row.page // 256)
    data = write_minidump(
        arch,
        2,
        pages={low // row.page + 1: text},
        mappings=[(at, low + row.page, row.page, 3)],
        msgbuf=b"",
        dump_avail=[(low, low + 8 * row.page)],
    )
    source = Bytes(data)
    image = open_image(source)
    first, *rest = image.translator.trace(at)
    start = int(first.place.split()[3], 16)
    assert first.place == f"page map at {start:#x} of the file"
    width = next(n for n in (4, 8) if _word(data, start, first.number, n) == first.entry)
    assert first.entry == _word(data, start, first.number, width) != 0
    assert len(rest) == (arch == "amd64")
    memory = VirtualMemory(source, image.physical, image.translator, image.page_size)
    place = memory.place(at + 17)
    assert place == Place(source.name, place.offset)
    assert data[place.offset :][:8] == text[17:25]


def _word(data: bytes, start: int, number: int, width: int) -> int:
    return int.from_bytes(data[start + number * width :][:width], "little")
