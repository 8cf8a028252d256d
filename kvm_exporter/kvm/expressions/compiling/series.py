"""Which series has a metric?  One for each of its values, told apart by labels.

Labels stand in this order: the list's, the metric's, the jail, the CPU, the state, indexes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling.alternatives import first_of
from kvm_exporter.kvm.expressions.compiling.evaluating import Evaluation
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.labelling import label, names
from kvm_exporter.kvm.expressions.compiling.nicknames import nicknames
from kvm_exporter.kvm.expressions.compiling.operands import Number, constant
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.spreads import (
    CPU,
    JAIL,
    STATE,
    Key,
    Spread,
    chosen,
    mapped,
    met,
    single,
    widened,
)
from kvm_exporter.kvm.expressions.compiling.surroundings import Frame
from kvm_exporter.kvm.expressions.language.parsing import parse
from kvm_exporter.kvm.expressions.program import Apply, Constant, Formula, Series
from kvm_exporter.kvm.expressions.wanted import Metric
from kvm_exporter.kvm.types.model import Enum

AXES = {JAIL: "jail", CPU: "cpu"}
INDEX, STATES = "index", "state"

T = TypeVar("T")
Row = tuple[Formula, ...]
"""A value and its labels, the value first."""

Around = Mapping[str, Spread[Formula]]
"""The labels of the list around."""


@dataclass(frozen=True, slots=True)
class Written:
    """A metric's label names, and its series."""

    labels: tuple[str, ...]
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes metrics of a kernel, in a frame; what they read goes to ``reads``."""

    kernel: Kernel
    reads: Reads
    frame: Frame
    around: Around

    def written(self, metric: Metric, number: int) -> Written:
        """A metric's series.  KvmError where this kernel does not have it."""
        labels = {**self.around, **self._labels(metric)}
        labels = {name: self._running(one) for name, one in labels.items()}
        rows: Spread[Row] = mapped(self._running(self._values(metric)), lambda one: (one.formula,))
        for name, one in labels.items():
            if metric.symbol and not set(one.axes) <= {*rows.axes, JAIL}:
                raise KvmError(f"label {name}: it has several values for one number")
            rows = met(rows, one, lambda row, text: (*row, text))
        if self.frame.cpus and self.frame.each and CPU not in rows.axes:
            raise KvmError("cpu: each: the lists of all CPUs are walked as one list here")
        axes = sorted({*rows.axes, JAIL} if self.frame.jails else rows.axes)
        keys = self._keys(metric, rows, axes)
        series = (
            Series(number, (*row[1:], *key), row[0], adds=bool(metric.symbol))
            for key, row in zip(keys, rows.values, strict=True)
        )
        return Written(_distinct((*labels, *_axis_names(metric, axes))), tuple(series))

    def _running(self, of: Spread[T]) -> Spread[T]:
        """Without the CPUs that do not run: there may be room for hundreds of them."""
        return chosen(of, CPU, self.kernel.running) if CPU in of.axes else of

    def _labels(self, metric: Metric) -> Around:
        labels = metric.labels.items()
        return {name: label(self.kernel, self.reads, self.frame, one) for name, one in labels}

    def _values(self, metric: Metric) -> Spread[Number]:
        if not metric.symbol:
            return single(constant(1))
        values = first_of(metric.symbol, self._numbers, self.reads)
        return _states(values) if metric.states else values

    def _numbers(self, expression: str) -> Spread[Number]:
        evaluation = Evaluation(self.kernel, self.reads, self.frame, expression)
        return evaluation.numbers(parse(expression))

    def _keys(
        self, metric: Metric, rows: Spread[Row], axes: Sequence[int]
    ) -> Iterator[tuple[Formula, ...]]:
        """The labels that tell each row's keys."""
        table = [dict(zip(rows.axes, keys, strict=True)) for keys, _ in rows.items]
        indexes = {row[0] for row in table if 0 in row}
        called = nicknames(self.kernel, metric.names, indexes)
        for row in table:
            known = {JAIL: self.frame.jail} | row
            told = [called[known[axis]] if axis == 0 else str(known[axis]) for axis in axes]
            yield tuple(map(Constant, told))


def _states(values: Spread[Number]) -> Spread[Number]:
    """For each number of an enum whether it is the one."""
    type_ = values.first.type
    if not isinstance(type_, Enum):
        raise KvmError("it has no states: it is no enum")
    known = names(type_)

    def of(number: Number) -> Iterator[tuple[Key, Number]]:
        for value, name in known.items():
            yield name, Number(Apply("==", (number.formula, Constant(value))))

    return widened(values, STATE, of)


def _axis_names(metric: Metric, axes: Sequence[int]) -> Iterator[str]:
    given = iter(metric.index)
    for axis in axes:
        if axis in AXES:
            yield AXES[axis]
        elif axis == STATE:
            yield next(given, STATES)
        else:
            yield next(given, INDEX if axis == 0 else f"{INDEX}{axis + 1}")


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    twice = {name for name in labels if labels.count(name) > 1}
    if twice:
        raise KvmError(f"two labels are called {min(twice)}: name its index otherwise")
    return labels
