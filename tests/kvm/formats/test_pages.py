"""Does a walk over a dump's pages show every page, where it lies and where it is mapped?"""

from __future__ import annotations

from collections import Counter

import pytest
from fakes.sources import Bytes
from forge.booted import FAR, boot
from forge.elfcore import write_full_dump
from forge.minidump import ROWS, write_minidump

from kvm_exporter.kvm.formats import Segment, open_image
from kvm_exporter.kvm.formats.model import Image
from kvm_exporter.kvm.formats.pages import Page, pages
from kvm_exporter.kvm.formats.roots import complete
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import Extent, Mapping
from kvm_exporter.kvm.translation import DirectMap

R, W, X = 1, 2, 4
MB = 1 << 20

NEWEST = {"amd64": 3, "aarch64": 3, "aarch64-16k": 3}


def walked(dump):
    """The pages of a minidump."""
    image = open_image(Bytes(dump))
    return image, list(pages(image, image.translator))


@pytest.mark.parametrize("arch", ROWS)
def test_every_page_is_there_and_no_page_twice(arch):
    """Mapped ones once for each mapping, the others once, of the direct map only (if there is)."""
    row = ROWS[arch]
    first = 0x40000000 // row.page if row.page > 4096 else 0x80000
    numbers = [first, first + 1, first + 2, first + 9]
    spans = [
        (row.kernbase + n * row.page, number * row.page, row.page, prot)
        for n, number, prot in ((0, first, R | W), (3, first + 9, R | W), (4, first, R | W))
    ]
    image, found = walked(
        write_minidump(
            arch,
            NEWEST.get(arch, 2),
            pages={number: b"page %d" % number for number in numbers},
            mappings=spans,
        )
    )
    kernel = [(one.kernel_address, one.physical) for one in found if one.kernel_address]
    assert kernel == [(va, pa) for va, pa, _, _ in spans]
    rest = [one for one in found if one.kernel_address is None]
    if arch == "amd64":  # its page table is a page too
        assert rest.pop().physical > numbers[-1] * row.page
    assert [one.physical for one in rest] == [(first + 1) * row.page, (first + 2) * row.page]
    for one in found:
        assert one.direct_address == image.direct(one.physical)
        assert one.length == row.page
    for one in rest:
        assert one.protection == (0 if one.direct_address is None else R | W)


