"""Are a kernel's names kept, found again, and believed only where they are the same kernel's?"""

from __future__ import annotations

import random
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.regions import Regions
from fakes.told import Told
from forge.kallsyms import Forged, Sym, write
from forge.kallsyms_kernels import KINDS, RODATA, Kernel, kernel

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.symbols import kallsyms_tables
from kvm_exporter.kvm.symbols.kallsyms import Kallsyms
from kvm_exporter.kvm.symbols.kallsyms_reading import read_kallsyms

BUILD_ID = "0123456789abcdef0123456789abcdef01234567"
ONE = kernel(KINDS["x86-64 6.12"])
MOVED = 0x1B000000
Expanded = Callable[[], int]


@pytest.fixture
def expanded(monkeypatch: pytest.MonkeyPatch) -> Expanded:
    """How often names were expanded."""
    times = 0
    expand = kallsyms_tables.read_names

    def counting(*arguments: object) -> object:
        nonlocal times
        times += 1
        return expand(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(kallsyms_tables, "read_names", counting)
    return lambda: times


def read(one: Kernel, folder: Path, told: Told | None = None) -> Kallsyms:
    """A kernel's symbols, kept in ``folder``."""
    abi = Abi(one.kind.endian, one.kind.bits // 8)
    told = told or Told(one.told(), BUILD_ID)
    return read_kallsyms(Regions(one.memory), abi, told, str(folder))


def lines(found: Kallsyms) -> list[tuple[int, str, str]]:
    """As /proc/kallsyms has them."""
    return [
        (one.value, chr(found.names.letter(number)), one.name) for number, one in enumerate(found)
    ]


def moved(one: Kernel, by: int = MOVED) -> Kernel:
    """The same build where KASLR has put it elsewhere: only the base, or addresses, are others."""
    symbols = [
        symbol if symbol.letter == "A" else symbol._replace(address=symbol.address + by)
        for symbol in one.symbols
    ]
    tables = write(one.kind, symbols, one.tables.address + by, b"decoys")
    return Shifted(one.kind, symbols, tables, {tables.address: tables.data})


class Shifted(Kernel):
    """A Kernel that begins elsewhere."""

    @property
    def start(self) -> int:
        return next(one.address for one in self.symbols if one.name == "_text")


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.wide])
def test_names_are_expanded_once(name: str, tmp_path: Path, expanded: Expanded) -> None:
    """By build id, for their owner only; what was kept gives the same symbols."""
    one = kernel(KINDS[name])
    assert lines(read(one, tmp_path)) == one.symbols
    (path,) = tmp_path.iterdir()
    assert path.name == f"{BUILD_ID}.kallsyms.kvmidx"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = read(one, tmp_path)
    assert lines(again) == one.symbols
    assert again.find(b"twice") == read(one, tmp_path / "other").find(b"twice")
    assert expanded() == 2


@pytest.mark.parametrize("name", ["x86-64 5.10", "x86-64 4.18"])
def test_tables_that_had_to_be_found_are_kept_as_well(
    name: str, tmp_path: Path, expanded: Expanded
) -> None:
    """The second time nothing is searched for, also without a build id (before Linux 5.9)."""
    one = kernel(KINDS[name])
    told = Told(one.told(kallsyms=False) | {"swapper_pg_dir": one.start + 0x1000})
    assert lines(read(one, tmp_path, told)) == one.symbols
    memory = Regions(one.memory)
    found = read_kallsyms(memory, Abi("<", 8), told, str(tmp_path))
    assert lines(found) == one.symbols
    assert expanded() == 1
    assert memory.bytes_read < len(one.tables.data)


@pytest.mark.parametrize("name", ["x86-64 6.18", "x86-64 6.12", "x86-64 7.0", "ia64 6.4"])
def test_a_kernel_may_run_elsewhere_the_next_time(
    name: str, tmp_path: Path, expanded: Expanded
) -> None:
    """KASLR: the same names at other addresses, for any form of values."""
    one = kernel(KINDS[name])
    read(one, tmp_path)
    other = moved(one)
    assert other.start == one.start + MOVED
    assert lines(read(other, tmp_path)) == other.symbols
    assert expanded() == 1


