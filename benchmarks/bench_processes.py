"""What does watching every process cost, beside process-exporter and psutil?

The same machine, the same processes, in one run, in turns, each at the same leisurely pace: CPU
time of each whole exporter process for a collection (ours) or a scrape (process-exporter), both by
command name; and of a loop over our library and one over psutil, both for psutil's attributes.

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
from table import Cell, print_table

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
PSUTIL = """
import psutil
attributes = ["pid", "name", "status", "create_time", "cpu_times", "memory_info", "num_threads",
              "num_fds", "num_ctx_switches", "io_counters", "uids"]
def once():
    for process in psutil.process_iter(attributes):
        pass
"""
LIBRARY = """
from kvm_exporter import kvm
handle = kvm.open()
fields = ["pid", "comm", "state", "start_seconds", "user_seconds", "system_seconds",
          "children_user_seconds", "children_system_seconds", "resident_bytes", "virtual_bytes",
          "threads", "open_files", "voluntary_switches", "involuntary_switches", "read_bytes",
          "write_bytes", "uid", "ruid", "svuid"]
def once():
    for process in handle.processes(fields):
        pass
"""
LOOP = f"""
import time
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


def loop(library: str) -> float:
    """CPU seconds of one pass of a library over all processes."""
    return float(subprocess.check_output([sys.executable, "-c", library + LOOP]))


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
        rounds = [
            (per_collection(mine), per_scrape(peer), loop(LIBRARY), loop(PSUTIL))
            for _ in range(ROUNDS)
        ]
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        resident = (mine.resident_mib(), peer.resident_mib(), None, None)
    names = ("kvm_exporter", "process-exporter", "kvm_exporter.kvm", "psutil")
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            seconds * 1e3,
            seconds / count * 1e6,
            None if at % 2 else seconds / medians[at + 1],
            mib,
        )
        for at, (name, seconds, mib) in enumerate(zip(names, medians, resident, strict=True))
    ]
    print_table(
        f"{count} processes, {kind}: CPU of one collection",
        ("", "ms", "µs a process", "of the peer below", "RSS MiB"),
        rows,
    )


def main() -> None:
    """Compare at 600 processes, asleep and awake, and at 10,000."""
    with tempfile.TemporaryDirectory() as folder:
        for total, kind in ((600, "asleep"), (600, "awake"), (10_000, "asleep")):
            compare(total, Path(folder), kind)


if __name__ == "__main__":
    main()
