"""How soon are a dead Linux's processes listed?  From its core alone, and by drgn with its DWARF.

The core is a real one: Debian's cloud kernel is booted by QEMU and its memory dumped
(tests/system/guests); drgn gets the vmlinux of the package with its debugging symbols.  Each figure
is from a fresh process, modules imported, the files in the page cache.  Cold has no index of the
kernel yet, warm has those that the first one kept.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from table import print_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from system.guests.guest import prepare
from system.guests.packages import Releases
from system.guests.recipes import BY_NAME

ROUNDS = 5
GUEST = "amd64-la57"
FORMS = {"elf": "ELF core", "zlib": "kdump, zlib", "filtered": "kdump, zlib, -d 31"}
"""Of the guest's dumps; drgn wants to be told the architecture of all but the first."""
WANTED = {"cold": 0.6, "warm": 0.1}

OURS = """
import json, sys, time
import kvm_exporter.kvm.dead
from kvm_exporter import kvm
start = time.perf_counter()
with kvm.open(None, sys.argv[1]) as kernel:
    found = {one.pid: one.comm for one in kernel.processes(["comm"])}
    print(json.dumps([time.perf_counter() - start, sorted(found)]))
"""
DRGN = """
import json, sys, time
import drgn
from drgn.helpers.linux.pid import for_each_task
start = time.perf_counter()
amd64 = drgn.Platform(drgn.Architecture.X86_64)
program = drgn.Program(amd64 if sys.argv[3] == "kdump" else None)
program.set_core_dump(sys.argv[1])
program.load_debug_info([sys.argv[2]])
leaders = (task for task in for_each_task(program) if task.pid == task.tgid)
found = {int(task.pid): task.comm.string_() for task in leaders}
print(json.dumps([time.perf_counter() - start, sorted(found)]))
"""


def run(code: str, *words: str | Path, cache: Path | str) -> tuple[float, list[int]]:
    """Seconds, and the processes that were found, whose names were read, too."""
    ended = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, found = json.loads(ended.stdout)
    return seconds, found


def measured(core: Path, vmlinux: Path, kind: str) -> dict[str, float]:
    """The median seconds of each way, all of which list the same."""
    times: dict[str, list[float]] = {"cold": [], "warm": [], "drgn": []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            runs = {
                "cold": run(OURS, core, cache=cache),
                "warm": run(OURS, core, cache=cache),
                "drgn": run(DRGN, core, vmlinux, kind, cache=cache),
            }
        assert runs["cold"][1] == runs["warm"][1] == runs["drgn"][1]
        for way, (seconds, _) in runs.items():
            times[way].append(seconds)
    return {way: statistics.median(seconds) for way, seconds in times.items()}


def main() -> None:
    """Boot, dump, measure, print."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        guest = prepare(BY_NAME[GUEST], Releases(folder / "packages"), folder / "guest")
        vmlinux = guest.debug
        rows = []
        for form, words in FORMS.items():
            found = measured(*guest.cores[form], vmlinux, "elf" if form == "elf" else "kdump")
            for way, limit in WANTED.items():
                ours, theirs = found[way], found["drgn"]
                rows.append((f"{words}, {way}", f"≤ {limit} s", ours, theirs, ours / theirs))
    print_table(
        "From open to the list of processes", ("", "wanted", "seconds", "drgn", "ratio"), rows
    )


if __name__ == "__main__":
    main()
