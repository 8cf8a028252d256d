"""What does a dead FreeBSD's memory tell?  System, subject by subject."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects import model
from kvm_exporter.kvm.objects.freebsd import (
    args,
    cptime,
    files,
    interfaces,
    jails,
    kernel,
    life,
    loadavg,
    memory,
    mounts,
    msgbuf,
    procs,
    swap,
    uname,
)
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies
from kvm_exporter.kvm.objects.freebsd.deadsysctls import DeadSysctls
from kvm_exporter.kvm.objects.freebsd.oidkernel import Kernel
from kvm_exporter.kvm.objects.freebsd.percpu import PerCpu
from kvm_exporter.kvm.objects.freebsd.variables import METER, Variables
from kvm_exporter.kvm.target import Target

PAGE_SIZES = (4096, 8192, 16384, 65536)


@dataclass(frozen=True, slots=True)
class Told:
    """What the dump's own headers say of the kernel, where there are any.

    ``message_buffer`` reads the copy of the message buffer that a minidump has.
    """

    death: life.Header | None = None
    hostname: str | None = None
    message_buffer: Callable[[], bytes] | None = None


class FreeBSDDead:
    """A FreeBSD in memory that nobody changes (objects/system.py's System).

    ``user`` reads processes' own memory.  Reads that failed are counted in the target's tally.
    """

    name = "freebsd"

    def __init__(
        self,
        target: Target,
        arch: Arch,
        user: args.UserMemory | None = None,
        told: Told | None = None,
    ) -> None:
        self._target = target
        self._arch = arch
        self._user = user
        self._told = told or Told()

    @cached_property
    def cpus(self) -> PerCpu:
        """The kernel's CPUs."""
        return PerCpu(self._target, self.page_size)

    @cached_property
    def _variables(self) -> Variables:
        return Variables(self._target, self.cpus, self.page_size)

    @property
    def machine(self) -> str:
        """hw.machine_arch."""
        return self._arch.name

    @cached_property
    def page_size(self) -> int:
        """hw.pagesize."""
        return _page_size(self._target, self._arch)

    def load_average(self) -> model.LoadAverage:
        """As loadavg.from_memory."""
        return loadavg.from_memory(self._target)

    def swap_devices(self) -> tuple[model.SwapDevice, ...]:
        """As swap.from_memory."""
        return swap.from_memory(self._target, self._variables, self.page_size)

    def swap_activity(self) -> model.SwapActivity:
        """As swap.activity_from_numbers."""
        return swap.activity_from_numbers(self._variables, self.page_size)

    def cpu_times(self) -> model.CpuTimes:
        """As cptime.from_memory."""
        return cptime.from_memory(self._target, self._variables, self.cpus)

    def cpu_times_per_cpu(self) -> tuple[model.CpuTimes, ...]:
        """As cptime.per_cpu_from_memory."""
        return cptime.per_cpu_from_memory(self._target, self._variables, self.cpus)

    def memory(self) -> model.Memory:
        """As memory.from_numbers."""
        return memory.from_numbers(self._variables, self.page_size)

    def kernel(self) -> model.KernelCounters:
        """As kernel.from_memory."""
        return kernel.from_memory(self._target, self._variables)

    def uname(self) -> model.Uname:
        """As uname.from_memory."""
        return uname.from_memory(self._target, self._arch.machine, self._told.hostname)

    def life(self) -> model.Life:
        """As life.from_memory."""
        return life.from_memory(self._target, self._told.death)

    def message_buffer(self) -> str:
        """As msgbuf.from_memory."""
        return msgbuf.from_memory(self._target, self._told.message_buffer)

    def jails(self) -> tuple[model.Jail, ...]:
        """As jails.from_memory, with their processes counted."""
        found = jails.from_memory(self._target)
        return jails.counted(found, self.processes(("jail",), model.ProcOp.PROC, 0, threads=False))

    def mounts(self) -> tuple[model.Mount, ...]:
        """As mounts.from_memory."""
        return mounts.from_memory(self._target)

    def interfaces(self) -> tuple[model.Interface, ...]:
        """As interfaces.from_memory."""
        return interfaces.from_memory(self._target, self.cpus)

    def processes(
        self, fields: Collection[str] | None, op: model.ProcOp, arg: int, threads: bool
    ) -> Iterator[model.Process]:
        """As procs.from_memory."""
        return procs.from_memory(self._target, self.page_size, fields, op, arg, threads)

    def arguments(self, pid: int) -> tuple[str, ...]:
        """As args.arguments_from_memory."""
        return args.arguments_from_memory(self._target, self._user, pid)

    def environment(self, pid: int) -> tuple[str, ...]:
        """As args.environment_from_memory."""
        return args.environment_from_memory(self._target, self._user, pid)

    def executable(self, pid: int) -> str | None:
        """As args.executable_from_memory."""
        return args.executable_from_memory(self._target, pid)

    def open_files(self, pid: int | None) -> Iterator[model.OpenFile]:
        """As files.from_memory."""
        return files.from_memory(self._target, pid)

    def copies(self, target: Target) -> FreeBSDCopies:
        """As FreeBSDCopies; nothing changes any more."""
        return FreeBSDCopies(target, self.page_size)

    def sysctls(self, find_target: Callable[[], Target]) -> DeadSysctls:
        """As DeadSysctls."""
        target = find_target()
        number, copies = self._variables.required_number, partial(self.copies, target)
        return DeadSysctls(Kernel(target, self.cpus, number, copies), self.machine)


def _page_size(target: Target, arch: Arch) -> int:
    """What the kernel says itself: arm64's may be 16 KB."""
    try:
        (size,) = target.record(METER, ("v_page_size",)).at(target.address("vm_cnt"))
    except KvmError:
        return arch.page_size
    return int(size) if size in PAGE_SIZES else arch.page_size
