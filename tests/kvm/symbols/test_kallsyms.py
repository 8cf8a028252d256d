"""Which symbol does a name or an address mean in a Linux kernel, by kallsyms or by its vmlinux?"""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest
from fakes.regions import Regions
from fakes.sources import Bytes
from fakes.told import Told
from forge import elf
from forge.elf import ABS, FUNC, GLOBAL, LOCAL, NOTYPE, OBJECT, Sym
from forge.kallsyms_kernels import KINDS, Kernel, kernel

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError, SymbolMissing
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols, read_symbols
from kvm_exporter.kvm.symbols.kallsyms import Kallsyms, KernelSymbols, LinuxSymbols
from kvm_exporter.kvm.symbols.kallsyms_reading import read_kallsyms
from kvm_exporter.kvm.tally import Tally

ONE = kernel(KINDS["x86-64 6.12"])
START = ONE.start
LAST = next(one.address for one in ONE.symbols if one.name == "twice")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No index of another test's kernel."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def kallsyms(one: Kernel = ONE) -> Kallsyms:
    """Its symbols."""
    return read_kallsyms(Regions(one.memory), Abi("<", 8), Told(one.told()))


def symbols(one: Kernel = ONE) -> LinuxSymbols:
    """As a reader has them."""
    return LinuxSymbols(lambda: kallsyms(one), Tally())


def found(name: str) -> Symbol | None:
    """What one name is."""
    (one,) = symbols().lookup([name])
    return one


def test_nothing_is_read_before_a_name_is_asked_for() -> None:
    """Opening a core costs nothing; the tables are read once."""
    memory = Regions(ONE.memory)
    some = LinuxSymbols(lambda: read_kallsyms(memory, Abi("<", 8), Told(ONE.told())), Tally())
    assert memory.reads == 0
    some.lookup(["_text"])
    reads = memory.reads
    assert reads > 0
    some.lookup(["_end", "twice", "nothing"])
    some.at(START)
    assert memory.reads == reads


def test_types_are_those_of_nlist() -> None:
    """4 text, 6 data, 8 bss, 2 absolute, and 1 for a letter in upper case."""
    types = {"T": 5, "t": 4, "R": 7, "r": 6, "D": 7, "d": 6, "B": 9, "b": 8, "W": 5, "w": 4, "A": 3}
    every = list(kallsyms())
    assert {one.type for one in every} == set(types.values())
    assert [one.type for one in every] == [types[one.letter] for one in ONE.symbols]


def test_of_symbols_of_one_name_the_external_one_counts() -> None:
    """Then the first by address; iterating gives all of them."""
    assert found("twice") == Symbol("twice", LAST + 8, 5, 8)
    assert found("thrice") == Symbol("thrice", LAST + 24, 6, 8)
    alike = [one.value for one in symbols() if one.name in ("twice", "thrice")]
    assert alike == [LAST, LAST + 8, LAST + 16, LAST + 24, LAST + 32]


def test_one_leading_underscore_may_be_too_many() -> None:
    """A name is looked for as it is, first; the answer is called as it was asked for."""
    assert found("_under") == Symbol("_under", LAST + 40, 5, 8)
    assert found("__under") == Symbol("__under", LAST + 40, 5, 8)
    assert found("under") is None
    assert found("_thrice") == Symbol("_thrice", LAST + 24, 6, 8)


@pytest.mark.parametrize(
    "name", ["", "_", "no_such", "twic", "wice", "twice\0", "T_text", "x" * 2000]
)
def test_names_that_no_symbol_has(name: str) -> None:
    """Parts of names are none."""
    assert found(name) is None


def test_sizes_reach_to_the_next_address() -> None:
    """Of several symbols at one address, too; the last one has none, nor the last per-CPU one."""
    every = list(kallsyms())
    assert every == [kallsyms().symbol(number) for number in range(len(every))]
    addresses = sorted({one.value for one in every})
    for one in every[:-1]:
        following = addresses[addresses.index(one.value) + 1]
        if one.name != "__per_cpu_end":
            assert one.size == following - one.value, one
    assert every[-1].size is None
    assert found("__per_cpu_end") == Symbol("__per_cpu_end", 0x300, 3, None)


def test_a_per_cpu_variable_is_its_offset() -> None:
    """On x86-64 before Linux 6.15; with __per_cpu_offset[cpu] it is an address everywhere."""
    assert found("runqueues") == Symbol("runqueues", 0x200, 3, 0x100)


def test_what_lies_at_an_address() -> None:
    """The last symbol up to it, whose aliases are those of the same address, first ones first."""
    some = symbols()
    place = some.at(START)
    assert place is not None
    at_start = [one.name for one in ONE.symbols if one.address == START]
    assert (place.symbol.name, place.offset) == ("_text", 0)
    assert list(place.aliases) == at_start[1:]
    place = some.at(LAST + 13)
    assert place is not None
    assert (place.symbol, place.offset, place.aliases) == (Symbol("twice", LAST + 8, 5, 8), 5, ())