@pytest.mark.parametrize("arch", ROWS)
def test_offsets_are_where_the_file_has_the_page(arch):
    """The bytes at each offset are those of the page's physical address."""
    row = ROWS[arch]
    first = 0x80000
    texts = {first + n: b"page %d" % n for n in (0, 5, 6)}
    dump = write_minidump(
        arch,
        NEWEST.get(arch, 2),
        pages=texts,
        mappings=[(row.kernbase, (first + 5) * row.page, row.page, R)],
    )
    for one in walked(dump)[1]:
        text = texts.get(one.physical // row.page, b"")
        assert dump[one.offset : one.offset + len(text)] == text


def test_superpages_are_one_entry_beside_small_ones():
    """2 MB entries of length 2097152, as kvm_walk_pages(3) gives them, where they lie together."""
    base = ROWS["amd64"].kernbase
    numbers = range(512, 1024)
    _, found = walked(
        write_minidump(
            pages=dict.fromkeys(numbers, b"x"),
            mappings=[(base, 2 * MB, 2 * MB, R | X), (base + 4 * MB, 2 * MB, 4096, R)],
        )
    )
    mapped = [(one.length, one.protection) for one in found if one.kernel_address]
    assert mapped == [(2 * MB, R | X), (4096, R)]


def test_a_superpage_with_holes_comes_in_parts():
    """What the dump has of it has offsets, what it has not has none; all of it is told."""
    base = ROWS["amd64"].kernbase
    numbers = [*range(512, 600), *range(700, 1024)]
    _, found = walked(
        write_minidump(pages=dict.fromkeys(numbers, b""), mappings=[(base, 2 * MB, 2 * MB, R)])
    )
    parts = [
        (one.kernel_address - base >> 12, one.length >> 12, one.offset is None)
        for one in found
        if one.kernel_address
    ]
    assert parts == [(0, 88, False), (88, 100, True), (188, 324, False)]


def test_a_mapped_page_that_is_not_in_the_dump_has_no_offset():
    """Device memory, for one."""
    base = ROWS["amd64"].kernbase
    _, found = walked(write_minidump(pages={16: b""}, mappings=[(base, 0xFEE00000, 4096, R | W)]))
    assert found[0] == Page(0xFEE00000, base, 0xFFFFF800FEE00000, R | W, None, 4096)


def test_what_the_direct_map_does_not_reach_has_no_address_there():
    """Above its end, and on architectures that have none."""
    _, found = walked(
        write_minidump(pages={16: b"", 32: b""}, dmap=(0xFFFFF80000000000, 0xFFFFF80000011000))
    )
    addresses = {one.physical: one.direct_address for one in found}
    assert addresses[16 << 12] == 0xFFFFF80000010000
    assert addresses[32 << 12] is None


def test_a_full_dump_is_walked_through_its_tables():
    """The kernel's pages, the far one, and every other page of the segments once."""
    booted = boot("amd64")
    source = Bytes(write_full_dump("amd64", runs=booted.runs))
    image = open_image(source)

    class File:
        segments = (Segment(booted.base, booted.load, 0x10000),)

        def address(self, name):
            return booted.symbols.get(name)

        def read(self, address, length):
            return booted.runs[0][1][address - booted.base :][:length]

    image = complete(image, source, image.arch, File())
    found = list(pages(image, image.translator))
    far = next(one for one in found if one.kernel_address == booted.far[0])
    assert source.data[far.offset : far.offset + len(FAR)] == FAR
    held = Counter(
        one.offset + step for one in found if one.offset for step in range(0, one.length, 4096)
    )
    held[far.offset] -= 1  # mapped in the kernel's text too
    assert set(held.values()) == {1}
    assert len(held) * 4096 == sum(one.length for one in image.physical.extents())


class Mappings:
    """A translator that only lists."""

    def __init__(self, *listed):
        self.listed = listed

    def translate(self, address, length):
        raise AssertionError

    def mappings(self):
        return iter(self.listed)


def test_holes_are_looked_into_only_so_often(monkeypatch):
    """Mappings of terabytes that the dump has nothing of cost a bounded number of look-ups."""
    monkeypatch.setattr("kvm_exporter.kvm.formats.pages.MOST_MISSES", 1000)
    looked = 0

    class Counting(Segments):
        def find(self, address, length):
            nonlocal looked
            looked += 1
            return super().find(address, length)

    image = Image("forged", None, None, 4096, Counting([Extent(0, 0, 4096)], 4096))
    huge = [Mapping(n << 40, 1 << 50, 1 << 40, R) for n in range(50)]
    found = list(pages(image, Mappings(*huge)))
    assert looked < 1200
    assert sum(one.length for one in found if one.offset is None) == 50 << 40
    assert found[-1] == Page(0, None, None, 0, 0, 4096)


def test_windows_are_no_mappings():
    """The direct map itself is not listed as a mapping, however it is made."""
    window = DirectMap(1 << 40, 1 << 41)
    physical = Segments([Extent(0x5000, 0, 8192)], 8192)
    image = Image("forged", None, None, 4096, physical, windows=(window,))
    listed = (Mapping(1 << 40, 0, 1 << 40, R | W), Mapping(0x7000, 0x5000, 4096, R))
    assert list(pages(image, Mappings(*listed))) == [
        Page(0x5000, 0x7000, (1 << 40) + 0x5000, R, 0, 4096),
        Page(0x6000, None, (1 << 40) + 0x6000, R | W, 4096, 4096),
    ]


def test_offsets_beyond_reason_cost_no_memory():
    """A file that claims to be of an exabyte: its pages come, though perhaps twice."""
    physical = Segments([Extent(0x5000, 1 << 59, 4096)], 1 << 60)
    image = Image("forged", None, None, 4096, physical)
    found = list(pages(image, Mappings(Mapping(0x7000, 0x5000, 4096, R))))
    assert {one.offset for one in found} == {1 << 59}
