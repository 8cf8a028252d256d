"""What does a dead kernel cost?  Opening it, names, reads, processes, pages; and how much memory.

Two forged amd64 minidumps: one of 10,000 processes, one of 2 GiB, and for the comparison of memory
one of 64 MiB; their pages of zeros are holes in the files.  Each figure is from a fresh process.
The limit for reading is the file itself, read in pieces of the same size.  Scattered pages are the
kernel's map at its worst: no page of the dump lies beside its neighbour.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from table import print_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from forge.crashed import BASES, crash
from forge.kernel_structs import MODERN
from forge.population import Population
from forge.world import World

ROUNDS = 3
PROCESSES = 10_000
MIB = 1 << 20
PAGES = MIB // 4096
SIZES = {"64 MiB": 64, "2 GiB": 2048}
FIRST_PAGE = 1 << 16
"""Of the pages of zeros: above those of the world."""
DIRECT_MAP = 0xFFFFF80000000000

MEASURE = """
import json, os, random, re, sys, time
from kvm_exporter import kvm

kernel, core, first, size, scattered = json.loads(sys.argv[1])
PIECE, SMALL = 1 << 20, 200_000
figures = {}

def timed(name, call, scale=1.0):
    start = time.perf_counter()
    result = call()
    figures[name] = (time.perf_counter() - start) * scale
    return result

def opened():
    dump = kvm.open(kernel, core)
    dump.nlist(["allproc"])
    return dump

def pieces(start, length):
    for at in range(start, start + length, PIECE):
        dump.read(at, PIECE)

def file_pieces(length):
    for at in range(0, length, PIECE):
        os.pread(file, PIECE, at)

def small():
    read = dump.read
    for address in addresses:
        read(address, 8)

file = os.open(core, os.O_RDONLY)
length = os.fstat(file).st_size
file_pieces(length)
opened().close()  # now its modules are imported: that is not what is measured
dump = timed("open and the first nlist", opened, 1e3)
names = [symbol.name for symbol, _ in zip(dump.symbols, range(50))]
timed("50 nlists", lambda: [dump.nlist([name]) for name in names], 1e3)
timed("plain", lambda: file_pieces(size))
timed("direct map", lambda: pieces(first, size))
if scattered:
    start, pages = scattered
    timed("plain scattered", lambda: [os.pread(file, PIECE, 0) for _ in range(64)])
    whole = pages * 4096
    timed("scattered", lambda: [dump.read(start, whole) for _ in range(64 * PIECE // whole)])
dice = random.Random(1)
addresses = [first + 8 * dice.randrange(size // 8) for _ in range(SMALL)]
timed("small reads", small)
figures["small reads"] = SMALL / figures["small reads"]
timed("walk", lambda: sum(1 for _ in dump.pages()), 1e3)
count = timed("processes", lambda: sum(1 for _ in dump.processes()))
figures["count"] = count
# not ru_maxrss, which a process inherits from the one that started it
figures["peak"] = int(re.search("VmHWM:\\\\s*(\\\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps(figures))
"""


def dump(folder: Path, processes: int, mebibytes: int) -> dict[str, object]:
    """Forge one; what MEASURE has to be told of it."""
    folder.mkdir()
    world = World(MODERN, base=BASES["amd64"])
    people = Population(world)
    for pid in range(1, processes + 1):
        people.add(pid, b"process%d" % pid, parent=1 if pid > 1 else None)
    people.finish()
    zeros = dict.fromkeys(range(FIRST_PAGE, FIRST_PAGE + mebibytes * PAGES))
    kernel, core = crash(world, folder, pages=zeros)
    pages = [address for address, _ in world.pages()]
    run = 1
    while run < len(pages) and pages[run] == pages[0] + run * 4096 and run < PAGES:
        run += 1
    first = DIRECT_MAP + FIRST_PAGE * 4096
    return [str(kernel), str(core), first, mebibytes * MIB, [pages[0], run]]


def measure(told: object) -> dict[str, float]:
    """Medians of some fresh processes."""
    rounds = []
    for _ in range(ROUNDS):
        command = [sys.executable, "-c", MEASURE, json.dumps(told)]
        rounds.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def main() -> None:
    """Forge the dumps, measure, print."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sized = {name: measure(dump(folder / name, 10, size)) for name, size in SIZES.items()}
        crowd = measure(dump(folder / "crowd", PROCESSES, 64))
    big, small = sized["2 GiB"], sized["64 MiB"]
    rows = [
        ("open and the first nlist, ms", "<= 10", big["open and the first nlist"]),
        ("50 nlists, ms", "", big["50 nlists"]),
        ("2 GiB through the direct map, of the file's own speed", ">= 0.5", _share(big)),
        ("scattered pages of the kernel's map, of the file's own speed", "", _scattered(crowd)),
        ("reads of 8 bytes a second", ">= 200000", big["small reads"]),
        (f"{crowd['count']:.0f} processes, all their fields, s", "<= 1", crowd["processes"]),
        ("all pages of 2 GiB walked, ms", "", big["walk"]),
        ("peak memory with 2 GiB, MiB", "", big["peak"]),
        ("the same with 64 MiB, MiB", "", small["peak"]),
    ]
    print_table("A dead kernel", ("", "wanted", "measured"), rows)


def _share(figures: dict[str, float]) -> float:
    return figures["plain"] / figures["direct map"]


def _scattered(figures: dict[str, float]) -> float:
    return figures["plain scattered"] / figures["scattered"]


if __name__ == "__main__":
    main()
