"""Does a damaged Linux dump, of any form, give a value or a KvmError, in little memory?"""

from __future__ import annotations

import random
import struct
import tracemalloc
from contextlib import suppress
from itertools import islice

import pytest
from fakes.sources import Bytes
from forge import elf
from forge.flattened import flatten
from forge.kdump import STYLES, forge_kdump
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.containers import open_container
from kvm_exporter.kvm.errors import Fault, KvmError, Unsupported
from kvm_exporter.kvm.formats import open_images
from kvm_exporter.kvm.formats.pages import pages as pages_of
from kvm_exporter.kvm.space import PhysicalMemory, VirtualMemory
from kvm_exporter.kvm.translation import DirectMap

EXTREMES = (0, 1, 0x1000, 1 << 31, 1 << 46, -1, 1 << 63)
"""Cut to a field's width; negative ones are the largest."""

MOST_BYTES = 32 << 20
"""That some dozen kilobytes of dump may cost: two ages of pages, and what is read at once."""

RNG = random.Random(43)
PAGES = {number: RNG.randbytes(200 * (number % 3)) for number in (0, 1, 2, 3, 40, 41, 300)}
ADDRESSES = (
    0,
    0x1FFF,
    40 << 12,
    299 << 12,
    300 << 12,
    1 << 31,
    (1 << 32) - 1,
    1 << 46,
    -1,
    1 << 64,
)


def attempt(act, *arguments):
    """What ``act`` gives, None where it raised a KvmError."""
    try:
        return act(*arguments)
    except KvmError:
        return None


def exercise(*files):
    """Use a dump in every way; what goes wrong must be a KvmError, and a page's a Fault."""
    sources = [opened.source for data in files if (opened := attempt(open_container, Bytes(data)))]
    image = attempt(open_images, sources) if len(sources) == len(files) else None
    if image is None:
        return
    store = image.store or sources[0]
    physical = PhysicalMemory(store, image.physical)
    base = 1 << 50
    virtual = VirtualMemory(store, image.physical, DirectMap(base, base << 1), image.page_size)
    for address in ADDRESSES:
        for memory, at in ((physical, address), (virtual, base + address)):
            with suppress(Fault, Unsupported):
                memory.read(at, 3000)
    attempt(virtual.read, base, 8 << 20)
    assert image.physical.missing >= 0
    list(islice(pages_of(image, DirectMap(base, base + (4 << 20))), 3000))


def costs(*files):
    """Exercise, with a look at the memory that it took."""
    tracemalloc.start()
    try:
        exercise(*files)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


def test_the_undamaged_ones_cost_little():
    """What is measured below is no accident of the measure."""
    costs(forge_kdump(PAGES, filtered=[5], vmcoreinfo=b"A=1\n").data)


