"""Which symbol does an address lie in?  The symbols of one table, sorted by value once.

1. The symbol with the highest value up to the address is it, as ddb(4) has it, whether or not its
   st_size reaches so far: many symbols of assembly have none.
2. Of several there, a global one comes before a weak one before a local one, then one with a size.
3. Section and file symbols, absolute ones, and the marks of ARM and RISC-V assemblers (``$x``,
   ``$d.1``) are nobody's name.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from kvm_exporter.kvm.symbols.symtab import (
    SHN_ABS,
    SHN_COMMON,
    SHN_UNDEF,
    STT_FILE,
    STT_SECTION,
    SymbolTable,
)

MOST_MARKS = 1 << 12
"""Addresses in a row with nothing but assembler marks that are passed over."""

MOST_ALIKE = 1 << 10
"""Symbols of one value that are looked at."""


class AddressIndex:
    """The symbols of ``table`` by value."""

    def __init__(self, table: SymbolTable) -> None:
        self._table = table
        values = _values(table)
        numbers = _wanted(table)
        numbers.sort(key=values.__getitem__)
        self._numbers = array("I", numbers)
        self._values = array("Q", map(values.__getitem__, numbers))

    def find(self, value: int) -> list[int]:
        """The numbers of the symbols at the highest value up to ``value``, the best first.

        None before any.
        """
        stop = bisect_right(self._values, value)
        for _ in range(MOST_MARKS):
            if not stop:
                break
            start = bisect_left(self._values, self._values[stop - 1], 0, stop)
            named = self._named(self._numbers[start : min(stop, start + MOST_ALIKE)])
            if named:
                return sorted(named, key=self._rank)
            stop = start
        return []

    def _named(self, numbers: Iterable[int]) -> list[int]:
        table = self._table
        return [one for one in numbers if table.name(table[one].name)[:1] not in (b"", b"$")]

    def _rank(self, number: int) -> tuple[int, bool]:
        """Rule 2."""
        entry = self._table[number]
        return entry.rank, not entry.size


def _values(table: SymbolTable) -> array[int]:
    return table.column("Q", 8) if table.abi.pointer_size == 8 else table.column("I", 4)


def _wanted(table: SymbolTable) -> list[int]:
    """The numbers of the symbols that can be somebody's name (rule 3)."""
    # st_info, st_other and st_shndx share a word; there are but a few hundred different ones
    words = table.column("I", 4 if table.abi.pointer_size == 8 else 12)
    wanted = {word for word in set(words) if _is_wanted(word, table.abi.order)}
    return [number for number, word in enumerate(words) if word in wanted]


def _is_wanted(word: int, order: str) -> bool:
    info, section = (word & 0xFF, word >> 16) if order == "<" else (word >> 24, word & 0xFFFF)
    return info & 15 not in (STT_SECTION, STT_FILE) and section not in (
        SHN_UNDEF,
        SHN_ABS,
        SHN_COMMON,
    )
