"""What is on a list?  The elements that walks find, and how a node of a list is read.

1. A node is read in one go with what is wanted of its element nearby: of live memory, the pointers
   and the values are of one instant.
2. What is at a node may be something else by now: its element was taken away, and its memory used
   again.  A node that does not point back to the one before it, or cannot be read, is looked for
   again, once, through the pointer that led to it.
3. If it still does not point back, its element is torn.  It may be on another list by now, and so
   what is behind it: the list's rest is lost.  It is, too, behind a node that cannot be read, and
   where a list comes to a node again, going in circles.
4. A list of which the rest is lost is walked a second time from its head; that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import Any, Protocol

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.running.budgets import Ledger
from kvm_exporter.kvm.expressions.running.chunks import Chunk, Field, around
from kvm_exporter.kvm.expressions.running.layouts import Column
from kvm_exporter.kvm.expressions.running.reading import Reading, Record, nothing
from kvm_exporter.kvm.expressions.running.rounds import Numbers
from kvm_exporter.kvm.expressions.running.slots import ADDRESS, POSITION, Table


@dataclass(slots=True)
class Elements:
    """Elements of several lists: where they lie, their numbers, and in which row their list is.

    ``values`` of the slots that were filled on the way, element by element.  ``whole`` is False
    where a list's rest was lost, or left to a budget.
    """

    addresses: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    whole: bool = True

    def add(self, row: int, addresses: Sequence[int], positions: Iterable[int]) -> None:
        """Add one list's."""
        self.addresses += addresses
        self.positions += positions
        self.parents += repeat(row, len(addresses))

    def columns(self, slots: Sequence[int], width: int) -> list[Column]:
        """A table's columns, of which these slots were filled; the others are unread yet."""
        columns: list[Column] = [(None,) * len(self.addresses)] * width
        columns[ADDRESS] = tuple(self.addresses)
        columns[POSITION] = tuple(self.positions)
        for number, slot in enumerate(slots):
            columns[slot] = tuple(self.values[number :: len(slots)])
        return columns


class Walker(Protocol):
    """Finds the elements of lists of one shape."""

    @property
    def slots(self) -> Sequence[int]:
        """Of the elements' table, those that are filled on the way."""

    def walk(self, heads: Sequence[int | None], ledger: Ledger) -> Elements:
        """The elements of all lists; a head for each row, None or 0 for no list."""


class Nodes:
    """How nodes are read: their pointers, and what is near of the table's values."""

    def __init__(self, reading: Reading, table: Table, node: int, pointers: Sequence[int]) -> None:
        """``node``: where a node lies in its element; ``pointers``: where these lie in a node."""
        self._links = [table.slot(ADDRESS, node + at, reading.abi.pointer) for at in pointers]
        self.reading = reading
        self._table = table
        self._node = node

    @cached_property
    def chunk(self) -> Chunk:
        """All that is read of a node, once it is known what is wanted of the elements."""
        links = {self._table.field(slot) for slot in self._links}
        return around(links, set(self._table.at_element()) - links)

    @cached_property
    def links(self) -> Sequence[int]:
        """Where among the values of the chunk the pointers are."""
        return [self.chunk.slots.index(slot) for slot in self._links]

    def reader(self, ledger: Ledger) -> Callable[[int], Column | None]:
        """What gives a node's values; None, not counted, where it cannot be read."""
        record = self.reading.record(self.chunk.parts)
        read, allows, size, unpack = self.reading.read, ledger.allows, record.size, record.unpack
        distance, mask = self.chunk.start - self._node, self.reading.mask
        pieces = self._pieces

        def node(at: int) -> Column | None:
            if not allows(size):
                return None
            try:
                data = read(at + distance & mask, size)
            except KvmError as e:
                data = nothing(e)
            if len(data) == size:
                return unpack(data)
            return pieces(at + distance & mask, record, ledger)

        return node

    def _pieces(self, address: int, record: Record, ledger: Ledger) -> Column | None:
        """What can be read of a node on the edge of memory, if its pointers can."""
        found = tuple(self.reading.pieces(address, record, ledger))
        if any(found[link] is None for link in self.links):
            return None
        ledger.lost(found.count(None))
        return found

    def elements(self, nodes: Iterable[int]) -> list[int]:
        """Where the elements lie that have these nodes."""
        distance, mask = self._node, self.reading.mask
        return [at - distance & mask for at in nodes]


class Firsts:
    """The pointers to the lists' first nodes, at ``offset`` from their heads."""

    def __init__(self, reading: Reading, offset: int) -> None:
        self._round = Numbers(reading, [Field(0, offset, reading.abi.pointer, 1)], absolute=False)

    def read(self, heads: Sequence[int | None], ledger: Ledger) -> Column:
        """A pointer for each head, None where it cannot be read."""
        columns: list[Column] = [tuple(heads), ()]
        self._round.fill(columns, ledger)
        return columns[1]
