"""Which format is a file, and what is it told to be if none?"""

from __future__ import annotations

import io

import pytest
from fakes.sources import Bytes
from forge import elf
from forge.elfcore import write_full_dump
from forge.minidump import ROWS, write_minidump

from kvm_exporter.kvm.errors import Fault, FormatError, Unsupported
from kvm_exporter.kvm.formats import Format, formats, open_image
from kvm_exporter.kvm.formats.rawmem import open_raw
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.space import PhysicalMemory, VirtualMemory
from kvm_exporter.kvm.translation import DirectMap


def test_formats_are_found_by_their_modules():
    """The four that there are, by name."""
    assert [one.name for one in formats()] == ["elfcore", "kdump", "minidump", "rawmem"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "an empty file"),
        (b"\0" * 4096, "zeros only"),
        (b"\x1f\x8b\x08" + b"x" * 600, "a gzip stream"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 600, "a Zstandard stream"),
        (b"BZh9" + b"x" * 600, "a bzip2 file: unpack it"),
        (b"FreeBSD Text Dump\0" + bytes(512), "a textdump"),
        (b"FreeBSD Kernel Dump\0" + bytes(512), "a dump header without its dump"),
        (b"ddb.txt".ljust(257, b"\0") + b"ustar\x0000" + bytes(300), "a tar archive"),
        (b"Dump header from device: /dev/ada0p3\n", "savecore's info file"),
        (b"makedumpfile\0" + bytes(4096), "makedumpfile -R"),
        (b"minidump FreeBSD/vax\0" + bytes(4096), "an architecture that is not known"),
        (b"\x93\xaf" * 300, "begins with 93af93af.* key.N"),
        (b"x", "begins with 78,"),
    ],
)
def test_files_of_no_format_are_told_what_they_are(data, said):
    """The error says what the file seems to be, and which formats there are."""
    with pytest.raises(FormatError, match=f"dump0: .*{said}.*: elfcore, kdump, minidump, rawmem"):
        open_image(Bytes(data, "dump0"))


@pytest.mark.parametrize(("kind", "said"), [(elf.ET_EXEC, "program"), (elf.ET_REL, "object")])
def test_an_elf_file_that_is_no_core(kind, said):
    """The kernel in the dump's place is the usual mistake."""
    with pytest.raises(FormatError, match=f"an ELF {said}, not a core .*is it the kernel"):
        open_image(Bytes(elf.write_elf("amd64", kind=kind)))


def test_two_claims_are_an_error(monkeypatch):
    """A probe that claims too much is told by name, not obeyed."""
    greedy = Format("greedy", lambda source: True, lambda source: None)
    one = formats()[2]
    monkeypatch.setattr("kvm_exporter.kvm.formats.formats", lambda: (one, greedy))
    with pytest.raises(FormatError, match="claimed by more than one format: minidump, greedy"):
        open_image(Bytes(write_minidump(pages={1: b""})))


@pytest.mark.parametrize(
    "name", ["/dev/mem", "/dev/fwmem0.0", "/dev/vmm/guest", "/dev/vmm.io/guest.sysmem"]
)
def test_memory_devices_are_raw_memory(name):
    """By name: claimed by one format, and an address is its own offset."""
    source = Bytes(b"low memory" + bytes(4096), name)
    assert [one.name for one in formats() if one.probe(source)] == ["rawmem"]
    image = open_image(source)
    assert image.arch is None
    assert PhysicalMemory(source, image.physical).read(4, 6) == b"memory"


@pytest.mark.parametrize("name", ["/dev/ada0p3", "/dev/vmm", "/mnt/dev/mem", "vmcore.0"])
def test_other_names_are_not(name):
    """A dump's own device is no memory."""
    with pytest.raises(FormatError):
        open_image(Bytes(b"low memory" + bytes(4096), name))


def test_devices_that_do_not_tell_their_size_can_be_read():
    """Up to where they end, which is a fault, not an end of file."""
    source = Bytes(b"x" * 8192, "/dev/mem")
    source.size = 0
    image = open_image(source)
    memory = PhysicalMemory(source, image.physical)
    assert memory.read(8000, 192) == b"x" * 192
    with pytest.raises(Fault):
        memory.read(8192, 1)


