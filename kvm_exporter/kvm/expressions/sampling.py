"""How do rows become samples?  A program's series, each with a value and labels of every row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from kvm_exporter.kvm.expressions.formulas import Evaluated, Formulas, Row
from kvm_exporter.kvm.expressions.program import Constant, Formula, Series
from kvm_exporter.kvm.expressions.rounds import Column
from kvm_exporter.kvm.expressions.samples import Labels, Samples


class Sampling:
    """The series of one program."""

    def __init__(self, series: Sequence[Series], formulas: Formulas) -> None:
        numbers: dict[tuple[Formula, ...], int] = {}
        self._labels: list[LabelSet] = []
        self._series: list[tuple[Series, int, Evaluated]] = []
        for one in series:
            number = numbers.setdefault(one.labels, len(self._labels))
            if number == len(self._labels):
                self._labels.append(LabelSet(one.labels, formulas))
            self._series.append((one, number, formulas.number(one.value)))

    def into(self, samples: Sequence[Samples], rows: Sequence[Row], *, gaps: bool) -> None:
        """Add every row's to the metrics' samples."""
        labels = [one.of(rows, gaps=gaps) for one in self._labels]
        for series, number, value in self._series:
            known, told = labels[number]
            values = value.column(rows, gaps=gaps)
            chosen = values if told is None else tuple(compress(values, told))
            add = samples[series.metric].add if series.adds else samples[series.metric].note
            add(known, chosen)


class LabelSet:
    """The labels of some series."""

    def __init__(self, labels: Sequence[Formula], formulas: Formulas) -> None:
        self._constant: Labels | None = None
        constants = [one.value for one in labels if isinstance(one, Constant)]
        if len(constants) == len(labels):
            self._constant = tuple(map(str, constants))
        self._labels = [formulas.label(one) for one in labels]

    def of(
        self, rows: Sequence[Row], *, gaps: bool
    ) -> tuple[Sequence[Labels], Sequence[bool] | None]:
        """The labels of the rows that have all, and which these are; None where every row has."""
        if self._constant is not None:
            return (self._constant,) * len(rows), None
        columns: list[Column] = [one.column(rows, gaps=gaps) for one in self._labels]
        found: list[Labels] = list(zip(*columns, strict=True))
        if not any(None in column for column in columns):
            return found, None
        told = [None not in labels for labels in found]
        return list(compress(found, told)), told
