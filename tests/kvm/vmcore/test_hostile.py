"""Whatever a core says: a value or a KvmError, soon."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from forge.linux_memory import ROWS, linux
from forge.pagetables import MB
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.formats import Anchor, Image
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import Extent, VirtualMemory
from kvm_exporter.kvm.vmcore.finding import find_vmcoreinfo
from kvm_exporter.kvm.vmcore.translating import UserSpaces, complete

ALL = sorted(ROWS)
NUMBERS = [0, 1, 4095, 4096, 1 << 12, 1 << 30, 1 << 31, 1 << 32, 1 << 47, 1 << 52, 1 << 62, 1 << 63]
EXTREME = sorted({sign * number + n for number in NUMBERS for sign in (1, -1) for n in (-1, 0, 1)})
SHAPES = ("{}", "{:x}", "0x{:x}", "{:o}", "-{}", " {}", "{}=", "={}")

values = st.one_of(
    st.builds(str.format, st.sampled_from(SHAPES), st.sampled_from(EXTREME) | st.integers()),
    st.text(max_size=30),
)


def try_all(source, image: Image, memory, addresses: list[int]) -> None:
    """Everything that can be done with a core; anything but a KvmError gets out."""
    try:
        info = find_vmcoreinfo(image, memory)
        if info is None:
            return
        image = complete(image, source, info)
    except KvmError:
        return
    users = UserSpaces(image, source)
    for address in addresses:
        held = VirtualMemory(source, image.physical, image.translator, image.page_size)
        for length in (1, 8, 5000):
            try:
                held.read(address, length)
                users(address).read(address & 0xFFFF_FFFF, length)
            except KvmError:
                continue
        image.direct(address)


def somewhere(kernel) -> list[int]:
    """Addresses in and around what there is."""
    start = kernel.virtual(kernel.ram.base)
    near = [start, start + 4 * MB, kernel.ram.base + kernel.offset, kernel.pgd, kernel.user]
    return [*near, -1, 0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 70]


@pytest.mark.parametrize("name", ALL)
def test_any_vmcoreinfo(core, name: str) -> None:
    """Lines with any values, in any number."""
    kernel = linux(name)

    @settings(max_examples=30, deadline=None)
    @given(st.dictionaries(st.sampled_from(sorted(kernel.values)), values, min_size=1, max_size=6))
    def check(changed: dict[str, str]) -> None:
        text = replace(kernel, values=kernel.values | changed).text
        made = core(kernel, text)
        try_all(made.source, made.image, made.memory, somewhere(kernel))

    check()


@pytest.mark.parametrize("name", ALL)
def test_any_tables(core, name: str) -> None:
    """Memory of which parts, the tables above all, are anything."""
    chance = random.Random(name)
    for _ in range(6):
        kernel = linux(name)
        start, end = kernel.root - kernel.ram.base, len(kernel.ram.bytes)
        for _ in range(chance.choice((1, 10, 1000))):
            at = chance.randrange(start, end - 8) & ~7
            kernel.ram.bytes[at : at + 8] = chance.choice(
                (chance.randbytes(8), bytes(8), b"\xff" * 8, kernel.root.to_bytes(8, "little"))
            )
        made = core(kernel, kernel.text)
        try_all(made.source, made.image, made.memory, somewhere(kernel))


@pytest.mark.parametrize("name", ["x86_64-la57", "arm64-64k-52", "riscv64-57", "powerpc64le"])
def test_tables_that_lead_into_themselves(core, name: str) -> None:
    """Every entry of every table leads on to the top one: there is an end to it."""
    kernel = linux(name)
    form = kernel.row.form
    entry = form.table(kernel.root, form.indices[0][0]).to_bytes(form.width, form.order)
    start = kernel.root - kernel.ram.base
    kernel.ram.bytes[start:] = entry * ((len(kernel.ram.bytes) - start) // form.width)
    made = core(kernel, kernel.text)
    try_all(made.source, made.image, made.memory, somewhere(kernel))


@pytest.mark.parametrize("name", ["x86_64", "i386", "arm", "arm64-16k-48"])
def test_memory_at_the_ends_of_the_world(core, name: str) -> None:
    """Segments at addresses that no machine has, and segments that overlap."""
    kernel = linux(name)
    made = core(kernel, kernel.text)
    size = made.source.size
    for start in (1 << 52, 1 << 63, (1 << 64) - 4096, (1 << 64) - 1, 1 << 70, 0):
        runs = [Extent(kernel.ram.base, 0, size), Extent(start, 0, size), Extent(start + 7, 3, 99)]
        for linear in (None, Anchor(start, 4096), Anchor(4096, start)):
            image = replace(made.image, physical=Segments(runs, size), linear=linear)
            try_all(made.source, image, made.memory, somewhere(kernel))


def test_any_memory(core) -> None:
    """A core of noise, whose note is right, and one that nothing is known of."""
    kernel = linux("x86_64")
    kernel.ram.bytes[:] = random.Random(5).randbytes(len(kernel.ram.bytes))
    for how in ({"note": kernel.text}, {"named": False}, {"note": kernel.text, "named": False}):
        made = core(kernel, **how)
        try_all(made.source, made.image, made.memory, somewhere(kernel))