@pytest.mark.parametrize("style", ["lp64", "arm", "qemu, 32-bit"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_header_field_of_a_kdump_at_its_extremes(style, order):
    """Sizes, counts, offsets, versions, splits: one after another."""
    made = forge_kdump(
        PAGES, style=style, order=order, filtered=[5], vmcoreinfo=b"A=1\n", split=(0, 301)
    )
    for name, (at, size) in made.places.items():
        for value in EXTREMES if size <= 8 else (0, -1):
            data = bytearray(made.data)
            data[at : at + size] = (value % (1 << 8 * size)).to_bytes(
                size, "little" if order == "<" else "big"
            )
            exercise(bytes(data))
        assert made.places[name][1] == size


@pytest.mark.parametrize("name", ["bitmap_blocks", "max_mapnr", "max_mapnr_64", "sub_hdr_size"])
@pytest.mark.parametrize("value", [1 << 16, 1 << 31, (1 << 32) - 1])
def test_lengths_that_the_file_has_not_cost_nothing(name, value):
    """A bitmap of terabytes, in a file of some KB, is refused before memory is asked for."""
    made = forge_kdump(PAGES)
    at, size = made.places[name]
    data = bytearray(made.data)
    data[at : at + size] = value.to_bytes(size, "little")
    costs(bytes(data))


@pytest.mark.parametrize("style", STYLES)
def test_kdumps_that_end_early(style):
    """Cut within each part, and at and around the end of each."""
    data = forge_kdump(PAGES, style=style, vmcoreinfo=b"A=1\n").data
    for end in (0, 8, 12, 402, 412, 424, 464, 512, 4096, 4200, 8192, 12288, 16384, len(data)):
        for cut in {max(end - 1, 0), end, min(end + 1, len(data)), end + 20}:
            exercise(data[:cut])


@pytest.mark.parametrize(("at", "size"), [(0, 8), (8, 4), (12, 4), (16, 8)])
def test_every_field_of_a_descriptor_at_its_extremes(at, size):
    """Offsets anywhere, sizes of gigabytes, flags of all kinds, for the first page and the last."""
    made = forge_kdump(PAGES)
    for place in (made.descriptors[0], made.descriptors[300]):
        for value in (*EXTREMES, 2, 4, 32, 4097, len(made.data) - 1, len(made.data)):
            data = bytearray(made.data)
            data[place + at : place + at + size] = (value % (1 << 8 * size)).to_bytes(
                size, "little"
            )
            (costs if value == -1 else exercise)(bytes(data))


def test_descriptors_that_lead_to_and_fro():
    """Each page's bytes far from the last one's: no read is longer than a page."""
    made = forge_kdump({number: RNG.randbytes(300) for number in range(512)})
    data = bytearray(made.data)
    first, last = made.descriptors[0], made.descriptors[511] + 24
    rows = [bytes(data[at : at + 24]) for at in range(first, last, 24)]
    RNG.shuffle(rows)
    data[first:last] = b"".join(rows)
    source = Bytes(bytes(data))
    image = open_images([source])
    source.largest = source.reads = 0
    memory = PhysicalMemory(image.store, image.physical)
    assert len(memory.read(0, 512 * 4096)) == 512 * 4096
    assert source.reads <= 520
    assert source.largest <= 24 * 512


def test_split_sets_of_nonsense():
    """Ranges upside down, of everything, or beyond all pages."""
    for first, end in ((5, 2), (0, 1 << 63), (1 << 40, 1 << 41), (300, 300)):
        made = forge_kdump(PAGES, split=(first, end))
        exercise(made.data)
        exercise(made.data, forge_kdump(PAGES, split=(40, 301)).data)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=600), st.sampled_from([b"KDUMP   ", b"DISKDUMP"]))
def test_any_header_behind_a_signature(tail, signature):
    """Random bytes."""
    exercise((signature + tail).ljust(12000, b"\0"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 17000), st.integers(0, 255)), max_size=40))
def test_kdumps_with_wrong_bytes_anywhere(changes):
    """In headers, bitmaps, descriptors and pages alike."""
    data = bytearray(KDUMP)
    for at, value in changes:
        data[at % len(data)] = value
    exercise(bytes(data))
    exercise(flatten(bytes(data), 3000))


KDUMP = forge_kdump(PAGES, filtered=[5], vmcoreinfo=b"A=1\n").data

CORE = elf.write_elf(
    "amd64",
    kind=elf.ET_CORE,
    osabi=0,
    segments=[
        elf.Segment(0, elf.note("<", b"VMCOREINFO\0", 0, b"A=1\n"), elf.PT_NOTE),
        elf.Segment(0, b"a" * 5000, physical=0x1000, memory_size=9000),
        elf.Segment(0, b"", physical=0x100000, memory_size=1 << 20),
    ],
)


@pytest.mark.parametrize("at", range(64, 64 + 3 * 56, 4))
def test_every_word_of_a_cores_program_headers_at_its_extremes(at):
    """Notes and memory anywhere, holes of any size."""
    for value in (0, 1, 4, 0xFFF, 1 << 31, (1 << 32) - 1):
        data = bytearray(CORE)
        struct.pack_into("<I", data, at, value)
        exercise(bytes(data))


@settings(max_examples=60, deadline=None)
@given(st.integers(232, 270), st.binary(min_size=1, max_size=12))
def test_notes_of_nonsense(at, changed):
    """Sizes of names and texts of any value."""
    data = bytearray(CORE)
    data[at : at + len(changed)] = changed
    exercise(bytes(data))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_pieces_behind_a_flattened_header(tail):
    """Random bytes where pieces should be."""
    exercise(flatten(b"")[:4096] + tail)
    exercise(flatten(KDUMP)[: 4096 + 16 + 600 + 40] + tail)
