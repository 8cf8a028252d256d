"""Which symbols does a kernel file have?  Its .symtab, or what is left of it, as nlist(3) tells it.

1. Types are those of nlist(3), as libc's nlist.c derives them from the symbol's section: 4 text and
   read-only data, 6 data, 8 bss, 2 absolute, plus 1 for a global or weak symbol.
2. A stripped kernel still has .dynsym, which the kernel linker needs: the global symbols only.
3. A name with a leading ``_`` is looked for without it, as on a live kernel, then as it is.
   libkvm takes whichever of both comes first in the table.
4. A kernel that runs elsewhere than linked has its absolute symbols where they were; and those in a
   section of per-CPU variables that is linked at 0, as on x86-64 before Linux 6.15.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.errors import FormatError, SymbolMissing
from kvm_exporter.kvm.linkersets import encoded
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.remembered import Remembered
from kvm_exporter.kvm.source import Readable
from kvm_exporter.kvm.symbols.addresses import AddressIndex
from kvm_exporter.kvm.symbols.dynhash import DynamicSymbols
from kvm_exporter.kvm.symbols.symtab import (
    FORMS,
    MOST_STRING_BYTES,
    MOST_SYMBOL_BYTES,
    SHN_ABS,
    SHN_UNDEF,
    STB_GLOBAL,
    STB_LOCAL,
    STB_WEAK,
    STT_OBJECT,
    Entry,
    SymbolTable,
)

N_EXT, N_ABS, N_TEXT, N_DATA, N_BSS = 1, 2, 4, 6, 8
"""n_type (sys/sys/nlist_aout.h)."""

PERCPU = ".data..percpu"
"""PERCPU_INPUT of include/asm-generic/vmlinux.lds.h."""

MOST_KNOWN = 1 << 12
"""Remembered answers; then all are forgotten."""


class Place(NamedTuple):
    """``symbol`` starts ``offset`` bytes before an address; ``aliases`` are its other names."""

    symbol: Symbol
    offset: int
    aliases: tuple[str, ...] = ()


class ElfSymbols:
    """A symbol table that makes Symbols of its entries (memory.py's Symbols).

    ``sections`` are those its entries are in, by number, as far as they are known.
    ``displacement`` is added to values that are not absolute: how far the kernel runs from where
    it is linked, or where a module is loaded.  ``complete`` is False for a .dynsym (rule 2).
    ``end`` is the first address behind all sections.  ``dynamic`` is asked before the table.
    """

    def __init__(
        self,
        table: SymbolTable,
        sections: Sequence[elf.Section] = (),
        displacement: int = 0,
        *,
        complete: bool = True,
        end: int | None = None,
        dynamic: DynamicSymbols | None = None,
    ) -> None:
        self.table = table
        self.sections = sections
        self.displacement = displacement
        self.complete = complete
        self._end = end
        self._dynamic = dynamic
        self._known: Remembered[bytes, Entry | None] = Remembered(MOST_KNOWN)

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """As Symbols.lookup (rule 3); bare names of per-CPU variables are not understood here."""
        return [self.named(name) for name in names]

    def named(self, name: str, prefix: bytes = b"") -> Symbol | None:
        """The symbol ``prefix`` + ``name``, called ``name`` as the caller does."""
        entry = self.entry(encoded(name.removeprefix("_"), prefix))
        if entry is None and name[:1] == "_":
            entry = self.entry(encoded(name, prefix))
        return self.symbol(entry, name) if entry else None

    def exact(self, name: str) -> Symbol | None:
        """The symbol of just that name."""
        entry = self.entry(encoded(name))
        return self.symbol(entry, name) if entry else None

    def address(self, name: str) -> int | None:
        """The link-time address of just that name; None where there is no such symbol."""
        entry = self.entry(encoded(name))
        return entry.value if entry else None

    def entry(self, name: bytes | None) -> Entry | None:
        """The entry of just that name; None has none.

        Where .dynsym has it, its own ``name`` is a place in that table's strings.
        """
        return None if name is None else self._known.of(name, self._search)

    def _search(self, name: bytes) -> Entry | None:
        found = self._dynamic.find(name) if self._dynamic else None
        return found or self.table.find(name)

    def symbol(self, entry: Entry, name: str | None = None) -> Symbol:
        """An entry as kvm_nlist(3) has it, under its own name unless told."""
        if name is None:
            name = self.table.name(entry.name).decode("utf-8", "surrogateescape")
        return Symbol(name, self.value(entry), self.nlist_type(entry), entry.size)

    def value(self, entry: Entry) -> int:
        """Where the kernel has what the file has at st_value (rule 4)."""
        if entry.section == SHN_ABS or entry.section in self._unmoved:
            return entry.value
        return (entry.value + self.displacement) & self.table.abi.address_mask

    @cached_property
    def _unmoved(self) -> frozenset[int]:
        return frozenset(
            number
            for number, section in enumerate(self.sections)
            if section.name == PERCPU and not section.address
        )

    def nlist_type(self, entry: Entry) -> int:
        """Rule 1; by st_type where the section is not known."""
        external = N_EXT if entry.bind in (STB_GLOBAL, STB_WEAK) else 0
        if entry.section == SHN_ABS:
            return N_ABS | external
        if 0 < entry.section < len(self.sections):
            return _of_section(self.sections[entry.section]) | external
        return (N_DATA if entry.type == STT_OBJECT else N_TEXT) | external

    def at(self, address: int) -> Place | None:
        """What lies at an address; None before the first symbol and behind the last section."""
        value = (address - self.displacement) & self.table.abi.address_mask
        entries = [self.table[number] for number in self._by_address.find(value)]
        if not entries or (self._end and value >= self._end):
            return None
        symbol, *others = map(self.symbol, entries)
        names = dict.fromkeys(other.name for other in others if other.name != symbol.name)
        return Place(symbol, value - entries[0].value, tuple(names))

    @cached_property
    def _by_address(self) -> AddressIndex:
        return AddressIndex(self.table)

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol that has a name and a place, in the table's order."""
        return (self.symbol(entry) for entry in self.table if entry.name and entry.found)

    def search(self, pattern: re.Pattern[str]) -> Iterator[Symbol]:
        """The symbols whose whole name matches; fnmatch.translate makes patterns of globs."""
        return (symbol for symbol in self if pattern.fullmatch(symbol.name))

    def objects(self) -> Iterator[str]:
        """The names of the data objects whose types CTF tells, in its order.

        Of static variables of one name all but the first, which is found by it, are "".

        Which these are: fbt_ctfoff_init() of sys/cddl/dev/fbt/fbt.c.  Errors: FormatError for more
        text than any table of strings has, which damaged symbols could share.
        """
        left, static = MOST_STRING_BYTES, set[bytes]()
        for entry in self.table:
            placed = entry.value if entry.section == SHN_ABS else entry.section != SHN_UNDEF
            if entry.type == STT_OBJECT and entry.name and placed:
                name = self.table.name(entry.name)
                left -= len(name)
                if left < 0:
                    raise FormatError("the names of a symbol table have no end: it is damaged")
                if entry.bind == STB_LOCAL and name in static:
                    name = b""
                elif entry.bind == STB_LOCAL:
                    static.add(name)
                yield name.decode("utf-8", "surrogateescape")


def read_symbols(source: Readable, header: elf.Header | None = None) -> ElfSymbols:
    """The symbols of a kernel file, or of kernel.debug.

    Errors: FormatError for a damaged file; SymbolMissing where it has no symbol table at all.
    """
    header = header or elf.read_header(source)
    sections = elf.sections(source, header)
    chosen = next((one for kind in _TABLES for one in sections if one.type == kind), None)
    if chosen is None:
        raise SymbolMissing(
            f"{source.name} has no symbol table, it is stripped; "
            "give the kernel.debug that belongs to it"
        )
    return ElfSymbols(
        _table(source, header, sections, chosen),
        sections,
        complete=chosen.type == elf.SHT_SYMTAB,
        end=max(one.address + one.size for one in sections),
        dynamic=_dynamic(source, header, sections),
    )


def _table(
    source: Readable, header: elf.Header, sections: Sequence[elf.Section], chosen: elf.Section
) -> SymbolTable:
    if chosen.entry_size not in (0, FORMS[header.abi.pointer_size].size):
        raise FormatError(f"{source.name}: {chosen.name} has symbols of {chosen.entry_size} bytes")
    strings = sections[chosen.link if chosen.link < len(sections) else 0]
    return SymbolTable(
        elf.contents(source, header, chosen, MOST_SYMBOL_BYTES),
        elf.contents(source, header, strings, MOST_STRING_BYTES),
        header.abi,
    )


def _dynamic(
    source: Readable, header: elf.Header, sections: Sequence[elf.Section]
) -> DynamicSymbols | None:
    hashes = next((one for one in sections if one.type == elf.SHT_HASH), None)
    if hashes is None or hashes.link >= len(sections):
        return None
    try:
        table = _table(source, header, sections, sections[hashes.link])
        return DynamicSymbols(table, elf.contents(source, header, hashes, MOST_SYMBOL_BYTES))
    except FormatError:
        return None  # which costs time only


_TABLES = elf.SHT_SYMTAB, elf.SHT_DYNSYM


def _of_section(section: elf.Section) -> int:
    if section.type == elf.SHT_NOBITS:
        return N_BSS
    return N_DATA if section.flags & elf.SHF_WRITE else N_TEXT
