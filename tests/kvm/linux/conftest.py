"""Forged /proc trees, and a Procfs that refuses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from forge.procfs import Tree

from kvm_exporter.kvm.live.procfs import Directory, Procfs
from kvm_exporter.kvm.objects.linux import LinuxLive
from kvm_exporter.kvm.objects.model import Process, ProcOp
from kvm_exporter.kvm.tally import Tally

Before = Callable[[str], None]


class GuardedDirectory(Directory):
    """A process's directory whose every access is announced first."""

    def __init__(self, fd: int, number: int, before: Before) -> None:
        super().__init__(fd, number)
        self.before = before

    def read(self, name: str) -> bytes:
        self.before(name)
        return super().read(name)

    def link(self, name: str) -> bytes:
        self.before(name)
        return super().link(name)

    def numbers(self, name: str) -> list[int]:
        self.before(name)
        return super().numbers(name)

    def thread(self, tid: int) -> Directory:
        self.before(f"task/{tid}")
        inner = super().thread(tid)
        return GuardedDirectory(inner._fd, tid, self.before)


class GuardedProcfs(Procfs):
    """A /proc of which any access can be made to fail, and is remembered in ``accesses``."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.refused: Mapping[str, int] = {}
        self.vanish_at: tuple[int, str] | None = None
        self.accesses: list[str] = []

    def read(self, name: str) -> bytes:
        self._before(name)
        return super().read(name)

    def pids(self) -> list[int]:
        self._before("")
        return super().pids()

    def process(self, pid: int) -> Directory:
        self._before(str(pid))
        inner = super().process(pid)

        def before(name: str) -> None:
            if self.vanish_at == (pid, name):
                shutil.rmtree(Path(self.root) / str(pid))
            self._before(name)

        return GuardedDirectory(inner._fd, pid, before)

    def _before(self, name: str) -> None:
        self.accesses.append(name)
        if name in self.refused:
            raise OSError(self.refused[name], os.strerror(self.refused[name]))


class Forged:
    """A forged tree and the system that reads it."""

    def __init__(self, root: Path) -> None:
        self.tree = Tree(root)
        self.tree.put("stat", "cpu  1 2 3 4\nbtime 1000000\n")
        self.procfs = GuardedProcfs(str(root))
        self.procfs.clock_ticks = 100
        self.procfs.page_size = 4096
        self.tally = Tally()
        self.system = LinuxLive(self.procfs, self.tally)

    def processes(
        self, *fields: str, op: ProcOp = ProcOp.PROC, arg: int = 0, threads: bool = False
    ) -> list[Process]:
        """The processes of the tree; no fields means all."""
        return list(self.system.processes(fields or None, op, arg, threads))


@pytest.fixture
def forged(tmp_path: Path) -> Iterator[Forged]:
    """A forged /proc that holds nothing but /proc/stat; no descriptor may be left open."""
    before = set(os.listdir("/dev/fd"))
    yield Forged(tmp_path)
    assert set(os.listdir("/dev/fd")) <= before, "a descriptor was left open"
