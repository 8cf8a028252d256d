"""Are the symbols that a Linux kernel's link left in its memory read, whatever its version?"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.regions import Regions
from fakes.told import Told
from fakes.zeros import Endless
from forge.kallsyms import Forged, Kind, Sym, write
from forge.kallsyms_kernels import KINDS, LONG, Kernel, kernel

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, FormatError, KvmError, SymbolMissing
from kvm_exporter.kvm.symbols.kallsyms import Kallsyms
from kvm_exporter.kvm.symbols.kallsyms_reading import read_kallsyms

KERNELS = {name: kernel(kind) for name, kind in KINDS.items()}
"""Each kind's, made once."""

PLAIN = KERNELS["x86-64 6.18"]
OLD = KERNELS["x86-64 5.10"]
DECOY = "0123456789abc".encode("utf-16-le") + bytes(96)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No index of another test's kernel."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def read(one: Kernel, *, told: bool = True, tables: Forged | None = None) -> Kallsyms:
    """The symbols of a kernel, whose VMCOREINFO tells where the tables are, or not."""
    memory = one.memory if tables is None else {**one.memory, tables.address: tables.data}
    abi = Abi(one.kind.endian, one.kind.bits // 8)
    return read_kallsyms(Regions(memory), abi, Told(one.told(kallsyms=told)))


def lines(found: Kallsyms) -> list[tuple[int, str, str]]:
    """As /proc/kallsyms has them."""
    return [
        (one.value, chr(found.names.letter(number)), one.name) for number, one in enumerate(found)
    ]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.wide])
def test_all_symbols_of_a_kernel_that_tells_of_them(name: str) -> None:
    """Each name, letter and address, in the kernel's order; the long name, too."""
    one = KERNELS[name]
    assert lines(read(one)) == one.symbols
    assert any(symbol.name == LONG for symbol in one.symbols) == one.kind.big


@pytest.mark.parametrize("name", KINDS)
def test_all_symbols_of_a_kernel_that_does_not_tell(name: str) -> None:
    """They are found in memory by what they are: VMCOREINFO of Linux 5.10 has _stext only."""
    one = KERNELS[name]
    assert lines(read(one, told=False)) == one.symbols


@pytest.mark.parametrize("count", [254, 510, 511, 512, 513, 766, 768])
@pytest.mark.parametrize("name", ["x86-64 5.10", "i386 6.1", "s390x 4.18"])
def test_any_number_of_names_is_found(name: str, count: int) -> None:
    """Also one that fills the last marker's 256 names, or begins the next."""
    one = kernel(KINDS[name], count)
    assert lines(read(one, told=False)) == one.symbols


@pytest.mark.parametrize("shift", range(8))
@pytest.mark.parametrize("name", ["x86-64 5.10", "arm64 6.1", "i386 4.18"])
def test_tables_are_found_wherever_they_begin(name: str, shift: int) -> None:
    """Behind other bytes of .rodata that look alike: digits of 16 bits, words of 0."""
    one = kernel(KINDS[name], 600, DECOY + b"x" * shift)
    assert lines(read(one, told=False)) == one.symbols


def test_a_gap_behind_the_code_is_passed_over() -> None:
    """x86-64 takes the pages between .text and .rodata out of its tables."""
    assert OLD.tables.address - (OLD.start + 4096) > 1 << 20
    assert lines(read(OLD, told=False)) == OLD.symbols


def test_a_kernel_without_kallsyms() -> None:
    """It is looked for as far as a kernel goes, then the words say what is missing."""
    memory = Regions({PLAIN.start: bytes(1 << 21)})
    with pytest.raises(SymbolMissing, match=r"no kallsyms within .*name its vmlinux"):
        read_kallsyms(memory, Abi("<", 8), Told({"_stext": PLAIN.start}))
    with pytest.raises(SymbolMissing, match="tells nothing of its kernel's symbols"):
        read_kallsyms(memory, Abi("<", 8), Told())


def test_a_start_that_is_elsewhere() -> None:
    """A VMCOREINFO that is another kernel's gives no addresses at all."""
    told = PLAIN.told() | {"_stext": PLAIN.start + 0x200000}
    with pytest.raises(FormatError, match="_stext is not where VMCOREINFO has it"):
        read_kallsyms(Regions(PLAIN.memory), Abi("<", 8), Told(told))


def test_a_kernel_that_tells_no_start_is_taken_at_its_word() -> None:
    """The form of its values is the one in which they rise."""
    for one in (PLAIN, KERNELS["x86-64 6.12"]):
        told = {name: at for name, at in one.told().items() if name != "_stext"}
        found = read_kallsyms(Regions(one.memory), Abi("<", 8), Told(told))
        assert lines(found) == one.symbols


