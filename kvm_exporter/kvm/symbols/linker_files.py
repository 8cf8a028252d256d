"""Which modules has a dead FreeBSD kernel loaded, and what are their symbols?  linker_files.

Rules, from sys/kern/kern_linker.c, link_elf.c and link_elf_obj.c:

1. linker_files is a TAILQ of struct linker_file, the kernel first.  Each is the start of a struct
   elf_file, of which there are two: that of link_elf.c for shared objects, and on amd64 that of
   link_elf_obj.c for relocatable ones.  The name of the object's class says which: ``elf64_obj``.
2. Type information finds only the first of two structs of one name.  So the second is laid out
   here, as C does it: both have kept their order since FreeBSD 8.  The class tells the size.
3. The symbol table is in memory.  Values of a relocatable module are addresses already, per-CPU
   and network-stack variables moved into the kernel's own sets; those of a shared one are relative
   to its address, and its sets are moved by pcpu_base and vnet_base (elf_relocaddr).
4. Where memory lacks the table, the .ko file is read instead (kofile.py).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, FormatError, KvmError, TypeMissing
from kvm_exporter.kvm.layout import Compiled, Layout, Member
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols
from kvm_exporter.kvm.symbols.kofile import MOST_CTF, read_ctf, read_module
from kvm_exporter.kvm.symbols.module import Carved, Module
from kvm_exporter.kvm.symbols.symtab import (
    FORMS,
    MOST_STRING_BYTES,
    MOST_SYMBOL_BYTES,
    SymbolTable,
)
from kvm_exporter.kvm.tally import Tally

MOST_MODULES = 1 << 14
"""Linker files at most."""

MOST_BYTES = 1 << 27
"""Of the symbol tables of all modules: more than all that FreeBSD comes with have together."""

MOST_SECTIONS = 1 << 12
"""Sections of a module that are looked at."""

CTF_HEADER = "HBB8I"
"""struct ctf_header (sys/sys/ctf.h): the last two are where the strings are and their length."""

SOURCE = "linker_files"
"""What failures are counted under."""


Read = TypeVar("Read")


class Rows(Protocol):
    """target.py's Record."""

    @property
    def size(self) -> int:
        """Bytes of the struct."""

    def at(self, address: int) -> tuple[Any, ...]:
        """The members of the struct there."""


class Kernel(Protocol):
    """What of target.py's Target is needed here."""

    abi: Abi
    tally: Tally

    def address(self, name: str) -> int: ...

    def read(self, address: int, length: int) -> bytes: ...

    def pointer(self, address: int) -> int: ...

    def string(self, address: int) -> str: ...

    def record(self, struct: str, paths: Sequence[str]) -> Rows: ...

    def chain(self, first: int, next_of: Callable[[int], int], what: str) -> Iterator[int]: ...


class Shape(NamedTuple):
    """One struct elf_file: its members behind ``lf`` up to the last one wanted, and those wanted.

    i, l and p are int, long and pointer.
    """

    members: str
    wanted: tuple[str, ...]


Fields = Mapping[str, int]

TABLES = ("ddbsymtab", "ddbsymcnt", "ddbstrtab", "ddbstrcnt", "ctftab", "ctfcnt")
SETS = ("pcpu_start", "pcpu_stop", "pcpu_base"), ("vnet_start", "vnet_stop", "vnet_base")

SHARED = Shape(
    "preloaded:i address:p dynamic:p nbuckets:i nchains:i buckets:p chains:p hash:p strtab:p "
    "strsz:i symtab:p got:p pltrel:p pltrelsize:i pltrela:p pltrelasize:i rel:p relsize:i rela:p "
    "relasize:i modptr:p ddbsymtab:p ddbsymcnt:l ddbstrtab:p ddbstrcnt:l symbase:p strbase:p "
    "ctftab:p ctfcnt:l ctfoff:p typoff:p typlen:l pcpu_start:p pcpu_stop:p pcpu_base:p "
    "vnet_start:p vnet_stop:p vnet_base:p",
    (*TABLES, "address", *SETS[0], *SETS[1]),
)
OBJECT = Shape(
    "preloaded:i address:p object:p e_shdr:p progtab:p nprogtab:i relatab:p nrelatab:i reltab:p "
    "nreltab:i ddbsymtab:p ddbsymcnt:l ddbstrtab:p ddbstrcnt:l shstrtab:p shstrcnt:l ctftab:p "
    "ctfcnt:l ctfoff:p typoff:p typlen:l",
    (*TABLES, "e_shdr"),
)

FILE = ("ops", "link.tqe_next", "filename", "pathname", "id", "address", "size")