def test_any_file_can_be_opened_as_raw_memory():
    """Past its end is a fault."""
    source = Bytes(b"0123456789abcdef", "pmemsave.bin")
    memory = PhysicalMemory(source, open_raw(source).physical)
    assert memory.read(10, 6) == b"abcdef"
    with pytest.raises(Fault):
        memory.read(16, 1)


def test_full_dumps_tell_their_memory():
    """Segments anywhere; what lies between them, before and behind is absent."""
    runs = [(0x1000, b"a" * 4096), (0x5000, b"b" * 8192), (1 << 32, b"c" * 10)]
    source = Bytes(write_full_dump("amd64", runs=runs, delta=(0xFFFFFFFF80000000, 0x200000)))
    image = open_image(source)
    memory = PhysicalMemory(source, image.physical)
    for address, data in runs:
        assert memory.read(address, len(data)) == data
    for address in (0, 0x2000, 0x7000, (1 << 32) + 4096, -1, 1 << 64):
        with pytest.raises(Fault):
            memory.read(address, 1)
    assert image.anchor == (0xFFFFFFFF80000000, 0x200000)
    assert (image.arch.name, image.translator) == ("amd64", None)


@pytest.mark.parametrize("arch", ["amd64", "i386", "aarch64", "armv7", "riscv64", "powerpc64le"])
def test_full_dumps_of_each_class_and_order(arch):
    """Both widths and byte orders; powerpc has its addresses in p_paddr alone."""
    source = Bytes(write_full_dump(arch, runs=[(0x80000000, b"text")]))
    image = open_image(source)
    assert image.arch.name == arch
    assert PhysicalMemory(source, image.physical).read(0x80000000, 4) == b"text"


def test_addresses_may_be_in_p_vaddr_alone():
    """Where p_paddr is all ones, as powerpc's kernels write it of virtual memory."""
    segment = elf.Segment(0x5000, b"text", physical=(1 << 64) - 1)
    data = elf.write_elf("powerpc64", kind=elf.ET_CORE, segments=[segment])
    source = Bytes(data)
    assert PhysicalMemory(source, open_image(source).physical).read(0x5000, 4) == b"text"


def test_raw_memory_can_be_written(tmp_path):
    """A file that was opened for writing; the bytes are where their address says."""
    path = tmp_path / "memory"
    path.write_bytes(bytes(8192))
    with File(str(path), writable=True) as source:
        image = open_raw(source)
        direct = DirectMap(1 << 32, (1 << 32) + 8192)
        memory = VirtualMemory(source, image.physical, direct, image.page_size)
        assert memory.write((1 << 32) + 4094, b"over the edge") == 13
    assert path.read_bytes()[4094:4107] == b"over the edge"


def test_an_architecture_that_is_not_known():
    """Told by its ELF number."""
    data = bytearray(write_full_dump("amd64", runs=[(0, b"x")]))
    data[18:20] = b"\x4b\x00"
    with pytest.raises(Unsupported, match="machine 75"):
        open_image(Bytes(bytes(data)))


def test_a_core_without_memory():
    """Only its headers arrived: told as truncated."""
    data = write_full_dump("amd64", runs=[(0, bytes(4096))])[:4096]
    with pytest.raises(FormatError, match="without memory: truncated"):
        open_image(Bytes(data))


def test_forges_write_holes():
    """A dump written into a file is the same as one in memory, zero pages and all."""
    pages = {1: b"a", 2: None, 900: b"b"}
    into = io.BytesIO()
    assert write_minidump(pages=pages, out=into) == b""
    assert into.getvalue() == write_minidump(pages=pages)
    runs = [(0x1000, b"a"), (0x4000, 8192), (0x9000, b"b")]
    into = io.BytesIO()
    assert write_full_dump(runs=runs, out=into) == b""
    assert into.getvalue() == write_full_dump(runs=runs)


@pytest.mark.parametrize("arch", ROWS)
def test_a_magic_alone_is_a_truncated_minidump(arch):
    """Claimed, and told to end within its header."""
    with pytest.raises(FormatError, match="ends within its minidump header"):
        open_image(Bytes(ROWS[arch].magic + b"\0" * 8))
