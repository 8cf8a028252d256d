"""Is a kdump file read as it was written, whoever wrote it, and told what it lacks?"""

from __future__ import annotations

import random
import struct
import sys
from itertools import pairwise

import pytest
from fakes.sources import Bytes
from forge import elf
from forge.kdump import PACKERS, STYLES, forge_kdump, write_kdump

from kvm_exporter.kvm.errors import AccessDenied, Fault, Filtered, FormatError, Unsupported
from kvm_exporter.kvm.formats import formats, open_image, open_images
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.space import PhysicalMemory, VirtualMemory
from kvm_exporter.kvm.translation import DirectMap

RNG = random.Random(41)
PAGES = {
    0: b"the first page",
    1: RNG.randbytes(4096),
    2: b"",
    5: RNG.randbytes(300) * 9,
    6: b"",
    63: b"in the first word of the bitmap",
    64: b"in the second",
    900: RNG.randbytes(2000),
}
"""Plain, packed, zero, side by side and apart."""
HOLES = (3, 62, 65, 899, 1000)
INFO = b"OSRELEASE=6.1.0\nPAGESIZE=4096\n"
EXTRAS = {"lzo": "lzallright", "snappy": "cramjam", "zstd": "zstandard"}


def opened(data, name="vmcore"):
    """An image, and its memory."""
    image = open_image(Bytes(data, name))
    return image, PhysicalMemory(image.store, image.physical)


def check(memory, pages=PAGES, size=4096):
    """All pages are there, and none of HOLES."""
    for number, data in pages.items():
        assert memory.read(number * size, size) == data.ljust(size, b"\0")
    for number in HOLES:
        with pytest.raises(Fault):
            memory.read(number * size, 1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("style", "version"),
    # version 6 is older than any time_t of 64 bits on 32-bit machines
    [(style, 6) for style in STYLES if "time_t" in style]
    + [(style, version) for style in STYLES for version in range(1, 7) if "time_t" not in style],
)
def test_every_header_that_was_ever_written(style, order, version):
    """Each version, width, byte order, alignment and width of time, and QEMU's own structs."""
    data = write_kdump(
        PAGES, style=style, order=order, version=version, vmcoreinfo=INFO, level=4, filtered=[3]
    )
    image, memory = opened(data)
    check(memory)
    assert image.page_size == 4096
    assert image.abi.order == order
    assert image.abi.pointer_size == (8 if "64-bit" in style or style == "lp64" else 4)
    assert image.vmcoreinfo == (INFO if version >= 3 else None)
    assert image.written == (None if style.startswith("qemu") else 1_700_000_000.25)
    assert ("dump level", "4: without private page cache") in image.facts


def test_one_format_claims_it():
    """Every probe on a dump of each kind: kdump's alone says yes."""
    for signature in (b"KDUMP   ", b"DISKDUMP"):
        source = Bytes(write_kdump(PAGES, signature=signature))
        assert [one.name for one in formats() if one.probe(source)] == ["kdump"]


@pytest.mark.parametrize("size", [4096, 16384, 65536])
def test_pages_of_any_size(size):
    """The block size, in which the headers are counted too; QEMU's is larger than the kernel's."""
    image, memory = opened(write_kdump(PAGES, page=size, machine="aarch64"))
    check(memory, size=size)
    assert (image.page_size, image.arch.page_size) == (4096, 4096)
    virtual = VirtualMemory(image.store, image.physical, DirectMap(1 << 40, 1 << 41), 4096)
    assert virtual.read((1 << 40) + 64 * size - 3, 9) == b"\0\0\0in the"


@pytest.mark.parametrize("kind", PACKERS)
def test_every_compression(kind):
    """Pages that were packed by our own writers, beside those that are stored plain."""
    if kind in EXTRAS:
        pytest.importorskip(EXTRAS[kind])
    image, memory = opened(write_kdump(PAGES, compression=kind))
    check(memory)
    assert ("compression", kind) in image.facts


@pytest.mark.parametrize("kind", EXTRAS)
def test_pages_that_the_usual_programs_packed(kind):
    """The packages' own compressors, on pages that pack well and on text."""
    module = pytest.importorskip(EXTRAS[kind])
    pack = {
        "lzo": lambda data: module.LZOCompressor().compress(data),
        "snappy": lambda data: bytes(module.snappy.compress_raw(data)),
        "zstd": lambda data: module.ZstdCompressor(3).compress(data),
    }[kind]
    pages = {number: (b"page %d of text " % number) * 99 for number in range(30)}
    _, memory = opened(write_kdump(pages, compression=kind, pack=pack))
    for number, data in pages.items():
        assert memory.read(number * 4096, 4096) == data.ljust(4096, b"\0")


