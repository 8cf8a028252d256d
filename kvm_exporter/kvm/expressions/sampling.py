"""How do rows become samples?  A program's series, each with a value and labels of every row.

In no list there is but one row, of many series: there, those of a metric are worked out together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from kvm_exporter.kvm.expressions.formulas import Evaluated, Formulas, Row
from kvm_exporter.kvm.expressions.layouts import Column
from kvm_exporter.kvm.expressions.program import Constant, Formula, Series
from kvm_exporter.kvm.expressions.samples import Labels, Samples, Told, told


class OfRows:
    """The series of a list's program."""

    def __init__(self, series: Sequence[Series], formulas: Formulas) -> None:
        known: list[tuple[Formula, ...]] = []
        self._labels: list[_Labels] = []
        self._series: list[tuple[Series, int, Evaluated]] = []
        for one in series:
            if one.labels not in known:
                known.append(one.labels)
                self._labels.append(_Labels(one.labels, formulas))
            number = known.index(one.labels)
            self._series.append((one, number, formulas.number(one.value)))

    def into(self, samples: Sequence[Samples], rows: Sequence[Row], *, gaps: bool) -> None:
        """Add every row's to the metrics' samples."""
        labels = [one.of(rows, gaps=gaps) for one in self._labels]
        for series, number, value in self._series:
            known, having = labels[number]
            values = value.column(rows, gaps=gaps)
            chosen = values if having is None else tuple(compress(values, having))
            samples[series.metric].add(known, chosen, adds=series.adds)


class _Labels:
    """The labels of some series of a list."""

    def __init__(self, labels: Sequence[Formula], formulas: Formulas) -> None:
        self._constant = constant(labels)
        self._labels = [formulas.label(one) for one in labels]

    def of(self, rows: Sequence[Row], *, gaps: bool) -> tuple[Told, Sequence[bool] | None]:
        """The labels of the rows that have all, and which these are; None where every row has."""
        if self._constant is not None:
            count = len(rows)
            repeated = {self._constant: range(count)} if count > 1 else {}
            return Told((self._constant,) * count, repeated), None
        columns: list[Column] = [one.column(rows, gaps=gaps) for one in self._labels]
        found: list[Labels] = list(zip(*columns, strict=True))
        if not any(None in column for column in columns):
            return told(found), None
        having = [None not in labels for labels in found]
        return told(list(compress(found, having))), having


class OfOne:
    """The series of one metric that are in no list."""

    def __init__(self, series: Sequence[Series], formulas: Formulas) -> None:
        self._metric = series[0].metric
        self._adds = series[0].adds
        self._labels = [[formulas.label(label) for label in one.labels] for one in series]
        constants = [found for one in series if (found := constant(one.labels)) is not None]
        self._told = told(constants) if len(constants) == len(series) else None
        self._values = formulas.numbers([one.value for one in series])

    def into(self, samples: Sequence[Samples], row: Row, *, gaps: bool) -> None:
        """Add the row's to the metric's samples."""
        values = self._values.of(row, gaps=gaps)
        if self._told:
            samples[self._metric].add(self._told, values, adds=self._adds)
            return
        labels = [tuple(label.value(row) for label in one) for one in self._labels]
        having = [None not in one for one in labels]
        chosen = told(list(compress(labels, having)))
        samples[self._metric].add(chosen, list(compress(values, having)), adds=self._adds)


def of_one_row(series: Sequence[Series], formulas: Formulas) -> list[OfOne]:
    """What is in no list, by metric."""
    metrics: dict[tuple[int, bool], list[Series]] = {}
    for one in series:
        metrics.setdefault((one.metric, one.adds), []).append(one)
    return [OfOne(together, formulas) for together in metrics.values()]


def constant(labels: Sequence[Formula]) -> Labels | None:
    """The texts of labels that are the same for all rows; None if they are not."""
    values = [one.value for one in labels if isinstance(one, Constant)]
    return tuple(map(str, values)) if len(values) == len(labels) else None
