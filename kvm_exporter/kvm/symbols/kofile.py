"""What do a module's symbols become once it is loaded?  Its .ko file, relocated as the kernel does.

1. A relocatable module's sections are laid one behind the other from its address on, in the file's
   order, each aligned (link_elf_load_file() of sys/kern/link_elf_obj.c; the loader does the same).
   set_pcpu and set_vnet go elsewhere, and the file cannot say where: their symbols are left out.
2. A shared module's addresses are relative to where it was loaded (sys/kern/link_elf.c).
3. A file may not be the one that was loaded.  One that needs more room than that had is not.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.source import File, Source
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols, read_symbols
from kvm_exporter.kvm.symbols.symtab import FORMS, SHN_ABS, SHN_UNDEF, Entry, SymbolTable

LOADED = frozenset((elf.SHT_PROGBITS, elf.SHT_NOBITS, 14, 15, 0x70000001))
"""Section types that are loaded: also SHT_INIT_ARRAY, SHT_FINI_ARRAY and SHT_X86_64_UNWIND."""

ELSEWHERE = frozenset(("set_pcpu", "set_vnet"))
MOST_CTF = 1 << 26


def finder(kernel: str) -> Callable[[str, str], Source | None]:
    """Opens the file of a (name, path) that the kernel file ``kernel`` has loaded; None for none.

    It is looked for beside the kernel, in the ``modules`` beside its folder (/boot/modules), and
    at the path itself.
    """
    folder = os.path.dirname(os.path.abspath(kernel))

    def find(name: str, path: str) -> Source | None:
        name = os.path.basename(name)
        places = os.path.join(folder, name), os.path.join(folder, "..", "modules", name), path
        for place in places:
            # the names come from a dump: nothing but a regular file is opened, let alone a device
            if place.endswith(".ko") and "\0" not in place and os.path.isfile(place):
                try:
                    return File(place)
                except KvmError:
                    continue
        return None

    return find


def read_module(source: Source, address: int, size: int) -> ElfSymbols:
    """The symbols of a module whose ``size`` bytes were loaded at ``address``.

    Errors: FormatError, also where it is another file (rule 3); SymbolMissing.
    """
    header = elf.read_header(source)
    symbols = read_symbols(source, header)
    if header.type != elf.ET_REL:
        symbols.displacement = address
        return symbols
    places = dict(_places(symbols, address))
    end = max((at + symbols.sections[number].size for number, at in places.items()), default=0)
    if end > address + size:
        raise FormatError(f"{source.name} is not the file that was loaded: it is larger")
    return ElfSymbols(_relocated(symbols.table, symbols, places), symbols.sections)


def _places(symbols: ElfSymbols, at: int) -> Iterator[tuple[int, int]]:
    """Rule 1: the address of each section that is loaded, by number."""
    for number, section in enumerate(symbols.sections):
        if section.type in LOADED and section.flags & elf.SHF_ALLOC and section.size:
            at += -at % max(section.align, 1)
            yield number, at
            at += section.size


def _relocated(table: SymbolTable, symbols: ElfSymbols, places: Mapping[int, int]) -> SymbolTable:
    form = FORMS[table.abi.pointer_size]
    code = struct.Struct(table.abi.order + form.code)
    mask = table.abi.address_mask

    def moved(entry: Entry) -> bytes:
        place = places.get(entry.section)
        if place is not None and symbols.sections[entry.section].name not in ELSEWHERE:
            entry = entry._replace(value=(entry.value + place) & mask)
        elif entry.section != SHN_ABS:
            entry = entry._replace(section=SHN_UNDEF)
        row = [entry[form.order.index(at)] for at in range(len(entry))]
        return code.pack(*row)

    return SymbolTable(b"".join(map(moved, table)), table.strings, table.abi)


def read_ctf(source: Source) -> bytes | None:
    """The type information of a module's file; None where it has none."""
    header = elf.read_header(source)
    section = elf.named(elf.sections(source, header), ".SUNW_ctf")
    return elf.contents(source, header, section, MOST_CTF) if section else None
