"""Is a kernel at some place in memory?  Where its struct new_utsname is, with just its release.

The variable init_uts_ns, whose address VMCOREINFO has, begins with it, or nearly.  It tells a
kernel from the one before it, and from what looks like one: /proc/version's text is in many places.

Sources: include/uapi/linux/utsname.h, include/linux/utsname.h, init/version.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.space import Physical, PhysicalMemory
from kvm_exporter.kvm.vmcore.scanning import search
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

VARIABLE = "init_uts_ns"
WITHIN = (0, 4, 8)
"""Where struct uts_namespace has its name if that is not told: before 5.11 it is behind a kref."""

SYSNAME = b"Linux\0"
LONGEST = 65
RELEASE, MACHINE = 2 * LONGEST, 4 * LONGEST
"""In struct new_utsname: texts of 65 bytes each."""

MOST_COPIES = 64
"""Every container's UTS namespace has one."""


class Names:
    """The names of the kernel that ``info`` tells of; ``machine``: what uname -m says, if asked."""

    def __init__(
        self, memory: PhysicalMemory, info: Vmcoreinfo, machine: re.Pattern[bytes] | None
    ) -> None:
        self._memory = memory
        self._variable = info.symbol(VARIABLE)
        told = info.offset("uts_namespace.name")
        self._within = WITHIN if told is None else (told,)
        release = info.release
        self._release = release.encode("ascii", "replace") + b"\0" if release else None
        self._machine = machine

    def at(self, delta: int) -> bool | None:
        """Whether they are there, if physical addresses are the kernel's and ``delta``.

        None where the dump has no such memory, or VMCOREINFO does not tell where to look.
        """
        if self._variable is None or self._release is None:
            return None
        answers = [self._are(self._variable + delta + within) for within in self._within]
        return True if True in answers else None if None in answers else False

    def deltas(self, physical: Physical) -> Iterator[int]:
        """Each delta with which they are there, wherever that is: all of memory is read."""
        if self._variable is None or self._release is None:
            return
        found = (at - RELEASE for at in search(self._memory, physical, self._release))
        for at in islice((one for one in found if self._are(one)), MOST_COPIES):
            yield from (at - within - self._variable for within in self._within)

    def _are(self, at: int) -> bool | None:
        """Whether struct new_utsname there is of this kernel; None where there is no memory."""
        if at < 0 or self._release is None:
            return False
        try:
            data = self._memory.read(at, MACHINE + LONGEST)
        except Fault:
            return None
        if not data.startswith(SYSNAME) or not data.startswith(self._release, RELEASE):
            return False
        machine = data[MACHINE:].partition(b"\0")[0]
        return self._machine is None or bool(self._machine.fullmatch(machine))
