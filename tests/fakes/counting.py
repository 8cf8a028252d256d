"""A forged kernel that counts (forge/counting.py) as the package opens one."""

from __future__ import annotations

from fakes.sources import Bytes
from fakes.world import WorldMemory
from forge.counting import Counting

from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.symbols.elfsymtab import read_symbols
from kvm_exporter.kvm.symbols.joined import DeadSymbols
from kvm_exporter.kvm.symbols.linker_files import LinkerFiles
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.opening import open_types


def opened(kernel: Counting, memory: Memory | None = None, **file: object) -> Target:
    """The kernel as a dead one: its symbols and types are read from its ELF file."""
    source = Bytes(kernel.file(**file))
    symbols, tally = read_symbols(source), Tally()
    memory = memory or WorldMemory(kernel.world)
    types = open_types(source, symbols.objects).types
    joined = DeadSymbols(symbols, memory, tally)
    target = Target(memory, joined, types, symbols.table.abi, tally)
    joined.find_modules_with(lambda: LinkerFiles(target, lambda _name, _path: None))
    return target
