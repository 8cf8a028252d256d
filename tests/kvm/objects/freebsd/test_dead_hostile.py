"""Does any memory whatsoever give a dead kernel's objects, or a KvmError, and soon?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from fakes.world import target
from forge import cdecl, system_world
from forge.world import World

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd import jails
from kvm_exporter.kvm.objects.freebsd.dead import FreeBSDDead
from kvm_exporter.kvm.tally import Tally

SUBJECTS: dict[str, Callable[[FreeBSDDead], object]] = {
    "page_size": lambda system: system.page_size,
    "load_average": FreeBSDDead.load_average,
    "swap_devices": FreeBSDDead.swap_devices,
    "swap_activity": FreeBSDDead.swap_activity,
    "cpu_times": FreeBSDDead.cpu_times,
    "cpu_times_per_cpu": FreeBSDDead.cpu_times_per_cpu,
    "memory": FreeBSDDead.memory,
    "kernel": FreeBSDDead.kernel,
    "uname": FreeBSDDead.uname,
    "life": FreeBSDDead.life,
    "message_buffer": FreeBSDDead.message_buffer,
    "mounts": FreeBSDDead.mounts,
    "interfaces": FreeBSDDead.interfaces,
}

WORLDS = {
    "modern": lambda: system_world.modern(cdecl.AMD64, distance=True),
    "old": lambda: system_world.old(cdecl.POWERPC),
}


class Counted:
    """Memory that counts what is read of it."""

    def __init__(self, system_target: object) -> None:
        self.memory = system_target.memory
        self.reads = 0
        self.bytes = 0

    def read(self, address: int, length: int) -> bytes:
        self.reads += 1
        self.bytes += length
        return self.memory.read(address, length)


def attempt(world: World) -> dict[str, object]:
    """Every subject's value, or the KvmError; the reads that all took are bounded."""
    kernel = target(world, Tally())
    counted = kernel.memory = Counted(kernel)
    arch = Arch("amd64", "amd64", (0, 0, 0), Abi(world.abi.order, world.abi.pointer), 4096, {})
    found: dict[str, object] = {}
    system = FreeBSDDead(kernel, arch)
    for name, ask in (*SUBJECTS.items(), ("jails", lambda _: jails.from_memory(kernel))):
        try:
            found[name] = ask(system)
        except KvmError as e:
            found[name] = e
    assert counted.reads < 100_000
    assert counted.bytes < 1 << 28
    return found


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    """A whole kernel."""
    return WORLDS[request.param]()


def failed(found: dict[str, object]) -> set[str]:
    """The subjects that gave an error."""
    return {name for name, value in found.items() if isinstance(value, KvmError)}


def test_an_undamaged_world_fails_in_nothing(world: World) -> None:
    """What the other tests break was whole."""
    assert failed(attempt(world)) == set()


NEEDED = {
    "averunnable": {"load_average"},
    "swtailq": {"swap_devices"},
    "mp_maxid": {"cpu_times", "cpu_times_per_cpu"},
    "cpuid_to_pcpu": {"cpu_times", "cpu_times_per_cpu"},
    "stathz": {"cpu_times", "cpu_times_per_cpu"},
    "version": {"uname"},
    "ostype": {"uname"},
    "osrelease": {"uname"},
    "prison0": {"uname"},
    "msgbufp": {"message_buffer"},
    "mountlist": {"mounts"},
    "allprison": {"jails"},
    "ifnet": {"interfaces"},
    "vnet_entry_ifnet": {"interfaces"},
    "vnet_head": {"interfaces"},
}
"""Symbol → the subjects that are impossible without it; all others give what is left."""


def test_a_missing_symbol_costs_its_own_subject(world: World) -> None:
    """Each symbol in turn is not there."""
    symbols = world.symbols
    for lost in symbols:
        world.symbols = [one for one in symbols if one is not lost]
        assert failed(attempt(world)) == NEEDED.get(lost.name, set()), lost.name


def test_a_variable_that_is_not_in_memory_costs_its_own_subject(world: World) -> None:
    """Each symbol in turn is where no page is."""
    symbols = world.symbols
    for lost in symbols:
        elsewhere = lost._replace(address=0x10)
        world.symbols = [elsewhere if one is lost else one for one in symbols]
        assert failed(attempt(world)) == NEEDED.get(lost.name, set()), lost.name


PATTERNS = {
    "ones": lambda size: b"\xff" * size,
    "zeros": bytes,
    "sign": lambda size: (b"\x80" + bytes(7)) * (size // 8) + b"\x80" * (size % 8),
    "small": lambda size: b"\x01" * size,
    "random": lambda size: random.Random(size).randbytes(size),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_bytes_are_too_strange(world: World, pattern: str) -> None:
    """Each thing in memory in turn is overwritten: a value or a KvmError, with few reads."""
    for start, size in list(blocks(world)):
        before = world.read(start, size)
        world.write(start, PATTERNS[pattern](size))
        attempt(world)
        world.write(start, before)


def blocks(world: World) -> Iterator[tuple[int, int]]:
    """(address, size) of what was put into the world; of the counters' pages just the ends."""
    for start in world._starts:
        size = len(world._blocks[start])
        yield start, size


def test_pointers_that_lead_astray(world: World) -> None:
    """Each variable's pointer in turn points at another thing: circles and wrong types end."""
    starts = [start for start, _ in islice(blocks(world), 0, None, 5)]
    for symbol in world.symbols:
        before = world.read(symbol.address, world.abi.pointer)
        for start in (symbol.address, *starts):
            world.write(symbol.address, world.pointer(start)[: len(before)])
            attempt(world)
        world.write(symbol.address, before)
