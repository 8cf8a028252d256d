"""How does one ask a kernel?  Kvm: one interface, whichever kernel; decided once, in open()."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from kvm_exporter.kvm.dump import DumpOptions
from kvm_exporter.kvm.errors import Unsupported
from kvm_exporter.kvm.memory import Symbol, Symbols
from kvm_exporter.kvm.objects import model
from kvm_exporter.kvm.objects.opened import Opened

if TYPE_CHECKING:
    from kvm_exporter.kvm.formats.pages import Page
    from kvm_exporter.kvm.objects.copies import Copies
    from kvm_exporter.kvm.objects.sysctls import Setting, Sysctls
    from kvm_exporter.kvm.target import Target

LIVE_CORES = (None, "/dev/mem", "/dev/kmem", "/dev/null", "/proc/kcore")
"""Core files that mean the running kernel, as in kvm_open(3)."""


class Kvm:
    """An open kernel; a context manager.  Not shared between threads without a lock.

    Every method may raise KvmError.  State is the handle's own: two can be open at once.
    """

    def __init__(self, opened: Opened) -> None:
        self.system = opened.system
        self.dump = opened.dump
        self._memory = opened.memory
        self._symbols = opened.symbols
        self._tally = opened.tally
        self._target = opened.target
        self._find_target = opened.find_target
        self._copies: Copies | None = None
        self._sysctls: Sysctls | None = None
        self._close = opened.close

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
        self._close()

    @property
    def symbols(self) -> Symbols:
        """Where names are looked up (kvm_dpcpu_setcpu chooses a CPU there)."""
        return self._symbols

    @property
    def live(self) -> bool:
        """Whether it is this machine's running kernel."""
        return self.dump is None

    @property
    def target(self) -> Target:
        """The kernel's memory by name and C type; Unsupported of a textdump, which has none."""
        if self._target is None:
            if self._find_target is None:
                raise Unsupported("a textdump(4) has no memory, of no type")
            self._target = self._find_target()
        return self._target

    @property
    def copies(self) -> Copies:
        """Its per-CPU variables and network stacks.  Errors: as ``target``."""
        if self._copies is None:
            self._copies = self.system.copies(self.target)
        return self._copies

    def facts(self) -> tuple[tuple[str, str], ...]:
        """What a dump says of itself, for people: (name, value); nothing of a running kernel."""
        return self.dump.facts() if self.dump else ()

    def pages(self) -> Iterator[Page]:
        """Every page that a dump holds (kvm_walk_pages(3)); Unsupported of a running kernel."""
        if self.dump is None:
            raise Unsupported("only a dump's pages can be walked, not those of a running kernel")
        return self.dump.pages()

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

    def life(self) -> model.Life:
        """When the kernel started; for a dump, when and of what it died."""
        return self.system.life()

    def message_buffer(self) -> str:
        """The text of the kernel's message buffer, oldest first (dmesg(8))."""
        return self.system.message_buffer()

    def jails(self) -> tuple[model.Jail, ...]:
        """Every jail but the host (jls(8)); none on Linux."""
        return self.system.jails()

    def mounts(self) -> tuple[model.Mount, ...]:
        """Mounted file systems (getfsstat(2))."""
        return self.system.mounts()

    def interfaces(self) -> tuple[model.Interface, ...]:
        """Network interfaces and their counters, of every network stack that can be seen."""
        return self.system.interfaces()

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

    def sysctls(
        self,
        prefixes: Collection[str] = ("",),
        without: Collection[str] = (),
        *,
        texts: bool = False,
    ) -> Iterator[Setting]:
        """Sysctls whose name is one of ``prefixes`` or lies below one (``vm.stats``; "": all).

        Those ``without`` are left out, and so are what has no value and, but for ``texts``,
        strings.  Names and formats are remembered: the second time costs a fraction.
        """
        return self._settings.read(prefixes, without, texts=texts)

    def sysctl(self, name: str) -> Setting | None:
        """The sysctl of that name, a string too; None where there is none, or it has no value."""
        return self._settings.one(name)

    @property
    def _settings(self) -> Sysctls:
        if self._sysctls is None:
            self._sysctls = self.system.sysctls(lambda: self.target)
        return self._sysctls

    def nlist(self, names: Sequence[str]) -> list[Symbol | None]:
        """Symbols by name, None for a missing one (kvm_nlist(3)); one leading ``_`` is ignored."""
        return self._symbols.lookup(names)

    def read(self, address: int, length: int) -> bytes:
        """Kernel memory at a virtual address; short where a page is missing (kvm_read(3))."""
        return self._memory.read(address, length)

    def write(self, address: int, data: bytes) -> int:
        """Write kernel memory; the count written (kvm_write(3)).  Needs ``open(write=True)``."""
        return self._memory.write(address, data)


def open(  # noqa: A001 - kvm.open()
    kernel: str | None = None,
    core: str | Sequence[str] | None = None,
    *,
    write: bool = False,
    dump_options: DumpOptions | None = None,
) -> Kvm:
    """Open a kernel (kvm_open(3)): the running one, or a crash dump.

    ``core`` is a dump (compressed, encrypted, still on its device; a directory such as /var/crash
    means its last one), or the memory device of the running kernel: None is the usual one,
    ``/dev/null`` none at all.  Several names are one dump's, which was split (makedumpfile(8)).
    ``kernel`` is the ELF file of the kernel that wrote the dump.  Without it FreeBSD's is looked
    for in /boot, by the version that the dump tells; a Linux dump needs none.

    A running kernel's devices are opened at the first read, so a handle costs no privilege.
    ``write`` is for those devices and for raw memory; dumps are never written.

    Errors: FormatError for a core that is none or a kernel that is another's; AccessDenied and
    KvmError for files that cannot be opened; Unsupported on systems other than FreeBSD and Linux
    (where dumps can be read all the same), and for a missing optional package, with its name.
    """
    if core is None or core in LIVE_CORES:
        return Kvm(_running(core, write=write))
    from kvm_exporter.kvm.dead import open_dead  # noqa: PLC0415 - dump.py says why

    cores = (core,) if isinstance(core, str) else tuple(core)
    return Kvm(open_dead(kernel, cores, dump_options or DumpOptions(), write=write))


def _running(core: str | None, *, write: bool) -> Opened:
    if sys.platform.startswith("freebsd"):
        from kvm_exporter.kvm.objects.freebsd import open_live  # noqa: PLC0415
    elif sys.platform == "linux":
        from kvm_exporter.kvm.objects.linux import open_live  # noqa: PLC0415
    else:
        raise Unsupported(f"{sys.platform}: a live kernel can be read on FreeBSD and Linux only")
    return open_live(core, write=write)
