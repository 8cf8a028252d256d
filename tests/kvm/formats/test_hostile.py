"""Does a damaged dump give a value or a KvmError, at once and in little memory?"""

from __future__ import annotations

import struct
import tracemalloc
from itertools import islice

import pytest
from fakes.sources import Bytes
from forge.booted import NAMES, boot
from forge.elfcore import write_full_dump
from forge.minidump import ROWS, write_minidump
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.formats import open_image
from kvm_exporter.kvm.formats.pages import pages
from kvm_exporter.kvm.formats.rawmem import open_raw
from kvm_exporter.kvm.formats.roots import complete
from kvm_exporter.kvm.space import PhysicalMemory, VirtualMemory

EXTREMES = (0, 1, -1, -2, 0x1000, 1 << 31, 1 << 46)
"""Also the largest two of a field, as -1 and -2; too large ones are cut to the field's width."""

MOST_BYTES = 8 << 20
"""That a few dozen kilobytes of dump may cost."""

MOST_PAGES = 5000


class File:
    """A kernel file as formats.KernelSymbols, from a Booted."""

    def __init__(self, booted):
        self.segments = ()
        self.booted = booted

    def address(self, name):
        return {"version": self.booted.base + 0x2040}.get(name)

    def read(self, address, length):
        return self.booted.runs[0][1][address - self.booted.base :][:length]


def exercise(data, addresses, kernel=None, arch=None):
    """Use a dump in every way; what goes wrong must be a KvmError."""
    source = Bytes(data)
    image = attempt(open_image, source)
    if image is None:
        return
    memory = PhysicalMemory(source, image.physical)
    for address in addresses:
        attempt(memory.read, address, 8)
        image.direct(address)
    if kernel is not None and image.arch is not None:
        image = attempt(complete, image, source, image.arch, kernel) or image
    if image.translator is not None:
        virtual = VirtualMemory(source, image.physical, image.translator, image.page_size)
        for address in addresses:
            attempt(virtual.read, address, 5000)
        attempt(walk, image)
    if image.message_buffer:
        attempt(source.read, *image.message_buffer)


def attempt(act, *arguments):
    """What ``act`` gives, None where it raised a KvmError."""
    try:
        return act(*arguments)
    except KvmError:
        return None


def walk(image):
    """The first of a dump's pages."""
    return list(islice(pages(image, image.translator), MOST_PAGES))


def interesting(row):
    """Addresses of both spaces, and the ends of them."""
    ends = (0, 8, (1 << 32) - 8, 1 << 32, (1 << 64) - 8, (1 << 64) + 8)
    return (row.kernbase, row.kernbase + 0x5008, *row.dmap, row.dmap[0] + 0x40001008, *ends)


def small(arch, **options):
    """A dump of three pages, one of them mapped; of the newest version."""
    row = ROWS[arch]
    return write_minidump(
        arch,
        3 if arch in ("amd64", "aarch64", "aarch64-16k") else 2,
        pages={0x40000: b"a", 0x40001: b"b", 0x40003: b"c"},
        mappings=[(row.kernbase + 0x4000, 0x40000 * row.page, row.page, 7)],
        msgbuf=b"text",
        **options,
    )


FIELDS = [(arch, *field) for arch, row in ROWS.items() for field in row.header]


@pytest.mark.parametrize(("arch", "name", "code", "offset"), FIELDS)
def test_every_header_field_of_a_minidump_at_its_extremes(arch, name, code, offset):
    """Any version, length, base or flag gives a value or a KvmError."""
    row = ROWS[arch]
    dump = bytearray(small(arch))
    size = struct.calcsize(code)
    for value in EXTREMES:
        dump[offset : offset + size] = (value % (1 << 8 * size)).to_bytes(
            size, "little" if row.order == "<" else "big"
        )
        exercise(bytes(dump), interesting(row))


