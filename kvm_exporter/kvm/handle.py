"""How does one ask a kernel?  Kvm: one interface, whichever kernel; decided once, in open()."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from kvm_exporter.kvm.errors import Unsupported
from kvm_exporter.kvm.live.tally import Tally
from kvm_exporter.kvm.memory import Memory, Symbol, Symbols
from kvm_exporter.kvm.objects import model
from kvm_exporter.kvm.objects.system import System

LIVE_CORES = (None, "/dev/mem", "/dev/kmem", "/dev/null", "/proc/kcore")
"""Core files that mean the running kernel, as in kvm_open(3)."""


class Kvm:
    """An open kernel; a context manager.  Not shared between threads without a lock.

    Every method may raise KvmError.  State is the handle's own: two can be open at once.
    """

    def __init__(self, system: System, memory: Memory, symbols: Symbols, tally: Tally) -> None:
        self.system = system
        self._memory = memory
        self._symbols = symbols
        self._tally = tally

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back every file; the handle is of no use afterwards (kvm_close(3))."""
        self._memory.close()

    @property
    def symbols(self) -> Symbols:
        """Where names are looked up (kvm_dpcpu_setcpu chooses a CPU there)."""
        return self._symbols

    def refusals(self) -> Mapping[tuple[str, str], int]:
        """Reads that the kernel refused or failed so far: (source, errno name) → count."""
        return self._tally.counts()

    def load_average(self) -> model.LoadAverage:
        """Load over 1, 5 and 15 minutes (kvm_getloadavg(3))."""
        return self.system.load_average()

    def swap_devices(self) -> tuple[model.SwapDevice, ...]:
        """Every swap device, in the kernel's order; often none (kvm_getswapinfo(3))."""
        return self.system.swap_devices()

    def swap_activity(self) -> model.SwapActivity:
        """Bytes and operations swapped in and out since boot."""
        return self.system.swap_activity()

    def cpu_times(self) -> model.CpuTimes:
        """Seconds in each mode, all CPUs together (kvm_getcptime(3))."""
        return self.system.cpu_times()

    def cpu_times_per_cpu(self) -> tuple[model.CpuTimes, ...]:
        """Seconds in each mode, a value for each CPU that is there."""
        return self.system.cpu_times_per_cpu()

    def memory(self) -> model.Memory:
        """Physical memory by page queue."""
        return self.system.memory()

    def kernel(self) -> model.KernelCounters:
        """Counters and table sizes of the kernel as a whole."""
        return self.system.kernel()

    def uname(self) -> model.Uname:
        """Name and version of the kernel (uname(3))."""
        return self.system.uname()

    def processes(
        self,
        fields: Collection[str] | None = None,
        op: model.ProcOp = model.ProcOp.PROC,
        arg: int = 0,
        *,
        threads: bool = False,
    ) -> Iterator[model.Process]:
        """Processes, or with ``threads`` a row for each of their threads (kvm_getprocs(3)).

        ``fields`` names the attributes of Process that are wanted (None: all); the others may be
        None, which saves their cost.  ``op`` and ``arg`` choose as KERN_PROC_* do.
        """
        return self.system.processes(fields, op, arg, threads)

    def arguments(self, pid: int) -> tuple[str, ...]:
        """Argument vector of a process (kvm_getargv(3)); undecodable bytes as surrogates."""
        return self.system.arguments(pid)

    def environment(self, pid: int) -> tuple[str, ...]:
        """Environment of a process as ``NAME=value`` strings (kvm_getenvv(3))."""
        return self.system.environment(pid)

    def executable(self, pid: int) -> str | None:
        """Path of the program a process runs; None for kernel processes."""
        return self.system.executable(pid)

    def open_files(self, pid: int | None = None) -> Iterator[model.OpenFile]:
        """Open descriptors of one process or of all (kvm_getfiles of older releases)."""
        return self.system.open_files(pid)

    def nlist(self, names: Sequence[str]) -> list[Symbol | None]:
        """Symbols by name, None for a missing one (kvm_nlist(3)); one leading ``_`` is ignored."""
        return self._symbols.lookup(names)

    def read(self, address: int, length: int) -> bytes:
        """Kernel memory at a virtual address; short where a page is missing (kvm_read(3))."""
        return self._memory.read(address, length)

    def write(self, address: int, data: bytes) -> int:
        """Write kernel memory; the count written (kvm_write(3)).  Needs ``open(write=True)``."""
        return self._memory.write(address, data)


def open(core: str | None = None, *, write: bool = False) -> Kvm:  # noqa: A001 - kvm.open()
    """Open the running kernel (kvm_open(3)); ``core`` is its memory device, None the usual one.

    Device files are opened at the first read, so a handle costs no privilege.  ``/dev/null`` as
    ``core`` means: never read memory.  Errors: Unsupported for a crash dump, which this version
    cannot read, and on other systems.
    """
    if core not in LIVE_CORES:
        raise Unsupported(f"{core}: reading crash dumps is not there yet; leave the core out")
    if sys.platform.startswith("freebsd"):
        from kvm_exporter.kvm.objects.freebsd import open_live  # noqa: PLC0415
    elif sys.platform == "linux":
        from kvm_exporter.kvm.objects.linux import open_live  # noqa: PLC0415
    else:
        raise Unsupported(f"{sys.platform}: a live kernel can be read on FreeBSD and Linux only")
    return Kvm(*open_live(core, write=write))
