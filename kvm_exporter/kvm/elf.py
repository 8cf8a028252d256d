"""What does an ELF file say of itself?  Its headers, sections and notes, from elf(5).

1. Both classes and byte orders.  Every offset and count is checked before it is used: tables and
   contents that do not lie in the file are a FormatError.
2. Entries may be longer than this file knows (e_phentsize, e_shentsize).  e_ehsize, e_version and
   EI_VERSION are not looked at: QEMU writes 8 for the first, FreeBSD's full dumps 0 for the second.
3. Counts that do not fit are kept in section 0: e_shnum 0, e_shstrndx SHN_XINDEX, e_phnum PN_XNUM.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError, Unsupported
from kvm_exporter.kvm.source import Readable, exactly

MAGIC = b"\x7fELF"
ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
PT_LOAD, PT_NOTE = 1, 4
SHT_PROGBITS, SHT_SYMTAB, SHT_HASH, SHT_NOTE, SHT_NOBITS, SHT_DYNSYM = 1, 2, 5, 7, 8, 11
SHF_WRITE, SHF_ALLOC, SHF_COMPRESSED = 1, 2, 0x800
PN_XNUM = SHN_XINDEX = 0xFFFF
NT_GNU_BUILD_ID = 3
BUILD_ID = ".note.gnu.build-id"

MOST_ENTRIES = 1 << 18
"""Program or section headers of a file at most: more than any dump has runs of memory."""

MOST_TABLE = 1 << 26
"""Bytes of program or section headers."""

MOST_NAMES = 1 << 24
"""Bytes of sections' names."""

MOST_BYTES = 1 << 30
"""Of one section, decompressed; kernel.debug's .debug_info has some 100 MB."""

MOST_NOTES = 1 << 24
"""Bytes of notes in all: a core of QEMU has a few hundred for each CPU."""

LONGEST_NAME = 512
"""Of a section; the rest is cut off."""

MOST_DEFLATED = 1032
"""Bytes that one byte of a zlib stream can become (zlib's technical details), roughly."""

OSABIS: Mapping[int, str] = MappingProxyType(
    {
        0: "none",
        2: "netbsd",
        3: "linux",
        6: "solaris",
        9: "freebsd",
        12: "openbsd",
        255: "standalone",
    }
)
"""EI_OSABI: the brand.  FreeBSD's kernels and modules are 9, its full dumps 255."""


class Header(NamedTuple):
    """The ELF header; counts are those meant, wherever the file keeps them.

    ``bits`` is 32 or 64; ``type`` is of ET_*, ``machine`` of EM_*; ``osabi`` see OSABIS.
    """

    bits: int
    abi: Abi
    osabi: int
    type: int
    machine: int
    entry: int
    programs_at: int
    sections_at: int
    program_size: int
    program_count: int
    section_size: int
    section_count: int
    names_section: int

    @property
    def identity(self) -> tuple[int, int, int]:
        """(e_machine, EI_CLASS, EI_DATA), as Arch.elf has it."""
        return self.machine, self.bits // 32, 1 if self.abi.order == "<" else 2


class Program(NamedTuple):
    """A program header: ``file_size`` bytes at ``offset`` are those at address ``virtual``."""

    type: int
    flags: int
    offset: int
    virtual: int
    physical: int
    file_size: int
    memory_size: int
    align: int


class Section(NamedTuple):
    """A section header; ``size`` bytes at ``offset`` of the file, none of them for SHT_NOBITS."""

    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int


class Note(NamedTuple):
    """An entry of a note section; ``name`` without its NUL."""

    name: bytes
    type: int
    description: bytes


@dataclass(frozen=True, slots=True)
class _Class:
    """How one class writes its headers: those fields of Header and Program that differ in width.

    ``program_order`` tells where in a program header each field of Program is.
    """

    header: str
    program: str
    program_order: tuple[int, ...]
    section: str
    compression: str