@pytest.mark.parametrize("arch", ROWS)
def test_minidumps_that_end_early(arch):
    """Cut within the header, and at and around the end of each part."""
    dump = small(arch)
    page = ROWS[arch].page
    cuts = {*range(0, 160, 3)}
    for end in range(page, len(dump) + 1, page):
        cuts |= {end - page // 2, end - 1, end, end + 1}
    for cut in sorted(cuts):
        exercise(dump[:cut], interesting(ROWS[arch]))


@pytest.mark.parametrize("arch", ROWS)
def test_page_maps_of_garbage(arch):
    """Entries of all ones, and of a table that leads to itself, translate or fault."""
    row = ROWS[arch]
    dump = bytearray(small(arch))
    table = 4 * row.page
    for entry in (-1, 0x40000000 | 1, 0x40000000 | 3, 0x40003067, (1 << 52) | 0x81):
        word = (entry % (1 << 64)).to_bytes(8, "little" if row.order == "<" else "big")
        dump[table : table + row.page] = word * (row.page // 8)
        exercise(bytes(dump), interesting(row))


@pytest.mark.parametrize("arch", ROWS)
@pytest.mark.parametrize(
    "pairs", [((5, 3),), ((0, 1 << 64 - 1),), ((-1, -1), (7, 7)), ((1, -1),) * 99]
)
def test_dump_avail_of_garbage(arch, pairs):
    """Ranges upside down, of the whole address space, or more than there are bits."""
    row = ROWS[arch]
    dump = bytearray(small(arch))
    flat = [end % (1 << 64) for pair in pairs for end in pair]
    struct.pack_into(f"{row.order}{len(flat)}Q", dump, 2 * row.page, *flat)
    exercise(bytes(dump), interesting(row))


@pytest.mark.parametrize("arch", ROWS)
def test_a_bitmap_of_ones_promises_no_more_than_the_file_has(arch):
    """Pages that the file ends before are not there, and memory stays small."""
    row = ROWS[arch]
    dump = bytearray(small(arch, dump_avail=[(0x40000 * row.page, 0x48000 * row.page)]))
    dump[3 * row.page : 4 * row.page] = b"\xff" * row.page
    source = Bytes(bytes(dump))
    image = open_image(source)
    held = sum(one.length for one in image.physical.extents())
    assert held <= len(dump)
    exercise(bytes(dump), interesting(row))


def test_a_directory_that_names_one_table_again_and_again():
    """Sixteen thousand entries that lead to one table list its 512 pages once."""
    entries = 1 << 14
    base = ROWS["amd64"].kernbase
    table = struct.pack("<Q", 0x40001003) * 512
    dump = bytearray(
        write_minidump(
            pages={0x40000: table, 0x40001: b"page"},
            mappings=[(base + (entries - 1 << 21), 0x40001000, 4096, 3)],
        )
    )
    start = 4 * 4096
    dump[start : start + entries * 8] = struct.pack("<Q", 0x40000003) * entries
    image = open_image(Bytes(bytes(dump)))
    listed = sum(1 for one in image.translator.mappings() if one.virtual >= base)
    assert listed == 512


def test_lengths_that_the_file_has_not_are_never_read():
    """A bitmap of 4 GB, in a file of some KB, is refused before memory is asked for."""
    for name in ("bitmapsize", "pmapsize", "msgbufsize", "dumpavailsize"):
        tracemalloc.start()
        try:
            exercise(small("amd64", fields={name: 0xFFFFFFFF}), interesting(ROWS["amd64"]))
            assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
        finally:
            tracemalloc.stop()


PROGRAM_64 = {"type": (0, 4), "offset": (8, 8), "virtual": (16, 8), "physical": (24, 8)}
PROGRAM_64 |= {"file_size": (32, 8), "memory_size": (40, 8), "align": (48, 8)}


@pytest.mark.parametrize("field", PROGRAM_64)
@pytest.mark.parametrize("entry", range(3))
def test_every_program_header_field_of_a_full_dump_at_its_extremes(field, entry):
    """Segments anywhere, of any length, over each other: a value or a KvmError."""
    booted = boot("amd64")
    dump = bytearray(
        write_full_dump("amd64", runs=booted.runs, delta=(booted.base & ~0x1FFFFF, booted.load))
    )
    at, size = PROGRAM_64[field]
    place = 64 + 56 * entry + at
    kernel = File(booted)
    for value in EXTREMES:
        dump[place : place + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
        exercise(bytes(dump), (*booted.version, *booted.far, 0, 1 << 64), kernel)


@pytest.mark.parametrize("offset", [*range(16, 64, 2)])
def test_every_elf_header_field_of_a_full_dump_at_its_extremes(offset):
    """Counts, sizes and offsets of the ELF header."""
    booted = boot("amd64")
    dump = bytearray(write_full_dump("amd64", runs=booted.runs))
    for value in (0, 1, 0x7FFF, 0xFFFE, 0xFFFF):
        struct.pack_into("<H", dump, offset, value)
        exercise(bytes(dump), (*booted.version, *booted.far), File(booted))


@pytest.mark.parametrize("name", NAMES)
def test_full_dumps_that_end_early(name):
    """Cut anywhere: what is missing faults, and tables that are missing are told."""
    booted = boot(name)
    dump = write_full_dump(booted.arch, runs=booted.runs)
    for cut in (*range(0, 200, 11), 4095, 4096, 4097, len(dump) // 2, len(dump) - 4097):
        exercise(dump[:cut], (*booted.version, *booted.far), File(booted))


@pytest.mark.parametrize("name", NAMES)
def test_page_tables_of_garbage(name):
    """All ones, and words that look like tables, end the search with an answer."""
    booted = boot(name)
    (load, image), (at, tables) = booted.runs
    for word in (b"\xff" * 8, struct.pack("<Q", at | 3), struct.pack("<Q", at | 0x67)):
        runs = [(load, image), (at, word * (len(tables) // 8))]
        exercise(
            write_full_dump(booted.arch, runs=runs), (*booted.version, *booted.far), File(booted)
        )


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(sorted(ROWS)))
def test_any_header_behind_a_magic(tail, arch):
    """Random bytes after a minidump's magic."""
    row = ROWS[arch]
    exercise(row.magic.ljust(row.magic_size, b"\0") + tail.ljust(2 * row.page), interesting(row))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=600))
def test_any_file_at_all(data):
    """Random files are claimed by nobody, with a message."""
    exercise(data, (0, 1 << 63))
    source = Bytes(data)
    image = open_raw(source)
    attempt(PhysicalMemory(source, image.physical).read, 0, 8)
