"""What does an ELF file look like?  Kernels, modules, cores: any class and byte order (elf(5)).

``write_elf`` lays one out from values; ``kernel`` is the usual FreeBSD kernel, from its symbols.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

MACHINES = {
    "amd64": (62, 64, "<"),
    "i386": (3, 32, "<"),
    "aarch64": (183, 64, "<"),
    "armv7": (40, 32, "<"),
    "riscv64": (243, 64, "<"),
    "powerpc64": (21, 64, ">"),
    "powerpc64le": (21, 64, "<"),
    "powerpc": (20, 32, ">"),
    "mips64": (8, 64, ">"),
}
"""FreeBSD's name → e_machine, bits, byte order."""

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
PT_LOAD, PT_NOTE = 1, 4
PROGBITS, SYMTAB, STRTAB, HASH, NOTE, NOBITS, DYNSYM = 1, 2, 3, 5, 7, 8, 11
WRITE, ALLOC, EXEC, COMPRESSED = 1, 2, 4, 0x800
LOCAL, GLOBAL, WEAK = 0, 1, 2
NOTYPE, OBJECT, FUNC, SECTION, FILE = 0, 1, 2, 3, 4
UNDEF, ABS, COMMON, XINDEX = 0, 0xFFF1, 0xFFF2, 0xFFFF
FREEBSD = 9
"""ELFOSABI_FREEBSD, which brands a kernel."""

EHDR = {32: "HHIIIIIHHHHHH", 64: "HHIQQQIHHHHHH"}
EHDR_SIZE = {32: 52, 64: 64}
PHDR_SIZE = {32: 32, 64: 56}
SHDR = {32: "IIIIIIIIII", 64: "IIQQQQIIQQ"}
SHDR_SIZE = {32: 40, 64: 64}
SYM_SIZE = {32: 16, 64: 24}


class Sym(NamedTuple):
    """A symbol; ``section`` is a section's name, or a number such as ABS."""

    name: str
    value: int = 0
    size: int = 0
    type: int = OBJECT
    bind: int = GLOBAL
    section: str | int = ".data"


class Section(NamedTuple):
    """A section; ``size`` is only needed where it is not that of ``data`` (NOBITS)."""

    data: bytes = b""
    type: int = PROGBITS
    flags: int = 0
    address: int = 0
    size: int | None = None
    link: int = 0
    info: int = 0
    entsize: int = 0
    align: int = 1


class Segment(NamedTuple):
    """A program header and its bytes; ``physical`` is ``address`` unless told."""

    address: int
    data: bytes = b""
    type: int = PT_LOAD
    physical: int | None = None
    memory_size: int | None = None
    flags: int = 7
    align: int = 1


def write_elf(
    machine: str | int,
    bits: int | None = None,
    order: str | None = None,
    *,
    kind: int = ET_EXEC,
    osabi: int = FREEBSD,
    symbols: Sequence[Sym] | None = None,
    dynamic_symbols: Sequence[Sym] | None = None,
    sections: Mapping[str, Section | bytes] | None = None,
    segments: Sequence[Segment] = (),
    hashed: bool = False,
    share_tails: bool = True,
    sections_first: bool = False,
    extra: int = 0,
    extended: bool = False,
    version: int = 1,
    ehsize: int | None = None,
    headers_at: int | None = None,
) -> bytes:
    """An ELF file.

    ``machine`` is of MACHINES, or e_machine with ``bits`` and ``order``.  ``symbols`` None means a
    stripped file, ``hashed`` a .hash of the dynamic ones.  ``extra`` bytes are added to each
    program and section header (e_phentsize …); ``extended`` keeps the counts in section 0 even
    where they would fit (PN_XNUM, SHN_XINDEX).  ``headers_at`` is e_phoff; ``share_tails`` merges
    strings as ld(1) does.
    """
    number, native_bits, native_order = (
        MACHINES[machine] if isinstance(machine, str) else (machine, 0, "")
    )
    form = Form(bits or native_bits, order or native_order, extra)
    table = {name: _section(value) for name, value in (sections or {}).items()}
    for given, name, type_, strings in (
        (dynamic_symbols, ".dynsym", DYNSYM, ".dynstr"),
        (symbols, ".symtab", SYMTAB, ".strtab"),
    ):
        if given is not None:
            _add_symbols(table, form, given, (name, type_, strings), share_tails)
    if hashed:
        data = hash_table(form, [symbol.name for symbol in dynamic_symbols or ()])
        number = list(table).index(".dynsym") + 1
        table[".hash"] = Section(data, HASH, link=number, entsize=4, align=4)
    start = EHDR_SIZE[form.bits] if headers_at is None else headers_at
    body = Body(start + len(segments) * form.program_size)
    if sections_first:
        rows = _lay_sections(body, form, table)
    programs = [_program(body, form, segment) for segment in segments]
    if not sections_first:
        rows = _lay_sections(body, form, table)
    return _finish(
        form, body, programs, rows, (kind, number, osabi, version, ehsize, start), extended
    )


