"""Are a kernel file's symbols found by name, with the types and values that nlist(3) gives?"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import re
import struct

import pytest
from elftools.elf.elffile import ELFFile
from fakes.sources import Bytes
from forge import elf as forge
from forge.elf import ABS, COMMON, FILE, FUNC, GLOBAL, LOCAL, NOTYPE, OBJECT, UNDEF, WEAK, Sym
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.errors import FormatError, KvmError, SymbolMissing
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols, read_symbols

TABLE = [
    Sym("subr_prf.c", 0, 0, FILE, LOCAL, ABS),
    Sym("hidden", 0x2000, 4, OBJECT, LOCAL, ".data"),
    Sym("both", 0x2100, 4, OBJECT, LOCAL, ".data"),
    Sym("twice", 0x2200, 4, OBJECT, LOCAL, ".data"),
    Sym("twice", 0x2300, 4, OBJECT, LOCAL, ".bss"),
    Sym("allproc", 0x3000, 8, OBJECT, GLOBAL, ".bss"),
    Sym("proc", 0x3100, 16, OBJECT, GLOBAL, ".data"),
    Sym("version", 0x1000, 64, OBJECT, GLOBAL, ".rodata"),
    Sym("panic", 0x800, 99, FUNC, GLOBAL, ".text"),
    Sym("both", 0x2400, 4, OBJECT, GLOBAL, ".data"),
    Sym("weak", 0x810, 9, FUNC, WEAK, ".text"),
    Sym("kernbase", 0xF0000000, 0, NOTYPE, GLOBAL, ABS),
    Sym("__pcpu", 0x3200, 8, OBJECT, GLOBAL, ".bss"),
    Sym("missing", 0x77, 0, NOTYPE, GLOBAL, UNDEF),
    Sym("common", 0x88, 0, OBJECT, GLOBAL, COMMON),
]
NLIST_TYPES = {
    "hidden": 6,
    "both": 7,
    "twice": 6,
    "allproc": 9,
    "proc": 7,
    "version": 5,
    "panic": 5,
    "weak": 5,
    "kernbase": 3,
    "__pcpu": 9,
}
"""n_type as libc's nlist.c makes it: 4 text, 6 data, 8 bss, 2 absolute, + 1 external."""


def symbols(data: bytes | None = None, machine: str = "amd64", **options: object) -> ElfSymbols:
    """The symbols of a forged kernel."""
    return read_symbols(Bytes(forge.kernel(machine, TABLE, **options) if data is None else data))


def values(table: ElfSymbols, *names: str) -> list[int | None]:
    """The addresses of names."""
    return [found and found.value for found in table.lookup(names)]


@pytest.mark.parametrize("machine", forge.MACHINES)
@pytest.mark.parametrize("share_tails", [False, True])
def test_a_dead_nlist_has_real_types(machine: str, share_tails: bool) -> None:
    """Value, type and size of every symbol, on every architecture, however strings are shared."""
    found = symbols(machine=machine, share_tails=share_tails).lookup(list(NLIST_TYPES))
    table = {symbol.name: symbol for symbol in reversed(TABLE) if symbol.bind != LOCAL}
    table |= {"hidden": TABLE[1], "twice": TABLE[3]}
    assert found == [
        Symbol(name, table[name].value, type_, table[name].size)
        for name, type_ in NLIST_TYPES.items()
    ]


def test_a_global_symbol_comes_before_a_local_one() -> None:
    """Else the first of the table: what the running kernel answers."""
    assert values(symbols(), "both", "twice") == [0x2400, 0x2200]


def test_undefined_common_and_file_symbols_are_missing() -> None:
    """They have no place in the kernel."""
    assert values(symbols(), "missing", "common", "subr_prf.c", "proc") == [
        None,
        None,
        None,
        0x3100,
    ]


def test_a_leading_underscore_is_dropped_or_meant() -> None:
    """_allproc is allproc; __pcpu and ___pcpu are __pcpu, the one that there is."""
    found = symbols().lookup(["_allproc", "__pcpu", "___pcpu", "_pcpu", "____pcpu", "pcpu"])
    assert [one and (one.name, one.value) for one in found] == [
        ("_allproc", 0x3000),
        ("__pcpu", 0x3200),
        ("___pcpu", 0x3200),
        *(None, None, None),
    ]


