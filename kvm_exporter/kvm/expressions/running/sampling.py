"""How do values become samples?  A program's series, each with a value and labels of every row.

In no list there is but one row, of many series: there, those of a metric are worked out together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import compress
from typing import Any

from kvm_exporter.kvm.expressions.program import Constant, Formula, Series
from kvm_exporter.kvm.expressions.running.columns import Frame, Worked
from kvm_exporter.kvm.expressions.running.formulas import Function, Functions, Row, valued
from kvm_exporter.kvm.expressions.running.samples import Labels, Samples, Told, told
from kvm_exporter.kvm.expressions.running.slots import Places
from kvm_exporter.kvm.expressions.running.together import Slots, Together


class OfFrame:
    """The series of a list's program."""

    def __init__(self, series: Sequence[Series], places: Places, mask: int) -> None:
        # by how they are written: 1 equals 1.0, but is another label
        numbers: dict[str, int] = {}
        self._labels: list[_Labels] = []
        self._series: list[tuple[Series, int, Worked]] = []
        for one in series:
            number = numbers.setdefault(repr(one.labels), len(numbers))
            if number == len(self._labels):
                self._labels.append(_Labels(one.labels, places, mask))
            value = Worked(one.value, places, mask, label=False)
            self._series.append((one, number, value))

    def into(self, samples: Sequence[Samples], frame: Frame, *, gaps: bool) -> None:
        """Add every row's to the metrics' samples."""
        labels = [one.of(frame, gaps=gaps) for one in self._labels]
        for series, number, value in self._series:
            known, having = labels[number]
            values = value.column(frame, gaps=gaps)
            chosen = values if having is None else tuple(compress(values, having))
            samples[series.metric].add(known, chosen, adds=series.adds)

    def nothing(self, samples: Sequence[Samples]) -> None:
        """Add the sums of no elements at all, which are known: 0 of each that needs no element to
        tell its labels."""
        for series, number, _ in self._series:
            constant = self._labels[number].constant
            if constant is not None and series.adds:
                samples[series.metric].add(told([constant]), (0,))


class _Labels:
    """The labels of some series of a list."""

    def __init__(self, labels: Sequence[Formula], places: Places, mask: int) -> None:
        self.constant = _constant(labels)
        self._labels = [Worked(one, places, mask, label=True) for one in labels]

    def of(self, frame: Frame, *, gaps: bool) -> tuple[Told, Sequence[bool] | None]:
        """The labels of the rows that have all, and which these are; None where every row has."""
        if self.constant is not None:
            count = len(frame)
            repeated = {self.constant: range(count)} if count > 1 else {}
            return Told((self.constant,) * count, repeated), None
        columns = [one.column(frame, gaps=gaps) for one in self._labels]
        found: list[Labels] = list(zip(*columns, strict=True))
        if not any(None in column for column in columns):
            return told(found), None
        having = [None not in labels for labels in found]
        return told(list(compress(found, having))), having


class OfRow:
    """The series of one metric that are in no list."""

    def __init__(self, series: Sequence[Series], places: Places, mask: int) -> None:
        self._metric = series[0].metric
        self._adds = series[0].adds
        self._series = series
        self._places = places
        self._mask = mask
        self._values = Together([one.value for one in series], places, mask)
        constants = [found for one in series if (found := _constant(one.labels)) is not None]
        self._told = told(constants) if len(constants) == len(series) else None

    def into(self, samples: Sequence[Samples], row: Row, *, gaps: bool) -> None:
        """Add the row's to the metric's samples."""
        values = self._values.values(row, gaps=gaps)
        rows = self._told
        if rows is None:
            labels: list[Any] = [tuple(valued(one, row) for one in each) for each in self._labels]
            having = [None not in one for one in labels]
            rows = told(list(compress(labels, having)))
            values = list(compress(values, having))
        samples[self._metric].add(rows, values, adds=self._adds)

    @cached_property
    def _labels(self) -> Sequence[Sequence[Function]]:
        functions = Functions(Slots(self._places), self._mask, careful=True)
        return [[functions.label(label) for label in one.labels] for one in self._series]


def of_row(series: Sequence[Series], places: Places, mask: int) -> list[OfRow]:
    """What is in no list, by metric."""
    metrics: dict[tuple[int, bool], list[Series]] = {}
    for one in series:
        metrics.setdefault((one.metric, one.adds), []).append(one)
    return [OfRow(together, places, mask) for together in metrics.values()]


def _constant(labels: Sequence[Formula]) -> Labels | None:
    """The texts of labels that are the same for all rows; None if they are not."""
    values = [one.value for one in labels if isinstance(one, Constant)]
    return tuple(map(str, values)) if len(values) == len(labels) else None
