"""What does a running FreeBSD tell?  System, subject by subject."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from kvm_exporter.kvm.errors import Unsupported
from kvm_exporter.kvm.live.fsstat import FileSystems
from kvm_exporter.kvm.live.sysctl import Sysctl
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
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.tally import Tally

if TYPE_CHECKING:
    from kvm_exporter.kvm.objects.copies import Copies
    from kvm_exporter.kvm.objects.sysctls import Sysctls
    from kvm_exporter.kvm.target import Target


class FreeBSDLive:
    """A running FreeBSD (objects/system.py's System), asked through ``sysctl``.

    ``device_name`` names a device number (devname_r(3)), ``file_systems`` lists what is mounted;
    what the kernel refuses is counted in ``tally``.  Errors: Unsupported for an architecture whose
    structs are not known.
    """

    name = "freebsd"

    def __init__(
        self,
        sysctl: Sysctl,
        device_name: swap.DeviceName,
        tally: Tally,
        file_systems: FileSystems | None = None,
    ) -> None:
        self._sysctl = sysctl
        self._file_systems = file_systems
        self._device_name = device_name
        self._tally = tally
        self._answers = Answers(sysctl, tally)
        self._page_size = self._answers.required_number("hw.pagesize")

    @property
    def sysctl(self) -> Sysctl:
        """The edge itself, for what is no object of its own (kvm_kerndisp, kvm_getcptime)."""
        return self._sysctl

    @property
    def machine(self) -> str:
        """hw.machine_arch, by which the tables of structs are named."""
        return self._answers.machine

    @property
    def page_size(self) -> int:
        """hw.pagesize."""
        return self._page_size

    def load_average(self) -> model.LoadAverage:
        """As loadavg.from_live."""
        return loadavg.from_live(self._answers)

    def swap_devices(self) -> tuple[model.SwapDevice, ...]:
        """As swap.from_live."""
        return swap.from_live(self._answers, self._page_size, self._device_name)

    def swap_activity(self) -> model.SwapActivity:
        """As swap.activity_from_numbers."""
        return swap.activity_from_numbers(self._answers, self._page_size)

    def cpu_times(self) -> model.CpuTimes:
        """As cptime.from_live."""
        return cptime.from_live(self._answers)

    def cpu_times_per_cpu(self) -> tuple[model.CpuTimes, ...]:
        """As cptime.per_cpu_from_live."""
        return cptime.per_cpu_from_live(self._answers)

    def memory(self) -> model.Memory:
        """As memory.from_numbers."""
        return memory.from_numbers(self._answers, self._page_size)

    def kernel(self) -> model.KernelCounters:
        """As kernel.from_live."""
        return kernel.from_live(self._answers)

    def uname(self) -> model.Uname:
        """As uname.from_live."""
        return uname.from_live(self._answers)

    def life(self) -> model.Life:
        """As life.from_live."""
        return life.from_live(self._answers)

    def message_buffer(self) -> str:
        """As msgbuf.from_live."""
        return msgbuf.from_live(self._answers)

    def jails(self) -> tuple[model.Jail, ...]:
        """As jails.from_live, with the processes that the caller may see counted."""
        found = jails.from_live(self._answers)
        return jails.counted(found, self.processes(("jail",), model.ProcOp.PROC, 0, threads=False))

    def mounts(self) -> tuple[model.Mount, ...]:
        """As mounts.from_live; Unsupported where this handle has sysctl only."""
        if self._file_systems is None:
            raise Unsupported(
                "mounts: no sysctl tells what is mounted, and there is but sysctl here"
            )
        return mounts.from_live(self._file_systems, self.machine)

    def interfaces(self) -> tuple[model.Interface, ...]:
        """As interfaces.from_live."""
        return interfaces.from_live(self._answers)

    def processes(
        self, fields: Collection[str] | None, op: model.ProcOp, arg: int, threads: bool
    ) -> Iterator[model.Process]:
        """As procs.from_live."""
        return procs.from_live(self._sysctl, self.machine, self._tally, fields, op, arg, threads)

    def arguments(self, pid: int) -> tuple[str, ...]:
        """As args.arguments."""
        return args.arguments(self._sysctl, self._tally, pid)

    def environment(self, pid: int) -> tuple[str, ...]:
        """As args.environment."""
        return args.environment(self._sysctl, self._tally, pid)

    def executable(self, pid: int) -> str | None:
        """As args.executable."""
        return args.executable(self._sysctl, self._tally, pid)

    def open_files(self, pid: int | None) -> Iterator[model.OpenFile]:
        """As files.from_live."""
        return files.from_live(self._sysctl, self.machine, self._tally, pid)

    def copies(self, target: Target) -> Copies:
        """As FreeBSDCopies."""
        # what reads kernel memory is imported by who does
        from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies  # noqa: PLC0415

        return FreeBSDCopies(target, self._page_size, changing=True)

    def sysctls(self, find_target: Callable[[], Target]) -> Sysctls:
        """As LiveSysctls."""
        from kvm_exporter.kvm.objects.freebsd.livesysctls import LiveSysctls  # noqa: PLC0415

        return LiveSysctls(self._sysctl, self.machine, lambda: find_target().types, self._tally)
