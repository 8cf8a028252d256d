"""Whole forged dumps, whose bytes a test damages; a bound of memory, and an end to what hangs."""

from __future__ import annotations

import faulthandler
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from forge import cdecl, system_world
from forge.crashed import BASES, crash, kernel_file
from forge.kernel_structs import MODERN
from forge.population import Population
from forge.world import World

ABIS = {
    "amd64": cdecl.AMD64,
    "i386": cdecl.I386,
    "aarch64": cdecl.AARCH64,
    "riscv64": cdecl.RISCV64,
    "powerpc64": cdecl.POWERPC64,
}
VERSIONS = {"amd64": 3, "aarch64": 3}
"""Of minidumps; 2 elsewhere."""

ROOM = 512 << 20
"""Bytes of address space that a test may use on top of what there is."""

LONG = 120
"""Seconds after which a test hangs: it takes two at most."""


class Crashed(NamedTuple):
    """The bytes of a kernel file and of its dump."""

    kernel: bytes
    core: bytes


def people(arch: str) -> World:
    """A kernel with processes, threads and files."""
    world = World(MODERN, ABIS[arch], base=BASES[arch])
    some = Population(world)
    for pid in range(1, 6):
        some.add(pid, b"process", parent=1 if pid > 1 else None, threads=[{}, {}])
    program = some.directory(some.directory(some.root(), b"bin"), b"sh")
    some.open(1, {0: world.new("struct file", f_type=1, f_count=1, f_vnode=program)})
    some.processes[1].put("p_textvp", program)
    return some.finish()


def system(arch: str) -> World:
    """A kernel with everything else."""
    return system_world.modern(ABIS[arch], distance=arch == "amd64", base=BASES[arch])


WORLDS = {"people": people, "system": system}


@pytest.fixture(scope="session")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Crashed]:
    """Forges a dump of (architecture, world), each once."""
    known: dict[tuple[str, str], Crashed] = {}

    def of(arch: str, kind: str) -> Crashed:
        if (arch, kind) not in known:
            folder = tmp_path_factory.mktemp(f"{arch}-{kind}")
            version = VERSIONS.get(arch, 2)
            world = WORLDS[kind](arch)
            _, core = crash(world, folder, arch, version=version, msgbuf=b"text\n" * 9)
            # types that are not compressed can be damaged one by one
            kernel = kernel_file(world, arch, compress=False)
            known[arch, kind] = Crashed(kernel, core.read_bytes())
        return known[arch, kind]

    return of


@pytest.fixture(autouse=True)
def little() -> Iterator[None]:
    """Little memory, so that a giant allocation fails, and not for ever."""
    statm = Path("/proc/self/statm")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if statm.exists():
        used = int(statm.read_text("ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, hard))
    faulthandler.dump_traceback_later(LONG, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture
def files(tmp_path: Path) -> Callable[[Crashed], tuple[Path, Path]]:
    """Writes a (kernel, core); their paths."""

    known: dict[str, bytes] = {}

    def write(crashed: Crashed) -> tuple[Path, Path]:
        for name, data in zip(("kernel", "vmcore.0"), crashed, strict=True):
            if known.get(name) is not data:
                (tmp_path / name).write_bytes(data)
                known[name] = data
        return tmp_path / "kernel", tmp_path / "vmcore.0"

    return write
