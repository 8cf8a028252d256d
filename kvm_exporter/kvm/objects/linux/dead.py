"""What does a dead Linux's memory tell?  System, subject by subject."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cached_property

from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects import model
from kvm_exporter.kvm.objects.copies import Copies
from kvm_exporter.kvm.objects.linux import (
    cpustat,
    deadlife,
    deadlog,
    deadmemory,
    kernelcounters,
    loadavg,
    mountlist,
    netdevices,
    procs,
    swapareas,
    taskargs,
    taskfiles,
    tasks,
    uname,
)
from kvm_exporter.kvm.objects.linux.copies import LinuxCopies
from kvm_exporter.kvm.objects.linux.deadsysctls import DeadSysctls
from kvm_exporter.kvm.objects.linux.dentries import Paths
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.linux.told import Told
from kvm_exporter.kvm.target import Target


class LinuxDead:
    """A Linux in memory that nobody changes (objects/system.py's System).

    ``arch`` has the page size that the kernel uses; ``users`` reads processes' own memory; ``told``
    is what VMCOREINFO says, where there is one.  Reads that failed are counted in the target's
    tally.
    """

    name = "linux"

    def __init__(
        self,
        target: Target,
        arch: Arch,
        users: taskargs.UserMemory | None = None,
        told: Told | None = None,
    ) -> None:
        self._target = target
        self._arch = arch
        self._users = users
        self._told = told

    @property
    def page_size(self) -> int:
        """Bytes in a page of memory."""
        return self._arch.page_size

    @cached_property
    def cpus(self) -> PerCpu:
        """The kernel's CPUs."""
        return PerCpu(self._target)

    def load_average(self) -> model.LoadAverage:
        """As loadavg.from_memory."""
        return loadavg.from_memory(self._target)

    def swap_devices(self) -> tuple[model.SwapDevice, ...]:
        """As swapareas.from_memory."""
        return swapareas.from_memory(self._target, self.page_size, self._path_of)

    def swap_activity(self) -> model.SwapActivity:
        """As deadmemory.activity_from_memory."""
        return deadmemory.activity_from_memory(self._target, self.cpus, self.page_size)

    def cpu_times(self) -> model.CpuTimes:
        """As cpustat.from_memory."""
        return cpustat.from_memory(self._target, self.cpus)

    def cpu_times_per_cpu(self) -> tuple[model.CpuTimes, ...]:
        """As cpustat.per_cpu_from_memory."""
        return cpustat.per_cpu_from_memory(self._target, self.cpus)

    def memory(self) -> model.Memory:
        """As deadmemory.from_memory."""
        return deadmemory.from_memory(self._target, self.cpus, self._arch, self._told)

    def kernel(self) -> model.KernelCounters:
        """As kernelcounters.from_memory."""
        return kernelcounters.from_memory(self._target, self.cpus)

    def uname(self) -> model.Uname:
        """As uname.from_memory."""
        return uname.from_memory(self._target)

    def life(self) -> model.Life:
        """As deadlife.from_memory."""
        return deadlife.from_memory(self._target, self._told)

    def message_buffer(self) -> str:
        """As deadlog.from_memory."""
        return deadlog.from_memory(self._target, self._told)

    def jails(self) -> tuple[model.Jail, ...]:
        """None: Linux has no jails."""
        return ()

    def mounts(self) -> tuple[model.Mount, ...]:
        """As mountlist.from_memory."""
        return mountlist.from_memory(self._target)

    def interfaces(self) -> tuple[model.Interface, ...]:
        """As netdevices.from_memory."""
        return netdevices.from_memory(self._target, self.cpus)

    def processes(
        self, fields: Collection[str] | None, op: model.ProcOp, arg: int, threads: bool
    ) -> Iterator[model.Process]:
        """As tasks.from_memory."""
        choice = procs.Choice(fields, op, arg, threads)
        boot = self._boot if fields is None or "start_seconds" in fields else None
        return tasks.from_memory(self._target, self.page_size, boot, choice)

    def arguments(self, pid: int) -> tuple[str, ...]:
        """As taskargs.Programs.arguments."""
        return self._programs.arguments(pid)

    def environment(self, pid: int) -> tuple[str, ...]:
        """As taskargs.Programs.environment."""
        return self._programs.environment(pid)

    def executable(self, pid: int) -> str | None:
        """As taskargs.Programs.executable."""
        return self._programs.executable(pid)

    def open_files(self, pid: int | None) -> Iterator[model.OpenFile]:
        """As taskfiles.from_memory."""
        return taskfiles.from_memory(self._target, pid)

    def copies(self, target: Target) -> Copies:
        """As LinuxCopies."""
        return LinuxCopies(target)

    def sysctls(self, find_target: Callable[[], Target]) -> DeadSysctls:
        """As DeadSysctls."""
        return DeadSysctls(find_target())

    @cached_property
    def _boot(self) -> float | None:
        return kernelcounters.boot_time(self._target)

    @cached_property
    def _programs(self) -> taskargs.Programs:
        return taskargs.Programs(self._target, self._users)

    @cached_property
    def _paths(self) -> Paths:
        return Paths(self._target)

    def _path_of(self, file: int) -> str:
        path = self._paths.of_file(file)
        if path is None:
            raise KvmError(f"struct file at {file:#x} has no path")
        return path
