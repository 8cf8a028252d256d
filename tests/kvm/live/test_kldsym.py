"""Do bare names of VNET and per-CPU variables lead to their copies, as libkvm's do?"""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Mapping

import pytest
from forge import freebsd_facts

from kvm_exporter.kvm.errors import AccessDenied, Fault, Unsupported
from kvm_exporter.kvm.live.devmem import NoMemory
from kvm_exporter.kvm.live.kldsym import Found, KldSymbols
from kvm_exporter.kvm.tally import Tally

MAGIC = 0x5E4A6F28
VNET_BASE = 0xFFFFFE0100000000
DISTANCES = (0x1000, 0xFFFFFE0080000000, 0)
"""dpcpu_off of two CPUs, and of one that is absent."""

KERNEL = {
    b"allproc": 0xFFFFFFFF80001000,
    b"vnet0": 0xFFFFFFFF80002000,
    b"dpcpu_off": 0xFFFFFFFF80003000,
    b"mp_maxcpus": 0xFFFFFFFF80004000,
    b"__start_set_vnet": 0xFFFFFFFF80010000,
    b"vnet_entry_ipstat": 0xFFFFFFFF80010100,
    b"vnet_entry_both": 0xFFFFFFFF80010200,
    b"vnet_entry_outside": 0xFFFFFFFF80011000,
    b"__stop_set_vnet": 0xFFFFFFFF80011000,
    b"__start_set_pcpu": 0xFFFFFFFF80020000,
    b"pcpu_entry_tdq": 0xFFFFFFFF80020100,
    b"pcpu_entry_both": 0xFFFFFFFF80020200,
    b"__stop_set_pcpu": 0xFFFFFFFF80021000,
}
VNET = 0xFFFFF80002000000


class ForgedMemory:
    """Kernel memory: address → the bytes there."""

    def __init__(self, pages: Mapping[int, bytes]) -> None:
        self.pages = pages

    def read(self, address: int, length: int) -> bytes:
        for start, data in self.pages.items():
            if start <= address < start + len(data):
                return data[address - start :][:length]
        raise Fault(address, "no page")

    def write(self, address: int, data: bytes) -> int:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


class LockedMemory(ForgedMemory):
    """/dev/kmem to somebody outside the group kmem."""

    def read(self, address: int, length: int) -> bytes:
        raise AccessDenied("/dev/kmem") from PermissionError(errno.EACCES, "refused")


def pages(magic: int = MAGIC) -> dict[int, bytes]:
    """The memory that relocation reads."""
    vnet = struct.pack("=QQIIIIQQ", 0, 0, magic, 3, 2, 0xFFFFFFF, 0, VNET_BASE)
    return {
        KERNEL[b"vnet0"]: struct.pack("=Q", VNET),
        VNET: vnet,
        KERNEL[b"dpcpu_off"]: struct.pack("=3Q", *DISTANCES),
        KERNEL[b"mp_maxcpus"]: struct.pack("=i", 3),
    }


def find(name: bytes) -> Found | None:
    """kldsym(2) of the forged kernel."""
    return Found(KERNEL[name], 8) if name in KERNEL else None


def values(*names: str, magic: int = MAGIC, cpu: int = 0) -> list[int | None]:
    """The addresses of names."""
    found = KldSymbols(find, ForgedMemory(pages(magic)), Tally(), cpu=cpu).lookup(names)
    return [symbol and symbol.value for symbol in found]


def test_a_symbol_keeps_the_name_it_was_asked_by() -> None:
    """Name as asked, type 4, size as the kernel says; one leading underscore is dropped."""
    found = KldSymbols(find, ForgedMemory({}), Tally()).lookup(["_allproc", "allproc"])
    assert found == [("_allproc", KERNEL[b"allproc"], 4, 8), ("allproc", KERNEL[b"allproc"], 4, 8)]


def test_only_one_underscore_is_dropped() -> None:
    """__allproc is _allproc, which the kernel has not; ___start_set_vnet is found."""
    assert values("__allproc", "___start_set_vnet") == [None, KERNEL[b"__start_set_vnet"]]


def test_a_bare_vnet_name_is_the_hosts_copy() -> None:
    """The template's address moves by vnet_data_base."""
    moved = (KERNEL[b"vnet_entry_ipstat"] + VNET_BASE) % 2**64
    assert values("ipstat", "_ipstat") == [moved, moved]


@pytest.mark.parametrize(("cpu", "distance"), [*enumerate(DISTANCES[:2])])
def test_a_bare_per_cpu_name_is_that_cpus_copy(cpu: int, distance: int) -> None:
    """The template's address moves by the CPU's dpcpu_off, modulo the address space."""
    assert values("tdq", cpu=cpu) == [(KERNEL[b"pcpu_entry_tdq"] + distance) % 2**64]


@pytest.mark.parametrize("cpu", [2, 3, -1])
def test_an_absent_cpu_has_no_copy(cpu: int) -> None:
    """Neither a CPU without an offset, nor one past the last."""
    assert values("tdq", cpu=cpu) == [None]


def test_vnet_comes_before_per_cpu() -> None:
    """A name that both sets have is the network stack's."""
    assert values("both") == [(KERNEL[b"vnet_entry_both"] + VNET_BASE) % 2**64]


def test_a_prefixed_name_is_the_template() -> None:
    """Asked for by its full name, a template is not moved."""
    assert values("vnet_entry_ipstat", "pcpu_entry_tdq") == [
        KERNEL[b"vnet_entry_ipstat"],
        KERNEL[b"pcpu_entry_tdq"],
    ]


