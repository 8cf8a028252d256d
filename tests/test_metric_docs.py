"""docs/metrics.md lists every metric, in the words of the metric tables."""

from __future__ import annotations

from pathlib import Path

from kvm_exporter import collectors

DOCS = Path(__file__).parents[1] / "docs" / "metrics.md"

HEAD = """# Metrics

Made from the metric tables in the code; a test keeps it so. All but the first label sets are per
collector: one that fails, or is not configured, leaves out its own families only. A number that
the kernel does not have, or refuses, is left out: it is never 0, -1 or NaN.
"""


def rows(metrics):
    """A Markdown table of metrics."""
    yield "| metric | type | labels | help |\n|---|---|---|---|\n"
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |\n"


def page():
    """The whole page."""
    yield HEAD
    for name in collectors.names():
        collector = collectors.find(name)
        yield f"\n## {name}: {collector.help}\n\n"
        yield from rows(collector.metrics)


def test_metrics_page_is_the_tables(same_as_file):
    """The page is what the tables say, word for word."""
    same_as_file("".join(page()), DOCS)