@pytest.mark.parametrize("name", ["", "_", "a\0b", "x" * 1024, "\udcff", "allpro", "llproc", "c"])
def test_a_name_that_is_not_there_is_missing(name: str) -> None:
    """Nor is a part of one, at either end."""
    assert values(symbols(), name, "allproc") == [None, 0x3000]


def test_exact_addresses_know_no_underscore_and_no_displacement() -> None:
    """What a full dump's reader asks before it knows where the kernel runs."""
    table = symbols()
    table.displacement = 0x1000000
    assert [table.address(name) for name in ("allproc", "_allproc", "__pcpu", "", "kernbase")] == [
        *(0x3000, None, 0x3200, None, 0xF0000000),
    ]


@pytest.mark.parametrize(("machine", "mask"), [("amd64", 2**64 - 1), ("i386", 2**32 - 1)])
def test_a_displaced_kernel_moves_all_but_absolute_symbols(machine: str, mask: int) -> None:
    """Modulo the address space: kernels move down as well."""
    table = symbols(machine=machine)
    table.displacement = -0x4000
    assert values(table, "allproc", "kernbase") == [(0x3000 - 0x4000) & mask, 0xF0000000]
    place = table.at((0x3000 - 0x4000 + 3) & mask)
    assert place is not None
    assert (place.symbol.name, place.offset) == ("allproc", 3)


def test_many_tails_of_one_string_are_told_apart() -> None:
    """Names that all end alike: each is found, and what is only the end of some is not."""
    names = [f"{'x' * count}ticks" for count in range(1, 40)]
    table = [Sym(name, 0x1000 + at) for at, name in enumerate([*names, "hardticks", "softticks"])]
    for share in (False, True):
        found = read_symbols(Bytes(forge.kernel("amd64", table, share_tails=share)))
        assert values(found, *names) == [0x1000 + at for at in range(len(names))]
        assert values(found, "ticks", "icks", "softticks") == [None, None, 0x1000 + len(names) + 1]


def test_a_stripped_kernel_still_has_dynamic_symbols() -> None:
    """The kernel linker needs .dynsym; it is told that locals are not there."""
    dynamic = [symbol for symbol in TABLE if symbol.bind == GLOBAL]
    table = read_symbols(Bytes(forge.kernel("amd64", None, dynamic_symbols=dynamic)))
    assert not table.complete
    assert values(table, "allproc", "hidden") == [0x3000, None]
    both = read_symbols(Bytes(forge.kernel("amd64", TABLE, dynamic_symbols=dynamic)))
    assert both.complete
    assert values(both, "hidden") == [0x2000]


def test_a_kernel_without_symbols_names_kernel_debug() -> None:
    """Its user can do something about that."""
    with pytest.raises(SymbolMissing, match=r"forged has no symbol table.*kernel\.debug"):
        read_symbols(Bytes(forge.kernel("amd64", None)))


def test_iteration_has_every_placed_symbol_in_order() -> None:
    """Also those whose name another one hides."""
    found = [(symbol.name, symbol.value) for symbol in symbols()]
    assert found == [
        (symbol.name, symbol.value)
        for symbol in TABLE
        if symbol.type != FILE and symbol.section not in (UNDEF, COMMON)
    ]


def test_names_are_found_by_pattern() -> None:
    """A glob is a pattern of the whole name."""
    globbed = re.compile(fnmatch.translate("*pro?"))
    assert [symbol.name for symbol in symbols().search(globbed)] == ["allproc", "proc"]
    assert [symbol.name for symbol in symbols().search(re.compile("k.*e"))] == ["kernbase"]


def test_objects_are_those_whose_types_ctf_tells() -> None:
    """Data objects in the table's order; absolute zeros and undefined ones do not count.

    Of static ones of one name the first has it, whose address is found by it.
    """
    table = [
        *TABLE,
        Sym("zero", 0, 0, OBJECT, GLOBAL, ABS),
        Sym("gone", 1, 1, OBJECT, GLOBAL, UNDEF),
    ]
    found = list(read_symbols(Bytes(forge.kernel("amd64", table))).objects())
    assert found == [
        *("hidden", "both", "twice", "", "allproc", "proc", "version", "both", "__pcpu"),
        "common",
    ]


