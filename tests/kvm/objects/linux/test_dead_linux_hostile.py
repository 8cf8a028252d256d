"""Does any memory whatsoever give a dead Linux's objects, or a KvmError, and soon?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from fakes.world import target
from forge import cdecl, linux_system_world
from forge.world import World

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.linux.dead import LinuxDead
from kvm_exporter.kvm.tally import Tally

SUBJECTS: dict[str, Callable[[LinuxDead], object]] = {
    "load_average": LinuxDead.load_average,
    "swap_devices": LinuxDead.swap_devices,
    "swap_activity": LinuxDead.swap_activity,
    "cpu_times": LinuxDead.cpu_times,
    "cpu_times_per_cpu": LinuxDead.cpu_times_per_cpu,
    "memory": LinuxDead.memory,
    "kernel": LinuxDead.kernel,
    "uname": LinuxDead.uname,
    "life": LinuxDead.life,
    "message_buffer": LinuxDead.message_buffer,
    "mounts": LinuxDead.mounts,
    "interfaces": LinuxDead.interfaces,
}

WORLDS = {
    "modern": lambda: linux_system_world.modern(cdecl.AMD64),
    "old": lambda: linux_system_world.old(cdecl.POWERPC),
}


class Counted:
    """Memory that counts what is read of it."""

    def __init__(self, system_target: object) -> None:
        self.memory = system_target.memory
        self.reads = 0
        self.bytes = 0

    def read(self, address: int, length: int) -> bytes:
        self.reads += 1
        data = self.memory.read(address, length)
        self.bytes += len(data)
        return data


def attempt(world: World) -> dict[str, object]:
    """Every subject's value, or the KvmError; the reads that all took are bounded."""
    kernel = target(world, Tally())
    counted = kernel.memory = Counted(kernel)
    arch = Arch("amd64", "amd64", (0, 0, 0), Abi(world.abi.order, world.abi.pointer), 4096, {})
    found: dict[str, object] = {}
    system = LinuxDead(kernel, arch)
    for name, ask in SUBJECTS.items():
        try:
            found[name] = ask(system)
        except KvmError as e:
            found[name] = e
    assert counted.reads < 250_000
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


CPU = {"cpu_times", "cpu_times_per_cpu"}
NETWORK = {"interfaces"}
NEEDED = {
    "__per_cpu_offset": CPU,
    "avenrun": {"load_average"},
    "init_uts_ns": {"uname"},
    "kernel_cpustat": CPU,
    "__cpu_possible_mask": CPU,
    "__cpu_online_mask": CPU,
    "nr_swapfiles": {"swap_devices"},
    "prb": {"message_buffer"},
    "log_buf": {"message_buffer"},
    "log_buf_len": {"message_buffer"},
    "log_first_idx": {"message_buffer"},
    "log_next_idx": {"message_buffer"},
    "init_task": {"mounts"},
    "init_net": NETWORK,
}
"""Symbol → the subjects that are impossible without it; all others give what is left."""

ELSEWHERE = NEEDED | {
    "nr_cpu_ids": CPU,
    "swap_info": {"swap_devices"},
}
"""The same of a symbol that is there, and of which the memory is not."""


def test_a_missing_symbol_costs_its_own_subject(world: World) -> None:
    """Each symbol in turn is not there."""
    symbols = world.symbols
    for lost in symbols:
        world.symbols = [one for one in symbols if one is not lost]
        assert failed(attempt(world)) <= NEEDED.get(lost.name, set()), lost.name


def test_a_variable_that_is_not_in_memory_costs_its_own_subject(world: World) -> None:
    """Each symbol in turn is where no page is."""
    symbols = world.symbols
    for lost in symbols:
        elsewhere = lost._replace(address=0x10)
        world.symbols = [elsewhere if one is lost else one for one in symbols]
        assert failed(attempt(world)) <= ELSEWHERE.get(lost.name, set()), lost.name


PATTERNS = {
    "ones": lambda size: b"\xff" * size,
    "zeros": bytes,
    "sign": lambda size: (b"\x80" + bytes(7)) * (size // 8) + b"\x80" * (size % 8),
    "small": lambda size: b"\x01" * size,
    "random": lambda size: random.Random(size).randbytes(size),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_bytes_are_too_strange(world: World, pattern: str) -> None:
    """Each third thing in memory in turn, another third for each pattern, is overwritten."""
    for start, size in list(blocks(world))[list(PATTERNS).index(pattern) % 3 :: 3]:
        before = world.read(start, size)
        world.write(start, PATTERNS[pattern](size))
        attempt(world)
        world.write(start, before)


def blocks(world: World) -> Iterator[tuple[int, int]]:
    """(address, size) of what was put into the world."""
    for start in world._starts:
        yield start, len(world._blocks[start])


def test_pointers_that_lead_astray(world: World) -> None:
    """Each pointer of the network, the mounts and the log in turn points at another thing."""
    starts = [start for start, size in blocks(world) if size > 64][::7]
    for name in ("init_net", "init_task", "blockdev_superblock", "prb", "swap_info", "node_data"):
        symbol = next((one for one in world.symbols if one.name == name), None)
        if symbol is None:
            continue
        before = world.read(symbol.address, world.abi.pointer)
        for start in (symbol.address, *starts):
            world.write(symbol.address, world.pointer(start))
            attempt(world)
        world.write(symbol.address, before)
