"""How long does a scrape take, beside node_exporter, and how soon and how small do we start?

A scrape of ours hands out ready bytes: the time of a small one, of 6,500 and of 100,000 samples,
beside node_exporter's usual page, in turns in the same run.  The samples come from a collector
that an installed package brings, as anybody's could.  "Wanted" is what we promise, of the plain
(identity) scrape and of the start.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from servers import NODE_EXPORTER, Server, ours, serving
from sleepers import machine_with
from table import Cell, print_table

ROUNDS = 30
STARTS = 5
WANTED = {6_500: "< node_exporter's", 100_000: "< 20 ms"}
"""Samples of a scrape, and how fast it shall be."""
WANTED_START = "<= 500 ms, <= 30 MiB at 600"

CONFIG = """
max_series: {samples}
collectors:
  many: {{samples: {samples}}}
"""
COLLECTOR = '''
"""A collector with as many samples as it is told."""

from dataclasses import dataclass

from kvm_exporter.collectors import Collector
from kvm_exporter.metric import Metric

LABELS = ("group", "mode", "device")
METRIC = Metric("kvm_benchmark_seconds_total", "counter", "Samples for kvm(3).", LABELS, "seconds")


@dataclass(frozen=True, slots=True)
class Options:
    """How many."""

    samples: int = 1000


def start(options):
    """Collects them."""

    def collect(kvm):
        labels = [(f"group-{i}", "user", "/dev/ada0p3") for i in range(options.samples)]
        return (METRIC.family((row, i / 7) for i, row in enumerate(labels)),)

    return collect


COLLECTOR = Collector(start, Options, (METRIC,), "samples")
'''
ENTRY_POINT = "[kvm_exporter.collectors]\nmany = many_samples\n"


def install(folder: Path) -> None:
    """Bring the collector as an installed package does, on the Python path."""
    (folder / "many_samples.py").write_text(COLLECTOR)
    metadata = folder / "many_samples-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: many-samples\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINT)
    os.environ["PYTHONPATH"] = str(folder)


def timed_scrape(server: Server, *, gzip: bool) -> float:
    """Seconds of one scrape, as the client sees it."""
    begin = time.perf_counter()
    server.scrape(gzip=gzip)
    return time.perf_counter() - begin


def samples_of(server: Server) -> int:
    """How many samples a scrape has: its lines without comments."""
    return sum(not line.startswith(b"#") for line in server.scrape().splitlines())


def scrapes(folder: Path) -> None:
    """Print the time of scrapes of every size, plain and compressed."""
    with ExitStack() as stack:
        servers = {"node_exporter": stack.enter_context(serving(NODE_EXPORTER))}
        wanted = ["", *WANTED.values()]
        for samples in WANTED:
            path = folder / f"{samples}.yml"
            path.write_text(CONFIG.format(samples=samples))
            command = ours(f"--config.file={path}")
            servers[f"kvm_exporter, {samples:,} and its own"] = stack.enter_context(
                serving(command)
            )
        for gzip in (False, True):
            for server in servers.values():
                server.scrape(gzip=gzip)
            rounds = [
                [timed_scrape(server, gzip=gzip) for server in servers.values()]
                for _ in range(ROUNDS)
            ]
            medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
            rows: list[tuple[Cell, ...]] = [
                (name, samples_of(server), median * 1e3, median / medians[0], promise)
                for (name, server), median, promise in zip(
                    servers.items(), medians, wanted, strict=True
                )
            ]
            title = f"One scrape, {'gzip' if gzip else 'identity'} (median of {ROUNDS})"
            print_table(title, ("", "samples", "ms", "of node_exporter's", "wanted"), rows)


def start_seconds(command: list[str]) -> float:
    """Seconds from exec to the end of the first good scrape."""
    begin = time.perf_counter()
    with serving(command):
        return time.perf_counter() - begin


def starts() -> None:
    """Print start-up time and resident memory with 600 processes and the default configuration."""
    config = Path(__file__).parents[1] / "config" / "kvm_exporter.yml"
    commands = {"kvm_exporter": ours(f"--config.file={config}"), "node_exporter": NODE_EXPORTER}
    with machine_with(600) as count:
        rounds = [[start_seconds(command) for command in commands.values()] for _ in range(STARTS)]
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        rows: list[tuple[Cell, ...]] = []
        for (name, command), median in zip(commands.items(), medians, strict=True):
            with serving(command) as server:
                for _ in range(20):
                    server.scrape(gzip=True)
                promise = WANTED_START if name == "kvm_exporter" else ""
                rows.append((name, median * 1e3, server.resident_mib(), promise))
    print_table(
        f"Start with {count} processes, default configuration (median of {STARTS})",
        ("", "ms to the first good scrape", "RSS MiB after 20 scrapes", "wanted"),
        rows,
    )


def main() -> None:
    """Print all tables."""
    starts()
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        scrapes(Path(folder))


if __name__ == "__main__":
    main()
