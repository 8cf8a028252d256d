"""What does it cost to collect symbols' values from a core?  Beside drgn, which reads the same.

The core is a real one, as in bench_linux.py.  Series: the counters of virtual memory and of the
network's protocols, whose per-CPU parts are added up, and once more each CPU's own.  Elements: the
inodes of all file systems, five values of each, by file system and number.  The library compiles
the module, drgn looks up its objects; then both collect, several times: each figure is the median
of one process.  All values are equal; drgn's series come without labels.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from table import Cell, print_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from system.guests.guest import prepare
from system.guests.packages import Releases
from system.guests.recipes import BY_NAME

ROUNDS = 20
GUEST = "amd64-la57"
FORMS = {"elf": "ELF core", "zlib": "kdump, zlib"}
"""Of the guest's dumps; drgn wants to be told the architecture of all but the first."""

TIMED = """
import json, statistics, sys, time
def timed(collect):
    found, seconds = collect(), []
    for _ in range(int(sys.argv[4])):
        start = time.perf_counter()
        collect()
        seconds.append(time.perf_counter() - start)
    return found, statistics.median(seconds)
"""
WANTED = """
mibs = ["net_statistics", "tcp_statistics", "ip_statistics", "udp_statistics", "icmp_statistics"]
members = ["i_size", "i_blocks", "i_nlink", "i_mode", "i_state"]
"""
OURS = f"""
{TIMED}{WANTED}
from kvm_exporter import kvm
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.wanted import List, Metric, Module, Step
arrays = ["vm_event_states.event"] + [f"percpu(init_net.mib.{{one}})->mibs" for one in mibs]
metrics = [
    Metric(array, (array + "[*]",), cpu=cpu) for cpu in ("sum", "each") for array in arrays
]
steps = (
    Step(("super_blocks",), "s_list", "struct super_block"),
    Step(("s_inodes",), "i_sb_list", "struct inode"),
)
labels = {{"type": "outer.s_type->name", "device": "outer.s_dev", "number": "i_ino"}}
inodes = List("inodes", steps, [Metric(one, (one,)) for one in members], labels)
types = {{
    "vm_event_states": "struct vm_event_state",
    "init_net": "struct net",
    "super_blocks": "struct list_head",
}}
def measured(kernel, *module):
    start = time.perf_counter()
    plan = Plan(kernel.target, kernel.copies, Module(*module, types))
    assert not plan.missing, plan.missing
    compiled = time.perf_counter() - start
    collected, seconds = timed(lambda: plan.collect(Budget()))
    assert not (collected.unreadable or collected.torn or collected.stopped)
    return collected.samples, seconds, compiled
with kvm.open(None, sys.argv[1]) as kernel:
    series, *first = measured(kernel, metrics, [])
    series = [sorted(value for _, value in samples) for samples in series]
    elements, *second = measured(kernel, [], [inodes])
    rows = [sorted([*labels, value] for labels, value in samples) for samples in elements]
    print(json.dumps({{
        "values": [series, rows], "counts": [sum(map(len, series)), len(rows[0])],
        "series": first[0], "elements": second[0], "compiling": first[1] + second[1],
    }}))
"""
DRGN = f"""
{TIMED}{WANTED}
import drgn
from drgn.helpers.linux.cpumask import for_each_possible_cpu
from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.percpu import per_cpu, per_cpu_ptr
amd64 = drgn.Platform(drgn.Architecture.X86_64)
program = drgn.Program(amd64 if sys.argv[3] == "kdump" else None)
program.set_core_dump(sys.argv[1])
program.load_debug_info([sys.argv[2]])
cpus = list(for_each_possible_cpu(program))
events, mib = program["vm_event_states"], program["init_net"].mib
pointers = [mib.member_(one) for one in mibs]
def series():
    each = [[per_cpu(events, cpu).event.value_() for cpu in cpus]]
    for one in pointers:
        each.append([per_cpu_ptr(one, cpu).mibs.value_() for cpu in cpus])
    # one CPU may count down what another counted up: parts are below zero
    sums = [[sum(row) % 2**64 for row in zip(*copies)] for copies in each]
    return sums + [[one for copy in copies for one in copy] for copies in each]
def elements():
    found = []
    for block in list_for_each_entry("struct super_block", blocks, "s_list"):
        kind, device = block.s_type.name.string_(), block.s_dev.value_()
        for inode in list_for_each_entry("struct inode", block.s_inodes.address_of_(), "i_sb_list"):
            whole = inode[0].read_()
            labels = (kind.decode(), str(device), str(whole.i_ino.value_()))
            found.append((labels, [whole.member_(one).value_() for one in members]))
    return found
blocks = program["super_blocks"].address_of_()
found, first = timed(series)
inodes, second = timed(elements)
rows = [{{}} for _ in members]
for labels, values in inodes:
    for row, value in zip(rows, values):
        row[labels] = row.get(labels, 0) + value
rows = [sorted([*labels, value] for labels, value in row.items()) for row in rows]
print(json.dumps({{
    "values": [list(map(sorted, found)), rows], "series": first, "elements": second,
}}))
"""


def run(code: str, *words: str | Path, cache: str) -> dict[str, Any]:
    """What a fresh process found and measured."""
    ended = subprocess.run(
        [sys.executable, "-c", code, *words, str(ROUNDS)],
        env=os.environ | {"XDG_CACHE_HOME": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def measured(core: Path, vmlinux: Path, kind: str) -> Iterator[tuple[Cell, ...]]:
    """A form's figures, in milliseconds."""
    with tempfile.TemporaryDirectory() as cache:
        words = (core, vmlinux, kind)
        ours, drgn = run(OURS, *words, cache=cache), run(DRGN, *words, cache=cache)
    assert ours["values"] == drgn["values"]
    count, inodes = ours["counts"]
    yield (
        f"{count} series, for 500",
        "≤ 5 ms",
        *compared(ours["series"], drgn["series"], 500 / count),
    )
    pair = compared(ours["elements"], drgn["elements"], 5000 / inodes)
    yield f"{inodes} elements, for 5,000", "≤ 50 ms", *pair
    yield "compiling both", None, 1000 * ours["compiling"], None, None


def compared(ours: float, theirs: float, share: float) -> tuple[float, float, float]:
    """Both in milliseconds, of a share of what was done, and which part ours is."""
    return 1000 * ours * share, 1000 * theirs * share, ours / theirs


def main() -> None:
    """Boot, dump, measure, print."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        guest = prepare(BY_NAME[GUEST], Releases(folder / "packages"), folder / "guest")
        rows: list[tuple[Cell, ...]] = []
        for form, words in FORMS.items():
            found = measured(*guest.cores[form], guest.debug, "elf" if form == "elf" else "kdump")
            rows += [(f"{words}: {what}", *cells) for what, *cells in found]
    print_table("A collection from a core", ("", "wanted", "ms", "drgn", "ratio"), rows)


if __name__ == "__main__":
    main()
