"""What can a live Linux kernel tell?  LinuxLive, over /proc; each subject in its own file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from typing import TYPE_CHECKING

from kvm_exporter.kvm.errors import KvmError, Unsupported
from kvm_exporter.kvm.live import kmsg
from kvm_exporter.kvm.live.kallsyms import MODULES, loaded_modules
from kvm_exporter.kvm.live.kcore import Kcore
from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.memory import Place
from kvm_exporter.kvm.objects import model
from kvm_exporter.kvm.objects.linux import (
    args,
    cptime,
    files,
    interfaces,
    kernel,
    life,
    loadavg,
    log,
    memory,
    mounts,
    procs,
    resting,
    swap,
    uname,
)
from kvm_exporter.kvm.objects.linux.running import Running
from kvm_exporter.kvm.objects.opened import Opened
from kvm_exporter.kvm.tally import Tally

if TYPE_CHECKING:  # running.py's rule 1
    from kvm_exporter.kvm.objects.copies import Copies
    from kvm_exporter.kvm.objects.sysctls import Sysctls
    from kvm_exporter.kvm.target import Target


class LinuxLive:
    """The running kernel's objects (System).  Errors are those of the subject's file."""

    name = "linux"

    def __init__(self, procfs: Procfs, tally: Tally, records: log.Records = kmsg.records) -> None:
        self._procfs = procfs
        self._records = records
        self._tally = tally
        self._boot_seconds: float | None = None
        self._resting = resting.Memory()

    @property
    def page_size(self) -> int:
        return self._procfs.page_size

    def load_average(self) -> model.LoadAverage:
        return loadavg.from_live(self._procfs, self._tally)

    def swap_devices(self) -> tuple[model.SwapDevice, ...]:
        return swap.devices_from_live(self._procfs, self._tally)

    def swap_activity(self) -> model.SwapActivity:
        return swap.activity_from_live(self._procfs, self._tally)

    def cpu_times(self) -> model.CpuTimes:
        return cptime.from_live(self._procfs, self._tally)

    def cpu_times_per_cpu(self) -> tuple[model.CpuTimes, ...]:
        return cptime.per_cpu_from_live(self._procfs, self._tally)

    def memory(self) -> model.Memory:
        return memory.from_live(self._procfs, self._tally)

    def kernel(self) -> model.KernelCounters:
        return kernel.from_live(self._procfs, self._tally)

    def uname(self) -> model.Uname:
        return uname.from_live()

    def life(self) -> model.Life:
        return life.from_live(self._procfs, self._tally)

    def message_buffer(self) -> str:
        return log.from_live(self._records, self._tally)

    def jails(self) -> tuple[model.Jail, ...]:
        """None: Linux has no jails."""
        return ()

    def mounts(self) -> tuple[model.Mount, ...]:
        return mounts.from_live(self._procfs, self._tally)

    def interfaces(self) -> tuple[model.Interface, ...]:
        return interfaces.from_live(self._procfs, self._tally)

    def processes(
        self, fields: Collection[str] | None, op: model.ProcOp, arg: int, threads: bool
    ) -> Iterator[model.Process]:
        choice = procs.Choice(fields, op, arg, threads)
        boot = self._boot() if fields is None or "start_seconds" in fields else None
        return procs.from_live(self._procfs, self._tally, self._resting, boot, choice)

    def arguments(self, pid: int) -> tuple[str, ...]:
        return args.arguments_from_live(self._procfs, self._tally, pid)

    def environment(self, pid: int) -> tuple[str, ...]:
        return args.environment_from_live(self._procfs, self._tally, pid)

    def executable(self, pid: int) -> str | None:
        return args.executable_from_live(self._procfs, self._tally, pid)

    def open_files(self, pid: int | None) -> Iterator[model.OpenFile]:
        return files.from_live(self._procfs, self._tally, pid)

    def copies(self, target: Target) -> Copies:
        """As LinuxCopies; /proc/modules tells when modules come and go."""
        from kvm_exporter.kvm.objects.linux.copies import LinuxCopies  # noqa: PLC0415 - as above

        return LinuxCopies(target, self._modules)

    def _modules(self) -> Hashable:
        try:
            return loaded_modules(self._procfs)
        except OSError as error:
            raise KvmError(f"{self._procfs.path(MODULES)}: {error.strerror}") from error

    def sysctls(self, find_target: Callable[[], Target]) -> Sysctls:  # noqa: ARG002 - /proc tells
        """As ProcSys."""
        from kvm_exporter.kvm.objects.linux.procsys import ProcSys  # noqa: PLC0415 - who asks pays

        return ProcSys(self._procfs, self._tally)

    def _boot(self) -> float | None:
        """The time of boot, read once: pid and start name a process only if it stays the same."""
        if self._boot_seconds is None:
            self._boot_seconds = kernel.boot_time(self._procfs, self._tally)
        return self._boot_seconds


class NoMemory:
    """The memory of a handle that was opened on a file which holds none."""

    def __init__(self, core: str) -> None:
        self._core = core

    def read(self, address: int, length: int) -> bytes:
        """Raises Unsupported."""
        raise Unsupported(
            f"{self._core}: {length} bytes at {address:#x} not read; open without a core"
        )

    def write(self, address: int, data: bytes) -> int:
        """Raises Unsupported."""
        return Kcore().write(address, data)

    def place(self, address: int) -> Place:
        """Raises Unsupported."""
        raise Unsupported(f"{self._core}: address {address:#x} is nowhere; open without a core")

    def close(self) -> None:
        """Nothing is open."""


def open_live(core: str | None, *, write: bool) -> Opened:
    """The running kernel; no file is opened before it is read.

    ``core`` is /proc/kcore (also the default) or /dev/null for no memory at all.  Unsupported:
    writing, and Linux's /dev/mem (physical memory) and /dev/kmem (gone since 5.13).
    """
    if write:
        raise Unsupported("Linux does not let kernel memory be written; open for reading only")
    if core in ("/dev/mem", "/dev/kmem"):
        raise Unsupported(f"{core}: Linux has no kernel virtual memory there; use /proc/kcore")
    tally, procfs = Tally(), Procfs()
    kernel_memory = NoMemory(core) if core == "/dev/null" else Kcore(core or "/proc/kcore")
    running = Running(kernel_memory, procfs, tally)
    return Opened(
        LinuxLive(procfs, tally),
        kernel_memory,
        running.symbols,
        tally,
        running.close,
        find_target=running.target,
    )
