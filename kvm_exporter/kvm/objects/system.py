"""What must an operating system's folder offer?  The one interface behind every Kvm."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Protocol

from kvm_exporter.kvm.objects.model import (
    CpuTimes,
    Interface,
    Jail,
    KernelCounters,
    Life,
    LoadAverage,
    Memory,
    Mount,
    OpenFile,
    Process,
    ProcOp,
    SwapActivity,
    SwapDevice,
    Uname,
)

if TYPE_CHECKING:  # what reads kernel memory is imported by who does
    from kvm_exporter.kvm.objects.copies import Copies
    from kvm_exporter.kvm.objects.sysctls import Sysctls
    from kvm_exporter.kvm.target import Target


class System(Protocol):
    """The objects of one kernel.  Each method may raise KvmError; a missing field is None."""

    @property
    def name(self) -> str:
        """``freebsd`` or ``linux``."""

    @property
    def page_size(self) -> int:
        """Bytes in a page of memory."""

    def load_average(self) -> LoadAverage: ...

    def swap_devices(self) -> tuple[SwapDevice, ...]: ...

    def swap_activity(self) -> SwapActivity: ...

    def cpu_times(self) -> CpuTimes: ...

    def cpu_times_per_cpu(self) -> tuple[CpuTimes, ...]: ...

    def memory(self) -> Memory: ...

    def kernel(self) -> KernelCounters: ...

    def uname(self) -> Uname: ...

    def life(self) -> Life: ...

    def message_buffer(self) -> str: ...

    def jails(self) -> tuple[Jail, ...]: ...

    def mounts(self) -> tuple[Mount, ...]: ...

    def interfaces(self) -> tuple[Interface, ...]: ...

    def processes(
        self, fields: Collection[str] | None, op: ProcOp, arg: int, threads: bool
    ) -> Iterator[Process]:
        """Processes chosen by ``op`` and ``arg``; None ``fields`` means every field.

        Fields that were not asked for may be None.  ``threads`` gives a row a thread.
        """

    def arguments(self, pid: int) -> tuple[str, ...]: ...

    def environment(self, pid: int) -> tuple[str, ...]: ...

    def executable(self, pid: int) -> str | None: ...

    def open_files(self, pid: int | None) -> Iterator[OpenFile]: ...

    def copies(self, target: Target) -> Copies:
        """Per-CPU variables and network stacks in ``target``, this kernel's memory."""

    def sysctls(self, find_target: Callable[[], Target]) -> Sysctls:
        """Its sysctls; ``find_target`` gives this kernel's memory and types, where they help."""
