"""What does a FreeBSD kernel tell?  open_live() joins this machine's own edges."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from kvm_exporter.kvm.abi import NATIVE
from kvm_exporter.kvm.errors import Unsupported
from kvm_exporter.kvm.live.devmem import KMEM, DeviceMemory, NoMemory
from kvm_exporter.kvm.live.devname import LibcDeviceNames
from kvm_exporter.kvm.live.fsstat import LibcFileSystems
from kvm_exporter.kvm.live.kldsym import KldSymbols, LibcKldsym
from kvm_exporter.kvm.live.sysctl import LibcSysctl
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.freebsd.bootfile import BootFile
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.objects.opened import Opened
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.lazy import LazyTypes

if TYPE_CHECKING:
    from kvm_exporter.kvm.types.origin import Origin

CORES = {None: True, "/dev/mem": True, KMEM: True, "/dev/null": False}
"""Core files that mean the running kernel; whether its memory is wanted."""


def open_live(core: str | None, *, write: bool) -> Opened:
    """This machine's kernel; no device is opened yet.

    Like kvm_open(3), ``/dev/mem`` means /dev/kmem for virtual addresses, and ``/dev/null`` a
    handle without memory.  Errors: Unsupported for another core, and for an unknown architecture.
    """
    if core not in CORES:
        raise Unsupported(f"{core}: FreeBSD has no such core; {KMEM} is its memory")
    tally = Tally()
    sysctl = LibcSysctl()
    system = FreeBSDLive(sysctl, LibcDeviceNames(), tally, LibcFileSystems())
    memory: Memory = DeviceMemory(KMEM, writable=write) if CORES[core] else NoMemory()
    boot = BootFile(Answers(sysctl, tally))
    types = LazyTypes(lambda: _types(boot, target))
    symbols = KldSymbols(LibcKldsym(), memory, tally, boot.symbols)
    target = Target(memory, symbols, types, NATIVE, tally)
    closing = ExitStack()
    for part in (memory, boot, types):
        closing.callback(part.close)
    return Opened(system, memory, symbols, tally, closing.close, target)


def _types(boot: BootFile, target: Target) -> Origin:
    """The types of the kernel's file, and of its modules'."""
    # no collector of sysctls reads types: they are imported by who does
    from kvm_exporter.kvm.objects.freebsd.modules import Modules  # noqa: PLC0415
    from kvm_exporter.kvm.objects.freebsd.moduletypes import with_modules  # noqa: PLC0415

    return with_modules(boot.types(), Modules(target, boot.module).loaded, target.tally)
