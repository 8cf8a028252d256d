"""What is known of the elements of lists?  Rows (slots.py): one table's, behind those around it.

A level's elements are found by walking from the heads that the rows around tell.  What a condition
needs is read first; of the elements that it lets pass, the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import compress
from operator import add

from kvm_exporter.kvm.expressions.arrays import Arrays
from kvm_exporter.kvm.expressions.budgets import Ledger
from kvm_exporter.kvm.expressions.chains import Chains
from kvm_exporter.kvm.expressions.formulas import Evaluated, Formulas, Row
from kvm_exporter.kvm.expressions.layouts import Column
from kvm_exporter.kvm.expressions.program import Chain, Strided, Tree, Walk
from kvm_exporter.kvm.expressions.reading import Reading
from kvm_exporter.kvm.expressions.rounds import Round
from kvm_exporter.kvm.expressions.slots import FIRST, Places, Table
from kvm_exporter.kvm.expressions.trees import Trees
from kvm_exporter.kvm.expressions.walking import Walker


class Outside:
    """What is in no list: table 0, of one row."""

    def __init__(self, table: Table, reading: Reading) -> None:
        self._table = table
        self._reading = reading
        # one more than any address, of which nothing is left where addresses end
        self._base: int | None = reading.mask + 1

    @cached_property
    def _rounds(self) -> Sequence[Round]:
        return self._table.rounds(self._reading, self._table.slots)

    def row(self, ledger: Ledger) -> Row:
        """Its row."""
        values = [self._base, 0, *[None] * len(self._table.slots)]
        for one in self._rounds:
            one.fill_row(values, ledger)
        return tuple(values[FIRST:])


class Level:
    """A list in the lists around it; its table is the last one."""

    def __init__(self, walk: Walk, tables: Sequence[Table], reading: Reading) -> None:
        *around, self._table = tables
        formulas = Formulas(Places(around, walk.reads, len(around) - 1), reading.mask)
        self._heads = [formulas.number(head) for head in walk.heads]
        self._walker = _walker(walk.shape, reading, self._table)
        self._reading = reading
        self._where: Evaluated | None = None
        self._needed: set[int] = set()

    def choose(self, where: Evaluated, slots: Iterable[int]) -> None:
        """Let only elements pass of which ``where`` is true; it needs these slots."""
        self._where = where
        self._needed = self._table.with_bases(slots)

    def rows(self, around: Sequence[Row], ledger: Ledger) -> tuple[list[Row], bool]:
        """The rows of all elements of the lists in these rows, and whether these are all."""
        lost = ledger.unreadable
        heads = [head for one in self._heads for head in one.column(around, gaps=ledger.gaps)]
        found = self._walker.walk(heads, ledger)
        whole = found.whole and not (None in heads and ledger.unreadable)
        outer = [around[parent % len(around)] for parent in found.parents]
        columns = found.columns(self._walker.slots, self._table.width)
        first, rest = self._rounds
        _fill(columns, first, ledger)
        if self._where:
            chosen = self._where.column(_joined(outer, columns), gaps=ledger.gaps)
            whole = whole and not (None in chosen and ledger.unreadable > lost)
            columns = [tuple(compress(column, chosen)) for column in columns]
            outer = list(compress(outer, chosen))
        _fill(columns, rest, ledger)
        return _joined(outer, columns), whole and not ledger.stopped

    @cached_property
    def _rounds(self) -> tuple[Sequence[Round], Sequence[Round]]:
        """For what is read of all elements, and of those that pass: once all slots are known."""
        slots = set(self._table.slots).difference(self._walker.slots)
        first = slots & self._needed if self._where else slots
        table, reading = self._table, self._reading
        return table.rounds(reading, first), table.rounds(reading, slots - first)


def _fill(columns: list[Column], rounds: Iterable[Round], ledger: Ledger) -> None:
    for one in rounds:
        one.fill(columns, ledger)


def _joined(around: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """The rows of a table, each behind that of the tables around."""
    rows: list[Row] = list(zip(*columns, strict=True))
    if not any(around):
        return rows
    return list(map(add, around, rows))


def _walker(shape: Chain | Tree | Strided, reading: Reading, table: Table) -> Walker:
    match shape:
        case Chain():
            return Chains(shape, reading, table)
        case Tree():
            return Trees(shape, reading, table)
        case Strided():
            return Arrays(shape, reading)
