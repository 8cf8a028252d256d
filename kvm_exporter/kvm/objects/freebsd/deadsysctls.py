"""What would a dead FreeBSD's sysctls say?  Its tree and its handlers' work, out of memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd.livesysctls import SOURCE
from kvm_exporter.kvm.objects.freebsd.oidhandlers import Handlers
from kvm_exporter.kvm.objects.freebsd.oidkernel import Kernel
from kvm_exporter.kvm.objects.freebsd.oidtree import Oid, OidTree
from kvm_exporter.kvm.objects.freebsd.sysctlkinds import NAMES, TYPE_MASK, Text
from kvm_exporter.kvm.objects.freebsd.sysctlstructs import Reader, Structs
from kvm_exporter.kvm.objects.sysctls import Setting, Sysctl, below

OF_LIBC = "user"
"""The tree that the C library answers; the kernel has but zeros there (sys/kern/kern_mib.c)."""


class DeadSysctls:
    """The sysctls of ``kernel`` (objects/sysctls.py's Sysctls).

    ``machine`` is its hw.machine_arch.  A value whose memory is not there is left out, and counted.
    """

    def __init__(self, kernel: Kernel, machine: str) -> None:
        self._kernel = kernel
        self._target = target = kernel.target
        self._structs = Structs(machine, target.abi, lambda: target.types)

    def read(
        self, prefixes: Collection[str], without: Collection[str] = (), *, texts: bool = False
    ) -> Iterator[Setting]:
        """As Sysctls.read.  Errors: KvmError where the kernel's tree cannot be understood."""
        roots = [tuple(one.split(".")) if one else () for one in prefixes]
        others = [tuple(one.split(".")) for one in without]
        for oid, sysctl, reader in self._leaves.values():
            wanted = texts or not isinstance(reader, Text)
            if wanted and below(oid.parts, roots) and not below(oid.parts, others):
                setting = self._setting(oid, sysctl, reader)
                if setting:
                    yield setting

    def one(self, name: str) -> Setting | None:
        """As Sysctls.one."""
        leaf = self._leaves.get(tuple(name.split(".")))
        return self._setting(*leaf) if leaf else None

    @cached_property
    def _leaves(self) -> dict[tuple[str, ...], tuple[Oid, Sysctl, Reader]]:
        """Every leaf that can be read, by its name."""
        found: dict[tuple[str, ...], tuple[Oid, Sysctl, Reader]] = {}
        for oid in OidTree(self._target).leaves():
            if not self._handlers.knows(oid) or oid.parts[0] == OF_LIBC:
                continue
            kind = NAMES.get(oid.kind & TYPE_MASK, "")
            sysctl = Sysctl(oid.parts, oid.labels, kind, oid.format, oid.description)
            reader = self._structs.reader(oid.kind, sysctl)
            if reader:
                found.setdefault(oid.parts, (oid, sysctl, reader))
        return found

    @cached_property
    def _handlers(self) -> Handlers:
        return Handlers(self._kernel)

    def _setting(self, oid: Oid, sysctl: Sysctl, reader: Reader) -> Setting | None:
        try:
            raw = self._handlers.answer(oid)
        except KvmError:
            self._target.tally.add(SOURCE, None)
            return None
        value = reader.value(raw)
        return None if value is None else Setting(sysctl, value)
