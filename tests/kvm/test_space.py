"""Do reads of virtual memory give the right bytes, short where pages end, and few file reads?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import AccessDenied, Fault, FormatError, KvmError
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.space import (
    MOST_BYTES,
    Extent,
    Mapped,
    Mapping,
    PhysicalMemory,
    VirtualMemory,
)
from kvm_exporter.kvm.translation import DirectMap

PAGE = 4096
BASE = 0xFFFF_F000_0000_0000


class Bytes:
    """A source of bytes at hand that tells what was read, and can be written."""

    name = "bytes"

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.size = len(data)
        self.reads: list[tuple[int, int]] = []
        self.closed = 0

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> int:
        data = data[: max(len(self.data) - offset, 0)]
        self.data[offset : offset + len(data)] = data
        return len(data)

    def close(self) -> None:
        self.closed += 1


class Pages:
    """A translator by a table: virtual page number (from BASE) → physical page number."""

    def __init__(self, table: dict[int, int]) -> None:
        self.table = table
        self.asked = 0

    def translate(self, address: int, length: int) -> Mapped:
        self.asked += 1
        number, within = divmod(address - BASE, PAGE)
        if number not in self.table:
            raise Fault(address, "no page", 1)
        return Mapped(self.table[number] * PAGE + within, min(length, PAGE - within))

    def pages(self, address: int, size: int, count: int) -> list[int]:
        first = self.translate(address, size).address
        numbers = range((address - BASE) // PAGE + 1, (address - BASE) // PAGE + count)
        return [first, *(self.table.get(number, 1 << 90) * PAGE for number in numbers)]

    def mappings(self) -> list[Mapping]:
        raise NotImplementedError


def content(pages: int) -> bytes:
    """Bytes that differ from page to page."""
    return b"".join(bytes([n + 1]) * (PAGE - 4) + n.to_bytes(4, "big") for n in range(pages))


def kernel(
    table: dict[int, int], pages: int = 8, cut: int = 0
) -> tuple[VirtualMemory, Bytes, Pages]:
    """A memory of ``pages`` physical pages, the file shortened by ``cut`` bytes."""
    source = Bytes(content(pages)[: pages * PAGE - cut])
    translator = Pages(table)
    physical = Segments([Extent(0, 0, pages * PAGE)], source.size)
    return VirtualMemory(source, physical, translator, PAGE), source, translator


@given(
    st.dictionaries(st.integers(0, 6), st.integers(0, 9), max_size=6),
    st.lists(st.tuples(st.integers(0, 8 * PAGE), st.integers(0, 3 * PAGE)), min_size=1, max_size=4),
    st.sampled_from([0, 1, 5000]),
)
def test_any_reads(table: dict[int, int], reads: list[tuple[int, int]], cut: int) -> None:
    """A read gives the bytes up to the first that is nowhere; a Fault if that is its first."""
    memory, source, _ = kernel(table, cut=cut)
    plain = bytes(source.data)
    for start, length in reads * 2:
        wanted = bytearray()
        for at in range(start, start + length):
            place = table.get(at // PAGE, 99) * PAGE + at % PAGE
            if place >= len(plain):
                break
            wanted.append(plain[place])
        if length and not wanted:
            with pytest.raises(Fault) as caught:
                memory.read(BASE + start, length)
            assert caught.value.address == BASE + start
        else:
            assert memory.read(BASE + start, length) == wanted


def test_a_page_is_located_once() -> None:
    """Small reads on a page that is known translate nothing and read just their bytes."""
    memory, source, translator = kernel({0: 3})
    memory.read(BASE + 100, 8)
    asked = translator.asked
    del source.reads[:]
    for at in (0, 8, 100, PAGE - 8):
        memory.read(BASE + at, 8)
    assert translator.asked == asked
    assert source.reads == [(3 * PAGE + at, 8) for at in (0, 8, 100, PAGE - 8)]


def test_neighbours_in_the_file_are_read_at_once() -> None:
    """A large read over pages that follow each other in the file is one file read."""
    memory, source, _ = kernel({0: 2, 1: 3, 2: 4, 3: 0, 4: 1})
    data = memory.read(BASE + 10, 5 * PAGE - 10)
    plain = content(8)
    assert data == plain[2 * PAGE + 10 : 5 * PAGE] + plain[: 2 * PAGE]
    assert source.reads == [(2 * PAGE + 10, 3 * PAGE - 10), (0, 2 * PAGE)]


def test_remembered_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More pages than may be remembered are all read right."""
    monkeypatch.setattr("kvm_exporter.kvm.space.MOST_PAGES", 2)
    memory, _, _ = kernel({n: 7 - n for n in range(8)})
    for n in [*range(8), *range(8)]:
        assert memory.read(BASE + n * PAGE, 1) == bytes([8 - n])


