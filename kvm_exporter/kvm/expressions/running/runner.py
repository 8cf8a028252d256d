"""How does a compiled module become samples?  A Runner reads what its programs tell, again and
again.

A list's elements are found list by list, from the outermost on.  What ``where`` needs of the
innermost ones is read first, the rest of those that it lets pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.expressions.program import Compiled, ListProgram, Program, Stopped
from kvm_exporter.kvm.expressions.running.budgets import Budget, Ledger
from kvm_exporter.kvm.expressions.running.columns import Worked
from kvm_exporter.kvm.expressions.running.levels import Level, Outside
from kvm_exporter.kvm.expressions.running.reading import Reading
from kvm_exporter.kvm.expressions.running.samples import Sample, Samples
from kvm_exporter.kvm.expressions.running.sampling import OfFrame, of_row
from kvm_exporter.kvm.expressions.running.slots import Places, Table
from kvm_exporter.kvm.memory import Memory


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection gave.

    ``samples``: of each metric, by its number, (label values, value).  ``unreadable`` values had no
    memory, ``torn`` elements were not linked as a list's are.  ``stopped``: the budget that ended
    before all was read; ``bytes`` and ``elements`` were used of it.
    """

    samples: Sequence[Sequence[Sample]]
    unreadable: int
    torn: int
    stopped: Stopped
    bytes: int
    elements: int


class Runner:
    """Collects a compiled module's samples from memory."""

    def __init__(self, compiled: Compiled, memory: Memory, abi: Abi) -> None:
        reading = Reading(memory, abi)
        self._metrics = len(compiled.labels)
        self._runs: list[_Plain | _List] = [
            _Plain(compiled.program, reading),
            *(_List(one, reading) for one in compiled.lists),
        ]

    def collect(self, budget: Budget) -> Collected:
        """What there is to be read, as far as the budget goes.

        Errors: AccessDenied and Unsupported where this kernel's memory cannot be read at all.
        """
        ledger = Ledger(budget)
        samples = [Samples() for _ in range(self._metrics)]
        for run in self._runs:
            run.into(samples, ledger)
        return Collected(
            [one.all() for one in samples],
            ledger.unreadable,
            ledger.torn,
            ledger.stopped,
            ledger.bytes,
            ledger.elements,
        )


class _Plain:
    """What is in no list."""

    def __init__(self, program: Program, reading: Reading) -> None:
        table = Table(absolute=True)
        places = Places([table], program.reads, 0)
        self._outside = Outside(table, reading)
        self._metrics = of_row(program.series, places, reading.mask)

    def into(self, samples: Sequence[Samples], ledger: Ledger) -> None:
        """Add what is read to the metrics' samples."""
        ledger.begin()
        row = self._outside.row(ledger)
        for metric in self._metrics:
            metric.into(samples, row, gaps=ledger.gaps)


class _List:
    """A list, with the lists around it."""

    def __init__(self, of: ListProgram, reading: Reading) -> None:
        depth = len(of.walks)
        tables = [Table(absolute=not number) for number in range(depth + 1)]
        self._outside = Outside(tables[0], reading)
        self._levels = [
            Level(walk, tables[: number + 2], reading) for number, walk in enumerate(of.walks)
        ]
        places = Places(tables, of.program.reads, depth)
        if of.where is not None:
            where = Worked(of.where, places, reading.mask, label=False)
            self._levels[-1].choose(where, places.slots([of.where], depth))
        self._series = OfFrame(of.program.series, places, reading.mask)
        self._metrics = {one.metric for one in of.program.series}

    def into(self, samples: Sequence[Samples], ledger: Ledger) -> None:
        """Add what is read to the metrics' samples."""
        ledger.begin()
        frame, whole, known = self._outside.frame(ledger), True, True
        for level in self._levels:
            frame, all_there, lists = level.frame(frame, ledger)
            whole, known = whole and all_there, known and lists
        self._series.into(samples, frame, gaps=ledger.gaps)
        if whole and known and not len(frame):
            self._series.nothing(samples)
        if not whole:
            for metric in self._metrics:
                samples[metric].lack_some()
