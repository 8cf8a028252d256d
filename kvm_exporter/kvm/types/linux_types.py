"""Which types do a Linux kernel and its modules tell together?  The kernel's; else a module's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import chain

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.types.btf import BtfTypes
from kvm_exporter.kvm.types.model import Enum, Type
from kvm_exporter.kvm.types.origin import Origin

Modules = Callable[[], Iterator[BtfTypes]]
"""Gives each module's types, which continue the kernel's."""


class LinuxTypes:
    """Types (model.py's) of a kernel, ``own``, and of its ``modules``.

    Modules are read when a name is asked for that the kernel's own types do not have.
    """

    def __init__(self, own: BtfTypes, modules: Modules) -> None:
        self.own = own
        self._open = modules
        self._modules: tuple[BtfTypes, ...] | None = None
        self._unknown: set[str] = set()

    @property
    def modules(self) -> tuple[BtfTypes, ...]:
        """Those of each module; where their list is damaged, of those before."""
        if self._modules is None:
            found: list[BtfTypes] = []
            with contextlib.suppress(KvmError):
                found.extend(self._open())
            self._modules = tuple(found)
        return self._modules

    def find(self, name: str) -> Type:
        """As Types.find."""
        try:
            return self.own.find(name)
        except TypeMissing:
            found = self._in_modules(name)
            if found is None:
                raise
            return found

    def _in_modules(self, name: str) -> Type | None:
        if name in self._unknown:
            return None
        found = next(chain.from_iterable(one.find_own(name) for one in self.modules), None)
        if found is None:
            self._unknown.add(name)
        return found

    def variable(self, name: str) -> Type:
        """As Types.variable; of the kernel's own only."""
        return self.own.variable(name)

    def enums(self) -> Iterator[Enum]:
        """As Types.enums, the kernel's first."""
        return chain(self.own.enums(), *(one.enums() for one in self.modules))

    def names(self) -> Iterator[str]:
        """As Types.names, the kernel's first."""
        known = set()
        for name in chain(self.own.names(), *(one.names() for one in self.modules)):
            if name not in known:
                known.add(name)
                yield name


def no_modules() -> Iterator[BtfTypes]:
    """Where nobody tells modules' types."""
    return iter(())


def of_btf(own: BtfTypes, where: str, file: Source, modules: Modules = no_modules) -> Origin:
    """The Origin of types in BTF that were found ``where``."""
    return Origin(LinuxTypes(own, modules), f"BTF of {where}, {len(own)} types", file)