_CLASSES = {
    32: _Class("HH4xIII6xHHHHH", "8I", (0, 6, 1, 2, 3, 4, 5, 7), "10I", "III"),
    64: _Class("HH4xQQQ6xHHHHH", "IIQQQQQQ", (0, 1, 2, 3, 4, 5, 6, 7), "IIQQQQIIQQ", "I4xQQ"),
}
_FORMS = {
    b"\1\1": (32, Abi("<", 4)),
    b"\1\2": (32, Abi(">", 4)),
    b"\2\1": (64, Abi("<", 8)),
    b"\2\2": (64, Abi(">", 8)),
}
_IDENT_SIZE = 16


def is_elf(start: bytes) -> bool:
    """Whether a file that begins so is ELF, of a class and byte order that there are."""
    return start[:4] == MAGIC and start[4:6] in _FORMS


def read_header(source: Readable) -> Header:
    """The ELF header of a file; FormatError for what is none."""
    ident = source.read(0, _IDENT_SIZE)
    if not is_elf(ident) or len(ident) < _IDENT_SIZE:
        raise FormatError(f"{source.name}: no ELF file: it begins with {ident[:8].hex(' ')!r}")
    bits, abi = _FORMS[ident[4:6]]
    code = struct.Struct(abi.order + _CLASSES[bits].header)
    values = code.unpack(exactly(source, _IDENT_SIZE, code.size, "its ELF header"))
    return _with_counts_of_section_0(source, Header(bits, abi, ident[7], *values))


def _with_counts_of_section_0(source: Readable, header: Header) -> Header:
    programs, count, names = header.program_count, header.section_count, header.names_section
    extended = programs == PN_XNUM or names == SHN_XINDEX or not count
    if not extended or not header.sections_at:
        return header
    ((*_, size, link, info, _, _),) = _section_rows(source, header._replace(section_count=1))
    return header._replace(
        program_count=info if programs == PN_XNUM else programs,
        section_count=count or size,
        names_section=link if names == SHN_XINDEX else names,
    )


def program_headers(source: Readable, header: Header | None = None) -> list[Program]:
    """Every program header, in the file's order."""
    header = header or read_header(source)
    known = _CLASSES[header.bits]
    place = (header.programs_at, header.program_size, header.program_count)
    rows = _table(source, header.abi, known.program, place, "program headers")
    return [Program._make([row[at] for at in known.program_order]) for row in rows]


def loads(source: Readable, header: Header | None = None) -> list[Program]:
    """The PT_LOAD headers: what memory the file holds."""
    return [one for one in program_headers(source, header) if one.type == PT_LOAD]


def sections(source: Readable, header: Header | None = None) -> list[Section]:
    """Every section by its number (0 is the empty one); none where there are no headers.

    Names that the file does not have are empty.
    """
    header = header or read_header(source)
    rows = _section_rows(source, header) if header.sections_at else []
    names = b""
    if 0 < header.names_section < len(rows):
        listed = Section("of names", *rows[header.names_section][1:])
        names = contents(source, header, listed, MOST_NAMES)
    return [Section(_string(names, name), *rest) for name, *rest in rows]


def parse_sections(data: bytes, abi: Abi) -> list[Section]:
    """The section headers in ``data``, without their names; what is left over is not looked at."""
    entry = struct.Struct(abi.order + _CLASSES[abi.pointer_size * 8].section)
    whole = data[: len(data) - len(data) % entry.size]
    return [Section("", *rest) for _, *rest in entry.iter_unpack(whole)]


def section_size(abi: Abi) -> int:
    """Bytes of a section header."""
    return struct.calcsize(abi.order + _CLASSES[abi.pointer_size * 8].section)


def named(among: Sequence[Section], name: str) -> Section | None:
    """The first section of that name."""
    return next((one for one in among if one.name == name), None)


def _section_rows(source: Readable, header: Header) -> list[tuple[int, ...]]:
    """As Section, but for the name, which is its place in the string table."""
    place = (header.sections_at, header.section_size, header.section_count)
    return _table(source, header.abi, _CLASSES[header.bits].section, place, "section headers")