def test_pyelftools_finds_the_same_values() -> None:
    """Two thousand names with shared ends, each as another reader has it."""
    names = [f"{word}_{at:x}" for at in range(500) for word in ("vm", "pvm", "xpvm", "ip")]
    table = [
        Sym(name, 0x1000 + at * 16, at % 7, FUNC, GLOBAL, ".text") for at, name in enumerate(names)
    ]
    data = forge.kernel("powerpc64", table)
    section = ELFFile(io.BytesIO(data)).get_section_by_name(".symtab")
    peer = {one.name: (one["st_value"], one["st_size"]) for one in section.iter_symbols()}
    found = read_symbols(Bytes(data)).lookup(names)
    assert {one.name: (one.value, one.size) for one in found if one} == {
        name: peer[name] for name in names
    }


def test_an_address_is_the_nearest_symbol_and_an_offset() -> None:
    """The highest value up to it; nothing before the first and behind the last section."""
    base = 0xFFFFFFFF80200000
    table = [
        Sym("start", base + 0x1000, 16, FUNC, LOCAL, ".text"),
        Sym("next", base + 0x1020, 16, FUNC, GLOBAL, ".text"),
        Sym("$x.7", base + 0x1024, 0, NOTYPE, LOCAL, ".text"),
        Sym("file.c", base + 0x1028, 0, FILE, LOCAL, ".text"),
        Sym("absolute", base + 0x1028, 0, NOTYPE, GLOBAL, ABS),
        Sym("data", base + 0x3000, 64, OBJECT, GLOBAL, ".data"),
    ]
    found = read_symbols(Bytes(forge.kernel("amd64", table)))

    def at(offset: int) -> tuple[str, int] | None:
        place = found.at(base + offset)
        return (place.symbol.name, place.offset) if place else None

    assert [at(offset) for offset in (0xFFF, 0x1000, 0x101F, 0x1020, 0x102A, 0x3003, 0x4FFF)] == [
        *(None, ("start", 0), ("start", 0x1F), ("next", 0), ("next", 10), ("data", 3)),
        ("data", 0x1FFF),
    ]
    assert at(0x5000) is None
    assert found.at(0) is None
    assert found.at(2**64 - 1) is None


@pytest.mark.parametrize("machine", ["amd64", "powerpc64", "i386", "powerpc"])
def test_of_several_symbols_at_an_address_the_global_one_is_it(machine: str) -> None:
    """Then a weak one, then one with a size; the others are its aliases, each once."""
    _, bits, _ = forge.MACHINES[machine]
    base = 0xFFFFFFFF80201000 & (1 << bits) - 1
    table = [
        Sym("plain", base, 0, NOTYPE, LOCAL, ".text"),
        Sym("sized", base, 8, FUNC, LOCAL, ".text"),
        Sym("weak", base, 8, FUNC, WEAK, ".text"),
        Sym("best", base, 8, FUNC, GLOBAL, ".text"),
        Sym("best", base, 8, FUNC, LOCAL, ".text"),
    ]
    place = read_symbols(Bytes(forge.kernel(machine, table))).at(base + 1)
    assert place is not None
    assert (place.symbol.name, place.offset) == ("best", 1)
    assert place.aliases == ("weak", "sized", "plain")


def test_marks_of_the_assembler_are_nobodys_name() -> None:
    """A row of $d and $x is passed over; where there is nothing else, nobody is there."""
    base = 0xFFFFFFFF80201000
    marks = [Sym(f"$d.{at}", base + 16 + at, 0, NOTYPE, LOCAL, ".text") for at in range(50)]
    table = [Sym("real", base, 8, FUNC, GLOBAL, ".text"), *marks]
    place = read_symbols(Bytes(forge.kernel("aarch64", table))).at(base + 60)
    assert place is not None
    assert (place.symbol.name, place.offset) == ("real", 60)
    assert read_symbols(Bytes(forge.kernel("aarch64", marks))).at(base + 60) is None


def test_a_look_up_reads_the_file_no_more() -> None:
    """Neither the first nor the fiftieth."""
    source = Bytes(forge.kernel("amd64", TABLE))
    table = read_symbols(source)
    reads = source.reads
    table.lookup(["allproc", "nosuch"] * 25)
    table.at(0xFFFFFFFF80201000)
    assert source.reads == reads


def everything(data: bytes) -> None:
    """Ask all there is to ask; only KvmErrors may come."""
    with contextlib.suppress(KvmError):
        table = read_symbols(Bytes(data))
        table.lookup(["allproc", "both", "proc", "nosuch", "c"])
        for address in (0, 0x3000, 2**32 - 1, 2**64 - 1):
            table.at(address)
        list(table)
        list(table.objects())


