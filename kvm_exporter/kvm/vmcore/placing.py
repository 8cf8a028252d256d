"""Where does a Linux kernel lie in memory, and which of its tables are right?  Tried, and verified.

1. A place is believed where memory has struct new_utsname of just this kernel's release there
   (init_uts_ns, which VMCOREINFO names): it tells a kernel from copies and from boots before.
2. Tables are believed where they map the kernel's own variables (the top table for one) to where
   they are.  Of a truncated dump some tables are lost; none may say anything else.
3. Where nothing that VMCOREINFO says leads to such a place, memory is searched for the structure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.formats import Image
from kvm_exporter.kvm.paging import PageTables, Paging
from kvm_exporter.kvm.space import PhysicalMemory
from kvm_exporter.kvm.vmcore.machines import MACHINES, Machine
from kvm_exporter.kvm.vmcore.scanning import search
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

ROOTS = ("swapper_pg_dir", "init_top_pgt")
"""The top table: the same address, where there are both (x86_64)."""

KNOWN = (*ROOTS, "init_uts_ns", "_stext")
"""Variables of the kernel's that VMCOREINFO has the addresses of."""

UTS = "init_uts_ns"
NAMES = (0, 4, 8)
"""Where struct uts_namespace has its name, if it is not told (before 5.11 behind a kref)."""
SYSNAME = b"Linux\0"
LONGEST_NAME = 65
RELEASE, MACHINE = 2 * LONGEST_NAME, 4 * LONGEST_NAME
"""In struct new_utsname (include/uapi/linux/utsname.h): texts of 65 bytes each."""

MOST_STARTS = 64
"""Runs of memory that the kernel may begin with."""
MOST_COPIES = 64
"""Of struct new_utsname: every container's UTS namespace has one."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A kernel in memory: physical address = kernel's address + ``delta``."""

    arch: Arch
    machine: Machine
    paging: Paging
    delta: int
    root: int
    tables: PageTables


class Placing:
    """The kernel of ``info`` in the dump ``image``, whose physical memory ``memory`` is.

    ``arch``: one that it may be of (of MACHINES); where the dump does not tell, its names do.
    """

    def __init__(self, image: Image, memory: PhysicalMemory, info: Vmcoreinfo, arch: Arch) -> None:
        self._memory = memory
        self._physical = image.physical
        self._info = info
        self._arch = arch
        self._machine = MACHINES[arch.name]
        self._wanted = None if image.arch else self._machine.name
        self._ones = arch.abi.address_mask
        known = {name: info.symbol(name) for name in KNOWN}
        self._known = {name: at for name, at in known.items() if at is not None}

    def told(self) -> Placed | None:
        """Where VMCOREINFO and the architecture say; None where it is not there."""
        return self._first(self._guesses())

    def searched(self) -> Placed | None:
        """Where memory has its names (rule 3), which takes reading all of it."""
        return self._first(self._found())

    def _first(self, deltas: Iterator[int]) -> Placed | None:
        root = next((self._known[name] for name in ROOTS if name in self._known), None)
        if root is None:
            return None
        for delta in dict.fromkeys(deltas):
            if self._named(delta) is False:
                continue
            for paging in self._machine.forms(self._info):
                tables = PageTables(self._memory, paging, root + delta & self._ones)
                if self._maps(tables, delta):
                    at = root + delta
                    return Placed(self._arch, self._machine, paging, delta, at, tables)
        return None

    def _guesses(self) -> Iterator[int]:
        yield from self._machine.deltas(self._info)
        for base in self._machine.bases(self._info):
            for extent in islice(self._physical.extents(), MOST_STARTS):
                yield from (extent.address + into - base for into in self._machine.loaded)

    def _found(self) -> Iterator[int]:
        release = self._release()
        if release is None or UTS not in self._known:
            return
        for at in islice(search(self._memory, self._physical, release), MOST_COPIES):
            for name in self._names():
                yield at - RELEASE - name - self._known[UTS]

    def _release(self) -> bytes | None:
        release = self._info.release
        return release.encode("ascii", "replace") + b"\0" if release else None

    def _names(self) -> Iterator[int]:
        told = self._info.offset("uts_namespace.name")
        return iter(NAMES if told is None else (told,))

    def _named(self, delta: int) -> bool | None:
        """Whether the kernel's names are there; None where memory does not tell."""
        release = self._release()
        if release is None or UTS not in self._known:
            return None
        answer: bool | None = None
        for name in self._names():
            at = self._known[UTS] + name + delta
            if at < 0:
                return False
            try:
                if self._memory.read(at, len(SYSNAME)) == SYSNAME:
                    return self._are(at, release)
                answer = False
            except Fault:
                continue
        return answer

    def _are(self, at: int, release: bytes) -> bool:
        """Whether struct new_utsname there is of this kernel."""
        if self._memory.read(at + RELEASE, len(release)) != release:
            return False
        machine = self._memory.read(at + MACHINE, LONGEST_NAME).partition(b"\0")[0]
        return self._wanted is None or bool(self._wanted.fullmatch(machine))

    def _maps(self, tables: PageTables, delta: int) -> bool:
        """Rule 2."""
        right = 0
        for address in self._known.values():
            try:
                if tables.translate(address, 1).address != address + delta:
                    return False
                right += 1
            except Fault:
                continue
        return right > 0
