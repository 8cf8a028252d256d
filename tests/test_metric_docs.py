"""docs/metrics.md lists every metric, in the words of the metric tables."""

from __future__ import annotations

from pathlib import Path

from forge.machines import ONLY_ON

from kvm_exporter import collectors, node_names, self_metrics
from kvm_exporter.outputs import otlp, semconv

DOCS = Path(__file__).parents[1] / "docs" / "metrics.md"

HEAD = """# Metrics

Made from the metric tables in the code; a test keeps it so. A number that the kernel does not
have, or refuses, is left out: it is never 0, -1 or NaN. A collector that fails, or is not
configured, leaves out its own section only.

Metrics of process groups have the labels `user` and `jail` as well where the configuration's
`labels` ask for them, and `pid` where a rule has `per_pid: true`.
"""
EXPORTER = """
## The exporter itself

`--web.disable-exporter-metrics` leaves out `process_*` and `kvm_exporter_http_requests_total`;
`kvm_exporter_otlp_*` are there where OTLP is configured.

"""
NODE_EXPORTER = """
## node_exporter's names

`compat: [node_exporter]` in the configuration gives these as well, with the same samples. They are
the names that node_exporter has on FreeBSD; on Linux it calls some of them otherwise.

"""
OPENTELEMETRY = """
## OpenTelemetry's names

What OTLP calls them, by `semconv` in the configuration. Labels become attributes in the words of
the same conventions (kvm_exporter/outputs/semconv.py). Metrics that are not in the table keep
their own names, with a dot for the first underscore and without unit and `_total`:
`kvm_swap_in_bytes_total` becomes `kvm.swap_in` in `By`.

"""
SYSTEMS = {"linux": "Linux", "freebsd": "FreeBSD", "dump": "crash dumps"}


def table(head, rows):
    """A Markdown table; every row is a tuple of cells."""
    yield f"| {' | '.join(head)} |\n{'|---' * len(head)}|\n"
    for row in rows:
        yield f"| {' | '.join(row)} |\n"


def metrics_table(metrics):
    """A table of metrics."""
    rows = (
        (
            f"`{metric.name}`",
            metric.kind,
            ", ".join(f"`{one}`" for one in metric.labels),
            SYSTEMS.get(ONLY_ON.get(metric.name), ""),
            metric.help,
        )
        for metric in metrics
    )
    return table(("metric", "type", "labels", "only on", "help"), rows)


def instrument(style, name):
    """An OpenTelemetry instrument's name; empty where a convention has none."""
    found = semconv.INSTRUMENTS[style].get(name)
    return f"`{found.name}`" if found else ""


def page():
    """The whole page."""
    yield HEAD
    for name in collectors.names():
        collector = collectors.find(name)
        yield f"\n## {name}: {collector.help}\n\n"
        yield from metrics_table(collector.metrics)
    yield EXPORTER
    yield from metrics_table((*self_metrics.METRICS, otlp.PUSHES, otlp.FAILURES))
    yield NODE_EXPORTER
    aliases = ((f"`{alias.metric.name}`", f"`{alias.ours}`") for alias in node_names.ALIASES)
    yield from table(("name", "same as"), aliases)
    yield OPENTELEMETRY
    rows = (
        (f"`{name}`", instrument("current", name), instrument("hostmetrics", name))
        for name in semconv.CURRENT
    )
    yield from table(("metric", "current", "hostmetrics"), rows)


def test_metrics_page_is_the_tables(same_as_file):
    """The page is what the tables say, word for word."""
    same_as_file("".join(page()), DOCS)


def test_the_other_names_are_of_metrics_that_exist():
    """A row of node_exporter's or OpenTelemetry's names that no collector gives would be dead."""
    tables = (collectors.find(name).metrics for name in collectors.names())
    ours = {metric.name for rows in tables for metric in rows}
    named = {alias.ours for alias in node_names.ALIASES}.union(*semconv.INSTRUMENTS.values())
    assert named - ours == set()
    assert semconv.HOSTMETRICS.keys() <= semconv.CURRENT.keys()
