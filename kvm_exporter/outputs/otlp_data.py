"""How does a snapshot read as OpenTelemetry's MetricsData?

Imports opentelemetry, which is heavy: only otlp.py imports this, when a push is configured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from kvm_exporter.metric import Family, Sample
from kvm_exporter.outputs.readable import readable
from kvm_exporter.outputs.semconv import (
    INSTRUMENTS,
    LABELS,
    SINCE_EXPORTER,
    Attribute,
    Instrument,
    Style,
    Value,
    own,
)
from kvm_exporter.snapshot import Snapshot

_INT64 = range(-(2**63), 2**63)


class Translator:
    """Turns snapshots into MetricsData, all of one process and one resource.

    ``start_seconds`` is when the exporter started, Unix time.  The kernel's counters start at boot:
    the first boot time seen is kept, for a corrected clock moves it, and a receiver would take the
    new start for a reset.
    """

    def __init__(
        self, style: Style, resource: Mapping[str, str], version: str, start_seconds: float
    ) -> None:
        self._instruments = INSTRUMENTS[style]
        self._labels = LABELS[style]
        self._resource = Resource(resource)
        self._scope = InstrumentationScope("kvm_exporter", version)
        self._start = start_seconds
        self._boot: float | None = None

    def metrics_data(self, snapshot: Snapshot) -> MetricsData:
        """Every sample of the snapshot, at the snapshot's time."""
        families = {
            family.metric.name: family
            for family in chain.from_iterable(part.families for part in snapshot.parts)
        }
        if self._boot is None:
            self._boot = _single(families.get("kvm_boot_time_seconds"))
        return MetricsData(
            [
                ResourceMetrics(
                    self._resource,
                    [ScopeMetrics(self._scope, self._metrics(families, snapshot.time_seconds), "")],
                    "",
                )
            ]
        )

    def _metrics(self, families: Mapping[str, Family], now: float) -> list[Metric]:
        """One metric for each instrument, with the points of every family that has it."""
        found: dict[str, tuple[Instrument, str, list[NumberDataPoint]]] = {}
        for name, family in families.items():
            instrument = self._instruments.get(name) or own(family.metric)
            points = self._points(instrument, family, families, now)
            entry = found.setdefault(instrument.name, (instrument, family.metric.help, []))
            entry[2].extend(points)
        return [_metric(*entry) for entry in found.values() if entry[2]]

    def _points(
        self, instrument: Instrument, family: Family, families: Mapping[str, Family], now: float
    ) -> Iterator[NumberDataPoint]:
        metric = family.metric
        attributes = [
            instrument.labels.get(label) or self._labels.get(label) or Attribute(label)
            for label in metric.labels
        ]
        start = 0 if instrument.kind == "gauge" else self._start_nanoseconds(metric.name, now)
        for labels, value in _values(instrument, family, families, now):
            pairs: dict[str, Value] = dict(instrument.constants)
            for attribute, text in zip(attributes, labels, strict=True):
                pairs[attribute.key] = attribute.value(readable(text))
            yield NumberDataPoint(pairs, start, _nanoseconds(now), _number(value))

    def _start_nanoseconds(self, name: str, now: float) -> int:
        boot = self._boot
        start = self._start if boot is None or name.startswith(SINCE_EXPORTER) else boot
        return _nanoseconds(min(start, now))


def _values(
    instrument: Instrument, family: Family, families: Mapping[str, Family], now: float
) -> Iterator[Sample]:
    """The family's samples as the instrument wants them; none where its other half is unknown."""
    taken: dict[tuple[str, ...], float] | None = None
    if instrument.less is not None:
        other = families.get(instrument.less)
        taken = dict(other.samples) if other else {}
    for labels, value in family.samples:
        if instrument.age:
            yield labels, now - value
        elif taken is None:
            yield labels, value
        elif labels in taken:
            yield labels, value - taken[labels]


def _metric(instrument: Instrument, description: str, points: list[NumberDataPoint]) -> Metric:
    data: Gauge | Sum = Gauge(points)
    if instrument.kind != "gauge":
        data = Sum(points, AggregationTemporality.CUMULATIVE, instrument.kind == "counter")
    return Metric(instrument.name, readable(description), instrument.unit, data)


def _number(value: float) -> float:
    """An int stays one where OTLP's sfixed64 can hold it."""
    if isinstance(value, int):
        return int(value) if value in _INT64 else float(value)
    return value


def _single(family: Family | None) -> float | None:
    return family.samples[0][1] if family and family.samples else None


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