def renamed(one: Kernel) -> Kernel:
    """A build whose symbols have other names."""
    symbols = [symbol._replace(name=symbol.name.replace("page", "folio")) for symbol in one.symbols]
    return rebuilt(one, symbols)


def rebuilt(one: Kernel, symbols: list[Sym]) -> Kernel:
    """A kernel of these symbols where the first is."""
    tables = write(one.kind, symbols, one.start + RODATA, b"decoys")
    return replace(one, symbols=symbols, tables=tables, memory={tables.address: tables.data})


def grown(one: Kernel) -> Kernel:
    """A build with the same names at other distances."""
    symbols = [
        symbol._replace(address=symbol.address + 16 * (symbol.name == "_end"))
        for symbol in one.symbols
    ]
    return rebuilt(one, symbols)


@pytest.mark.parametrize("change", [renamed, grown])
def test_another_kernel_of_the_same_build_id_has_its_own_symbols(
    change: Callable[[Kernel], Kernel], tmp_path: Path, expanded: Expanded
) -> None:
    """Whoever gave it that; its names take the place of the others."""
    read(ONE, tmp_path)
    other = change(ONE)
    assert lines(read(other, tmp_path)) == other.symbols
    assert lines(read(other, tmp_path)) == other.symbols
    assert expanded() == 2


def test_kernels_without_build_ids_are_told_apart(tmp_path: Path) -> None:
    """By release and distances; each has a file of its own."""
    distances = [{"swapper_pg_dir": ONE.start + at} for at in (0x1000, 0x2000)]
    for release in ("4.18.0-1", "4.18.0-2"):
        for symbols in distances:
            read(ONE, tmp_path, Told(ONE.told() | symbols, None, release))
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("build_id", ["../../etc/passwd", "", "x" * 40, "0" * 4000, "\0"])
def test_a_build_id_that_is_none_names_no_file(build_id: str, tmp_path: Path) -> None:
    """It comes from the core; the file is in the directory, and called by a digest."""
    told = Told(ONE.told(), build_id)
    assert lines(read(ONE, tmp_path / "cache", told)) == ONE.symbols
    (path,) = (tmp_path / "cache").iterdir()
    assert len(path.name) == 64 + len(".kallsyms.kvmidx")


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    """Wherever a byte of it is another, or it ends: the symbols are right, the file is whole."""
    read(ONE, tmp_path)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    dice = random.Random(1)
    places = [*range(0, 120, 3), *(dice.randrange(len(good)) for _ in range(20))]
    damaged = [good[:at] + bytes((good[at] ^ 0x55,)) + good[at + 1 :] for at in places]
    for data in (*damaged, b"", good[:10], good[:116], good[:-1], good + b"x", b"\0" * 4096):
        path.write_bytes(data)
        assert lines(read(ONE, tmp_path)) == ONE.symbols
        assert path.read_bytes() == good


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    """What it leads to is neither read nor written."""
    read(ONE, tmp_path)
    (path,) = tmp_path.iterdir()
    elsewhere = tmp_path / "elsewhere"
    good = path.read_bytes()
    path.rename(elsewhere)
    elsewhere.write_bytes(b"not ours")
    path.symlink_to(elsewhere)
    assert lines(read(ONE, tmp_path)) == ONE.symbols
    assert (path.read_bytes(), elsewhere.read_bytes()) == (good, b"not ours")


def test_a_directory_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    """A file where it should be: the names are expanded each time."""
    (tmp_path / "taken").write_text("")
    assert lines(read(ONE, tmp_path / "taken" / "deep")) == ONE.symbols


def test_nothing_is_kept_of_a_damaged_core(tmp_path: Path) -> None:
    """Neither of one that has no symbols nor of one whose addresses are wrong."""
    wrong = Told(ONE.told() | {"_stext": 0x1000}, BUILD_ID)
    for told in (wrong, Told({"_stext": ONE.start + 0x200000}, BUILD_ID)):
        with pytest.raises(Exception, match=r"_stext|no kallsyms"):
            read(ONE, tmp_path, told)
    assert list(tmp_path.iterdir()) == []


def test_a_forged_kernel_is_what_it_says() -> None:
    """The moved kernel's tables differ where the addresses are."""
    other: Forged = moved(ONE).tables
    assert other.data != ONE.tables.data
    assert len(other.data) == len(ONE.tables.data)
