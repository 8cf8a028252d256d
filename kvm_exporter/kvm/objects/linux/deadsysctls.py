"""What would a dead Linux's sysctls say?  Its tables and its handlers' work, out of memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.linux.ctlhandlers import Handlers
from kvm_exporter.kvm.objects.linux.ctltables import SOURCE, Entry, Tables
from kvm_exporter.kvm.objects.linux.sysctlnames import described, parts_of, told
from kvm_exporter.kvm.objects.sysctls import Setting, Sysctl, below
from kvm_exporter.kvm.target import Target


class DeadSysctls:
    """The sysctls of the kernel in ``target`` (objects/sysctls.py's Sysctls).

    A value whose memory is not there is left out, and counted.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def read(
        self, prefixes: Collection[str], without: Collection[str] = (), *, texts: bool = False
    ) -> Iterator[Setting]:
        """As Sysctls.read.  Errors: KvmError where the kernel's tables cannot be understood."""
        roots = [parts_of(one) for one in prefixes]
        others = [parts_of(one) for one in without]
        for entry, sysctl in self._settings.values():
            if below(entry.parts, roots) and not below(entry.parts, others):
                setting = self._setting(entry, sysctl)
                if setting and (texts or not isinstance(setting.value, str)):
                    yield setting

    def one(self, name: str) -> Setting | None:
        """As Sysctls.one."""
        found = self._settings.get(parts_of(name))
        return self._setting(*found) if found else None

    @cached_property
    def _handlers(self) -> Handlers:
        return Handlers(self._target)

    @cached_property
    def _settings(self) -> dict[tuple[str, ...], tuple[Entry, Sysctl]]:
        """Every setting that can be read, by its name, in the order of their names."""
        found = {
            entry.parts: (entry, described(entry.parts))
            for entry in Tables(self._target).entries()
            if told(entry.parts) and self._handlers.knows(entry)
        }
        return dict(sorted(found.items()))

    def _setting(self, entry: Entry, sysctl: Sysctl) -> Setting | None:
        try:
            value = self._handlers.value(entry)
        except KvmError:
            self._target.tally.add(SOURCE, None)
            return None
        return None if value is None else Setting(sysctl, value)
