"""What do a Linux kernel's symbols cost, read from its own memory, beside drgn?

A forged x86-64 kernel of 150,000 names (Debian's 6.12 has 154,000), compressed as the kernel's
script does it, in memory that both read at no cost.  Each figure is from a fresh process: until the
first name is found, fifty names in all, the first address, and the memory that it takes.  Ours is
measured where VMCOREINFO tells of the tables, where they have to be found (Linux before 6.0, which
drgn does not read), and with the index that the first reading leaves.
"""

from __future__ import annotations

import json
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench_symbols import names
from table import print_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from forge.kallsyms import Kind, Sym, vmcoreinfo, write

ROUNDS = 3
SYMBOLS = 150_000
NAMES = 50
BASE = 0xFFFFFFFF81000000
RODATA = 0x1000000

OURS = """
from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.symbols.kallsyms_reading import read_kallsyms
class Memory:
    def read(self, address, length):
        if not start <= address < start + len(data):
            raise Fault(address, "nothing is there")
        return data[address - start : address - start + length]
class Told:
    build_id, release = "0123456789abcdef", "6.12"
    def symbol(self, name):
        return told.get(name)
def opened():
    return read_kallsyms(Memory(), Abi("<", 8), Told(), folder)
def find(table, name):
    return table.find(name.encode()).value
def at(table, address):
    return table.at(address).symbol.name
"""
DRGN = """
import drgn
# what drgn.helpers.linux.kallsyms.load_vmlinux_kallsyms() calls for a core
from _drgn import _linux_helper_load_builtin_kallsyms as load
tables = "names", "token_table", "token_index", "num_syms", "offsets", "relative_base", "addresses"
places = [told.get("kallsyms_" + name, 0) for name in tables]
def read(address, count, offset, physical):
    return data[offset : offset + count]
def opened():
    flags = drgn.PlatformFlags.IS_64_BIT | drgn.PlatformFlags.IS_LITTLE_ENDIAN
    program = drgn.Program(drgn.Platform(drgn.Architecture.X86_64, flags))
    program.add_memory_segment(start, len(data), read)
    index = load(program, *places, told["_stext"])
    program.register_symbol_finder("kallsyms", index, enable_index=0)
    return program
def find(table, name):
    return table.symbol(name).address
def at(table, address):
    return table.symbol(address).name
"""
BEFORE = """
import json, pickle, re, sys, time
path, folder, hidden, names, address = json.loads(sys.argv[1])
with open(path, "rb") as file:
    start, data, told = pickle.load(file)
if hidden:
    told = {"_stext": told["_stext"]}
"""
MEASURE = """
def peak():
    # not ru_maxrss, which a process inherits from the one that started it
    return int(re.search("VmHWM:\\\\s*(\\\\d+)", open("/proc/self/status").read())[1])
before = peak()
times = [time.perf_counter()]
table = opened()
find(table, names[0])
times.append(time.perf_counter())
for name in names:
    find(table, name)
times.append(time.perf_counter())
at(table, address)
times.append(time.perf_counter())
first, fifty, place = (b - a for a, b in zip(times, times[1:]))
print(json.dumps([first * 1e3, (first + fifty) * 1e3, place * 1e3, (peak() - before) / 1024]))
"""


def kernel() -> tuple[int, bytes, dict[str, int], list[str]]:
    """Where its .rodata is, the bytes, what VMCOREINFO tells, and its names."""
    every = [
        f"{name}.{at % 100}" if at % 8 == 0 else name for at, name in enumerate(names(SYMBOLS))
    ]
    dice = random.Random(1)
    symbols = [Sym(BASE, "T", "_stext")]
    symbols += [
        Sym(BASE + 64 * at, dice.choice("tTdDbr"), name) for at, name in enumerate(every, 1)
    ]
    tables = write(Kind(form="percpu", tokens=220), symbols, BASE + RODATA)
    return tables.address, tables.data, {"_stext": BASE} | vmcoreinfo(tables), every


def measured(code: str, *question: object) -> list[float]:
    """Medians of ms until the first name, until fifty, for an address; and MiB."""
    command = [sys.executable, "-c", BEFORE + code + MEASURE, json.dumps(question)]
    rounds = [json.loads(subprocess.check_output(command)) for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def main() -> None:
    """Compare; the index is in a directory that cannot be, or one that is filled first."""
    start, data, told, every = kernel()
    asked = random.Random(2).sample(every, NAMES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel"
        path.write_bytes(pickle.dumps((start, data, told)))

        def question(hidden: bool, kept: str) -> list[object]:
            return [str(path), kept, hidden, asked, BASE + 64 * 4711 + 5]

        nowhere = str(path / "no directory")
        rows = [
            ("kvm_exporter.kvm", *measured(OURS, *question(hidden=False, kept=nowhere))),
            ("the tables found", *measured(OURS, *question(hidden=True, kept=nowhere))),
        ]
        measured(OURS, *question(hidden=False, kept=folder))
        rows.append(("with the index", *measured(OURS, *question(hidden=False, kept=folder))))
        rows.append(("drgn", *measured(DRGN, *question(hidden=False, kept=folder))))
    header = ("", "first name ms", f"{NAMES} names ms", "first address ms", "MiB")
    print_table(f"kallsyms of {SYMBOLS} names", header, rows)


if __name__ == "__main__":
    main()