def test_what_lies_outside_the_set_is_not_moved() -> None:
    """The set ends before __stop_set_vnet."""
    assert values("outside") == [KERNEL[b"vnet_entry_outside"]]


def test_a_vnet_of_the_wrong_magic_is_not_believed() -> None:
    """Then there is no copy; per-CPU names still have theirs."""
    moved = KERNEL[b"pcpu_entry_tdq"] + DISTANCES[0]
    assert values("ipstat", "tdq", magic=1) == [None, moved]


@pytest.mark.parametrize("name", ["", "_", "a\0b", "x" * 1024, "nosuch"])
def test_a_name_that_cannot_be_is_missing(name: str) -> None:
    """None, and its neighbours are found all the same."""
    assert values(name, "allproc") == [None, KERNEL[b"allproc"]]


def test_the_longest_name_has_1023_bytes() -> None:
    """That many still reach the kernel, prefix included."""
    asked: list[bytes] = []

    def remember(name: bytes) -> None:
        asked.append(name)

    KldSymbols(remember, ForgedMemory({}), Tally()).lookup(["x" * 1023, "y" * 1024])
    assert asked.count(b"x" * 1023) == 1
    assert max(map(len, asked)) == 1023


def test_without_memory_bare_names_are_missing() -> None:
    """/dev/null as the core: templates and plain symbols resolve, copies do not."""
    tally = Tally()
    names = ["ipstat", "tdq", "vnet_entry_ipstat", "allproc"]
    found = KldSymbols(find, NoMemory(), tally).lookup(names)
    assert [symbol and symbol.name for symbol in found] == [None, None, *names[2:]]
    assert tally.counts() == {}


def test_a_locked_memory_is_counted() -> None:
    """No permission on /dev/kmem costs the relocated names only, and the tally shows why."""
    tally = Tally()
    found = KldSymbols(find, LockedMemory({}), tally).lookup(["ipstat", "allproc"])
    assert found == [None, ("allproc", KERNEL[b"allproc"], 4, 8)]
    assert tally.counts() == {("kmem", "EACCES"): 2}


def test_a_plain_lookup_reads_no_memory() -> None:
    """Symbols that resolve at once need no privilege."""
    tally = Tally()
    assert KldSymbols(find, LockedMemory({}), tally).lookup(["allproc"])[0] is not None
    assert tally.counts() == {}


def test_errors_of_the_call_itself_are_not_missing_names() -> None:
    """What kldsym(2) refuses reaches the caller."""

    def refuse(_name: bytes) -> Found | None:
        raise Unsupported("kldsym")

    with pytest.raises(Unsupported):
        KldSymbols(refuse, ForgedMemory({}), Tally()).lookup(["allproc"])


def recorded(file: str) -> dict[str, int]:
    """What the real libkvm's kvm_nlist answered, by name; 0 for a missing one."""
    pattern = r"^nl (\S+) type=\d+ other=0 desc=0 value=(\S+)"
    found = re.findall(pattern, freebsd_facts.text(file), re.MULTILINE)
    return {name: int(value, 0) for name, value in found}


def test_the_real_kernels_names_resolve_as_libkvm_did() -> None:
    """All 141 names that libkvm looked up on FreeBSD 15.1, as root and without memory."""
    root = recorded("libkvm-live-root.txt.gz")
    plain = recorded("libkvm-live-nobody-devnull.txt.gz")
    base = (root["ipstat"] - root["vnet_entry_ipstat"]) % 2**64
    distance = root["tdq"] - root["pcpu_entry_tdq"]
    table = {name.encode(): value for name, value in plain.items() if value and name[0] != "_"}
    # the bounds, which nobody asked libkvm for, around what was found in each set
    table |= {b"__start_set_vnet": root["vnet_entry_ifnet"]}
    table |= {b"__stop_set_vnet": root["vnet_entry_udbinfo"] + 1}
    table |= {b"__start_set_pcpu": root["pcpu_entry_timerstate"]}
    table |= {b"__stop_set_pcpu": root["pcpu_entry_nws"] + 1, b"mp_maxcpus": 0x7000}
    # VNET variables that libkvm only gave relocated
    for name in ("gif_cloner", "max_gif_nesting", "modspace", "rt_tables"):
        table[b"vnet_entry_" + name.encode()] = (root[name] - base) % 2**64
    memory = {
        root["vnet0"]: struct.pack("=Q", VNET),
        VNET: struct.pack("=QQIIIIQQ", 0, 0, MAGIC, 0, 0, 0, 0, base),
        root["dpcpu_off"]: struct.pack("=Q", distance),
        0x7000: struct.pack("=i", 1024),
    }

    def real(name: bytes) -> Found | None:
        return Found(table[name], 0) if table.get(name) else None

    for core, answers in ((ForgedMemory(memory), root), (NoMemory(), plain)):
        found = KldSymbols(real, core, Tally()).lookup(list(answers))
        assert {
            name: symbol.value if symbol else 0 for name, symbol in zip(answers, found, strict=True)
        } == answers


def test_a_template_is_found_by_its_own_name_only() -> None:
    """Where the kernel has it; no copy is, and no other spelling, with or without memory."""
    symbols = KldSymbols(find, NoMemory(), Tally())
    names = ("vnet_entry_both", "allproc", "both", "_allproc", "tdq", "")
    found = {name: symbols.template(name) for name in names}
    assert {name: (one.name, one.value) for name, one in found.items() if one} == {
        name: (name, KERNEL[name.encode()]) for name in ("vnet_entry_both", "allproc")
    }
