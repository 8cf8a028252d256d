"""Does a minidump's bitmap tell where each page lies?  Against counting bits one by one."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.pageset import PageSet, Place, dump_avail
from kvm_exporter.kvm.space import Extent, Stored

PAGE = 4096
BASE = 0x7000
"""Where the pages begin in the file."""
ENDLESS = 1 << 60


def bitmap(bits: set[int], words: int, order: str = "<", code: str = "Q") -> bytes:
    """Words of the target, bit n of word w for page 64 * w + n (or 32 * w + n)."""
    width = struct.calcsize("=" + code) * 8
    values = [sum(1 << n for n in range(width) if w * width + n in bits) for w in range(words)]
    return struct.pack(f"{order}{words}{code}", *values)


def slowly(bits: set[int], ranges: list[tuple[int, int]], address: int) -> int | None:
    """The file offset of a page: count bits up to its own, over the ranges in their order."""
    first = 0
    for start, end in ranges:
        if start <= address < end:
            bit = first + address // PAGE - start // PAGE
            if bit not in bits:
                return None
            return BASE + sum(one < bit for one in bits) * PAGE + address % PAGE
        first += -(-end // PAGE) - start // PAGE
    return None


@st.composite
def ranges(draw: st.DrawFn) -> list[tuple[int, int]]:
    """One to four ranges of up to 100 pages with holes between."""
    found, at = [], 0
    for _ in range(draw(st.integers(1, 4))):
        start = at + draw(st.integers(0, 50))
        end = start + draw(st.integers(1, 100))
        found.append((start * PAGE, end * PAGE))
        at = end
    return found


@given(ranges(), st.sets(st.integers(0, 400), max_size=200), st.integers(0, 500))
def test_every_address(spaces: list[tuple[int, int]], bits: set[int], page: int) -> None:
    """Each address lies where counting says, or nowhere: not in a hole, not below a range."""
    pages = PageSet(bitmap(bits, 8), Place(BASE, ENDLESS), PAGE, ranges=spaces)
    address = page * PAGE + 123
    wanted = slowly(bits, spaces, address)
    if wanted is None:
        with pytest.raises(Fault) as caught:
            pages.find(address, 8)
        assert caught.value.address == address
    else:
        assert pages.find(address, 8) == (wanted, 8)


@given(ranges(), st.sets(st.integers(0, 400), max_size=200))
def test_extents(spaces: list[tuple[int, int]], bits: set[int]) -> None:
    """All pages are listed once, by rising address, each where ``find`` has it; runs are whole."""
    pages = PageSet(bitmap(bits, 8), Place(BASE, ENDLESS), PAGE, ranges=spaces)
    listed = list(pages.extents())
    wanted = {
        at: offset
        for start, end in spaces
        for at in range(start, end, PAGE)
        if (offset := slowly(bits, spaces, at)) is not None
    }
    found = {
        extent.address + n: extent.offset + n
        for extent in listed
        for n in range(0, extent.length, PAGE)
    }
    assert found == wanted
    assert sum(extent.length for extent in listed) == len(wanted) * PAGE
    assert listed == sorted(listed)
    for extent in listed:
        assert pages.find(extent.address, ENDLESS) == (extent.offset, extent.length)


@given(st.integers(0, 300), st.integers(1, 300), st.integers(0, PAGE - 1), st.integers(1, 1 << 21))
def test_runs(start: int, count: int, within: int, length: int) -> None:
    """A stretch of set bits is one run, from anywhere in it, over words of all ones too."""
    bits = set(range(start, start + count))
    pages = PageSet(bitmap(bits, 10), Place(BASE, ENDLESS), PAGE)
    found = pages.find(start * PAGE + within, length)
    assert found == (BASE + within, min(length, count * PAGE - within))


def test_a_run_ends_with_its_range() -> None:
    """Ranges with a hole between are neighbours in the bitmap and the file, not in memory."""
    pages = PageSet(
        bitmap(set(range(20)), 1),
        Place(BASE, ENDLESS),
        PAGE,
        ranges=[(0x10000, 0x1A000), (0x100000, 0x10A000)],
    )
    assert pages.find(0x18000, ENDLESS) == (BASE + 8 * PAGE, 2 * PAGE)
    assert pages.find(0x100000, ENDLESS) == (BASE + 10 * PAGE, 10 * PAGE)


def test_below_a_range_is_a_hole() -> None:
    """Where libkvm looks at a range's end only: 0x50000 would be a page before the second one."""
    pages = PageSet(
        bitmap(set(range(128)), 2),
        Place(BASE, ENDLESS),
        PAGE,
        ranges=[(0x10000, 0x20000), (0x60000, 0x70000)],
    )
    for address in (0, 0xFFFF, 0x20000, 0x50000, 0x5FFFF, 0x70000, 1 << 63, 1 << 80, -1):
        with pytest.raises(Fault):
            pages.find(address, 1)


