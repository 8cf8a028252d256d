"""What does a FreeBSD kernel tell?  open_live() joins this machine's own edges."""

from __future__ import annotations

from kvm_exporter.kvm.errors import Unsupported
from kvm_exporter.kvm.live.devmem import KMEM, DeviceMemory, NoMemory
from kvm_exporter.kvm.live.devname import LibcDeviceNames
from kvm_exporter.kvm.live.kldsym import KldSymbols, LibcKldsym
from kvm_exporter.kvm.live.sysctl import LibcSysctl
from kvm_exporter.kvm.live.tally import Tally
from kvm_exporter.kvm.memory import Memory, Symbols
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.objects.system import System

CORES = {None: True, "/dev/mem": True, KMEM: True, "/dev/null": False}
"""Core files that mean the running kernel; whether its memory is wanted."""


def open_live(core: str | None, *, write: bool) -> tuple[System, Memory, Symbols, Tally]:
    """This machine's kernel; no device is opened yet.

    Like kvm_open(3), ``/dev/mem`` means /dev/kmem for virtual addresses, and ``/dev/null`` a
    handle without memory.  Errors: Unsupported for another core, and for an unknown architecture.
    """
    if core not in CORES:
        raise Unsupported(f"{core}: FreeBSD has no such core; {KMEM} is its memory")
    tally = Tally()
    system = FreeBSDLive(LibcSysctl(), LibcDeviceNames(), tally)
    memory: Memory = DeviceMemory(KMEM, writable=write) if CORES[core] else NoMemory()
    return system, memory, KldSymbols(LibcKldsym(), memory, tally), tally
