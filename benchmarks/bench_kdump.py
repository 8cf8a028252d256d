"""How fast is a kdump file read, beside libkdumpfile?

A forged dump of the bytes of this Python's own libraries, which pack about as well as a kernel's
memory, its pages by zlib, as makedumpfile -c writes it, and by lzo.  Both read all of it in pieces
of 1 MiB by physical address, one after the other in the same rounds; libkdumpfile through its own
Python bindings (Debian: python3-libkdumpfile).  What it costs to open a large dump is measured with
one of 64 GiB of which only headers and bitmaps are written.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from table import print_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from forge.kdump import forge_kdump, write_kdump

ROUNDS = 5
MIB = 1 << 20
SIZE = 96 * MIB
LARGE = 1 << 36
PAGE = 4096
SYSTEM_PYTHON = "/usr/bin/python3"

THEIRS = """
import sys, time
import kdumpfile
path, size = sys.argv[1], int(sys.argv[2])
dump = kdumpfile.kdumpfile(path)
start = time.perf_counter()
space, piece = kdumpfile.KDUMP_MACHPHYSADDR, 1 << 20
done = sum(len(dump.read(space, at, piece)) for at in range(0, size, piece))
assert done == size
print(size / (time.perf_counter() - start) / 1e6)
"""

OURS = """
import json, random, re, sys, time
from kvm_exporter.kvm.containers import open_container
from kvm_exporter.kvm.formats import open_images
from kvm_exporter.kvm.space import PhysicalMemory

def peak():
    # not ru_maxrss, which a process inherits from the one that started it
    return int(re.search("VmHWM:\\\\s*(\\\\d+)", open("/proc/self/status").read())[1]) / 1024

path, size = sys.argv[1], int(sys.argv[2])
source = open_container(sys.argv[3]).source
open_images([source])  # now its modules are imported: that is not what is measured
before = peak()
start = time.perf_counter()
source = open_container(path).source
image = open_images([source])
figures = {"open": (time.perf_counter() - start) * 1e3, "open memory": peak() - before}
memory = PhysicalMemory(image.store, image.physical)
if size:
    start = time.perf_counter()
    done = sum(len(memory.read(at, 1 << 20)) for at in range(0, size, 1 << 20))
    assert done == size
    figures["speed"] = size / (time.perf_counter() - start) / 1e6
    dice = random.Random(1)
    near = [dice.randrange(1 << 22) for _ in range(100_000)]
    start = time.perf_counter()
    for at in near:
        memory.read(at, 8)
    figures["near"] = len(near) / (time.perf_counter() - start)
    far = [dice.randrange(size) for _ in range(10_000)]
    start = time.perf_counter()
    for at in far:
        memory.read(at, 8)
    figures["far"] = len(far) / (time.perf_counter() - start)
print(json.dumps(figures))
"""


def memory_like() -> bytes:
    """Bytes of programs and their data, and an eighth of zeros."""
    found = bytearray()
    for folder in map(Path, {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}):
        for path in sorted(folder.rglob("*.[sp][oy]*")):
            if len(found) < SIZE * 7 // 8 and path.is_file():
                found += path.read_bytes()
    found *= SIZE * 7 // 8 // len(found) + 1
    return bytes(found[: SIZE * 7 // 8].ljust(SIZE, b"\0"))


def forge(folder: Path, kind: str, data: bytes) -> Path:
    """A dump of the bytes, from physical address 0 on."""
    pages = {at // PAGE: data[at : at + PAGE] for at in range(0, SIZE, PAGE)}
    path = folder / kind
    path.write_bytes(write_kdump(pages, compression=kind, pack=packer(kind)))
    return path


def packer(kind: str):  # noqa: ANN201 - of bytes → bytes
    """The usual programs' compressor, None for the forge's own (zlib at level 1, as theirs)."""
    if kind != "lzo":
        return None
    from lzallright import LZOCompressor  # noqa: PLC0415 - an extra

    return LZOCompressor().compress


def forge_large(folder: Path) -> Path:
    """64 GiB of pages in the bitmaps; descriptors and pages are a hole."""
    pages = LARGE // PAGE
    made = forge_kdump({0: b"x"}, mapnr=pages)
    path = folder / "large"
    with path.open("wb") as file:
        file.write(made.data[: 2 * PAGE])
        file.write(b"\xff" * (2 * pages // 8))
        file.truncate(LARGE // 4)
    return path


def run(python: str, script: str, *arguments: object) -> str:
    """What a fresh process prints."""
    command = [python, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def compared(path: Path, small: Path) -> tuple[dict[str, float], float]:
    """Medians of our figures, and of libkdumpfile's speed, in alternating rounds."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(json.loads(run(sys.executable, OURS, path, SIZE, small)))
        theirs.append(float(run(SYSTEM_PYTHON, THEIRS, path, SIZE)))
    medians = {name: statistics.median(one[name] for one in ours) for name in ours[0]}
    return medians, statistics.median(theirs)


def main() -> None:
    """Forge the dumps, measure, print."""
    data = memory_like()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        small = folder / "small"
        small.write_bytes(write_kdump({0: b"x"}))
        zlib, their_zlib = compared(forge(folder, "zlib", data), small)
        lzo, their_lzo = compared(forge(folder, "lzo", data), small)
        packed = os.path.getsize(folder / "zlib") / SIZE
        large = json.loads(run(sys.executable, OURS, forge_large(folder), 0, small))
    rows = [
        ("zlib, MB/s", "", zlib["speed"], their_zlib),
        ("zlib, of libkdumpfile's speed", ">= 0.5", zlib["speed"] / their_zlib, None),
        ("lzo, MB/s", "", lzo["speed"], their_lzo),
        ("lzo, of libkdumpfile's speed", "", lzo["speed"] / their_lzo, None),
        ("reads of 8 bytes a second, within 4 MiB", "", zlib["near"], None),
        ("reads of 8 bytes a second, anywhere", "", zlib["far"], None),
        ("open a dump of 64 GiB, ms", "", large["open"], None),
        ("its index, MiB", "", large["open memory"], None),
    ]
    title = f"A kdump file whose pages take {packed:.0%} of their size"
    print_table(title, ("", "wanted", "measured", "libkdumpfile"), rows)


if __name__ == "__main__":
    main()
