"""What does a name cost, beside pyelftools?

A forged amd64 kernel of 120,000 symbols, once with the strings as lld writes them and once with
shared ends as llvm-objcopy does.  Each figure is from a fresh process that has opened nothing yet:
opening the file and the first nlist, fifty nlists of a name each on top, the first address, and the
memory that it all takes.  pyelftools makes a dict of all names first, and knows no addresses.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from table import print_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from forge import elf

ROUNDS = 3
SYMBOLS = 120_000
NAMES = 50
BASE = 0xFFFFFFFF80201000

OURS = """
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.symbols.elfsymtab import read_symbols
def opened(path):
    return read_symbols(File(path))
def find(table, name):
    return table.lookup([name])[0].value
def at(table, address):
    return table.at(address).symbol.name
"""
PYELFTOOLS = """
from elftools.elf.elffile import ELFFile
def opened(path):
    return ELFFile(open(path, "rb")).get_section_by_name(".symtab")
def find(table, name):
    return table.get_symbol_by_name(name)[0]["st_value"]
def at(table, address):
    return max((one["st_value"], one.name) for one in table.iter_symbols()
               if one["st_value"] <= address)[1]
"""
MEASURE = """
import json, re, sys, time
def peak():
    # not ru_maxrss, which a process inherits from the one that started it
    return int(re.search("VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
path, names, address = json.loads(sys.argv[1])
before = peak()
times = [time.perf_counter()]
table = opened(path)
find(table, names[0])
times.append(time.perf_counter())
for name in names:
    find(table, name)
times.append(time.perf_counter())
most = peak() - before
times.append(time.perf_counter())
at(table, address)
times.append(time.perf_counter())
first, fifty = times[1] - times[0], times[2] - times[0]
print(json.dumps([first * 1e3, fifty * 1e3, (times[4] - times[3]) * 1e3, most / 1024]))
"""


def names(count: int) -> list[str]:
    """Words joined as kernels join them; 20 bytes or so, as theirs have."""
    dice = random.Random(1)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=2 + at % 7)) for at in range(999)]
    found: dict[str, None] = {}
    while len(found) < count:
        found["_".join(dice.choices(words, k=dice.randint(1, 5)))] = None
    return list(found)


def kernel(names: list[str], *, share_tails: bool) -> bytes:
    """A kernel with these symbols; two of three are local and the others hashed, as FreeBSD's."""
    symbols = [
        elf.Sym(
            name,
            BASE + at * 64,
            64,
            elf.OBJECT if at % 2 else elf.FUNC,
            elf.LOCAL if at < len(names) * 2 // 3 else elf.GLOBAL,
            ".text",
        )
        for at, name in enumerate(names)
    ]
    text = elf.Section(bytes(64), flags=elf.ALLOC | elf.EXEC, address=BASE, size=SYMBOLS * 64)
    return elf.kernel(
        "amd64",
        symbols,
        more={".text": text},
        dynamic_symbols=[symbol for symbol in symbols if symbol.bind == elf.GLOBAL],
        hashed=True,
        share_tails=share_tails,
    )


def measured(library: str, question: str) -> list[float]:
    """Medians of ms until the first name, until fifty, for an address; and MiB."""
    command = [sys.executable, "-c", library + MEASURE, question]
    rounds = [json.loads(subprocess.check_output(command)) for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def main() -> None:
    """Compare on both kinds of string table; a third of the names asked for is local."""
    every = names(SYMBOLS)
    asked = random.Random(2).sample(every[SYMBOLS // 2 :], NAMES)
    with tempfile.TemporaryDirectory() as folder:
        for share_tails in (False, True):
            path = Path(folder) / "kernel"
            path.write_bytes(kernel(every, share_tails=share_tails))
            question = json.dumps([str(path), asked, BASE + 64 * 4711 + 5])
            mine, peer = measured(OURS, question), measured(PYELFTOOLS, question)
            ratio = [theirs / own for own, theirs in zip(mine, peer, strict=True)]
            kind = "strings share their ends" if share_tails else "a string for each symbol"
            print_table(
                f"{SYMBOLS} symbols, {kind}",
                ("", "first nlist ms", f"{NAMES} nlists ms", "first address ms", "MiB"),
                [("kvm_exporter.kvm", *mine), ("pyelftools", *peer), ("times less", *ratio)],
            )


if __name__ == "__main__":
    main()
