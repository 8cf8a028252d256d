"""Is the structure of an ELF file read in every class and byte order, and a hostile one refused?"""

from __future__ import annotations

import contextlib
import io
import struct

import pytest
from elftools.elf.elffile import ELFFile
from fakes.sources import Bytes
from forge import elf as forge
from forge.elf import Section, Segment, Sym
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.errors import FormatError, KvmError, Unsupported

FORMS = [(bits, order) for bits in (32, 64) for order in "<>"]
BUILD_ID = bytes(range(0x40, 0x54))


def made(bits: int = 64, order: str = "<", **options: object) -> bytes:
    """A small file with a bit of everything."""
    values: dict[str, object] = {
        "symbols": [Sym("allproc", 0x4000, 8)],
        "sections": {
            ".data": Section(b"data" * 4, forge.PROGBITS, forge.ALLOC | forge.WRITE, 0x4000),
            ".bss": Section(b"", forge.NOBITS, forge.ALLOC, 0x5000, 1 << 30),
            ".note.gnu.build-id": Section(forge.note(order, b"GNU\0", 3, BUILD_ID), forge.NOTE),
        },
        "segments": [
            Segment(0x4000, b"segment", physical=0x8000, memory_size=0x100, flags=5),
            Segment(0, forge.note(order, b"FreeBSD\0", 1, b"abc"), forge.PT_NOTE),
        ],
    }
    return forge.write_elf(22, bits, order, **{**values, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(("bits", "order"), FORMS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"extra": 8},
        {"extended": True},
        {"extended": True, "extra": 24},
        {"ehsize": 8, "headers_at": 192, "version": 0},
        {"sections_first": True},
    ],
)
def test_every_form_reads_alike(bits: int, order: str, options: dict[str, object]) -> None:
    """Class, order, longer entries, counts in section 0 and QEMU's e_ehsize change nothing."""
    source = Bytes(made(bits, order, **options))
    header = elf.read_header(source)
    assert (header.bits, header.abi.order, header.abi.pointer_size) == (bits, order, bits // 8)
    assert (header.type, header.machine, header.osabi) == (forge.ET_EXEC, 22, 9)
    assert elf.OSABIS[header.osabi] == "freebsd"
    assert header.identity == (22, bits // 32, "<>".index(order) + 1)
    load, note = elf.program_headers(source, header)
    assert (load.type, load.flags, load.virtual, load.physical) == (1, 5, 0x4000, 0x8000)
    assert (load.file_size, load.memory_size) == (7, 0x100)
    assert source.data[load.offset : load.offset + load.file_size] == b"segment"
    assert note.type == elf.PT_NOTE
    assert elf.loads(source) == [load]
    sections = elf.sections(source, header)
    assert [one.name for one in sections] == [
        *("", ".data", ".bss", ".note.gnu.build-id", ".symtab", ".strtab", ".shstrtab"),
    ]
    data, bss = elf.named(sections, ".data"), elf.named(sections, ".bss")
    assert data is not None
    assert bss is not None
    assert (data.address, data.size, elf.contents(source, header, data)) == (
        0x4000,
        16,
        b"data" * 4,
    )
    assert (bss.size, elf.contents(source, header, bss)) == (1 << 30, b"")
    assert elf.build_id(source) == BUILD_ID


@pytest.mark.parametrize("machine", forge.MACHINES)
def test_pyelftools_reads_the_same(machine: str) -> None:
    """Another reader finds the same sections and segments in a forged kernel."""
    data = forge.kernel(machine, [Sym("a", 1), Sym("b", 2, section=forge.ABS)], ctf=b"x" * 99)
    peer = ELFFile(io.BytesIO(data))
    source = Bytes(data)
    ours = elf.sections(source)
    assert [(one.name, one.address, one.offset, one.size) for one in ours] == [
        (one.name, one["sh_addr"], one["sh_offset"], one["sh_size"]) for one in peer.iter_sections()
    ]
    assert [(one.virtual, one.offset, one.file_size) for one in elf.program_headers(source)] == [
        (one["p_vaddr"], one["p_offset"], one["p_filesz"]) for one in peer.iter_segments()
    ]
    assert elf.read_header(source).machine == forge.MACHINES[machine][0]


def test_more_sections_than_fit_are_counted_in_section_0() -> None:
    """65,300 sections: e_shnum is 0, e_shstrndx SHN_XINDEX, and all have their names."""
    many = {f".s{number}": b"" for number in range(0xFF20)}
    source = Bytes(forge.write_elf("amd64", sections=many))
    sections = elf.sections(source)
    assert len(sections) == 0xFF20 + 2
    assert sections[-2].name == f".s{0xFF1F}"


def test_more_segments_than_fit_are_counted_in_section_0() -> None:
    """PN_XNUM: a full dump with more than 65,534 runs of memory."""
    source = Bytes(forge.write_elf("amd64", segments=[Segment(at << 12) for at in range(0x10001)]))
    assert len(elf.loads(source)) == 0x10001


@pytest.mark.parametrize(("bits", "order"), FORMS)
def test_a_compressed_section_is_read_as_it_was(bits: int, order: str) -> None:
    """SHF_COMPRESSED with zlib, as Linux's and FreeBSD's debug files have it."""
    plain = b"debug info " * 999
    section = Section(forge.compressed(bits, order, plain), flags=forge.COMPRESSED)
    source = Bytes(forge.write_elf(22, bits, order, sections={".debug_info": section}))
    header = elf.read_header(source)
    (_, found, _) = elf.sections(source, header)
    assert elf.contents(source, header, found) == plain
    with pytest.raises(FormatError, match="claims 10989 bytes"):
        elf.contents(source, header, found, most=len(plain) - 1)


@pytest.mark.parametrize(
    ("payload", "error", "says"),
    [
        (forge.compressed(64, "<", b"x" * 99, size=98), FormatError, "in place of 98"),
        (forge.compressed(64, "<", b"x" * 99, size=100), FormatError, "in place of 100"),
        (forge.compressed(64, "<", b"x" * 99, size=1 << 29), FormatError, "claims"),
        (forge.compressed(64, "<", b"x" * 99)[:-4] + bytes(4), FormatError, "incorrect data check"),
        (forge.compressed(64, "<", b"x" * 99, kind=2), Unsupported, "objcopy"),
        (b"\1\0\0", FormatError, "compression header"),
    ],
)
def test_a_damaged_compression_is_an_error(
    payload: bytes, error: type[KvmError], says: str
) -> None:
    """A size that is not true, a stream that is none, and a method that is not zlib."""
    section = Section(payload, flags=forge.COMPRESSED)
    source = Bytes(forge.write_elf("amd64", sections={".debug": section}))
    with pytest.raises(error, match=says):
        elf.contents(source, elf.read_header(source), elf.sections(source)[1])


def test_notes_come_from_segments_or_else_from_sections() -> None:
    """Names without their NUL; a damaged note ends its segment only."""
    source = Bytes(made())
    assert list(elf.notes(source)) == [elf.Note(b"FreeBSD", 1, b"abc")]
    assert list(elf.notes(Bytes(made(segments=())))) == [elf.Note(b"GNU", 3, BUILD_ID)]
    good = forge.note("<", b"a\0", 1, b"x")
    bad = struct.pack("<III", 4, 0xFFFFFFF0, 1) + b"abc\0"
    segments = [Segment(0, data, forge.PT_NOTE) for data in (good + bad + good, good)]
    assert len(list(elf.notes(Bytes(made(segments=segments))))) == 2


def test_a_build_id_may_be_in_a_segment_only() -> None:
    """A file without sections still has its build id; one without any has none."""
    note = forge.note("<", b"GNU\0", 3, BUILD_ID)
    segments = [Segment(0, note, forge.PT_NOTE)]
    assert elf.build_id(Bytes(forge.write_elf("amd64", segments=segments))) == BUILD_ID
    assert elf.build_id(Bytes(forge.write_elf("amd64"))) is None


@pytest.mark.parametrize(
    "data", [b"", b"\x7fEL", b"\x7fELF", b"MZ" * 99, b"\x7fELF\3\1" + bytes(99), b"\x7fELF\2\1"]
)
def test_what_is_no_elf_file_says_so(data: bytes) -> None:
    """The message names the file and how it begins."""
    with pytest.raises(FormatError, match="forged: no ELF file"):
        elf.read_header(Bytes(data))


def test_is_elf_wants_a_known_class_and_order() -> None:
    """What begins so is worth opening."""
    assert elf.is_elf(made()[:64])
    assert elf.is_elf(made(32, ">")[:6])
    assert not elf.is_elf(b"\x7fELF\2\3" + bytes(58))
    assert not elf.is_elf(b"")


def everything(data: bytes) -> Bytes:
    """Ask all there is to ask; KvmErrors are fine."""
    source = Bytes(data)
    with contextlib.suppress(KvmError):
        header = elf.read_header(source)
        for ask in (elf.program_headers, elf.build_id, elf.notes):
            with contextlib.suppress(KvmError):
                list(ask(source, header) or ())
        for section in elf.sections(source, header):
            with contextlib.suppress(KvmError):
                elf.contents(source, header, section)
    return source


@pytest.mark.parametrize(("bits", "order"), FORMS)
@pytest.mark.parametrize("extended", [False, True])
def test_a_truncated_file_gives_values_or_an_error(bits: int, order: str, extended: bool) -> None:
    """Cut anywhere, nothing but a KvmError comes out, and no more is read than there is."""
    whole = made(bits, order, extended=extended)
    for length in range(len(whole)):
        assert everything(whole[:length]).largest <= len(whole)


@pytest.mark.parametrize(("bits", "order"), FORMS)
def test_every_field_at_its_extremes_gives_values_or_an_error(bits: int, order: str) -> None:
    """Each half word, word and double word of each header at 0, 1, its half and its most."""
    whole = made(bits, order, extended=True)
    header = elf.read_header(Bytes(whole))
    sections = range(header.sections_at, len(whole), 4)
    places = [*range(16, forge.EHDR_SIZE[bits], 2), *range(forge.EHDR_SIZE[bits], 180, 4)]
    for at in (*places, *sections):
        for size in (2, 4, 8):
            for value in (0, 1, (1 << size * 8 - 1) - 1, (1 << size * 8) - 1):
                patch = value.to_bytes(size, "little" if order == "<" else "big")
                source = everything(whole[:at] + patch + whole[at + size :])
                assert source.largest <= 1 << 30


@given(st.binary(max_size=300), st.sampled_from(FORMS), st.integers(0, 400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_values_or_an_error(noise: bytes, form: tuple[int, str], at: int) -> None:
    """Noise, behind a good beginning or over a good file, raises nothing but KvmErrors."""
    whole = made(*form)
    everything(whole[:6] + noise)
    everything(whole[:at] + noise + whole[at + len(noise) :])