def _table(
    source: Readable, abi: Abi, code: str, place: tuple[int, int, int], what: str
) -> list[tuple[int, ...]]:
    at, size, count = place
    entry = struct.Struct(abi.order + code)
    if not count:
        return []
    if size < entry.size or count > MOST_ENTRIES or count * size > MOST_TABLE:
        raise FormatError(f"{source.name}: {count} {what} of {size} bytes at {at:#x} cannot be")
    data = exactly(source, at, (count - 1) * size + entry.size, f"its {what}")
    if size == entry.size:
        return list(entry.iter_unpack(data))
    return [entry.unpack_from(data, index * size) for index in range(count)]


def _string(strings: bytes, at: int) -> str:
    end = strings.find(b"\0", at, at + LONGEST_NAME)
    return strings[at : end if end >= 0 else at + LONGEST_NAME].decode("utf-8", "surrogateescape")


def contents(source: Readable, header: Header, section: Section, most: int = MOST_BYTES) -> bytes:
    """The bytes of a section, decompressed; empty for SHT_NOBITS.

    Errors: FormatError where they do not lie in the file, are damaged, or are more than ``most``;
    Unsupported for a compression that is not zlib.
    """
    if section.type == SHT_NOBITS:
        return b""
    what = f"section {section.name}"
    if section.size > most:
        raise FormatError(f"{source.name}: {what} of {section.size} bytes: at most {most}")
    data = exactly(source, section.offset, section.size, what)
    if section.flags & SHF_COMPRESSED:
        return _decompressed(data, header, most, f"{source.name}: {what}")
    return data


def _decompressed(data: bytes, header: Header, most: int, what: str) -> bytes:
    chdr = struct.Struct(header.abi.order + _CLASSES[header.bits].compression)
    if len(data) < chdr.size:
        raise FormatError(f"{what} ends within its compression header")
    kind, size, _ = chdr.unpack_from(data)
    if kind != 1:
        raise Unsupported(
            f"{what} has compression {kind}, not zlib; objcopy --decompress-debug-sections it"
        )
    if size > min(most, MOST_DEFLATED * len(data)):
        raise FormatError(f"{what} claims {size} bytes of {len(data)} compressed ones")
    return inflated(data[chdr.size :], size, what)


def inflated(data: bytes, size: int, what: str) -> bytes:
    """The ``size`` bytes that a zlib stream holds; FormatError for any other number."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, size + 1)
    except zlib.error as e:
        raise FormatError(f"{what}: {e}") from e
    if len(plain) != size:
        raise FormatError(f"{what}: {len(plain)} bytes or more in place of {size}")
    return plain


def notes(source: Readable, header: Header | None = None) -> Iterator[Note]:
    """The notes of the PT_NOTE segments, or where there are none of the SHT_NOTE sections.

    A damaged note ends its segment; what is behind too many bytes of them is left out.
    """
    header = header or read_header(source)
    places = [
        (one.offset, one.file_size)
        for one in program_headers(source, header)
        if one.type == PT_NOTE
    ] or [(one.offset, one.size) for one in sections(source, header) if one.type == SHT_NOTE]
    left = MOST_NOTES
    for offset, size in places:
        if size <= left:
            left -= size
            yield from parse_notes(source.read(offset, size), header.abi)


def parse_notes(data: bytes, abi: Abi) -> Iterator[Note]:
    """The notes in ``data``: their words are of 4 bytes in both classes (elf(5), Nhdr)."""
    head = struct.Struct(abi.order + "III")
    at = 0
    while at + head.size <= len(data):
        name_size, size, kind = head.unpack_from(data, at)
        name_at = at + head.size
        description_at = name_at + (name_size + 3 & ~3)
        if description_at + size > len(data):
            return
        at = description_at + (size + 3 & ~3)
        name = data[name_at : name_at + name_size].rstrip(b"\0")
        yield Note(name, kind, data[description_at : description_at + size])


def build_id(source: Readable, header: Header | None = None) -> bytes | None:
    """The GNU build id, which ties a kernel to its kernel.debug; None where there is none.

    A kernel has no PT_NOTE on some architectures, so the section is asked first.
    """
    header = header or read_header(source)
    section = named(sections(source, header), BUILD_ID)
    found = (
        parse_notes(contents(source, header, section), header.abi)
        if section
        else notes(source, header)
    )
    ids = (one.description for one in found if (one.name, one.type) == (b"GNU", NT_GNU_BUILD_ID))
    return next(ids, None)
