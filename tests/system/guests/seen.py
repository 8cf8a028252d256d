"""What does the reader see in a core?  Every object, read once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.handle import Kvm
from kvm_exporter.kvm.handle import open as open_kvm
from kvm_exporter.kvm.objects import model

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Seen:
    """The objects of one core.  What a process's own memory tells is None where it was refused."""

    load_average: model.LoadAverage
    swap_devices: tuple[model.SwapDevice, ...]
    swap_activity: model.SwapActivity
    cpu_times: tuple[model.CpuTimes, ...]
    memory: model.Memory
    kernel: model.KernelCounters
    uname: model.Uname
    life: model.Life
    messages: str
    mounts: tuple[model.Mount, ...]
    interfaces: tuple[model.Interface, ...]
    processes: Mapping[int, model.Process]
    threads: Mapping[tuple[int, int], model.Process]
    arguments: Mapping[int, tuple[str, ...] | None]
    environment: Mapping[int, tuple[str, ...] | None]
    executables: Mapping[int, str | None]
    open_files: frozenset[model.OpenFile]
    refusals: Mapping[tuple[str, str], int]


@cache
def look(paths: tuple[Path, ...], kernel: Path | None = None) -> Seen:
    """Everything in the core that is in `paths` (several: a split set)."""
    with opened(paths, kernel) as kvm:
        processes = {process.pid: process for process in kvm.processes()}
        return Seen(
            kvm.load_average(),
            kvm.swap_devices(),
            kvm.swap_activity(),
            (kvm.cpu_times(), *kvm.cpu_times_per_cpu()),
            kvm.memory(),
            kvm.kernel(),
            kvm.uname(),
            kvm.life(),
            kvm.message_buffer(),
            kvm.mounts(),
            kvm.interfaces(),
            processes,
            {(row.pid, row.tid): row for row in kvm.processes(threads=True)},
            of_each(kvm.arguments, processes),
            of_each(kvm.environment, processes),
            of_each(kvm.executable, processes),
            frozenset(kvm.open_files()),
            kvm.refusals(),
        )


def opened(paths: Sequence[Path], kernel: Path | None = None) -> Kvm:
    """The core, with nothing but its files and, where that does not do, its vmlinux."""
    return open_kvm(None if kernel is None else str(kernel), [str(path) for path in paths])


def of_each(read: Callable[[Key], Value], keys: Iterable[Key]) -> dict[Key, Value | None]:
    """What `read` says of each key; None where it says an error."""
    found: dict[Key, Value | None] = {}
    for key in keys:
        try:
            found[key] = read(key)
        except KvmError:
            found[key] = None
    return found
