"""What does watching every process cost, beside process-exporter and psutil?

The same machine, the same processes, in one run, in turns, each at the same leisurely pace: CPU
time of each whole exporter process for a collection (ours) or a scrape (process-exporter), and of a
psutil loop over the same attributes.  All report by command name.

Two kinds of machine: asleep, as nearly all processes of most machines are, which ours need not read
again (kvm/objects/linux/resting.py); and awake, where every process has run since the last time.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from servers import Server, ours, serving
from sleepers import machine_with
from table import print_table

ROUNDS = 3
COLLECTIONS = 10
INTERVAL = 0.5

OURS = f"""
interval: {INTERVAL}s
collectors:
  process:
    groups:
      - name: "{{comm}}"
"""
PROCESS_EXPORTER = """
process_names:
  - name: "{{.Comm}}"
    cmdline: [".+"]
"""
PSUTIL = f"""
import psutil, time
attributes = ["pid", "name", "status", "create_time", "cpu_times", "memory_info", "num_threads",
              "num_fds", "num_ctx_switches", "io_counters", "uids"]
def once():
    for process in psutil.process_iter(attributes):
        pass
once()
spent = 0
for _ in range({COLLECTIONS}):
    time.sleep({INTERVAL})
    before = time.process_time()
    once()
    spent += time.process_time() - before
print(spent / {COLLECTIONS})
"""


def per_collection(server: Server) -> float:
    """CPU seconds of ours for one background collection."""
    before = server.cpu_seconds()
    time.sleep(COLLECTIONS * INTERVAL)
    return (server.cpu_seconds() - before) / COLLECTIONS


def per_scrape(server: Server) -> float:
    """CPU seconds of a peer for one scrape."""
    before = server.cpu_seconds()
    for _ in range(COLLECTIONS):
        time.sleep(INTERVAL)
        server.scrape()
    return (server.cpu_seconds() - before) / COLLECTIONS


def psutil_loop() -> float:
    """CPU seconds of one pass of psutil over all processes."""
    return float(subprocess.check_output([sys.executable, "-c", PSUTIL]))


def compare(total: int, folder: Path, kind: str) -> None:
    """Print a table for a machine with ``total`` processes of this kind."""
    (folder / "ours.yml").write_text(OURS)
    (folder / "peer.yml").write_text(PROCESS_EXPORTER)
    peer_command = [
        "prometheus-process-exporter",
        f"-config.path={folder / 'peer.yml'}",
        "-threads=false",
        "-gather-smaps=false",
    ]
    with (
        machine_with(total, kind) as count,
        serving(ours(f"--config.file={folder / 'ours.yml'}")) as mine,
        serving(peer_command, "-web.listen-address") as peer,
    ):
        rounds = [(per_collection(mine), per_scrape(peer), psutil_loop()) for _ in range(ROUNDS)]
        own, peers, loops = (statistics.median(column) for column in zip(*rounds, strict=True))
        rows = [
            ("kvm_exporter", own * 1e3, own / count * 1e6, 1.0, mine.resident_mib()),
            (
                "process-exporter",
                peers * 1e3,
                peers / count * 1e6,
                own / peers,
                peer.resident_mib(),
            ),
            ("psutil", loops * 1e3, loops / count * 1e6, own / loops, None),
        ]
    print_table(
        f"{count} processes, {kind}: CPU of one collection",
        ("", "ms", "µs a process", "ours / this", "RSS MiB"),
        rows,
    )


def main() -> None:
    """Compare at 600 processes, asleep and awake, and at 10,000."""
    with tempfile.TemporaryDirectory() as folder:
        for total, kind in ((600, "asleep"), (600, "awake"), (10_000, "asleep")):
            compare(total, Path(folder), kind)


if __name__ == "__main__":
    main()
