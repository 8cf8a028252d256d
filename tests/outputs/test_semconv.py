"""The semantic conventions' table against OpenTelemetry's own generated constants."""

from __future__ import annotations

import inspect
import re

import pytest
from opentelemetry.semconv._incubating.attributes import (
    cpu_attributes,
    disk_attributes,
    process_attributes,
    system_attributes,
)
from opentelemetry.semconv._incubating.metrics import process_metrics, system_metrics

from kvm_exporter import collectors
from kvm_exporter.metric import Metric
from kvm_exporter.outputs import semconv

INSTRUMENT = re.compile(r'Final = "([\w.]+)"\n"""\n.*?Instrument: (\w+)\nUnit: (\S+)\n', re.DOTALL)
ATTRIBUTE = re.compile(r'Final = "([\w.]+)"\n"""\n(?!Deprecated)')
UNNAMED = "system.cpu.load_average."  # hostmetrics has a name for it, the conventions do not


def published_instruments():
    """{name: (kind, unit)} of the conventions, from the comments of the generated modules."""
    source = "".join(map(inspect.getsource, (process_metrics, system_metrics)))
    # A deprecated metric has no "Instrument:", so its match would run into the next one's.
    blocks = re.split(r"\n(?=[A-Z_]+: Final)", source)
    matches = filter(None, map(INSTRUMENT.search, blocks))
    return {match[1]: (match[2], match[3]) for match in matches}


def published_attributes():
    """The keys of the conventions that are not deprecated."""
    modules = (cpu_attributes, disk_attributes, process_attributes, system_attributes)
    return {key for module in modules for key in ATTRIBUTE.findall(inspect.getsource(module))}


@pytest.mark.parametrize("name", sorted(semconv.CURRENT))
def test_current_instruments_are_the_conventions(name):
    """Name, kind and unit of each row are published, and so is each attribute it sets."""
    row = semconv.CURRENT[name]
    if not row.name.startswith(UNNAMED):
        assert published_instruments()[row.name] == (row.kind, row.unit)
    keys = {attribute.key for attribute in row.labels.values()} | set(row.constants)
    assert keys <= published_attributes()


@pytest.mark.parametrize("style", sorted(semconv.INSTRUMENTS))
def test_instruments_that_share_a_name_are_one(style):
    """Rows of one instrument agree on unit and kind, and no two would give the same point."""
    seen = {}
    for row in semconv.INSTRUMENTS[style].values():
        assert seen.setdefault(row.name, (row.unit, row.kind)) == (row.unit, row.kind)
    points = [(row.name, *sorted(row.constants.items())) for row in semconv.CURRENT.values()]
    assert len(points) == len(set(points))


@pytest.mark.parametrize("style", sorted(semconv.INSTRUMENTS))
def test_rows_are_of_metrics_that_there_are(style):
    """A metric or a label that a collector renames takes its row along."""
    there = {
        metric.name: metric
        for name in collectors.names()
        for metric in collectors.find(name).metrics
    }
    for name, row in semconv.INSTRUMENTS[style].items():
        assert name in there
        assert set(row.labels) <= set(there[name].labels)
        assert row.less is None or there[row.less].labels == there[name].labels
        assert (row.kind == "counter") == (there[name].kind == "counter")


def test_own_names_come_back_from_prometheus():
    """Prometheus's way of naming what comes by OTLP gives our metrics their own names again."""
    for name in collectors.names():
        for metric in collectors.find(name).metrics:
            row = semconv.own(metric)
            unit = {"By": "_bytes", "s": "_seconds", "1": "_ratio"}.get(row.unit, "")
            total = "_total" if row.kind == "counter" else ""
            assert row.name.replace(".", "_") + unit + total == metric.name


def test_foreign_names_stay():
    """Another convention's metric, as node_exporter's, is not renamed."""
    metric = Metric("node_cpu_seconds_total", "counter", "Help.", (), "seconds")
    assert semconv.own(metric).name == "node_cpu_seconds_total"