def kernel(
    machine: str = "amd64",
    symbols: Sequence[Sym] | None = (),
    *,
    base: int = 0xFFFFFFFF80200000,
    ctf: bytes | None = None,
    build_id: bytes = bytes(range(20)),
    pcpu: tuple[int, int] | None = None,
    vnet: tuple[int, int] | None = None,
    more: Mapping[str, Section | bytes] | None = None,
    **options: object,
) -> bytes:
    """A FreeBSD kernel: its sections at ``base``, and a PT_LOAD for what of them has bytes.

    ``pcpu`` and ``vnet`` are (address, size) of the linker sets, whose bounds become symbols.
    Everything else as write_elf.
    """
    _, bits, order = MACHINES[machine]
    base &= 2**bits - 1
    sections: dict[str, Section | bytes] = {
        ".note.gnu.build-id": Section(note(order, b"GNU\0", 3, build_id), NOTE, ALLOC, base),
        ".text": Section(b"\xcc" * 64, PROGBITS, ALLOC | EXEC, base + 0x1000),
        ".rodata": Section(b"\0" * 64, PROGBITS, ALLOC, base + 0x2000),
        ".data": Section(bytes(64), PROGBITS, ALLOC | WRITE, base + 0x3000),
        ".bss": Section(b"", NOBITS, ALLOC | WRITE, base + 0x4000, 0x1000),
    }
    bounds = []
    for name, place in (("set_pcpu", pcpu), ("set_vnet", vnet)):
        if place:
            address, size = place
            sections[name] = Section(bytes(size), PROGBITS, ALLOC | WRITE, address)
            bounds += [Sym(f"__start_{name}", address, 0, NOTYPE, GLOBAL, name)]
            bounds += [Sym(f"__stop_{name}", address + size, 0, NOTYPE, GLOBAL, name)]
    if ctf is not None:
        sections[".SUNW_ctf"] = Section(ctf)
    sections |= more or {}
    made = [section for section in map(_section, sections.values()) if section.address]
    segments = [
        Segment(one.address, one.data, memory_size=one.size) for one in made if one.data or one.size
    ]
    all_symbols = None if symbols is None else [*symbols, *bounds]
    kind = ET_DYN if machine.startswith("powerpc") else ET_EXEC
    values: dict[str, object] = {
        "kind": kind,
        "symbols": all_symbols,
        "sections": sections,
        "segments": segments,
    }
    return write_elf(machine, **{**values, **options})  # type: ignore[arg-type]


def note(order: str, name: bytes, type_: int, description: bytes) -> bytes:
    """One entry of a note section; ``name`` with its NUL."""
    sizes = struct.pack(order + "III", len(name), len(description), type_)
    return sizes + _padded(name, 4) + _padded(description, 4)


def compressed(
    bits: int, order: str, data: bytes, *, kind: int = 1, size: int | None = None
) -> bytes:
    """What an SHF_COMPRESSED section holds; ``kind`` 1 is zlib, ``size`` what it claims to be."""
    claimed = len(data) if size is None else size
    head = (kind, claimed, 1) if bits == 32 else (kind, 0, claimed, 1)
    return struct.pack(order + ("III" if bits == 32 else "IIQQ"), *head) + zlib.compress(data)


class Form(NamedTuple):
    """The class, the byte order, and what every entry has more than it must."""

    bits: int
    order: str
    extra: int

    @property
    def program_size(self) -> int:
        """Bytes of a program header."""
        return PHDR_SIZE[self.bits] + self.extra

    def pack(self, codes: str, *values: int) -> bytes:
        """Values in this byte order."""
        return struct.pack(self.order + codes, *values)


class Body:
    """What follows the headers: the file's bytes from ``start`` on."""

    def __init__(self, start: int) -> None:
        self.parts: list[bytes] = []
        self.at = start

    def add(self, data: bytes, align: int = 8) -> int:
        """Add bytes; the file offset they got."""
        gap = -self.at % align
        self.parts += [bytes(gap), data]
        offset = self.at + gap
        self.at = offset + len(data)
        return offset


def _section(value: Section | bytes) -> Section:
    return Section(value) if isinstance(value, bytes) else value


def _padded(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)


def _strings(names: Iterable[str], share_tails: bool) -> tuple[bytes, dict[str, int]]:
    """A string table, and where each name lies in it."""
    places = {"": 0}
    out, at = [b"\0"], 1
    wanted = sorted(set(names), key=lambda name: name[::-1], reverse=True)
    last, last_at = "", 0
    for name in wanted:
        if share_tails and last.endswith(name) and last:
            places[name] = last_at + len(last.encode()) - len(name.encode())
            continue
        if name:
            places[name] = last_at = at
            last = name
            data = name.encode("utf-8", "surrogateescape") + b"\0"
            out.append(data)
            at += len(data)
    return b"".join(out), places


