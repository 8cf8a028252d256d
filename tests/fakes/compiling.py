"""A kernel to compile for: C declarations, addresses of variables, copies by simple arithmetic.

A CPU's copy of a per-CPU variable is PERCPU times its number behind the template, its copy of an
allocation ALLOCATION times; a network stack's copy of a variable lies VNET times its jail's number
behind the template.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from fakes.world import WorldTypes
from forge import cdecl

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, KvmError, TypeMissing
from kvm_exporter.kvm.expressions.compiling.modules import compile_module
from kvm_exporter.kvm.expressions.program import Compiled, Read, Series
from kvm_exporter.kvm.expressions.wanted import List, Metric, Module
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.objects.copies import Kind, Variable, Vnet
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.model import Type

PERCPU, ALLOCATION, VNET = 0x1000, 0x2000, 0x100000
HOST = Vnet(0xFF00, "", 0)


class Told(WorldTypes):
    """Types of which a typedef that nobody declared is none (and not an int)."""

    def find(self, name: str) -> Type:
        if name.endswith("_t") and name not in self._c.typedefs:
            raise TypeMissing(f"there is no {name}")
        return super().find(name)


@dataclass
class Forged:
    """``variables``: name → (kind, address, size), typed by a declaration of that name."""

    c: cdecl.Declarations
    variables: dict[str, tuple[Kind, int, int | None]] = field(default_factory=dict)
    memory: dict[int, bytes] = field(default_factory=dict)
    cpu_numbers: Sequence[int] = (0, 2)
    stacks: Sequence[Vnet] = ()
    asked_near: list[str] = field(default_factory=list)

    def put(self, name: str, address: int, kind: Kind = "plain", size: int | None = None) -> None:
        """A variable; its type is that of its declaration, if there is one."""
        self.variables[name] = kind, address, size

    # Memory

    def read(self, address: int, length: int) -> bytes:
        for start, data in self.memory.items():
            if start <= address < start + len(data):
                return data[address - start : address - start + length]
        raise Fault(address, "nothing is there")

    def write(self, address: int, data: bytes) -> int:
        raise KvmError("read only")

    def close(self) -> None:
        pass

    # Symbols

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        known = {name: Symbol(name, one[1]) for name, one in self.variables.items()}
        return [known.get(name) for name in names]

    # Copies

    def variable(self, name: str) -> Variable | None:
        if name not in self.variables:
            return None
        kind, address, size = self.variables[name]
        return Variable(name, kind, address, name, size)

    def cpus(self) -> Sequence[int]:
        return self.cpu_numbers

    def running(self) -> Sequence[int]:
        return self.cpu_numbers

    def of_cpu(self, address: int, cpu: int) -> int:
        return address + PERCPU * cpu

    def of_allocation(self, address: int, cpu: int) -> int:
        return address + ALLOCATION * cpu

    def vnets(self) -> Sequence[Vnet]:
        return self.stacks

    def of_vnet(self, address: int, vnet: Vnet) -> int:
        return address + VNET * vnet.jid

    def untold(self) -> str:
        return ""

    def names_like(self, name: str) -> Sequence[str]:
        self.asked_near.append(name)
        return [known for known in self.variables if known[:3] == name[:3]]

    def generation(self) -> Hashable:
        return None

    # what a test asks

    @property
    def abi(self) -> Abi:
        return Abi(self.c.abi.order, self.c.abi.pointer)

    def module(
        self,
        metrics: Sequence[Metric] = (),
        lists: Sequence[List] = (),
        types: Mapping[str, str] | None = None,
    ) -> Compiled:
        """A module, compiled."""
        target = Target(self, self, Told(self.c), self.abi, Tally())
        return compile_module(target, self, Module(metrics, lists, types or {}))

    def one(self, *symbol: str, types: Mapping[str, str] | None = None, **more: object) -> Result:
        """A single metric."""
        metric = Metric("m", symbol, **more)
        compiled = self.module([metric], types=types)
        assert not compiled.missing, compiled.missing
        return Result(compiled.labels[0], compiled.program.reads, compiled.program.series)

    def error(self, *symbol: str, types: Mapping[str, str] | None = None, **more: object) -> str:
        """Why a single metric is missing."""
        compiled = self.module([Metric("m", symbol, **more)], types=types)
        (missing,) = compiled.missing
        assert missing.metric == "m"
        assert compiled.labels == ((),)
        assert compiled.program.reads == compiled.program.series == ()
        return missing.reason


@dataclass
class Result:
    """What became of a metric."""

    labels: Sequence[str]
    reads: Sequence[Read]
    series: Sequence[Series]


def forged(text: str, abi: cdecl.Abi = cdecl.AMD64, **variables: int) -> Forged:
    """A kernel with plain variables at these addresses."""
    kernel = Forged(cdecl.Declarations(text, abi))
    for name, address in variables.items():
        kernel.put(name, address)
    return kernel
