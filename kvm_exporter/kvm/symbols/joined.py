"""Which symbols has a dead FreeBSD kernel?  Those of its file and of its modules, as one table.

1. The kernel comes before its modules, these in the order in which they were loaded (kldsym(2)).
2. Bare names of per-CPU and network-stack variables are their copies, as linkersets.py has it.
3. Modules are looked for when a name or an address is not the kernel's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.linkersets import PCPU, VNET, LinkerSets, Template, lookup
from kvm_exporter.kvm.memory import Memory, Symbol
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols, Place
from kvm_exporter.kvm.symbols.module import Module
from kvm_exporter.kvm.tally import Tally


class DeadSymbols:
    """The symbols of a kernel file and of the modules in its memory (memory.py's Symbols).

    ``cpu`` chooses whose copy of a per-CPU variable its bare name means (kvm_dpcpu_setcpu);
    ``vnet``, the address of a struct vnet, whose of a network stack's, None for the host's.
    """

    def __init__(self, kernel: ElfSymbols, memory: Memory, tally: Tally) -> None:
        self.kernel = kernel
        self.cpu = 0
        self.vnet: int | None = None
        self._tally = tally
        self._sets = LinkerSets(self._address, memory, kernel.table.abi)
        self._find_modules: Callable[[], Iterable[Module]] | None = None
        self._modules: tuple[Module, ...] = ()

    def find_modules_with(self, find: Callable[[], Iterable[Module]]) -> None:
        """Where modules come from (linker_files.py); ``find`` is called when they are needed.

        Its own look-ups see the kernel's symbols only.
        """
        self._find_modules = find

    @property
    def modules(self) -> tuple[Module, ...]:
        """The loaded modules; none where they could not be found, which is counted."""
        find, self._find_modules = self._find_modules, None
        if find is not None:
            try:
                self._modules = tuple(find())
            except KvmError:
                self._tally.add("linker_files", None)
        return self._modules

    def vnets(self) -> list[int]:
        """The address of every network stack, for ``vnet``.  Errors: those of memory."""
        return self._sets.vnets()

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """Each name's symbol with its type in nlist(3), None for a missing one."""
        return lookup(
            names,
            self._named,
            [
                (VNET, partial(self._readable, lambda: self._sets.vnet(self.vnet))),
                (PCPU, partial(self._readable, lambda: self._sets.pcpu(self.cpu))),
            ],
        )

    def template(self, name: str) -> Symbol | None:
        """As linkersets.py's Templates."""
        return self.kernel.exact(name) or next(filter(None, self._exact_in_modules(name)), None)

    def _exact_in_modules(self, name: str) -> Iterator[Symbol | None]:
        for module in self.modules:
            yield module.symbols.exact(name) if module.symbols else None

    def _named(self, name: str, prefix: bytes, template: Template | None) -> Symbol | None:
        found = self.kernel.named(name, prefix)
        if found is None:
            found = self._of_module(name, prefix, template is not None)
        if found is None or template is None:
            return found
        return found._replace(value=template.move(found.value))

    def _of_module(self, name: str, prefix: bytes, carved: bool) -> Symbol | None:
        for module in self.modules:
            found = module.symbols.named(name, prefix) if module.symbols else None
            if found is not None:
                return found._replace(value=module.carved(found.value)) if carved else found
        return None

    def _readable(self, template_of: Callable[[], Template | None]) -> Template | None:
        try:
            return template_of()
        except KvmError:
            self._tally.add("linker sets", None)
            return None

    def _address(self, name: bytes) -> int | None:
        entry = self.kernel.entry(name)
        return self.kernel.value(entry) if entry else None

    def at(self, address: int) -> Place | None:
        """What lies at an address: of a module within its bounds, else of the kernel."""
        for module in self.modules:
            if module.symbols and 0 <= address - module.address < module.size:
                return module.symbols.at(address)
        return self.kernel.at(address)

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol of the kernel, then of each module."""
        yield from self.kernel
        for module in self.modules:
            if module.symbols:
                yield from module.symbols

    def search(self, pattern: re.Pattern[str]) -> Iterator[Symbol]:
        """The symbols whose whole name matches; fnmatch.translate makes patterns of globs."""
        return (symbol for symbol in self if pattern.fullmatch(symbol.name))
