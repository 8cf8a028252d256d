"""How does a snapshot read as text?  Prometheus text 0.0.4 and OpenMetrics 1.0: pure, no I/O.

A scrape is the concatenation of rendered parts; OpenMetrics ends it with ``OPENMETRICS_END``.

1. A family without samples is left out: unknown is absent.
2. Label values are UTF-8 with ``\\``, ``"`` and newline escaped.  Bytes that are not UTF-8 read as
   ``\\xff`` (readable.py), whose backslash is escaped like any other.
3. Integers are exact, floats the shortest text that gives them back (repr).
4. Two samples with the same labels are their collector's mistake and not looked for here: a set of
   100,000 label tuples costs half as much again, and Prometheus drops (and counts) the second.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/

Speed comes from columns: no Python code runs per sample.  The fixed text of a sample is laid out
once per family, repeated, and its gaps are filled by one slice assignment for each label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from kvm_exporter.metric import Family, Metric
from kvm_exporter.outputs.readable import readable

TEXT_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OPENMETRICS_END = b"# EOF\n"

_CHUNK = 256
"""Samples rendered at once: fits the CPU's cache, and bounds what is held beside the result."""

_SPELLED = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN", "True": "1", "False": "0"}
_MISSPELLED = frozenset(_SPELLED)
"""Values that Python spells in another way than the formats do."""


def render(families: Iterable[Family], *, openmetrics: bool = False) -> bytes:
    """The families as exposition text of one part, in their order, without ``# EOF``.

    Metric and label names are taken to be valid ones.  ValueError names the metric whose sample has
    not as many label values as the metric has labels.
    """
    header = _openmetrics_header if openmetrics else _text_header
    return b"".join(
        piece for family in families if family.samples for piece in _pieces(family, header)
    )


def family_name(metric: Metric) -> str:
    """What OpenMetrics calls the family: the samples' name without the suffix of its kind."""
    return metric.name.removesuffix({"counter": "_total", "info": "_info"}.get(metric.kind, ""))


def family_unit(metric: Metric) -> str:
    """The metric's unit where OpenMetrics may tell it: the family's name must end in it."""
    return metric.unit if family_name(metric).endswith(f"_{metric.unit}") else ""


def _pieces(family: Family, header: Callable[[Metric], str]) -> Iterator[bytes]:
    """Header, chunks of samples, end; a newline leads each line, so that no piece needs a join."""
    yield header(family.metric).encode()
    row = _row(family.metric)
    for start in range(0, len(family.samples), _CHUNK):
        chunk = family.samples[start : start + _CHUNK]
        columns = _columns(family.metric, [labels for labels, _ in chunk])
        values = _spelled([value for _, value in chunk])
        yield "".join(_cells(row, columns, values)).encode()
    yield b"\n"


def _text_header(metric: Metric) -> str:
    kind = "counter" if metric.kind == "counter" else "gauge"  # it knows none of the other kinds
    return f"# HELP {metric.name} {_escape_help(metric.help)}\n# TYPE {metric.name} {kind}"


def _openmetrics_header(metric: Metric) -> str:
    name, unit = family_name(metric), family_unit(metric)
    lines = [f"# TYPE {name} {metric.kind}", f"# HELP {name} {_escape(metric.help)}"]
    if unit:
        lines.append(f"# UNIT {name} {unit}")
    return "\n".join(lines)


def _row(metric: Metric) -> list[str]:
    """A sample's fixed text with a gap (an empty cell) after each piece."""
    if not metric.labels:
        return [f"\n{metric.name} ", ""]
    row, lead = [], f"\n{metric.name}{{"
    for label in metric.labels:
        row += [f'{lead}{label}="', ""]
        lead = '",'
    return [*row, '"} ', ""]


def _columns(metric: Metric, labels: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Label values turned from rows to columns, one for each label of the metric."""
    columns = None
    with suppress(ValueError):  # some samples have more of them than others
        columns = list(zip(*labels, strict=True))
    if columns is None or len(columns) != len(metric.labels):
        expected = ", ".join(metric.labels) or "none"
        raise ValueError(
            f"{metric.name}: a sample's label values do not fit its labels ({expected})"
        )
    return columns


def _cells(
    row: Sequence[str], columns: Sequence[Sequence[str]], values: Sequence[str]
) -> list[str]:
    """The row once for each value, its gaps filled from the columns and the values."""
    width = len(row)
    cells = list(row) * len(values)
    for number, column in enumerate(columns):
        cells[2 * number + 1 :: width] = _escaped(column)
    cells[width - 1 :: width] = values
    return cells


def _escaped(column: Sequence[str]) -> Sequence[str]:
    """The column itself where, as nearly always, no value of it needs a look."""
    text = "".join(column)
    if text.isascii() and "\\" not in text and '"' not in text and "\n" not in text:
        return column
    return [_escape(value) for value in column]


def _escape(text: str) -> str:
    """A label's value, or OpenMetrics's help."""
    return _escape_help(text).replace('"', r"\"")


def _escape_help(text: str) -> str:
    """Text 0.0.4's help, whose quotes stay as they are."""
    return readable(text).replace("\\", r"\\").replace("\n", r"\n")


def _spelled(values: Sequence[float]) -> Sequence[str]:
    texts = list(map(repr, values))
    if _MISSPELLED.isdisjoint(texts):
        return texts
    return [_SPELLED.get(text, text) for text in texts]
