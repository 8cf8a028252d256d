"""Does the running kernel's file tell its symbols and types, and its absence cost no more?"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from forge.crashed import BASES, VERSION, kernel_file
from forge.sysctl import Answers as Forged
from forge.sysctl import ForgedSysctl
from forge.world import World

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.freebsd.bootfile import BootFile
from kvm_exporter.kvm.tally import Tally


def boot_file(path: Path, moved: int = 0) -> BootFile:
    """That of a kernel which runs ``moved`` bytes from where it was linked."""
    answers: Forged = {
        "hw.machine_arch": b"amd64\0",
        "kern.bootfile": os.fsencode(path) + b"\0",
        "kern.base_address": struct.pack("<Q", 0x200000),
        "kern.relbase_address": struct.pack("<Q", 0x200000 + moved),
    }
    return BootFile(Answers(ForgedSysctl(answers, {}), Tally()))


@pytest.fixture
def kernel(tmp_path: Path) -> tuple[Path, World]:
    """A kernel's file, and the world that it is of."""
    world = World("struct proc { int p_pid; char p_comm[20]; };", base=BASES["amd64"])
    world.define("version", "char", VERSION)
    world.define("nprocs", "int", 4)
    path = tmp_path / "kernel"
    path.write_bytes(kernel_file(world))
    return path, world


@pytest.mark.parametrize("moved", [0, 0x400000])
def test_symbols_are_where_the_kernel_runs(kernel: tuple[Path, World], moved: int) -> None:
    """Which is not where the file has them, if the loader put it elsewhere."""
    path, world = kernel
    file = boot_file(path, moved)
    found = {symbol.name: symbol.value for symbol in file.symbols()}
    assert {one.name: one.address + moved for one in world.symbols}.items() <= found.items()
    file.close()


def test_types_are_those_of_the_file(kernel: tuple[Path, World]) -> None:
    """Its CTF."""
    path, _ = kernel
    file = boot_file(path)
    assert "struct proc" in set(file.types().types.names())
    file.close()


@pytest.mark.parametrize("data", [None, b"", b"no kernel"])
def test_a_file_that_cannot_be_read_means_no_types(tmp_path: Path, data: bytes | None) -> None:
    """TypeMissing, for which those who can do without types are ready; symbols fail as they are."""
    path = tmp_path / "kernel"
    if data is not None:
        path.write_bytes(data)
    file = boot_file(path)
    with pytest.raises(TypeMissing, match="kernel"):
        file.types()
    with pytest.raises(KvmError):
        list(file.symbols())
    file.close()


def test_a_file_that_was_never_needed_was_never_opened(tmp_path: Path) -> None:
    """Closing is fine all the same."""
    boot_file(tmp_path / "nothing").close()