@pytest.mark.parametrize("label", ["num_syms", "names", "token_table", "token_index", "offsets"])
def test_tables_without_their_pages(label: str) -> None:
    """The Fault says where; a table that ends early is as bad as one that is not there."""
    tables = PLAIN.tables
    for missing in (0, 3):
        at = tables.labels[label] - tables.address + missing
        memory = Regions({**PLAIN.memory, tables.address: tables.data[:at]})
        told = {**PLAIN.told()}
        with pytest.raises((Fault, FormatError)):
            read_kallsyms(memory, Abi("<", 8), Told(told))


@pytest.mark.parametrize("count", [0, 1 << 21 | 1, (1 << 32) - 1])
def test_a_count_that_no_kernel_has(count: int) -> None:
    """It is not believed, and nothing is read for it."""
    tables = PLAIN.tables.put("num_syms", 0, struct.pack("<I", count))
    with pytest.raises(FormatError, match=f"{count} symbols"):
        read(PLAIN, tables=tables)


def test_names_that_are_longer_than_all_memory() -> None:
    """Tokens of 511 bytes, names of 16 KB: the text is bounded, not the patience."""
    count = 70
    names = (bytes((0xFF, 0x7F)) + bytes(16383)) * count
    places = {"num_syms": 0x1000, "token_index": 0x2000, "names": 0x3000, "token_table": 0x400000}
    memory = {
        places["num_syms"]: struct.pack("<I", count),
        places["token_index"]: bytes(512),
        places["names"]: names,
        places["token_table"]: b"x" * 511 + b"\0",
    }
    told = {f"kallsyms_{name}": at for name, at in places.items()}
    told |= {"kallsyms_offsets": 0x1000, "kallsyms_relative_base": 0x1000}
    with pytest.raises(FormatError, match="more than 67108864 bytes of names"):
        read_kallsyms(Regions(memory), Abi("<", 8), Told(told))


@pytest.mark.parametrize("byte", [0, 1, 0x30, 0xFF])
def test_memory_of_one_byte(byte: int) -> None:
    """However often it is repeated: no symbols, and no more reading than of a kernel."""
    memory = Endless(byte)
    with pytest.raises((SymbolMissing, FormatError)):
        read_kallsyms(memory, Abi("<", 8), Told({"_stext": 0x1000000}))
    assert memory.bytes_read < 1 << 29


def test_tokens_behind_zeros() -> None:
    """Each word of 0 could be the first marker; they are not all looked at for ever."""
    data = OLD.tables.data[OLD.tables.labels["token_table"] - OLD.tables.address :]
    table = OLD.start + (1 << 24)
    memory = Regions({OLD.start: bytes(1 << 24), table: data})
    with pytest.raises(SymbolMissing):
        read_kallsyms(memory, Abi("<", 8), Told({"_stext": OLD.start}))


def test_tokens_behind_many_beginnings_of_markers() -> None:
    """Of a million pairs that could be markers few are looked at, or this would never end."""
    data = OLD.tables.data[OLD.tables.labels["token_table"] - OLD.tables.address :]
    table = OLD.start + (1 << 24)
    pairs = struct.pack("<II", 0, 600) * (1 << 21)
    memory = Regions({OLD.start: pairs, table: data})
    with pytest.raises(SymbolMissing):
        read_kallsyms(memory, Abi("<", 8), Told({"_stext": OLD.start}))


@pytest.mark.parametrize("name", ["x86-64 6.12", "x86-64 5.10", "powerpc 6.1", "x86-64 7.0"])
@pytest.mark.parametrize("told", [True, False])
def test_damaged_tables(name: str, told: bool) -> None:
    """Wherever a byte is another: symbols, or a KvmError."""
    one = KERNELS[name]
    tables = one.tables
    width = len(tables.data)
    places = [at * width // 60 for at in range(60)]
    places += [at - tables.address for label, at in tables.labels.items()]
    for at in places:
        for byte in (b"\0", b"\x7f", b"\xff"):
            data = tables.data[:at] + byte + tables.data[at + 1 :]
            try:
                found = read(one, told=told, tables=replace(tables, data=data))
            except KvmError:
                continue
            assert len(list(found)) == len(found)
            found.at(one.start + 0x1000)
            found.find(b"twice")


def test_values_are_those_of_the_machine() -> None:
    """A base near the end of all addresses does not lead beyond it."""
    tables = PLAIN.tables.put("relative_base", 0, b"\xff" * 8)
    told = {name: at for name, at in PLAIN.told().items() if name != "_stext"}
    memory = Regions({tables.address: tables.data})
    found = read_kallsyms(memory, Abi("<", 8), Told(told))
    assert all(0 <= one.value < 1 << 64 for one in found)


def test_the_writer_makes_what_the_kernels_script_makes() -> None:
    """Three names, by hand: the pair that is the most frequent becomes byte 255."""
    own = [Sym(0x1000, "T", "aaab"), Sym(0x1010, "t", "aab"), Sym(0x1020, "T", "b")]
    tables = write(Kind(tokens=1), own, 0x5000)
    at = tables.labels["names"] - tables.address
    assert tables.data[at : at + 12] == b"\x04T\xffab\x03t\xffb\x02Tb"
    assert b"\0\0aa\0" in tables.data
