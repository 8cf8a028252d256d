"""What is known of the elements of a list in the lists around it?  A frame of theirs (columns.py).

Elements are found by walking from the heads that the frame around tells.  What a condition needs is
read first; of the elements that it lets pass, the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from kvm_exporter.kvm.expressions.program import Chain, Strided, Tree, Walk
from kvm_exporter.kvm.expressions.running.arrays import Arrays
from kvm_exporter.kvm.expressions.running.budgets import Ledger
from kvm_exporter.kvm.expressions.running.chains import Chains
from kvm_exporter.kvm.expressions.running.columns import Frame, Worked
from kvm_exporter.kvm.expressions.running.layouts import Column
from kvm_exporter.kvm.expressions.running.reading import Reading
from kvm_exporter.kvm.expressions.running.rounds import Round
from kvm_exporter.kvm.expressions.running.slots import Places, Table
from kvm_exporter.kvm.expressions.running.trees import Trees
from kvm_exporter.kvm.expressions.running.walking import Walker


class Outside:
    """What is in no list: table 0, of one row."""

    def __init__(self, table: Table, reading: Reading) -> None:
        self._table = table
        self._reading = reading

    @cached_property
    def _rounds(self) -> Sequence[Round]:
        return self._table.rounds(self._reading, self._table.slots)

    def row(self, ledger: Ledger) -> list[object]:
        """Its slots."""
        row: list[object] = [self._base, 0, *[None] * len(self._table.slots)]
        for one in self._rounds:
            one.fill_row(row, ledger)
        return row

    @property
    def _base(self) -> int:
        """One more than any address, of which nothing is left where addresses end: addresses are
        offsets from here."""
        return self._reading.mask + 1

    def frame(self, ledger: Ledger) -> Frame:
        """Its slots as columns."""
        return Frame(0, [(value,) for value in self.row(ledger)], (), None)


class Level:
    """A list in the lists around it; its table is the last one."""

    def __init__(self, walk: Walk, tables: Sequence[Table], reading: Reading) -> None:
        *around, self._table = tables
        self._number = len(around)
        places = Places(around, walk.reads, len(around) - 1)
        self._heads = [Worked(head, places, reading.mask, label=False) for head in walk.heads]
        self._walker = _walker(walk.shape, reading, self._table)
        self._reading = reading
        self._where: Worked | None = None
        self._needed: set[int] = set()

    def choose(self, where: Worked, slots: Iterable[int]) -> None:
        """Let only elements pass of which ``where`` is true; it needs these slots."""
        self._where = where
        self._needed = self._table.with_bases(slots)

    def frame(self, around: Frame, ledger: Ledger) -> tuple[Frame, bool, bool]:
        """The frame of all elements of the lists in this one, whether these are all, and whether
        there is a list at all."""
        heads = [head for one in self._heads for head in one.column(around, gaps=ledger.gaps)]
        found = self._walker.walk(heads, ledger)
        # of a null pointer there is no list; of one that was not read, there may be
        whole = found.whole and not (None in heads and ledger.missed)
        columns: list[Column] = found.columns(self._walker.slots, self._table.width)
        rows = len(around)
        parents = [parent % rows for parent in found.parents]
        frame = Frame(self._number, columns, parents, around)
        first, rest = self._rounds
        frame.fill(first, ledger)
        if self._where:
            chosen = self._where.column(frame, gaps=ledger.gaps)
            whole = whole and not (None in chosen and ledger.missed)
            frame.keep(chosen)
        frame.fill(rest, ledger)
        return frame, whole and not ledger.stopped, any(heads) or not heads

    @cached_property
    def _rounds(self) -> tuple[Sequence[Round], Sequence[Round]]:
        """For what is read of all elements, and of those that pass: once all slots are known."""
        slots = set(self._table.slots).difference(self._walker.slots)
        first = slots & self._needed if self._where else slots
        table, reading = self._table, self._reading
        return table.rounds(reading, first), table.rounds(reading, slots - first)


def _walker(shape: Chain | Tree | Strided, reading: Reading, table: Table) -> Walker:
    match shape:
        case Chain():
            return Chains(shape, reading, table)
        case Tree():
            return Trees(shape, reading, table)
        case Strided():
            return Arrays(shape, reading)
