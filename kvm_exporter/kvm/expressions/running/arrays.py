"""How is an array walked?  Element by element; of pointers, those that lead somewhere."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from kvm_exporter.kvm.expressions.program import Strided
from kvm_exporter.kvm.expressions.running.budgets import Ledger
from kvm_exporter.kvm.expressions.running.chunks import PAGE
from kvm_exporter.kvm.expressions.running.layouts import Column
from kvm_exporter.kvm.expressions.running.reading import Reading
from kvm_exporter.kvm.expressions.running.walking import Elements

MOST_HEADS = 1 << 20
"""Of hash tables, all together that one list is made of."""


class Arrays:
    """A Walker of arrays; nothing of the elements is read on the way."""

    def __init__(self, shape: Strided, reading: Reading) -> None:
        self._shape = shape
        self._reading = reading
        chosen = None if shape.numbers is None else sorted(set(shape.numbers))
        self._numbers: Sequence[int] = range(shape.count)
        if chosen is not None:
            self._numbers = [number for number in chosen if 0 <= number < shape.count]

    @property
    def slots(self) -> Sequence[int]:
        """As Walker.slots."""
        return ()

    def walk(self, heads: Sequence[int | None], ledger: Ledger) -> Elements:
        """As Walker.walk."""
        found = Elements()
        of = self._pointed if self._shape.pointers else self._strided
        for row, head in enumerate(heads):
            if head and not self._into(found, row, of(head, ledger), ledger):
                found.whole = False
        return found

    def _into(
        self, found: Elements, row: int, elements: Iterator[tuple[int, int | None]], ledger: Ledger
    ) -> bool:
        """Add the elements that there are; whether these are all."""
        whole = True
        addresses: list[int] = []
        positions: list[int] = []
        for number, address in elements:
            if address is None:
                ledger.lost()
                whole = False
            elif address and not self._allows(len(found.addresses) + len(addresses), ledger):
                whole = False
                break
            elif address:
                addresses.append(address)
                positions.append(number)
        found.add(row, addresses, positions)
        return whole

    def _allows(self, many: int, ledger: Ledger) -> bool:
        """Whether there may be one more than so many."""
        if not self._shape.heads:
            return ledger.element()
        if many >= MOST_HEADS:
            ledger.full()
            return False
        return not ledger.halted

    def _strided(self, head: int, _: Ledger) -> Iterator[tuple[int, int | None]]:
        size, mask = self._shape.size, self._reading.mask
        return ((number, head + number * size & mask) for number in self._numbers)

    def _pointed(self, head: int, ledger: Ledger) -> Iterator[tuple[int, int | None]]:
        """Positions and pointers, None for one that cannot be read; until a budget ends."""
        pointers: Sequence[int | None] = ()
        first = 0
        for number in self._numbers:
            if number >= first + len(pointers):
                first, pointers = number, self._page(head, number, ledger)
            yield number, pointers[number - first]
            if ledger.halted:
                return

    def _page(self, head: int, number: int, ledger: Ledger) -> Sequence[int | None]:
        """The pointers from a position on, up to the end of the page or the last that is meant."""
        size = self._reading.abi.pointer_size
        at = head + number * size & self._reading.mask
        count = min(max((PAGE - at % PAGE) // size, 1), self._numbers[-1] + 1 - number)
        length = count * size
        data = self._reading.bytes(at, length) if ledger.allows(length) else b""
        there = len(data) // size
        code = f"{self._reading.abi.order}{there}{self._reading.abi.pointer}"
        pointers: Column = struct.unpack(code, data[: there * size])
        return pointers + (None,) * (count - there)
