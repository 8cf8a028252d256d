"""Are a kernel's exported variables found in its memory, where kallsyms have functions only?"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping

import pytest
from fakes.regions import Regions
from forge.exports import KINDS, Kind, write

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import SymbolMissing
from kvm_exporter.kvm.symbols.exports import Exports, read_exports

PREL32 = KINDS["x86-64 since 5.4"]
CODE = 64 << 10
"""Bytes of code before the tables."""


def addresses(kind: Kind) -> tuple[int, dict[str, int], dict[str, int]]:
    """Where the kernel starts, its functions, its variables."""
    start = 0xC010_0000 if kind.bits == 32 else 0xFFFF_FFFF_8100_0000
    functions = {f"function_{n}": start + 16 * n for n in range(400)}
    variables = {f"variable_{n}": start + (1 << 20) + 64 * n for n in range(100)}
    more = {"init_task": 2 << 20, "jiffies_64": 64, "avenrun": 8}
    return start, functions, variables | {name: start + at for name, at in more.items()}


def kernel(kind: Kind, functions: Mapping[str, int] | None = None) -> tuple[Regions, int]:
    """A kernel's memory, and where its code ends."""
    start, own, variables = addresses(kind)
    rodata = b"a log has init_task\0in it, too\0".ljust(4096, b"\xcc")
    rodata += write(kind, start + CODE + len(rodata), variables, functions or own)
    return Regions({start: bytes(CODE) + rodata.ljust(1 << 20, b"\0")}), start + CODE


def abi(kind: Kind) -> Abi:
    """Its words."""
    return Abi(kind.order, kind.bits // 8)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_export_of_every_form(kind: Kind) -> None:
    """Functions and variables, of both tables, with the addresses that were written."""
    _, functions, variables = addresses(kind)
    memory, end = kernel(kind)
    found = read_exports(memory, abi(kind), end, {n.encode(): a for n, a in functions.items()}.get)
    assert {name.decode(): value for name, value in found.items()} == functions | variables


def test_a_name_that_is_the_end_of_another() -> None:
    """A linker that merged init_task into another name hides it; there are more to look for."""
    memory, end = kernel(PREL32)
    ((start, data),) = memory.regions.items()
    hidden = Regions({start: data.replace(b"\0init_task\0", b"_init_task\0")})
    found = read_exports(hidden, abi(PREL32), end, {}.get)
    assert found[b"variable_7"] == start + (1 << 20) + 7 * 64


def test_a_table_that_contradicts_kallsyms_is_none() -> None:
    """Addresses of functions that are others in kallsyms: not this kernel's table."""
    memory, end = kernel(PREL32)
    with pytest.raises(SymbolMissing, match="exported symbols"):
        read_exports(memory, abi(PREL32), end, lambda name: 8)


def test_without_a_table_there_is_an_error() -> None:
    """Memory that has the name, but no entry of it; and memory that has nothing."""
    start, *_ = addresses(PREL32)
    for data in (b"\0init_task\0" * 1000, bytes(4096), b""):
        with pytest.raises(SymbolMissing):
            read_exports(Regions({start: data}), abi(PREL32), start, {}.get)


def test_damaged_tables_give_less_or_nothing() -> None:
    """Whatever bytes are there: a table, or SymbolMissing."""
    rng = random.Random(4)
    memory, end = kernel(PREL32)
    ((start, data),) = memory.regions.items()
    for _ in range(20):
        bad = bytearray(data)
        for _ in range(rng.choice((1, 30, 3000))):
            at = rng.randrange(CODE, CODE + (64 << 10)) & -4
            bad[at : at + 4] = rng.choice((bytes(4), b"\xff" * 4, rng.randbytes(4)))
        try:
            found = read_exports(Regions({start: bytes(bad)}), abi(PREL32), end, {}.get)
        except SymbolMissing:
            continue
        assert b"init_task" in found


def test_memory_that_ends_right_behind_the_name() -> None:
    """A dump that lacks the pages around: as much as there is."""
    memory, end = kernel(PREL32)
    ((start, data),) = memory.regions.items()
    for length in range(len(data) - (1 << 20) + 4096, len(data), 40_000):
        try:
            read_exports(Regions({start: data[:length]}), abi(PREL32), end, {}.get)
        except SymbolMissing:
            continue


def test_exports_are_asked_only_where_kallsyms_have_no_variables() -> None:
    """A kernel that names init_task by itself has no other variables, so nothing is searched."""
    memory, end = kernel(PREL32)
    known = {b"init_task": 1, b"_etext": end}
    exports = Exports(memory, abi(PREL32), {}.get)
    assert exports.find(b"avenrun", known.get) is None
    assert memory.reads == 0
    del known[b"init_task"]
    assert exports.find(b"avenrun", known.get) == addresses(PREL32)[0] + 8
    reads = memory.reads
    assert exports.find(b"nowhere", known.get) is None
    assert memory.reads == reads, "it is searched once"


def test_what_vmcoreinfo_has_is_not_searched() -> None:
    """Its symbols come first, and cost nothing."""
    memory, end = kernel(PREL32)
    exports = Exports(memory, abi(PREL32), {"init_uts_ns": 42}.get)
    assert exports.find(b"init_uts_ns", {b"_etext": end}.get) == 42
    assert memory.reads == 0


def test_a_string_that_everything_leads_to_takes_no_time() -> None:
    """Of 200,000 words that all lead to one name a few are followed, or this would never end."""
    start, *_ = addresses(PREL32)
    count = 200_000
    words = struct.pack(f"<{count}i", *(4 * (count - at) + 1 for at in range(count)))
    memory = Regions({start: words + b"\0init_task\0".ljust(4096, b"\0")})
    with pytest.raises(SymbolMissing):
        read_exports(memory, abi(PREL32), start, {}.get)
