"""Does the hash table of powerpc64 tell what the forge wrote into it?"""

from __future__ import annotations

import random

import pytest
from forge.pagetables import KB, MB, Page, hash_table, kernel_vsid
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.hashed import Area, HashedPages
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE, Mapping

KERNEL = Area(0xC008_0000_0000_0000, 0xC008_0008_0000_0000)
DIRECT = Area(0xC000_0000_0000_0000, 0xC000_0010_0000_0000, large=True)
SMALL, LARGE = 4 * KB, 16 * MB
GROUPS = 1 << 11
"""The smallest table there is: 256 KB."""


def opened(table: bytes, areas: tuple[Area, ...] = (KERNEL, DIRECT)) -> HashedPages:
    """The product over a table at hand."""
    return HashedPages(lambda at, length: table[at : at + length], len(table), areas)


@st.composite
def pages(draw: st.DrawFn) -> list[Page]:
    """Small pages of the kernel's area, large ones of the direct map."""
    small = draw(st.sets(st.integers(0, (KERNEL.end - KERNEL.start) // SMALL - 1), max_size=30))
    large = draw(st.sets(st.integers(0, (DIRECT.end - DIRECT.start) // LARGE - 1), max_size=10))
    frames = st.integers(0, (1 << 48) - 1)
    found = [
        Page(KERNEL.start + n * SMALL, draw(frames) * SMALL, SMALL, draw(st.booleans()), n % 2 > 0)
        for n in sorted(small)
    ]
    found += [Page(DIRECT.start + n * LARGE, n * LARGE, LARGE) for n in sorted(large)]
    return sorted(found)


@settings(max_examples=40, deadline=None)
@given(pages(), st.integers(0, 4095))
def test_all_pages(mapped: list[Page], within: int) -> None:
    """Each page is found by its address, and listed with it, in order."""
    hashed = opened(hash_table(mapped, GROUPS))
    for page in mapped:
        at = page.size - 4096 + within
        assert hashed.translate(page.va + at, 1 << 30) == (page.pa + at, page.size - at)
    assert list(hashed.mappings()) == [
        Mapping(
            page.va,
            page.pa,
            page.size,
            READ | (WRITE if page.writable else 0) | (EXECUTE if page.executable else 0),
        )
        for page in mapped
    ]


def test_the_second_group() -> None:
    """The ninth page of a group is found by the complement of its hash."""
    # pages of one segment whose hashes differ above the table's 11 bits only
    mapped = [Page(KERNEL.start + (n << 11) * SMALL, n * SMALL, SMALL) for n in range(20)]
    hashed = opened(hash_table(mapped[:16], GROUPS))
    for page in mapped[:16]:
        assert hashed.translate(page.va, 8) == (page.pa, 8)
    with pytest.raises(Fault):
        hashed.translate(mapped[16].va, 8)
    assert [one.virtual for one in hashed.mappings()] == [page.va for page in mapped[:16]]


@pytest.mark.parametrize(
    "address",
    [0, -1, KERNEL.start - 1, KERNEL.end, KERNEL.start + SMALL, DIRECT.start, 1 << 64, 1 << 80],
)
def test_what_is_not_mapped(address: int) -> None:
    """Outside of the areas, or without an entry: a Fault."""
    hashed = opened(hash_table([Page(KERNEL.start, 0x1000, SMALL)], GROUPS))
    with pytest.raises(Fault) as caught:
        hashed.translate(address, 1)
    assert caught.value.address == address


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda high: high & ~1, id="not valid"),
        pytest.param(lambda high: high ^ 4, id="of another page size"),
        pytest.param(lambda high: high | 1 << 62, id="of a segment of 1 TB"),
        pytest.param(lambda high: high ^ 2, id="of the other hash"),
        pytest.param(lambda high: high ^ 1 << 12, id="of another segment"),
        pytest.param(lambda high: high ^ 1 << 7, id="of another page"),
    ],
)
def test_invalid_twins(change) -> None:
    """One wrong field in an entry, and the address is not mapped."""
    page = Page(KERNEL.start + 5 * SMALL, 0x1000, SMALL)
    table = bytearray(hash_table([page], GROUPS))
    at = next(at for at in range(0, len(table), 16) if any(table[at : at + 16]))
    high = int.from_bytes(table[at : at + 8], "big")
    assert opened(bytes(table)).translate(page.va, 1).address == page.pa
    table[at : at + 8] = change(high).to_bytes(8, "big")
    with pytest.raises(Fault):
        opened(bytes(table)).translate(page.va, 1)


def test_software_bits_do_not_matter() -> None:
    """Bits 3 to 6 of an entry's first word are the kernel's own (wired, locked)."""
    page = Page(KERNEL.start, 0x1000, SMALL)
    table = bytearray(hash_table([page], GROUPS))
    at = next(at for at in range(0, len(table), 16) if any(table[at : at + 16]))
    table[at + 7] |= 0x78
    assert opened(bytes(table)).translate(page.va, 1).address == page.pa


def test_a_large_page_has_four_bits() -> None:
    """The last of the five bits for a page's number in an entry is none of a large page's."""
    page = Page(DIRECT.start + 3 * LARGE, 3 * LARGE, LARGE)
    table = bytearray(hash_table([page], GROUPS))
    at = next(at for at in range(0, len(table), 16) if any(table[at : at + 16]))
    table[at + 7] |= 1 << 7
    hashed = opened(bytes(table))
    assert hashed.translate(page.va + 5, 1).address == page.pa + 5
    assert [one.virtual for one in hashed.mappings()] == [page.va]


def test_a_page_of_the_wrong_size() -> None:
    """A large page where small ones are, or the other way round, is none of the area's."""
    wrong = [Page(KERNEL.start, 0, LARGE), Page(DIRECT.start, 0, SMALL)]
    hashed = opened(hash_table(wrong, GROUPS))
    assert list(hashed.mappings()) == []
    for page in wrong:
        with pytest.raises(Fault):
            hashed.translate(page.va, 1)


def test_user_pages_are_not_the_kernels() -> None:
    """Entries of other segments (processes, the hypervisor's) are not listed."""
    table = bytearray(hash_table([Page(KERNEL.start, 0x1000, SMALL)], GROUPS))
    vsid = kernel_vsid(KERNEL.start >> 28)
    for n, other in enumerate((vsid - 2**36, vsid + 2**37, 0x1FFFFFF, 0)):
        table[n * 128 : n * 128 + 8] = (other << 12 | 1).to_bytes(8, "big")
    assert [one.virtual for one in opened(bytes(table)).mappings()] == [KERNEL.start]


def test_no_table() -> None:
    """A table without one whole group is a FormatError."""
    for size in (0, 1, 127):
        with pytest.raises(FormatError):
            HashedPages(lambda _at, _length: b"", size, (KERNEL,))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(128, 5000))
def test_any_bytes(seed: int, size: int) -> None:
    """Noise of any size, cut short too, gives pages of the areas or Faults."""
    chance = random.Random(seed)
    table = bytearray(chance.randbytes(size))
    for at in range(0, size - 16, 16):
        high = kernel_vsid(chance.randrange(2**36)) << 12 | chance.randrange(1 << 12) | 1
        table[at : at + 8] = (high & (1 << 64) - 1).to_bytes(8, "big")
    hashed = HashedPages(lambda at, length: table[at : at + length], size + 500, (KERNEL, DIRECT))
    for mapping in hashed.mappings():
        assert any(area.start <= mapping.virtual < area.end for area in (KERNEL, DIRECT))
    for _ in range(10):
        try:
            found = hashed.translate(chance.randrange(KERNEL.start, KERNEL.end), 1 << 20)
        except Fault:
            continue
        assert 0 < found.length <= SMALL
