"""Are the ELF cores of Linux and of hypervisors read, with what their notes and headers say?"""

from __future__ import annotations

import struct

import pytest
from fakes.sources import Bytes
from forge import elf

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, Filtered
from kvm_exporter.kvm.formats import formats, open_image
from kvm_exporter.kvm.space import PhysicalMemory

INFO = b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\n"
MIB = 1 << 20


def write_core(segments, machine="amd64", **options):
    """A core of ``segments``, with the osabi that Linux and QEMU write."""
    return elf.write_elf(machine, kind=elf.ET_CORE, segments=segments, osabi=0, **options)


def notes(*entries, order="<"):
    """A PT_NOTE of (name, type, description)."""
    data = b"".join(elf.note(order, *entry) for entry in entries)
    return elf.Segment(0, data, elf.PT_NOTE)


def opened(data):
    """An image, and its memory."""
    source = Bytes(data)
    image = open_image(source)
    return image, PhysicalMemory(image.store or source, image.physical)


@pytest.mark.parametrize("extended", [False, True])
def test_cores_of_qemu(extended):
    """e_ehsize 8 and program headers at 192, notes, addresses in p_paddr; PN_XNUM counts."""
    segments = [
        notes((b"CORE\0", 1, bytes(336)), (b"QEMU\0", 0, bytes(432)), (b"VMCOREINFO\0", 0, INFO)),
        elf.Segment(0, b"low" + bytes(100), physical=0x1000),
        elf.Segment(0xFFFFFFFF80000000, b"high" + bytes(100), physical=0x40000000),
    ]
    data = write_core(segments, ehsize=8, headers_at=192, extended=extended)
    source = Bytes(data)
    assert [one.name for one in formats() if one.probe(source)] == ["elfcore"]
    image, memory = opened(data)
    assert memory.read(0x1000, 3) == b"low"
    assert memory.read(0x40000000, 4) == b"high"
    assert (image.format, image.vmcoreinfo) == ("ELF core", INFO)


@pytest.mark.parametrize(
    "machine", ["amd64", "i386", "aarch64", "armv7", "riscv64", "powerpc64", "powerpc64le"]
)
def test_cores_of_kdump(machine):
    """Both classes and orders: notes of CPUs before VMCOREINFO, the kernel's text there twice."""
    _, bits, order = elf.MACHINES[machine]
    base = (1 << bits) - (1 << 30)
    segments = [
        notes(*[(b"CORE\0", 1, bytes(77))] * 3, (b"VMCOREINFO\0", 0, INFO + b"\0\0"), order=order),
        elf.Segment(base, b"text" * 1024, physical=0x100000),
        elf.Segment(base + 0x1000000, b"text" * 1024 + b"more", physical=0x100000),
        elf.Segment(base + 0x2000000, b"up", physical=0x80000000),
    ]
    image, memory = opened(write_core(segments, machine))
    assert (image.arch.name, image.vmcoreinfo) == (machine, INFO)
    assert memory.read(0x100000, 4100) == b"text" * 1024 + b"more"
    assert memory.read(0x80000000, 2) == b"up"


@pytest.mark.parametrize(("number", "name"), [(3, "i386"), (40, "armv7")])
def test_cores_of_64_bits_of_kernels_with_32(number, name):
    """More than 4 GiB: addresses of 64 bits, in a kernel whose words have 32."""
    segments = [elf.Segment(0, b"far up", physical=5 << 30)]
    image, memory = opened(elf.write_elf(number, 64, "<", kind=elf.ET_CORE, segments=segments))
    assert (image.arch.name, image.abi) == (name, Abi("<", 4))
    assert memory.read(5 << 30, 6) == b"far up"


@pytest.mark.parametrize(("state", "name"), [(0x9033, "powerpc64le"), (0x9032, "powerpc64")])
def test_the_byte_order_of_powerpc_is_the_processors(state, name):
    """QEMU's core of a little-endian guest is big-endian; the register MSR tells (bit LE)."""
    status = bytearray(504)
    struct.pack_into(">Q", status, 112 + 33 * 8, state)
    segments = [
        notes((b"CORE\0", 1, bytes(status)), (b"VMCOREINFO\0", 0, INFO), order=">"),
        elf.Segment(0, b"memory", physical=0),
    ]
    image, memory = opened(write_core(segments, "powerpc64"))
    assert (image.arch.name, image.vmcoreinfo) == (name, INFO)
    assert image.abi == image.arch.abi
    assert memory.read(0, 6) == b"memory"