def test_parts_of_pages() -> None:
    """Where the file has parts of a page in two places, nothing in between is made up."""
    source = Bytes(bytes(range(200)))
    physical = Segments([Extent(0x1000, 0, 100), Extent(0x1100, 100, 100)], 200)
    memory = VirtualMemory(source, physical, DirectMap(0, 1 << 32), PAGE)
    for _ in range(2):
        assert memory.read(0x1010, 4) == bytes(range(16, 20))
        assert memory.read(0x1110, 4) == bytes(range(116, 120))
        assert memory.read(0x1060, 100) == bytes(range(96, 100))
        for address in (0x1064, 0x10FF, 0x1164, 0xFFF):
            with pytest.raises(Fault):
                memory.read(address, 4)


@pytest.mark.parametrize("length", [-1, MOST_BYTES + 1, 1 << 64])
def test_a_length_out_of_reason(length: int) -> None:
    """A length that no caller can mean is a FormatError, on known pages and unknown ones."""
    memory, _, _ = kernel({0: 0})
    for _ in range(2):
        with pytest.raises(FormatError):
            memory.read(BASE, length)
        memory.read(BASE, 8)


@pytest.mark.parametrize("address", [-1, -8, 0, 1 << 64, 1 << 80, BASE - 1])
def test_an_address_out_of_reason(address: int) -> None:
    """An address that is none is a Fault; reading no bytes there is no error."""
    memory, _, _ = kernel({0: 0})
    with pytest.raises(Fault):
        memory.read(address, 8)
    assert memory.read(address, 0) == b""


def test_physical_memory() -> None:
    """Physical reads are whole or a Fault that names the first byte that is missing."""
    source = Bytes(content(2))
    memory = PhysicalMemory(
        source, Segments([Extent(0, PAGE, PAGE), Extent(PAGE, 0, PAGE)], source.size)
    )
    assert memory.read(PAGE - 4, 6) == b"\0\0\0\1\1\1"
    assert memory.read(5, 0) == b""
    with pytest.raises(Fault) as caught:
        memory.read(2 * PAGE - 2, 4)
    assert caught.value.address == 2 * PAGE


class TestWriting:
    """Raw memory can be written where it was opened for that."""

    def test_across_pages(self) -> None:
        """Bytes land where reads find them, short where a page is missing."""
        memory, source, _ = kernel({0: 5, 1: 2})
        assert memory.write(BASE + PAGE - 2, b"abcd") == 4
        assert memory.read(BASE + PAGE - 2, 4) == b"abcd"
        assert source.data[6 * PAGE - 2 : 6 * PAGE] == b"ab"
        assert source.data[2 * PAGE : 2 * PAGE + 2] == b"cd"
        assert memory.write(BASE + 2 * PAGE - 1, b"xyz") == 1
        with pytest.raises(Fault):
            memory.write(BASE + 2 * PAGE, b"x")

    def test_a_file(self, tmp_path) -> None:
        """A file is changed when opened for writing, and AccessDenied otherwise."""
        path = tmp_path / "mem"
        path.write_bytes(content(1))
        for writable in (False, True):
            with File(str(path), writable=writable) as file:
                physical = Segments([Extent(0, 0, PAGE)], PAGE)
                memory = VirtualMemory(file, physical, DirectMap(BASE, BASE + PAGE), PAGE)
                if writable:
                    assert memory.write(BASE + 8, b"changed") == 7
                else:
                    with pytest.raises(AccessDenied):
                        memory.write(BASE + 8, b"changed")
        assert path.read_bytes()[8:15] == b"changed"


def test_a_file_that_shrinks() -> None:
    """A read that comes short ends there: what follows in memory is not moved up."""
    memory, source, _ = kernel({0: 6, 1: 0, 2: 7})
    del source.data[6 * PAGE + 100 :]
    assert memory.read(BASE + 50, PAGE) == content(8)[6 * PAGE + 50 : 6 * PAGE + 100]
    assert memory.read(BASE, 2 * PAGE) == content(8)[6 * PAGE : 6 * PAGE + 100]
    with pytest.raises(Fault):
        memory.read(BASE + 2 * PAGE, 8)


def test_closing() -> None:
    """Closing gives the file back."""
    memory, source, _ = kernel({})
    memory.close()
    assert source.closed == 1


def test_an_io_error_is_the_callers() -> None:
    """A source that fails is no missing page: its error comes out each time."""

    class Broken(Bytes):
        def read(self, offset: int, length: int) -> bytes:
            raise KvmError("the disk is gone")

    physical = Segments([Extent(0, 0, PAGE)], PAGE)
    memory = VirtualMemory(Broken(content(1)), physical, DirectMap(BASE, BASE + PAGE), PAGE)
    for _ in range(2):
        with pytest.raises(KvmError, match="the disk is gone"):
            memory.read(BASE, 8)
