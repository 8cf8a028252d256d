"""Are global symbols found through .hash, and is a damaged one but slower?"""

from __future__ import annotations

import struct

import pytest
from fakes.sources import Bytes
from forge import elf as forge
from forge.elf import FUNC, GLOBAL, LOCAL, OBJECT, UNDEF, WEAK, Sym

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.symbols.dynhash import DynamicSymbols, sysv_hash
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols, read_symbols
from kvm_exporter.kvm.symbols.symtab import SymbolTable

NAMES = [f"vm_{word}_{at}" for at in range(40) for word in ("page", "object", "map")]
LOCALS = [Sym("hidden", 0x9000, 4, OBJECT, LOCAL, ".data")]
GLOBALS = [
    Sym(name, 0x1000 + at * 16, at, OBJECT, WEAK if at % 9 else GLOBAL, ".data")
    for at, name in enumerate(NAMES)
]
UNDEFINED = Sym("elsewhere", 0, 0, FUNC, GLOBAL, UNDEF)


def kernel(machine: str = "amd64", dynamic: list[Sym] | None = None) -> bytes:
    """A kernel with both tables and a .hash."""
    given = [*GLOBALS, UNDEFINED] if dynamic is None else dynamic
    return forge.kernel(machine, [*LOCALS, *GLOBALS], dynamic_symbols=given, hashed=True)


def values(table: ElfSymbols, *names: str) -> list[int | None]:
    """The addresses of names."""
    return [found and found.value for found in table.lookup(names)]


def test_the_function_is_that_of_the_abi() -> None:
    """Values that others have published for these names."""
    assert [
        sysv_hash(name) for name in (b"", b"printf", b"exit", b"syscall", b"flapenguin.me")
    ] == [
        *(0, 0x77905A6, 0x6CF04, 0xB09985C, 0x3987915),
    ]


@pytest.mark.parametrize("machine", forge.MACHINES)
def test_names_are_found_as_without_it(machine: str) -> None:
    """Global and weak ones through it, local ones in .symtab; undefined ones nowhere."""
    table = read_symbols(Bytes(kernel(machine)))
    expected = [symbol.value for symbol in GLOBALS]
    assert values(table, *NAMES) == expected
    assert values(table, "hidden", "elsewhere", "vm_page", "nosuch") == [0x9000, None, None, None]
    assert [found.type for found in table.lookup(NAMES[:2]) if found] == [7, 7]


def test_it_is_asked_before_the_table() -> None:
    """What it says counts: that is what the kernel linker itself would find."""
    moved = [symbol._replace(value=symbol.value + 8) for symbol in GLOBALS]
    assert values(read_symbols(Bytes(kernel(dynamic=moved))), NAMES[5]) == [GLOBALS[5].value + 8]


@pytest.mark.parametrize("machine", ["amd64", "powerpc64"])
def test_a_damaged_hash_costs_nothing_but_time(machine: str) -> None:
    """Each word of it at its extremes; the table has the answer then."""
    whole = kernel(machine)
    source = Bytes(whole)
    header = elf.read_header(source)
    section = elf.named(elf.sections(source, header), ".hash")
    assert section is not None
    expected = [symbol.value for symbol in GLOBALS]
    for at in range(section.offset, section.offset + section.size, 4):
        for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
            word = struct.pack(header.abi.order + "I", value)
            damaged = Bytes(whole[:at] + word + whole[at + 4 :])
            assert values(read_symbols(damaged), *NAMES) == expected


@pytest.mark.parametrize(
    "words", [(), (1,), (1, 1), (0, 5), (1, 2, 1, 0, 1), (2**32 - 1, 1), (1, 2**32 - 1, 1, 0, 0)]
)
def test_any_words_give_an_answer(words: tuple[int, ...]) -> None:
    """Too few, none at all, a circle: not found, in bounded time."""
    form = forge.Form(64, "<", 0)
    entries, strings = forge.symbol_tables(form, [".data"], [Sym("a", 1)])
    table = SymbolTable(entries, strings, Abi("<", 8))
    hashes = DynamicSymbols(table, struct.pack(f"<{len(words)}I", *words))
    assert hashes.find(b"b") is None
    assert hashes.find(b"") is None


@pytest.mark.parametrize("field", [40, 24, 32])
def test_a_section_that_is_not_there_costs_nothing_but_time(field: int) -> None:
    """sh_link, sh_offset and sh_size of .hash beyond everything."""
    whole = bytearray(kernel())
    source = Bytes(bytes(whole))
    header = elf.read_header(source)
    number = [one.name for one in elf.sections(source, header)].index(".hash")
    at = header.sections_at + number * header.section_size + field
    struct.pack_into("<I", whole, at, 0xFFFFFFFF)
    assert values(read_symbols(Bytes(bytes(whole))), NAMES[7], "hidden") == [
        GLOBALS[7].value,
        0x9000,
    ]