@pytest.mark.parametrize(("order", "code", "word"), [("<", "I", 4), (">", "Q", 8), (">", "I", 4)])
def test_words_of_other_machines(order: str, code: str, word: int) -> None:
    """Words of 4 and 8 bytes in both byte orders give the same pages as native ones."""
    bits = {0, 5, 31, 32, 33, 63, 64, 95, 96, 100}
    width = 128 // (word * 8)
    pages = PageSet(
        bitmap(bits, width, order, code), Place(BASE, ENDLESS), PAGE, order=order, word=word
    )
    native = PageSet(bitmap(bits, 2), Place(BASE, ENDLESS), PAGE)
    assert list(pages.extents()) == list(native.extents())
    assert len(pages) == len(native) == 10


def test_a_partial_last_word() -> None:
    """A bitmap that ends within a word has the bits it has, and no others."""
    pages = PageSet(b"\xff\x01", Place(BASE, ENDLESS), PAGE)
    assert list(pages.extents()) == [Extent(0, BASE, 9 * PAGE)]
    with pytest.raises(Fault):
        pages.find(9 * PAGE, 1)
    big = PageSet(b"\x80\0\0\0\0\0\0\x01\xff", Place(BASE, ENDLESS), PAGE, order=">")
    assert [extent.address for extent in big.extents()] == [0, 63 * PAGE]


def test_nothing_at_all() -> None:
    """No bitmap, or ranges without pages: every address is a Fault."""
    empty = PageSet(b"", Place(BASE, ENDLESS), PAGE)
    unranged = PageSet(b"\xff" * 8, Place(BASE, ENDLESS), PAGE, ranges=[])
    for pages in (empty, unranged):
        assert list(pages.extents()) == []
        with pytest.raises(Fault):
            pages.find(0, 1)


@pytest.mark.parametrize("kept", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE - 1])
def test_a_truncated_dump(kept: int) -> None:
    """What the file lost is a Fault; what it has of a page is given, and no byte more."""
    pages = PageSet(bitmap({3, 4, 5}, 1), Place(BASE, BASE + kept), PAGE)
    for n in range(3):
        left = kept - n * PAGE
        if left <= 0:
            with pytest.raises(Fault):
                pages.find((3 + n) * PAGE, 8)
        else:
            found = pages.find((3 + n) * PAGE, ENDLESS)
            assert found == Stored(BASE + n * PAGE, left)
    assert sum(extent.length for extent in pages.extents()) == kept


def test_a_page_of_two_ranges_is_the_first_ones() -> None:
    """Ranges need not end at pages: both count the page, and it has the first one's bit."""
    spaces = [(0x1000, 0x3800), (0x3800, 0x6000)]
    pages = PageSet(bitmap({0, 2, 4, 5}, 1), Place(BASE, ENDLESS), PAGE, ranges=spaces)
    # bits: 0x1000 0, 0x2000 1, 0x3000 2; then 0x3000 3, 0x4000 4, 0x5000 5
    assert [extent.address for extent in pages.extents()] == [0x1000, 0x3000, 0x4000]
    assert pages.find(0x3000, 8).offset == BASE + PAGE
    assert pages.find(0x4000, 8).offset == BASE + 2 * PAGE


@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=8),
    st.binary(max_size=100),
    st.integers(0, 2**64 - 1),
)
def test_any_ranges(spaces: list[tuple[int, int]], bits: bytes, address: int) -> None:
    """Ranges that overlap, are upside down or huge give places in the file or Faults."""
    pages = PageSet(bits, Place(BASE, ENDLESS), PAGE, ranges=spaces)
    for one in (address, *(start for start, _ in spaces), *(end - 1 for _, end in spaces)):
        try:
            found = pages.find(one, 1 << 30)
        except Fault:
            continue
        assert BASE <= found.offset < BASE + len(pages) * PAGE
        assert found.length > 0
    listed = list(pages.extents())
    for before, after in pairwise(listed):
        assert before.address + before.length <= after.address


def test_dump_avail() -> None:
    """Pairs until one ends at 0, of either width and order; a torn pair at the end is none."""
    assert dump_avail(struct.pack("<6Q", 0x1000, 0x9F000, 0x100000, 0x7FE00000, 0, 0), "<", 8) == [
        (0x1000, 0x9F000),
        (0x100000, 0x7FE00000),
    ]
    assert dump_avail(struct.pack(">4I", 0, 0x4000, 0, 0), ">", 4) == [(0, 0x4000)]
    assert dump_avail(struct.pack("<3Q", 1, 2, 3), "<", 8) == [(1, 2)]
    assert dump_avail(b"", "<", 8) == []


@given(st.binary(min_size=1, max_size=100), st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_addresses_of_places(bits: bytes, lengths: list[int]) -> None:
    """Where a page lies leads back to its address, across words and ranges."""
    starts = [sum(lengths[:number]) + 7 * number for number in range(len(lengths))]
    ranges = [(at * PAGE, (at + size) * PAGE) for at, size in zip(starts, lengths, strict=True)]
    pages = PageSet(bits, Place(BASE, ENDLESS), PAGE, ranges=ranges)
    for one in pages.extents():
        for at in range(0, one.length, PAGE // 2):
            assert pages.address(one.offset + at) == one.address + at