class LinkerFiles:
    """The modules of ``kernel``; ``find_file`` opens the .ko of a (name, path), None for none.

    Errors: TypeMissing where the kernel's types are not known.
    """

    def __init__(self, kernel: Kernel, find_file: Callable[[str, str], Source | None]) -> None:
        self._kernel = kernel
        self._find_file = find_file
        self._file = kernel.record("struct linker_file", FILE)
        self._ops = kernel.record("struct kobj_ops", ("cls",))
        self._class = kernel.record("struct kobj_class", ("name", "size"))
        self._left = MOST_BYTES
        self._classes: dict[int, tuple[Shape, Callable[[int], Fields]]] = {}

    def __iter__(self) -> Iterator[Module]:
        """Each module, in the order in which they were loaded; not the kernel itself.

        What cannot be read is left out and counted.
        """
        head = self._kernel.pointer(self._kernel.address("linker_files"))
        files = self._kernel.chain(head, lambda at: int(self._file.at(at)[1]), SOURCE)
        for address in islice(files, 1, MOST_MODULES):
            module = self._counted(partial(self._module, address))
            if module is not None:
                yield module

    def _module(self, address: int) -> Module:
        ops, _, filename, pathname, id_, start, size = self._file.at(address)
        name, path = self._kernel.string(filename), self._kernel.string(pathname)
        found = self._counted(lambda: self._elf_file(address, ops))
        shape, fields = found or (SHARED, {})
        symbols = self._counted(lambda: self._symbols(shape, fields)) if fields else None
        if symbols is None:
            symbols = self._counted(lambda: self._symbols_of_file(name, path, start, size))
        sets = [Carved(*(fields.get(one, 0) for one in names)) for names in SETS]
        return Module(
            name,
            path,
            id_,
            start,
            size,
            symbols,
            tuple(one for one in sets if one.base),
            partial(self._ctf, fields, name, path),
        )

    def _counted(self, read: Callable[[], Read]) -> Read | None:
        """What ``read`` gives; None where it fails, which is counted."""
        try:
            return read()
        except KvmError:
            self._kernel.tally.add(SOURCE, None)
            return None

    def _elf_file(self, address: int, ops: int) -> tuple[Shape, Fields]:
        """Which struct elf_file is it (rule 1), and its members."""
        (class_,) = self._ops.at(ops)
        if class_ not in self._classes:
            self._classes[class_] = self._class_of(class_)
        shape, members_at = self._classes[class_]
        return shape, members_at(address)

    def _class_of(self, class_: int) -> tuple[Shape, Callable[[int], Fields]]:
        name, size = self._class.at(class_)
        shape = OBJECT if self._kernel.string(name).endswith("_obj") else SHARED
        try:
            record = self._kernel.record("struct elf_file", shape.wanted)
            if record.size == size:
                return shape, lambda at: dict(zip(shape.wanted, record.at(at), strict=True))
        except TypeMissing:
            pass
        compiled = self._laid_out(shape, size)
        return shape, partial(self._unpacked, compiled)

    def _unpacked(self, compiled: Compiled, address: int) -> Fields:
        values = compiled.decoder.unpack(self._kernel.read(address, compiled.decoder.size))
        return dict(zip(compiled.names, values, strict=True))

    def _laid_out(self, shape: Shape, size: int) -> Compiled:
        """Rule 2; FormatError where the struct would be longer than it is."""
        abi = self._kernel.abi
        codes = {"i": "i", "l": "q" if abi.pointer_size == 8 else "i", "p": abi.pointer}
        at, members = self._file.size, {}
        for name, _, kind in (member.partition(":") for member in shape.members.split()):
            width = struct.calcsize(abi.order + codes[kind])
            at += -at % width
            members[name] = Member(at, codes[kind])
            at += width
        if at > size:
            raise FormatError(f"struct elf_file of {size} bytes: {at} are known")
        return Layout("elf_file", at, abi.order, members).compile(shape.wanted)

    def _symbols(self, shape: Shape, fields: Fields) -> ElfSymbols:
        table = self._table(fields)
        if shape is SHARED:
            return ElfSymbols(table, displacement=fields["address"])
        return ElfSymbols(table, self._sections(fields["e_shdr"], table))

    def _table(self, fields: Fields) -> SymbolTable:
        abi = self._kernel.abi
        entry_size = FORMS[abi.pointer_size].size
        length, strings = fields["ddbsymcnt"] * entry_size, fields["ddbstrcnt"]
        if not (0 < length <= MOST_SYMBOL_BYTES and 0 < strings <= MOST_STRING_BYTES):
            raise FormatError(f"a symbol table of {length} and {strings} bytes")
        self._spend(length + strings)
        entries = self._kernel.read(fields["ddbsymtab"], length)
        if any(entries[:entry_size]):
            raise FormatError("a symbol table that does not begin with the empty symbol")
        return SymbolTable(entries, self._kernel.read(fields["ddbstrtab"], strings), abi)

    def _spend(self, count: int) -> None:
        """FormatError, from then on, when modules have more bytes than there can be."""
        self._left -= count
        if self._left < 0:
            raise FormatError(f"symbol tables of modules of more than {MOST_BYTES} bytes")

    def _sections(self, headers: int, table: SymbolTable) -> list[elf.Section]:
        """The sections that symbols are in; without them a symbol's type is guessed."""
        numbers = [entry.section for entry in table if entry.section < MOST_SECTIONS]
        size = elf.section_size(table.abi) * (max(numbers, default=0) + 1)
        try:
            return elf.parse_sections(self._kernel.read(headers, size), table.abi)
        except Fault:
            return []

    def _symbols_of_file(self, name: str, path: str, start: int, size: int) -> ElfSymbols | None:
        source = self._find_file(name, path)
        if source is None:
            return None
        with closing(source):
            self._spend(0)
            symbols = read_module(source, start, size)
            self._spend(len(symbols.table) * symbols.table.form.size + len(symbols.table.strings))
            return symbols

    def _ctf(self, fields: Fields, name: str, path: str) -> bytes | None:
        """From memory where DTrace has once asked for it, else from the file."""
        if fields.get("ctfcnt", 0) > 0:
            return self._ctf_in_memory(fields["ctftab"])
        source = self._find_file(name, path)
        if source is None:
            return None
        with closing(source):
            return read_ctf(source)

    def _ctf_in_memory(self, address: int) -> bytes:
        # link_elf_ctf_get() uncompresses it and leaves the flag (sys/kern/kern_ctf.c)
        code = struct.Struct(self._kernel.abi.order + CTF_HEADER)
        header = bytearray(self._kernel.read(address, code.size))
        *_, strings_at, strings = code.unpack(header)
        if strings_at + strings > MOST_CTF:
            raise FormatError(f"type information of {strings_at + strings} bytes: too much")
        header[3] &= ~1
        return bytes(header) + self._kernel.read(address + code.size, strings_at + strings)