def symbol_tables(
    form: Form, sections: Iterable[str], symbols: Sequence[Sym], share_tails: bool = True
) -> tuple[bytes, bytes]:
    """The entries, the empty one first, and their strings; ``sections`` are numbered from 1."""
    numbers = {section: index for index, section in enumerate(sections, 1)}
    strings, places = _strings((symbol.name for symbol in symbols), share_tails)
    entries = [bytes(SYM_SIZE[form.bits])]
    for symbol in symbols:
        index = numbers[symbol.section] if isinstance(symbol.section, str) else symbol.section
        info = symbol.bind << 4 | symbol.type
        where = places[symbol.name]
        if form.bits == 32:
            entry = form.pack("IIIBBH", where, symbol.value, symbol.size, info, 0, index)
        else:
            entry = form.pack("IBBHQQ", where, info, 0, index, symbol.value, symbol.size)
        entries.append(entry)
    return b"".join(entries), strings


def hash_table(form: Form, names: Sequence[str]) -> bytes:
    """A .hash of symbols numbered from 1, as the System V ABI has it; a third as many buckets."""
    buckets = [0] * (len(names) // 3 + 1)
    chains = [0] * (len(names) + 1)
    for number, name in enumerate(names, 1):
        value = 0
        for byte in name.encode():
            value = ((value << 4) + byte) & 0xFFFFFFFF
            if high := value & 0xF0000000:
                value ^= high >> 24
            value &= ~high
        chains[number], buckets[value % len(buckets)] = buckets[value % len(buckets)], number
    words = (len(buckets), len(chains), *buckets, *chains)
    return form.pack(f"{len(words)}I", *words)


def _add_symbols(
    table: dict[str, Section],
    form: Form,
    symbols: Sequence[Sym],
    names: tuple[str, int, str],
    share_tails: bool,
) -> None:
    name, type_, strings_name = names
    entries, strings = symbol_tables(form, table, symbols, share_tails)
    link = len(table) + 2
    locals_ = sum(symbol.bind == LOCAL for symbol in symbols) + 1
    table[name] = Section(entries, type_, 0, 0, None, link, locals_, SYM_SIZE[form.bits], 8)
    table[strings_name] = Section(strings, STRTAB)


def _program(body: Body, form: Form, one: Segment) -> bytes:
    offset = body.add(one.data, one.align)
    physical = one.address if one.physical is None else one.physical
    memory = len(one.data) if one.memory_size is None else one.memory_size
    if form.bits == 32:
        sizes = (len(one.data), memory, one.flags, one.align)
        made = form.pack("8I", one.type, offset, one.address, physical, *sizes)
    else:
        sizes = (len(one.data), memory, one.align)
        made = form.pack("IIQQQQQQ", one.type, one.flags, offset, one.address, physical, *sizes)
    return made + bytes(form.extra)


def _lay_sections(body: Body, form: Form, table: Mapping[str, Section]) -> list[tuple[int, ...]]:
    """Each section's header as a tuple, the empty first one and the names' own included."""
    if not table:
        return []
    names, places = _strings([*table, ".shstrtab"], share_tails=True)
    rows: list[tuple[int, ...]] = [(0,) * 10]
    for name, one in [*table.items(), (".shstrtab", Section(names, STRTAB))]:
        offset = body.add(one.data, one.align)
        size = len(one.data) if one.size is None else one.size
        head = (places[name], one.type, one.flags, one.address, offset, size)
        rows.append((*head, one.link, one.info, one.align, one.entsize))
    return rows


def _finish(
    form: Form,
    body: Body,
    programs: Sequence[bytes],
    rows: list[tuple[int, ...]],
    identity: tuple[int, int, int, int, int | None, int],
    extended: bool,
) -> bytes:
    kind, number, osabi, version, ehsize, start = identity
    count, named, loads = len(rows), max(len(rows) - 1, 0), len(programs)
    if extended or count >= 0xFF00 or loads >= 0xFFFF:
        if not rows:
            rows, count, named = [(0,) * 10], 1, 0
        first = list(rows[0])
        first[5], first[6], first[7] = count, named, loads
        rows = [tuple(first), *rows[1:]]
        count, named, loads = 0, 0xFFFF, 0xFFFF
    headers = b"".join(form.pack(SHDR[form.bits], *row) + bytes(form.extra) for row in rows)
    table_at = body.add(headers) if rows else 0
    ident = struct.pack(
        "4s5B7x", b"\x7fELF", form.bits // 32, "<>".index(form.order) + 1, 1, osabi, 0
    )
    values = (kind, number, version, 0, start if programs else 0, table_at, 0)
    own = EHDR_SIZE[form.bits] if ehsize is None else ehsize
    entry = SHDR_SIZE[form.bits] + form.extra
    sizes = (own, form.program_size, loads, entry, count, named)
    head = ident + form.pack(EHDR[form.bits], *values, *sizes)
    return head.ljust(start, b"\0") + b"".join(programs) + b"".join(body.parts)