@pytest.mark.parametrize(("kind", "module"), EXTRAS.items())
def test_a_package_that_is_missing_is_named(kind, module, monkeypatch):
    """At once, with the extra that brings it; the same where only a page tells."""
    for name in (module, "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unsupported, match=rf"vmcore.* {kind}.*kvm_exporter\[{kind}\]"):
        opened(write_kdump(PAGES, compression=kind))
    _, memory = opened(write_kdump(PAGES, packed={5: (kind, PACKERS[kind](bytes(4096)))}))
    assert memory.read(0, 5) == b"the f"
    with pytest.raises(Unsupported, match=rf"kvm_exporter\[{kind}\]"):
        memory.read(5 * 4096, 1)


def test_left_out_is_not_missing():
    """What was filtered is told so, with the reasons there were; what never was is not."""
    data = write_kdump({1: b"x"}, filtered=[2], level=31)
    _, memory = opened(data)
    words = "level 31: zeros, page cache, private page cache, user data, free pages"
    with pytest.raises(Filtered, match=words) as caught:
        memory.read(0x2010, 4)
    assert caught.value.address == 0x2010
    for address in (0, 0x3000, 1 << 40, -1):
        with pytest.raises(Fault) as fault:
            memory.read(address, 1)
        assert not isinstance(fault.value, Filtered)


def test_left_out_stays_so_through_a_map():
    """A virtual address's fault is Filtered as well, and it is the virtual one's."""
    image = open_image(Bytes(write_kdump({1: b"x"}, filtered=[2], level=8)))
    memory = VirtualMemory(image.store, image.physical, DirectMap(1 << 40, 1 << 41), 4096)
    with pytest.raises(Filtered, match="user data") as caught:
        memory.read((1 << 40) + 0x2000, 4)
    assert caught.value.address == (1 << 40) + 0x2000
    assert memory.read((1 << 40) + 0x1FFE, 4) == b"\0\0"


def test_zeros_are_read_where_nothing_else_was_left_out():
    """Level 1 has one reason only; of any other level nobody can tell."""
    data = write_kdump({1: b"x"}, filtered=[2, 3], level=1)
    image, memory = opened(data)
    assert memory.read(0x1FFF, 0x2001) == bytes(0x2001)
    with pytest.raises(Fault):
        memory.read(0, 1)
    assert image.store.size == 8192
    for level in (3, 30):
        with pytest.raises(Filtered):
            opened(write_kdump({1: b"x"}, filtered=[2], level=level))[1].read(0x2000, 1)


def test_a_file_with_one_bitmap():
    """Whole dumps of diskdump: the bitmap is of the pages in the file, nothing was left out."""
    _, memory = opened(write_kdump(PAGES, bitmaps=1, signature=b"DISKDUMP"))
    check(memory)


def test_pages_of_zeros_are_unpacked_once():
    """They share their bytes in the file, so they are read with one more read at most."""
    data = write_kdump(dict.fromkeys(range(500), b"") | {500: b"x"})
    source = Bytes(data)
    image = open_image(source)
    memory = PhysicalMemory(image.store, image.physical)
    source.reads = 0
    assert memory.read(0, 501 * 4096) == bytes(500 * 4096) + b"x".ljust(4096, b"\0")
    assert source.reads <= 8


def test_vmcoreinfo_is_found_among_notes():
    """Version 4 onwards has notes; where the header does not point into them, they are read."""
    notes = elf.note("<", b"CORE\0", 1, bytes(336)) + elf.note("<", b"LINUX\0", 0x700, bytes(77))
    told = {"offset_vmcoreinfo": 0, "size_vmcoreinfo": 0}
    for version in (4, 5, 6):
        data = write_kdump(PAGES, version=version, vmcoreinfo=INFO, notes=notes, fields=told)
        assert open_image(Bytes(data)).vmcoreinfo == INFO
    assert open_image(Bytes(write_kdump(PAGES, notes=notes))).vmcoreinfo is None


@pytest.mark.parametrize(
    ("machine", "style", "order", "name"),
    [
        ("x86_64", "lp64", "<", "amd64"),
        ("X86_64", "qemu, 64-bit", "<", "amd64"),
        ("X86_64", "qemu, 32-bit", "<", "i386"),
        ("i686", "qemu, 64-bit", "<", "i386"),
        ("i586", "i386", "<", "i386"),
        ("aarch64", "lp64", "<", "aarch64"),
        ("armv7l", "arm", "<", "armv7"),
        ("ppc64le", "lp64", "<", "powerpc64le"),
        ("ppc64", "lp64", ">", "powerpc64"),
        ("riscv64", "lp64", "<", "riscv64"),
        ("mips64", "lp64", ">", "mips64"),
        ("s390x", "lp64", ">", None),
        ("", "lp64", "<", None),
    ],
)
def test_architectures(machine, style, order, name):
    """The name tells the family, the layout the width; None for what is not known."""
    image = open_image(Bytes(write_kdump(PAGES, machine=machine, style=style, order=order)))
    assert (image.arch and image.arch.name) == name
    if name:
        assert image.abi == image.arch.abi
    assert image.utsname.machine == machine


@pytest.mark.parametrize(
    ("size", "style", "order", "name"),
    [
        (336, "lp64", "<", "amd64"),
        (144, "qemu, 32-bit", "<", "i386"),
        (392, "qemu, 64-bit", "<", "aarch64"),
        (148, "qemu, 32-bit", "<", "armv7"),
        (148, "lp64", "<", "armv7"),
        (504, "qemu, 64-bit", "<", "powerpc64le"),
        (504, "qemu, 64-bit", ">", "powerpc64"),
        (376, "qemu, 64-bit", "<", "riscv64"),
        (336, "qemu, 64-bit", ">", None),
        (77, "lp64", "<", None),
    ],
)
def test_architectures_without_a_name(size, style, order, name):
    """QEMU calls most of them Unknown: the size of a CPU's registers tells."""
    notes = elf.note(order, b"QEMU\0", 0, bytes(440))
    notes += elf.note(order, b"CORE\0", 1, bytes(size)) + elf.note(order, b"CORE\0", 1, bytes(9))
    data = write_kdump(PAGES, machine="Unknown", style=style, order=order, notes=notes)
    image = open_image(Bytes(data))
    assert (image.arch and image.arch.name) == name


def test_the_byte_order_of_powerpc_is_the_processors():
    """Headers of a little-endian guest are big-endian (QEMU): MSR tells, and all is read still."""
    status = bytearray(504)
    struct.pack_into(">Q", status, 112 + 33 * 8, 0x8000000000009033)
    notes = elf.note(">", b"CORE\0", 1, bytes(status))
    told = {"offset_vmcoreinfo": 0, "size_vmcoreinfo": 0}
    image, memory = opened(
        write_kdump(PAGES, machine="Unknown", order=">", notes=notes, vmcoreinfo=INFO, fields=told)
    )
    assert (image.arch.name, image.abi.order, image.vmcoreinfo) == ("powerpc64le", "<", INFO)
    check(memory)


def test_what_the_header_says_for_people():
    """Version, names, time, what was kept and left out, and that it is incomplete."""
    data = write_kdump(PAGES, filtered=HOLES, level=17, status=8 | 16)
    image = open_image(Bytes(data))
    assert image.format == "kdump, version 6"
    assert image.utsname == ("Linux", "forged", "6.1.0", "#1 SMP", "x86_64", "(none)")
    facts = dict(image.facts)
    assert facts["physical memory"] == "0 MiB in 8 pages of 4096 bytes"
    assert facts["dump level"] == "17: without zeros, free pages"
    assert facts["uname"] == "Linux forged 6.1.0 #1 SMP x86_64"
    assert facts["written"] == "1700000000 seconds after 1970"
    assert "vmemmap" in facts["left out"]
    assert "no room" in facts["status"]


def thirds(count=3, **options):
    """The files of a split set of PAGES."""
    ends = [0, 2, 64, 901][: count + 1]
    return [
        Bytes(write_kdump(PAGES, split=(first, end), mapnr=901, **options), f"part{number}")
        for number, (first, end) in enumerate(pairwise(ends))
    ]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_split_set_in_any_order(order):
    """Its files together are the whole."""
    parts = thirds()
    image = open_images([parts[number] for number in order])
    memory = PhysicalMemory(image.store, image.physical)
    check(memory)
    assert memory.read(0x1000, 0x2000) == PAGES[1] + bytes(4096)
    assert dict(image.facts)["split dump"].startswith("3 files, with pages 0x0 to 0x2, 0x2 to 0x40")
    assert "missing files" not in dict(image.facts)
    image.store.close()
    assert all(part.closed for part in parts)


@pytest.mark.parametrize("version", [2, 6])
def test_a_split_set_without_one_of_its_files(version):
    """Its pages fault and say why; those of the others are there."""
    first, _, last = thirds(version=version)
    image = open_images([last, first])
    memory = PhysicalMemory(image.store, image.physical)
    for number in (0, 1, 64, 900):
        assert memory.read(number * 4096, 4096) == PAGES[number].ljust(4096, b"\0")
    with pytest.raises(Fault, match="pages 0x2 to 0x40 of the split dump are in a file not given"):
        memory.read(5 * 4096, 1)
    assert dict(image.facts)["missing files"].startswith("those with pages 0x2 to 0x40:")
    alone = open_images([last])
    assert dict(alone.facts)["missing files"].startswith("those with pages 0x0 to 0x40:")
    assert PhysicalMemory(alone.store, alone.physical).read(64 * 4096, 6) == b"in the"


def test_a_split_sets_files_keep_their_bytes_apart():
    """Pages that a file repeats are none of another's, though they lie at the same offset there."""
    pages = {0: b"", 1: b"", 2: b"", 3: b"other", 4: b"another", 5: b"third"}
    parts = [
        Bytes(write_kdump(pages, split=ends, mapnr=6, compression="none"), "part")
        for ends in ((0, 3), (3, 6))
    ]
    image = open_images(parts)
    memory = PhysicalMemory(image.store, image.physical)
    assert memory.read(0, 3 * 4096) == bytes(3 * 4096)
    assert memory.read(3 * 4096, 5) == b"other"
    assert memory.read(0, 4 * 4096)[3 * 4096 :] == b"other".ljust(4096, b"\0")


def test_files_that_do_not_belong_together():
    """Two whole dumps, the same part twice, parts of two dumps, and a dump of another format."""
    whole, parts = Bytes(write_kdump(PAGES), "whole"), thirds()
    other = thirds(release="6.2.0")
    for files, said in (
        ([whole, whole], "whole: a whole dump, no part"),
        ([parts[0], whole], "whole: a whole dump, no part"),
        ([parts[0], parts[0]], "part0 and part0 have the same pages"),
        ([parts[0], other[1]], "part1 and part0 are parts of different dumps"),
        ([parts[0], Bytes(elf.write_elf("amd64", kind=elf.ET_CORE), "core")], "core: a dump of"),
        ([parts[0], Bytes(b"what?" * 200, "junk")], "junk: begins with"),
    ):
        with pytest.raises(FormatError, match=said):
            open_images(files)


def test_damaged_pages_cost_themselves():
    """Flipped bytes fault with the file and the offset; a read ends before them."""
    made = forge_kdump({number: (b"page %d " % number) * 9 for number in range(64)})
    data = bytearray(made.data)
    (offset,) = memoryview(data)[made.descriptors[40] : made.descriptors[40] + 8].cast("q")
    data[offset + 5 : offset + 40] = b"\xff" * 35
    source = Bytes(bytes(data), "vmcore.damaged")
    image = open_image(source)
    memory = PhysicalMemory(image.store, image.physical)
    for _ in range(2):
        with pytest.raises(Fault, match=rf"address {40 * 4096:#x}: .*damaged: .*{offset:#x}"):
            memory.read(40 * 4096 + 8, 8)
    assert memory.read(41 * 4096, 7) == b"page 41"
    virtual = VirtualMemory(image.store, image.physical, DirectMap(1 << 40, 1 << 41), 4096)
    assert len(virtual.read(1 << 40, 64 * 4096)) == 40 * 4096
    with pytest.raises(Fault) as caught:
        virtual.read((1 << 40) + 40 * 4096, 8192)
    assert caught.value.address == (1 << 40) + 40 * 4096


@pytest.mark.parametrize("kind", [*EXTRAS, "zlib"])
def test_no_page_becomes_more_than_a_page(kind):
    """Bombs, and streams of a wrong length, are damaged pages."""
    if kind in EXTRAS:
        pytest.importorskip(EXTRAS[kind])
    bomb = PACKERS[kind](bytes(1 << 20))[:4096]
    short = PACKERS[kind](bytes(4000))
    huge = {"snappy": b"\xff\xff\xff\xff\x0f" + bytes(9), "zstd": zstd_of_any_size()}
    for stored in (bomb, short, huge.get(kind, b"\0")):
        _, memory = opened(write_kdump({1: b"x", 2: b"y"}, packed={1: (kind, stored)}))
        with pytest.raises(Fault, match="0x1000: its page cannot be had: vmcore: damaged"):
            memory.read(0x1000, 1)
        assert memory.read(0x2000, 1) == b"y"


def zstd_of_any_size():
    """A frame that says it is 2**63 bytes long."""
    return b"\x28\xb5\x2f\xfd\xe0" + (1 << 63).to_bytes(8, "little") + b"\3\0\x10x"


def test_a_compression_of_no_known_kind():
    """Two bits at once, or one that there is not: the page says which."""
    _, memory = opened(write_kdump({1: b"x", 2: b"y"}, packed={1: ("64", b"abc")}))
    with pytest.raises(Fault, match="a compression of no known kind, 0x40"):
        memory.read(0x1000, 1)


def test_files_that_end_early():
    """What is there is read, what is not faults and is counted; descriptors may be cut off too."""
    pages = {number: RNG.randbytes(4096) for number in range(2000)}
    made = forge_kdump(pages)
    for cut, there in (
        (len(made.data) - 1, 1999),
        (len(made.data) - 4096 * 500, 1500),
        (made.descriptors[100], 0),
    ):
        image, memory = opened(made.data[:cut])
        assert image.physical.missing == (2000 - there) * 4096
        for number in (0, 99, 1499, 1998, 1999):
            if number < there:
                assert memory.read(number * 4096, 4096) == pages[number]
            else:
                with pytest.raises(Fault, match="truncated"):
                    memory.read(number * 4096, 1)
    assert opened(made.data)[0].physical.missing == 0


def test_pages_that_were_never_written():
    """An incomplete dump has descriptors of zeros: those pages are missing, and counted."""
    made = forge_kdump(PAGES, status=8)
    data = bytearray(made.data)
    data[made.descriptors[64] : made.descriptors[900] + 24] = bytes(48)
    image, memory = opened(bytes(data))
    with pytest.raises(Fault, match="never written: the dump is incomplete"):
        memory.read(900 * 4096, 1)
    assert memory.read(63 * 4096, 2) == b"in"
    assert image.physical.missing == 8192


def test_reads_of_any_place_and_length():
    """The store is one long file of all pages, in which nothing depends on what was read before."""
    pages = {number: RNG.randbytes(900) + bytes([number & 255]) for number in range(3500)}
    image, _ = opened(write_kdump(pages))
    store = image.store
    whole = b"".join(data.ljust(4096, b"\0") for data in pages.values())
    assert store.size == len(whole)
    for _ in range(400):
        at = RNG.randrange(len(whole))
        length = RNG.choice((1, 8, 4096, 9000, 70_000, 2_000_000))
        assert store.read(at, length) == whole[at : at + length]
    assert store.read(0, 1 << 40) == whole
    assert store.read(len(whole), 1) == store.read(-1, 1) == b""
    kept = sum(map(len, (*store._young.values(), *store._old.values())))
    assert kept <= 16 << 20


def test_dumps_are_not_written():
    """AccessDenied, and not a silent nothing."""
    image, _ = opened(write_kdump(PAGES))
    with pytest.raises(AccessDenied, match="kdump"):
        image.store.write(0, b"x")


def test_memory_far_up_costs_little(tmp_path):
    """A page at 8 TiB: the bitmap is 256 MiB of zeros, of which nothing is kept."""
    far = 1 << 31
    bitmap = far // 8 + 4096
    made = forge_kdump({1: b"low"}, mapnr=far + 8)
    head, tail = made.data[:8192], made.data[-len(PACKERS["zlib"](b"low".ljust(4096, b"\0"))) :]
    path = tmp_path / "vmcore"
    with path.open("wb") as file:
        file.write(head)
        for start in (8192, 8192 + bitmap):
            for page in (1, far):
                file.seek(start + page // 8)
                file.write(bytes([1 << page % 8]))
        data_at = 8192 + 2 * bitmap + 48
        file.seek(8192 + 2 * bitmap)
        row = data_at.to_bytes(8, "little") + len(tail).to_bytes(4, "little") + b"\1" + bytes(11)
        file.write(row * 2 + tail)
    with File(str(path)) as source:
        image = open_image(source)
        memory = PhysicalMemory(image.store, image.physical)
        assert memory.read(far << 12, 3) == memory.read(4096, 3) == b"low"
        assert [one.address for one in image.physical.extents()] == [4096, far << 12]
        assert len(image.physical._kept._words) < 20_000


@pytest.mark.parametrize(("status", "told"), [(0x27, "several (0x27)"), (0x3, "several (0x3)")])
def test_a_status_of_several_compressions(status, told):
    """Each page says how it is packed, so the file is read all the same."""
    image, memory = opened(write_kdump(PAGES, fields={"status": status}))
    assert ("compression", told) in image.facts
    check(memory)