@pytest.mark.parametrize("machine", ["amd64", "powerpc"])
def test_a_truncated_kernel_gives_values_or_an_error(machine: str) -> None:
    """Cut at every eighth byte."""
    whole = forge.kernel(machine, TABLE)
    for length in range(0, len(whole), 8):
        everything(whole[:length])


@pytest.mark.parametrize("machine", ["amd64", "powerpc"])
def test_a_symbol_tables_fields_at_their_extremes(machine: str) -> None:
    """st_name, st_value, st_size, st_info and st_shndx of each symbol, and the section's own."""
    whole = forge.kernel(machine, TABLE)
    source = Bytes(whole)
    header = elf.read_header(source)
    table = elf.named(elf.sections(source, header), ".symtab")
    assert table is not None
    number = [one.name for one in elf.sections(source)].index(".symtab")
    own = header.sections_at + number * header.section_size
    for at in (*range(table.offset, table.offset + table.size, 2), *range(own, own + 64, 2)):
        for value in (0, 0x7FFF, 0xFFFF):
            everything(whole[:at] + struct.pack("<H", value) + whole[at + 2 :])


@pytest.mark.parametrize("which", [".symtab", ".strtab"])
def test_an_absurd_size_is_refused_before_it_is_read(which: str) -> None:
    """A table of hundreds of megabytes, in a sparse file that is as large."""
    whole = bytearray(forge.kernel("amd64", TABLE))
    source = Bytes(bytes(whole))
    header = elf.read_header(source)
    number = [one.name for one in elf.sections(source)].index(which)
    struct.pack_into("<Q", whole, header.sections_at + number * 64 + 32, 1 << 28)
    sparse = Bytes(bytes(whole))
    sparse.size = 1 << 40
    with pytest.raises(FormatError, match=re.escape(f"section {which} of 268435456 bytes")):
        read_symbols(sparse)
    assert sparse.largest < 1 << 20


def test_a_table_of_one_endless_name_is_looked_through_in_bounded_time() -> None:
    """A string table of a million equal endings, none of them a symbol's."""
    strings = b"\0" + b"e\0" * 1_000_000
    sections = {
        ".symtab": forge.Section(bytes(24 * 1000), forge.SYMTAB, link=2, entsize=24),
        ".strtab": forge.Section(strings, forge.STRTAB),
    }
    table = read_symbols(Bytes(forge.write_elf("amd64", sections=sections)))
    assert values(table, "e") == [None]
    assert table.at(0x1000) is None


def test_names_without_an_end_are_cut_off() -> None:
    """Thousands of symbols whose names are all the rest of a megabyte: each in bounded time."""
    form = forge.Form(64, "<", 0)
    entry, _ = forge.symbol_tables(form, [".data"], [Sym("x", 0x1000)])
    sections = {
        ".symtab": forge.Section(entry[:24] + entry[24:] * 5000, forge.SYMTAB, link=2, entsize=24),
        ".strtab": forge.Section(b"\0" + b"x" * (1 << 20), forge.STRTAB),
    }
    table = read_symbols(Bytes(forge.write_elf("amd64", sections=sections)))
    assert {len(symbol.name) for symbol in table} == {4096}
    assert values(table, *(f"x{at}" for at in range(40))) == [None] * 40


@pytest.mark.parametrize("machine", ["amd64", "powerpc"])
@pytest.mark.parametrize("share_tails", [False, True])
def test_the_hundredth_name_is_found_as_the_first_was(machine: str, share_tails: bool) -> None:
    """However names are looked for, the same symbol of several is the answer."""
    first = symbols(machine=machine, share_tails=share_tails).lookup(list(NLIST_TYPES))
    table = symbols(machine=machine, share_tails=share_tails)
    assert values(table, *(f"nosuch{at}" for at in range(100))) == [None] * 100
    assert table.lookup([*NLIST_TYPES, "missing", "c"]) == [*first, None, None]


@given(st.binary(max_size=200), st.integers(0, 3000))
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_a_kernel_give_values_or_an_error(noise: bytes, at: int) -> None:
    """Noise anywhere in the file raises nothing but KvmErrors."""
    whole = forge.kernel("amd64", TABLE)
    everything(whole[:at] + noise + whole[at + len(noise) :])
