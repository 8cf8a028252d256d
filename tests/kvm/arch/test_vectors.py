"""Does each form of paging read the tables written down in tests/vectors?

A vector file has ``paging ARCH PAGE-SIZE FORM``, ``root ADDRESS``, entries ``TABLE[INDEX] = ENTRY``
and answers: ``VA -> PA SIZE rwx``, or ``VA -> fault LEVEL`` (1 is the last table).  Twins named
``invalid-FORM-N.txt`` differ in one entry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kvm_exporter.kvm.arch import arches, find_by_name
from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.paging import PageTables, Paging
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE, Extent, PhysicalMemory

VECTORS = Path(__file__).parents[2] / "vectors"
NAMES = sorted(path.stem for path in VECTORS.glob("*.txt"))
UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}
ENTRY = re.compile(r"(\w+)\[(\d+)\] = (\w+)")
MAPPED = re.compile(r"(\w+) -> (\w+) (\d+)([KMGT]) ([r-])([w-])([x-])")
FAULT = re.compile(r"(\w+) -> fault (\d)")


@dataclass
class Vector:
    """One file's contents; ``answers``: (va, pa, size, protection)."""

    paging: Paging
    root: int = 0
    entries: list[tuple[int, int, int]] = field(default_factory=list)
    answers: list[tuple[int, int, int, int]] = field(default_factory=list)
    faults: list[tuple[int, int]] = field(default_factory=list)

    def tables(self) -> PageTables:
        """The walker over a memory that has the tables' bytes and zeros after them."""
        order = "big" if self.paging.order == ">" else "little"
        width = self.paging.entry_size
        low = min(at for at, _, _ in self.entries)
        high = max(at for at, _, _ in self.entries) + (1 << 18)
        ram = bytearray(high - low)
        for at, index, entry in self.entries:
            start = at + index * width - low
            ram[start : start + width] = entry.to_bytes(width, order)
        physical = Segments([Extent(low, 0, len(ram))], len(ram))
        return PageTables(PhysicalMemory(Bytes(bytes(ram)), physical), self.paging, self.root)


class Bytes:
    """A source of bytes at hand."""

    name = "vector"

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def write(self, offset: int, data: bytes) -> int:
        raise NotImplementedError

    def close(self) -> None:
        pass


def load(name: str) -> Vector:
    """Parse a vector file; every line must be understood."""
    lines = (VECTORS / f"{name}.txt").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    _, arch, page_size, form = lines[0].split()
    vector = Vector(find_by_name(arch, int(page_size)).pagings[form])
    vector.root = int(lines[1].removeprefix("root "), 16)
    for line in lines[2:]:
        if found := ENTRY.fullmatch(line):
            vector.entries.append((int(found[1], 16), int(found[2]), int(found[3], 16)))
        elif found := MAPPED.fullmatch(line):
            va, pa, number, unit, *letters = found.groups()
            size = int(number) << UNITS[unit]
            bits = (READ, WRITE, EXECUTE)
            rights = sum(bit for bit, letter in zip(bits, letters, strict=True) if letter != "-")
            vector.answers.append((int(va, 16), int(pa, 16), size, rights))
        else:
            found = FAULT.fullmatch(line)
            assert found, line
            vector.faults.append((int(found[1], 16), int(found[2])))
    return vector


@pytest.mark.parametrize("name", NAMES)
def test_translation(name: str) -> None:
    """First and last byte of every page lie where the file says; what is invalid is a Fault."""
    vector = load(name)
    tables = vector.tables()
    assert vector.answers or vector.faults
    for va, pa, size, _ in vector.answers:
        assert tables.translate(va, 1).address == pa
        assert tables.translate(va + size - 1, 1).address == pa + size - 1
    for va, level in vector.faults:
        with pytest.raises(Fault) as caught:
            tables.translate(va, 8)
        assert (caught.value.address, caught.value.level) == (va, level)


@pytest.mark.parametrize("name", NAMES)
def test_listing(name: str) -> None:
    """All of the pages are listed, and nothing else, with what may be done with them."""
    vector = load(name)
    listed = {(one.virtual, one.physical, one.protection) for one in vector.tables().mappings()}
    total = sum(one.length for one in vector.tables().mappings())
    assert {(va, pa, rights) for va, pa, _, rights in vector.answers} <= listed
    assert total == sum(size for _, _, size, _ in vector.answers)


def test_each_form_has_its_vectors() -> None:
    """No form without a file, no form without an invalid twin (mips has no tables to walk)."""
    forms = {form for arch in arches() for form in arch.pagings if arch.machine != "mips"}
    assert forms <= set(NAMES)
    assert {name for name in NAMES if not name.startswith("invalid-")} == forms
    twins = {name.removeprefix("invalid-").rpartition("-")[0] for name in NAMES} - {""}
    assert forms <= twins
