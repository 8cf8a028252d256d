"""Which types has a FreeBSD kernel with its modules?  The kernel's, then those of modules' CTF.

1. What the kernel tells itself is believed first: modules repeat the kernel's structs, and each
   driver has a ``struct softc`` of its own.
2. A module's CTF is its own file's, or in memory where DTrace asked for it (linker_files.py).  With
   a parent named in it, it means the kernel's types where it does not tell them itself.
3. Where the kernel's types are from elsewhere it is asked alone.
4. Types of modules that were unloaded are forgotten when they are more than those of loaded ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.symbols.module import Module
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.types.ctf import Ctf
from kvm_exporter.kvm.types.model import Enum, Type
from kvm_exporter.kvm.types.origin import Origin

MOST_MODULES = 1 << 10
"""Modules whose types are looked at: more than all that FreeBSD comes with."""


def with_modules(kernel: Origin, modules: Callable[[], Iterable[Module]], tally: Tally) -> Origin:
    """The kernel's types with those of ``modules``, which is asked when a name is not the kernel's.

    What fails of a module is counted in ``tally``.
    """
    if not isinstance(kernel.types, Ctf):
        return kernel
    return replace(kernel, types=ModuleTypes(kernel.types, modules, tally))


class ModuleTypes:
    """As with_modules has them (types/model.py's Types)."""

    def __init__(self, kernel: Ctf, modules: Callable[[], Iterable[Module]], tally: Tally) -> None:
        self._kernel = kernel
        self._modules = modules
        self._tally = tally
        self._known: dict[tuple[str, int], Ctf | None] = {}

    def find(self, name: str) -> Type:
        """As Types.find."""
        return self._first(lambda types: types.find_own(name))

    def variable(self, name: str) -> Type:
        """As Types.variable."""
        return self._first(lambda types: types.variable(name))

    def names(self) -> Iterator[str]:
        """As Types.names."""
        seen: set[str] = set()
        for types in (self._kernel, *self._of_modules()):
            for name in types.names():
                if name not in seen:
                    seen.add(name)
                    yield name

    def enums(self) -> Iterator[Enum]:
        """As Types.enums."""
        return chain.from_iterable(types.enums() for types in (self._kernel, *self._of_modules()))

    def _first(self, ask: Callable[[Ctf], Type]) -> Type:
        try:
            return ask(self._kernel)
        except TypeMissing:
            for types in self._of_modules():
                try:
                    return ask(types)
                except TypeMissing:
                    continue
            raise

    def _of_modules(self) -> Iterator[Ctf]:
        modules = {(one.path, one.id): one for one in islice(self._modules(), MOST_MODULES)}
        if modules and len(self._known) > 2 * len(modules):
            self._known = {key: types for key, types in self._known.items() if key in modules}
        for key, module in modules.items():
            if key not in self._known:
                self._known[key] = self._read(module)
            types = self._known[key]
            if types is not None:
                yield types

    def _read(self, module: Module) -> Ctf | None:
        try:
            data = module.ctf()
            objects = module.symbols.objects if module.symbols else None
            return None if data is None else self._kernel.of_module(data, objects)
        except KvmError:
            self._tally.add("types of modules", None)
            return None