def test_pages_of_mappings():
    """QEMU's paging=true: the same memory by several addresses, and devices without any bytes."""
    segments = [
        elf.Segment(0xFFFF888000000000, b"a" * 8192, physical=0),
        elf.Segment(0xFFFFFFFF81000000, b"a" * 4096, physical=0x1000),
        elf.Segment(0xFFFFC90000000000, b"b" * 4096, physical=0x7000),
        elf.Segment(0xFFFFC90000100000, b"", physical=0xFEE00000, memory_size=4096),
    ]
    data = bytearray(write_core(segments))
    struct.pack_into("<Q", data, 64 + 3 * 56 + 8, (1 << 64) - 1)  # p_offset: nowhere
    image, memory = opened(bytes(data))
    assert memory.read(0, 8192) == b"a" * 8192
    assert memory.read(0x7FFF, 1) == b"b"
    assert "left out" not in dict(image.facts)
    with pytest.raises(Fault) as caught:
        memory.read(0xFEE00000, 4)
    assert not isinstance(caught.value, Filtered)


def holed():
    """What makedumpfile -E leaves: the middle of memory, and a segment without any of it."""
    return write_core(
        [
            notes((b"VMCOREINFO\0", 0, INFO)),
            elf.Segment(0, b"a" * 4096, physical=0, memory_size=2 * MIB),
            elf.Segment(0, b"b" * 4096, physical=2 * MIB),
            elf.Segment(0, b"", physical=8 * MIB, memory_size=MIB),
        ]
    )


def test_what_was_left_out_is_told():
    """Filtered where a segment has memory that the file has not, a plain fault between segments."""
    image, memory = opened(holed())
    assert memory.read(0, 4096) == b"a" * 4096
    assert memory.read(2 * MIB, 4096) == b"b" * 4096
    for address in (4096, 2 * MIB - 1, 8 * MIB, 9 * MIB - 1):
        with pytest.raises(Filtered, match="left out"):
            memory.read(address, 1)
    for address in (2 * MIB + 4096, 9 * MIB, -1, 1 << 64):
        with pytest.raises(Fault) as caught:
            memory.read(address, 1)
        assert not isinstance(caught.value, Filtered)
    assert dict(image.facts)["left out"] == "2 MiB in 2 runs"
    assert sum(one.length for one in image.physical.extents()) == 8192


def test_the_note_is_found_among_others():
    """In a later PT_NOTE, behind megabytes of what drivers said, and not by a name like its own."""
    big = (b"LINUX\0", 0x700, bytes(40 << 20))
    segments = [
        notes(big, (b"VMCOREINFO_XEN\0", 0, b"no"), (b"VMCOREINFO\0", 0, INFO)),
        elf.Segment(0, b"a", physical=0),
    ]
    source = Bytes(write_core(segments))
    assert open_image(source).vmcoreinfo == INFO
    assert source.largest < 1 << 20
    apart = [notes((b"CORE\0", 1, b"x")), segments[1], notes((b"VMCOREINFO\0", 0, INFO))]
    assert opened(write_core(apart))[0].vmcoreinfo == INFO
    assert opened(write_core([notes((b"CORE\0", 1, b"x")), segments[1]]))[0].vmcoreinfo is None


@pytest.mark.parametrize("size", [0, 1, 11, 12, 23, 24, 30])
def test_notes_that_end_early(size):
    """Cut anywhere: the text as far as it goes, or none."""
    cut = notes((b"VMCOREINFO\0", 0, INFO)).data[:size]
    segments = [elf.Segment(0, cut, elf.PT_NOTE), elf.Segment(0, b"a" * 100, physical=0)]
    found = opened(write_core(segments))[0].vmcoreinfo
    assert found == (INFO[: size - 24] or None if size > 24 else None)
