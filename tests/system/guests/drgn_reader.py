"""How does drgn read a core?  The one importer of drgn, which `make test` does without."""

from __future__ import annotations

from pathlib import Path

from drgn import Architecture, Platform, Program
from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms
from drgn.helpers.linux.pid import for_each_task

PLATFORMS = {"amd64": Architecture.X86_64, "arm64": Architecture.AARCH64}


def program(core: Path, architecture: str) -> Program:
    """The core, opened; of a kdump file drgn has to be told the architecture."""
    found = Program(Platform(PLATFORMS[architecture]))
    found.set_core_dump(core)
    return found


def symbols(drgn: Program) -> set[tuple[str, int]]:
    """Name and address of each symbol of the kernel's kallsyms."""
    find = load_vmlinux_kallsyms(drgn)
    return {(symbol.name, symbol.address) for symbol in find(drgn, None, None, False)}


def threads(drgn: Program) -> dict[tuple[int, int], tuple[int, bytes, int]]:
    """(pid, tid) of each thread → parent, name, address of its task_struct; by DWARF."""
    return {
        (task.tgid.value_(), task.pid.value_()): (
            task.real_parent.tgid.value_(), task.comm.string_(), task.value_()
        )
        for task in for_each_task(drgn)
    }  # fmt: skip
