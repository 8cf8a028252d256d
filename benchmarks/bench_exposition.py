"""How long does the exposition text take, beside prometheus_client's, for the same samples?

Both are given families that are ready: ours as the collectors make them, prometheus_client's as its
own Metric objects, so that its time is that of generate_latest alone (a registry of its own gauges
takes longer).  Rounds alternate between the two, each figure is a median, and before anything is
timed both texts are parsed by prometheus_client and must mean the same.
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace

from prometheus_client import exposition as peer_text
from prometheus_client.metrics_core import Metric as PeerMetric
from prometheus_client.openmetrics import exposition as peer_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from table import Cell, print_table

from kvm_exporter.metric import Family, Metric
from kvm_exporter.outputs.exposition import OPENMETRICS_END, family_name, render

SIZES = (6_500, 100_000)
ROUNDS = 9
WANTED = 8
"""The promise: prometheus_client takes at least so many times as long, at the largest size."""

SHAPES = (
    Metric("kvm_group_cpu_seconds_total", "counter", "Seconds.", ("group", "mode"), "seconds"),
    Metric("kvm_group_resident_memory_bytes", "gauge", "Bytes.", ("group",), "bytes"),
    Metric("kvm_group_io_bytes_total", "counter", "Bytes.", ("group", "direction"), "bytes"),
    Metric("kvm_group_threads", "gauge", "Threads.", ("group", "user", "state")),
    Metric("kvm_group_load", "gauge", "Load.", ("group", "user", "jail")),
)
"""As process groups have them: one to three labels, half of the values integers, half floats."""

FLOATS = {"kvm_group_cpu_seconds_total", "kvm_group_load"}


def families(samples: int) -> list[Family]:
    """So many samples, spread over the shapes; the same ones in every run."""
    chance = random.Random(2)
    each = samples // len(SHAPES)
    return [
        metric.family(
            (
                tuple(f"{label}-{number % (each if at == 0 else 7)}" for at, label in labels),
                round(chance.uniform(0, 1e6), 2)
                if metric.name in FLOATS
                else chance.randrange(2**40),
            )
            for number in range(each)
        )
        for metric in SHAPES
        for labels in [tuple(enumerate(metric.labels))]
    ]


def peer_metrics(ours: Iterable[Family]) -> list[PeerMetric]:
    """The same as prometheus_client's own objects."""
    metrics = []
    for family in ours:
        metric = family.metric
        peer = PeerMetric(family_name(metric), metric.help, metric.kind, metric.unit)
        for labels, value in family.samples:
            peer.add_sample(metric.name, dict(zip(metric.labels, labels, strict=True)), value)
        metrics.append(peer)
    return metrics


def meaning(parsed: Iterable[PeerMetric]) -> list[tuple[object, ...]]:
    """What was parsed, comparable: an integer and the float of its value are the same."""
    return [
        (m.name, m.type, m.documentation, m.unit, [(s.name, s.labels, s.value) for s in m.samples])
        for m in parsed
    ]


def milliseconds(render_once: Callable[[], bytes]) -> float:
    """CPU time of one call, with no garbage of the other's to collect."""
    gc.collect()
    begun = time.process_time()
    render_once()
    return (time.process_time() - begun) * 1000


def measure(samples: int, *, openmetrics: bool) -> tuple[str, int, float, float, float]:
    """One row: format, samples, our median, theirs, and theirs over ours."""
    ours = families(samples)
    metrics = peer_metrics(ours)
    registry = SimpleNamespace(collect=lambda: metrics)
    peer = peer_openmetrics if openmetrics else peer_text
    parse = parse_openmetrics if openmetrics else parse_text
    end = OPENMETRICS_END if openmetrics else b""

    def render_ours() -> bytes:
        return render(ours, openmetrics=openmetrics) + end

    def render_theirs() -> bytes:
        return peer.generate_latest(registry)

    if meaning(parse(render_ours().decode())) != meaning(parse(render_theirs().decode())):
        sys.exit("the two expositions do not mean the same: nothing to compare")
    times = [(milliseconds(render_ours), milliseconds(render_theirs)) for _ in range(ROUNDS)]
    mine, theirs = map(statistics.median, zip(*times, strict=True))
    return ("OpenMetrics" if openmetrics else "text", samples, mine, theirs, theirs / mine)


def main() -> None:
    """Print the table; exit with 1 where the promise is not kept."""
    results = [measure(size, openmetrics=form) for size in SIZES for form in (False, True)]
    rows: list[tuple[Cell, ...]] = [
        (form, samples, mine, theirs, f"1/{ratio:.1f}")
        for form, samples, mine, theirs, ratio in results
    ]
    print_table(
        f"Exposition text, CPU ms (medians of {ROUNDS}); wanted at {SIZES[-1]}: 1/{WANTED}",
        ("format", "samples", "kvm_exporter", "prometheus_client", "ours/theirs"),
        rows,
    )
    if any(samples == SIZES[-1] and ratio < WANTED for _, samples, _, _, ratio in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
