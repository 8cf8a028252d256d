"""Forged dumps behind kvm(3)'s own names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from forge import cdecl, system_world
from forge.booted import boot
from forge.crashed import BASES, crash
from forge.elf import Sym, kernel
from forge.elfcore import write_full_dump
from forge.kernel_structs import MODERN
from forge.minidump import ROWS, write_minidump
from forge.population import Population
from forge.world import Thing, World

from kvm_exporter.kvm import compat

ABIS = {
    "amd64": cdecl.AMD64,
    "aarch64": cdecl.AARCH64,
    "riscv64": cdecl.RISCV64,
    "i386": cdecl.I386,
    "armv7": cdecl.ARMV7,
    "powerpc64": cdecl.POWERPC64,
}
NEWEST = {"amd64": 3, "aarch64": 3}
"""Minidump versions; 2 of the others."""

PCPU_SET = 0x100
"""Bytes of the linker set of per-CPU variables; CPU 2's copy is that far behind it, twice."""

Open = Callable[..., compat.kvm_t]


@pytest.fixture
def opened() -> Iterator[Open]:
    """What opens a dump that has to open; all are closed in the end."""
    kept = []

    def made(kernel_path, core, flags=0, resolver=None):
        errbuf: list[str] = []
        kd = compat.kvm_open2(str(kernel_path), str(core), flags, errbuf, resolver)
        assert kd is not None, errbuf
        kept.append(kd)
        return kd

    yield made
    for kd in kept:
        assert compat.kvm_close(kd) == 0


class System(NamedTuple):
    """A dump of forge/system_world.py's modern kernel: CPUs 0 and 2 of at most 8."""

    kernel: Path
    core: Path
    world: World
    template: int

    def counter(self, name: str) -> int:
        """Where a counter of struct vmmeter is kept."""
        [place] = [one.address for one in self.world.symbols if one.name == "vm_cnt"]
        return Thing(self.world, "struct vmmeter", place).get(name)


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., System]:
    """A maker of such dumps: ``fill`` adds to the world."""

    def made(arch: str = "amd64", name: str = "system", fill=lambda world: None) -> System:
        world = system_world.modern(ABIS[arch], distance=arch == "amd64", base=BASES[arch])
        world.define("mp_maxcpus", "int", 8)
        world.define("mp_ncpus", "int", 2)
        start = world.allocate(PCPU_SET * 3)
        world.symbol("__start_set_pcpu", start)
        world.symbol("__stop_set_pcpu", start + PCPU_SET)
        world.symbol("pcpu_entry_tdq", start + 0x20)
        world.define("dpcpu_off", "pointer", [PCPU_SET, 0, 2 * PCPU_SET, *[0] * 5])
        fill(world)
        folder = tmp_path / name
        folder.mkdir()
        files = crash(world, folder, arch, version=NEWEST.get(arch, 2))
        return System(*files, world, start + 0x20)

    return made


@pytest.fixture
def people(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A maker of dumps with the processes that ``fill`` adds to a Population."""

    def made(fill, arch: str = "amd64", name: str = "people") -> tuple[Path, Path]:
        population = Population(World(MODERN, ABIS[arch], base=BASES[arch]))
        fill(population)
        folder = tmp_path / name
        folder.mkdir()
        return crash(population.finish(), folder, arch, version=NEWEST.get(arch, 2))

    return made


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A maker of minidumps of no more than ``pages`` and ``mappings``, and of a kernel's file."""

    def made(arch: str = "amd64", symbols=(), **dump) -> tuple[Path, Path]:
        machine = arch.partition("-")[0]
        file, core = tmp_path / f"{arch}.kernel", tmp_path / f"{arch}.core"
        base = ROWS[arch].kernbase + (1 << 24)  # where nothing is mapped
        file.write_bytes(kernel(machine, [Sym("here", base), *symbols], base=base))
        core.write_bytes(write_minidump(arch, NEWEST.get(machine, 2), **dump))
        return file, core

    return made


@pytest.fixture
def full(tmp_path: Path):
    """A maker of full dumps of forge/booted.py's kernels: kernel, dump and what is in it.

    ``more``: other runs of memory, (physical address, bytes).
    """

    def made(name: str, more=(), **options):
        booted = boot(name)
        file, core = tmp_path / f"{name}.kernel", tmp_path / f"{name}.core"
        file.write_bytes(booted.file)
        core.write_bytes(write_full_dump(booted.arch, runs=[*booted.runs, *more], **options))
        return file, core, booted

    return made
