"""What is a loaded module of a Linux kernel?  Its name, its place and its symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.nm import NLIST_TYPES
from kvm_exporter.kvm.symbols.addresses import AddressIndex
from kvm_exporter.kvm.symbols.elfsymtab import Place
from kvm_exporter.kvm.symbols.symtab import STT_FUNC, Entry, SymbolTable


class ModuleSymbols:
    """The symbols of a module; ``letters`` are those of nm(1), by number, as bytes.

    ``even`` says that code is at even addresses, whatever the values of functions are: ARM's Thumb
    functions have odd ones.
    """

    def __init__(self, table: SymbolTable, letters: bytes, *, even: bool = False) -> None:
        self._table = table
        self._letters = letters
        self._even = even

    def find(self, name: bytes) -> Symbol | None:
        """The symbol of just that name, as SymbolTable.find chooses."""
        number = self._table.number(name)
        return None if number is None else self._symbol(number)

    def _symbol(self, number: int) -> Symbol:
        entry = self._table[number]
        name = self._table.name(entry.name).decode("utf-8", "surrogateescape")
        letter = self._letters[number]
        return Symbol(name, self._value(entry), NLIST_TYPES[letter], entry.size or None)

    def _value(self, entry: Entry) -> int:
        return entry.value & ~1 if self._even and entry.type == STT_FUNC else entry.value

    def at(self, address: int) -> Place | None:
        """The symbol with the highest address up to ``address``; None before the first."""
        numbers = self._by_address.find(address | 1 if self._even else address)
        if not numbers:
            return None
        symbol, *others = map(self._symbol, numbers)
        names = dict.fromkeys(other.name for other in others if other.name != symbol.name)
        return Place(symbol, address - symbol.value, tuple(names))

    @cached_property
    def _by_address(self) -> AddressIndex:
        return AddressIndex(self._table)

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol that has a name and a place, in the table's order."""
        for number, entry in enumerate(self._table):
            if entry.found and self._table.name(entry.name):
                yield self._symbol(number)


class Area(NamedTuple):
    """``size`` bytes of a module from ``start`` on."""

    start: int
    size: int


class LinuxModule:
    """A loaded module: ``address`` is that of its struct module, ``areas`` are where it lies.

    ``percpu`` is its area of each CPU, as an offset; 0 for none.
    """

    def __init__(
        self,
        name: str,
        address: int,
        areas: Sequence[Area],
        percpu: int,
        read: Callable[[], ModuleSymbols | None],
    ) -> None:
        self.name = name
        self.address = address
        self.areas = tuple(areas)
        self.percpu = percpu
        self._read = read

    @cached_property
    def symbols(self) -> ModuleSymbols | None:
        """Its symbols, read when they are needed; None where they cannot be, which is counted."""
        return self._read()

    def holds(self, address: int) -> bool:
        """Whether an address is the module's."""
        return any(0 <= address - area.start < area.size for area in self.areas)

    def at(self, address: int) -> Place | None:
        """What lies at one of its addresses; None before the first symbol of an area."""
        found = self.symbols.at(address) if self.symbols else None
        starts = [area.start for area in self.areas if 0 <= address - area.start < area.size]
        return found if found and starts and found.symbol.value >= starts[0] else None
