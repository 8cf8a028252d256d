"""Which families do a module's metrics make?  Those of one name are one family."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from kvm_exporter.collectors.symbols import asking
from kvm_exporter.collectors.symbols.options import MetricOptions
from kvm_exporter.metric import Family, Metric, Sample


class Families:
    """The families of metrics with these labels, both by number (program.Compiled).

    A name's labels are those of the first metric that has any.  ``odd`` are the names of metrics
    that gave samples with others, which no family can hold, and what is wrong with them.
    """

    def __init__(self, metrics: Sequence[MetricOptions], labels: Sequence[Sequence[str]]) -> None:
        self._labels = [tuple(one) for one in labels]
        self._numbers: dict[str, list[int]] = {}
        for number, one in enumerate(metrics):
            self._numbers.setdefault(one.name, []).append(number)
        self._metrics = [
            self._metric([metrics[number] for number in numbers], numbers)
            for numbers in self._numbers.values()
        ]
        self.odd: dict[str, str] = {}

    def _metric(self, same: Sequence[MetricOptions], numbers: Iterable[int]) -> Metric:
        labels = next((self._labels[one] for one in numbers if self._labels[one]), ())
        told = next((one for one in same if one.help), same[0])
        return asking.metric(told, labels, shared=len(same) > 1)

    def of(self, samples: Sequence[Sequence[Sample]]) -> list[Family]:
        """The families of one collection.

        Samples with the same labels are added up; an info's value is always 1.
        """
        return [
            self._family(metric, numbers, samples)
            for metric, numbers in zip(self._metrics, self._numbers.values(), strict=True)
        ]

    def _family(
        self, metric: Metric, numbers: Sequence[int], samples: Sequence[Sequence[Sample]]
    ) -> Family:
        if len(numbers) == 1 and metric.kind != "info":
            return metric.family(samples[numbers[0]])
        values: dict[tuple[str, ...], float] = {}
        for number in numbers:
            for key, value in self._ordered(metric, number, samples[number]):
                values[key] = values.get(key, 0) + value
        if metric.kind == "info":
            values = dict.fromkeys(values, 1)
        return metric.family(values.items())

    def _ordered(self, metric: Metric, number: int, samples: Sequence[Sample]) -> Iterator[Sample]:
        """The samples with their label values in the family's order; none that have others."""
        own = self._labels[number]
        if own == metric.labels or not samples:
            yield from samples
        elif sorted(own) != sorted(metric.labels):
            name = metric.name.removeprefix(asking.PREFIX)
            self.odd[name] = f"has the labels {own}, others of its name {metric.labels}"
        else:
            pick = itemgetter(*(own.index(name) for name in metric.labels))
            yield from ((pick(key), value) for key, value in samples)