@pytest.mark.parametrize("address", [0, 0x200, START - 1, LAST + 0x1000, (1 << 64) - 1])
def test_nothing_lies_outside_the_kernel(address: int) -> None:
    """An offset of a per-CPU variable is no address; ``_end`` is where nothing is any more."""
    assert symbols().at(address) is None


def test_symbols_by_pattern() -> None:
    """As inspect asks for them."""
    pattern = re.compile(fnmatch.translate("__per_cpu_*"))
    assert [one.name for one in symbols().search(pattern)] == ["__per_cpu_start", "__per_cpu_end"]


def nothing() -> Kallsyms:
    """A kernel without CONFIG_KALLSYMS."""
    raise SymbolMissing("no kallsyms")


def test_without_kallsyms_each_question_is_the_error() -> None:
    """Which is found out once, and counted."""
    tally = Tally()
    some = LinuxSymbols(nothing, tally)
    for ask in (lambda: some.lookup(["_text"]), lambda: some.at(START), lambda: list(some)):
        with pytest.raises(SymbolMissing, match="no kallsyms"):
            ask()
    assert tally.counts() == {("kallsyms", "unknown"): 1}


def vmlinux(displacement: int = 0) -> ElfSymbols:
    """A kernel's file, as x86-64's before Linux 6.15: per-CPU variables are linked at 0."""
    text = elf.Section(bytes(64), flags=elf.ALLOC | elf.EXEC, address=START, size=0x1000)
    percpu = elf.Section(bytes(64), flags=elf.ALLOC | elf.WRITE, address=0, size=0x1000)
    rows = [
        Sym("_text", START, 0, NOTYPE, GLOBAL, ".text"),
        Sym("only_here", START + 0x80, 32, FUNC, LOCAL, ".text"),
        Sym("_twice", START + 0x100, 32, FUNC, LOCAL, ".text"),
        Sym("runqueues", 0x200, 0x100, OBJECT, LOCAL, ".data..percpu"),
        Sym("absolute", 0x4711, 0, NOTYPE, GLOBAL, ABS),
    ]
    data = elf.kernel("amd64", rows, more={".text": text, ".data..percpu": percpu})
    found = read_symbols(Bytes(data))
    found.displacement = displacement
    return found


def test_a_vmlinux_serves_without_kallsyms() -> None:
    """Moved as far as the kernel is; absolute symbols and x86-64's per-CPU variables are not."""
    moved = 0x1C000000
    some = LinuxSymbols(nothing, Tally(), lambda: vmlinux(moved))
    values = [
        one and one.value for one in some.lookup(["only_here", "runqueues", "absolute", "no"])
    ]
    assert values == [START + moved + 0x80, 0x200, 0x4711, None]
    place = some.at(START + moved + 0x85)
    assert place is not None
    assert (place.symbol.name, place.offset) == ("only_here", 5)
    assert some.at(0x210) is None
    assert some.at(START + moved - 1) is None
    assert {one.name for one in some} >= {"only_here", "runqueues"}


def test_a_vmlinux_is_asked_for_what_kallsyms_lack() -> None:
    """CONFIG_KALLSYMS_ALL=n leaves variables out; what kallsyms have is what counts."""
    some = LinuxSymbols(kallsyms, Tally(), vmlinux)
    names = [one and (one.name, one.value) for one in some.lookup(["only_here", "runqueues"])]
    assert names == [("only_here", START + 0x80), ("runqueues", 0x200)]
    assert some.at(START + 0x80) == symbols().at(START + 0x80)
    assert list(some) == list(symbols())


def test_a_vmlinux_without_symbols_is_none() -> None:
    """A stripped one leaves kallsyms what they are, or the error what it is."""

    def stripped() -> ElfSymbols:
        raise SymbolMissing("stripped")

    assert LinuxSymbols(kallsyms, Tally(), stripped).lookup(["twice", "only_here"])[1] is None
    with pytest.raises(SymbolMissing, match="no kallsyms"):
        LinuxSymbols(nothing, Tally(), stripped).lookup(["twice"])


def test_the_kernels_own_symbols_need_no_modules() -> None:
    """Types are opened with them, before anybody can tell what a struct module is."""
    some = symbols()

    def find() -> list[object]:
        raise AssertionError

    some.find_modules_with(find)  # type: ignore[arg-type]
    assert isinstance(some.kernel, KernelSymbols)
    assert some.kernel.lookup(["twice", "_twice", "no"]) == [
        Symbol("twice", LAST + 8, 5, 8),
        Symbol("_twice", LAST + 8, 5, 8),
        None,
    ]


def test_modules_that_cannot_be_found_are_counted() -> None:
    """They cost their own symbols only."""
    tally = Tally()
    some = LinuxSymbols(kallsyms, tally)

    def find() -> list[object]:
        raise FormatError("the list is damaged")

    some.find_modules_with(find)  # type: ignore[arg-type]
    assert some.lookup(["no", "twice"])[0] is None
    assert some.modules == ()
    assert tally.counts() == {("modules", "unknown"): 1}
