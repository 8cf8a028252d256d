"""Does each form of paging read the tables written down in tests/vectors?

FreeBSD's forms are named ``ARCH PAGE-SIZE FORM``; their twins ``invalid-FORM-N.txt`` differ in one
entry.  Those that only Linux has, or has differently, are in a folder of their own.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from forge.vectors import Vector, load

from kvm_exporter.kvm.arch import amd64, arches, arm, find_by_name, i386, riscv64
from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.paging import NOWHERE, PageTables, Paging
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE, Extent, PhysicalMemory
from kvm_exporter.kvm.vmcore import forms

VECTORS = Path(__file__).parents[2] / "vectors"
FILES = [*sorted(VECTORS.glob("*.txt")), *sorted(VECTORS.glob("linux/*.txt"))]
NAMES = [path.stem for path in FILES if path.parent == VECTORS]
LINUX = {
    "x86_64-processes": forms.x86_user(amd64.FOUR_LEVEL),
    "pae-processes": forms.x86_user(i386.PAE),
    "i386-processes": forms.x86_user(i386.PLAIN),
    "arm64-processes": forms.arm64_user(forms.arm64(12, 48)),
    "arm64-16k-36": forms.arm64(14, 36),
    "arm-lpae-processes": forms.arm_user(arm.LONG),
    "arm-processes": forms.arm_user(arm.SHORT),
    "riscv-processes": forms.riscv_user(riscv64.SV39),
    "radix-64k": forms.RADIX_64K,
    "hashed-64k": forms.HASHED_64K,
    "hashed-4k": forms.HASHED_4K,
}
each = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


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


def form(vector: Vector) -> Paging:
    """The form that a file is of."""
    if len(vector.paging) == 1:
        return LINUX[vector.paging[0]]
    arch, page_size, name = vector.paging
    return find_by_name(arch, int(page_size)).pagings[name]


def tables(vector: Vector) -> PageTables:
    """The walker over a memory that has the tables' bytes and zeros after them."""
    paging = form(vector)
    low, ram = vector.memory(paging.entry_size, "big" if paging.order == ">" else "little")
    physical = Segments([Extent(low, 0, len(ram))], len(ram))
    return PageTables(PhysicalMemory(Bytes(ram), physical), paging, vector.root)


def protection(letters: str) -> int:
    """As space.py has it."""
    bits = zip((READ, WRITE, EXECUTE), letters, strict=True)
    return sum(bit for bit, letter in bits if letter != "-")


@each
def test_translation(path: Path) -> None:
    """First and last byte of every page lie where the file says; what is invalid is a Fault."""
    vector = load(path)
    walker = tables(vector)
    assert vector.answers or vector.faults
    for va, pa, size, _ in vector.answers:
        assert walker.translate(va, 1).address == pa
        assert walker.translate(va + size - 1, 1).address == pa + size - 1
    for va, level in vector.faults:
        with pytest.raises(Fault) as caught:
            walker.translate(va, 8)
        assert (caught.value.address, caught.value.level) == (va, level)


@each
def test_pages_at_once(path: Path) -> None:
    """Of pages located together the first is right, and the others are, or are nowhere at all."""
    vector = load(path)
    walker, size = tables(vector), 1 << form(vector).levels[-1].shift
    for va, pa, _, _ in vector.answers:
        found = walker.pages(va, size, 64)
        assert found[0] == pa
        for n, physical in enumerate(found):
            at = va + n * size
            right = [one.pa + at - one.va for one in vector.answers if 0 <= at - one.va < one.size]
            assert [physical] == right or physical >= NOWHERE


@each
def test_listing(path: Path) -> None:
    """All of the pages are listed, and nothing else, with what may be done with them."""
    vector = load(path)
    listed = {(one.virtual, one.physical, one.protection) for one in tables(vector).mappings()}
    total = sum(one.length for one in tables(vector).mappings())
    assert {(va, pa, protection(rights)) for va, pa, _, rights in vector.answers} <= listed
    assert total == sum(size for _, _, size, _ in vector.answers)


def test_each_form_has_its_vectors() -> None:
    """No form without a file, no form without an invalid twin (mips has no tables to walk)."""
    known = {form for arch in arches() for form in arch.pagings if arch.machine != "mips"}
    assert known <= set(NAMES)
    assert {name for name in NAMES if not name.startswith("invalid-")} == known
    twins = {name.removeprefix("invalid-").rpartition("-")[0] for name in NAMES} - {""}
    assert known <= twins
    assert {path.stem for path in FILES} - set(NAMES) == set(LINUX)
