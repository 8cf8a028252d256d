"""Which variables of a Linux has each CPU for itself?  The kernel's and its modules' per-CPU ones.

1. The kernel's lie between __per_cpu_start and __per_cpu_end (include/asm-generic/sections.h); on
   x86_64 these counted from zero until 6.15 (9d7de2aa8b41).  A module's have an allocation of their
   own: ``percpu_size`` bytes from ``percpu`` of struct module on (kernel/module/main.c).
2. Where these two symbols are not known, for want of CONFIG_KALLSYMS_ALL, BTF tells: it has no
   other variables.
3. A kernel for one CPU (no CONFIG_SMP) has neither: all of its variables are plain ones.
4. What belongs to a network namespace is no variable, but a member of its struct net.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.nm import N_EXT, N_TEXT
from kvm_exporter.kvm.objects.copies import Kind, Variable, Vnet
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.linux.lists import ring
from kvm_exporter.kvm.objects.linux.percpu import OFFSETS, PerCpu
from kvm_exporter.kvm.objects.spelling import nearest_line
from kvm_exporter.kvm.target import Target

BOUNDS = "__per_cpu_start", "__per_cpu_end"
MODULES, MODULE = "modules", "struct module"
PERCPU = "percpu", "percpu_size"

ALWAYS_THERE = "runqueues"
"""A variable of every kernel, which none lets modules use (kernel/sched/core.c)."""


class Area(NamedTuple):
    """A module's per-CPU variables: ``size`` bytes from ``start`` on, of no CPU's copy."""

    start: int
    size: int


class LinuxCopies:
    """The per-CPU variables of the kernel in ``target`` (objects/copies.py's Copies).

    ``modules`` tells which are loaded, by anything that changes with them; nothing does in a dump.
    """

    def __init__(self, target: Target, modules: Callable[[], Hashable] = lambda: None) -> None:
        self._target = target
        self._loaded = modules
        self._percpu = PerCpu(target)
        self._areas: tuple[Hashable, Sequence[Area]] | None = None
        self._names: tuple[Hashable, str] | None = None

    def variable(self, name: str) -> Variable | None:
        """A variable of the kernel, else of a module; one leading ``_`` may be left out."""
        (found,) = self._target.symbols.lookup([name])
        return self._variable(name, found) if found else None

    def _variable(self, name: str, found: Symbol) -> Variable:
        return Variable(name, self._kind(name, found), found.value, name, found.size)

    def _kind(self, name: str, found: Symbol) -> Kind:
        if not self._several:
            return "plain"
        if self._bounds is None:
            percpu = self._typed(name)
        else:
            percpu = self._bounds[0] <= found.value < self._bounds[1]
        return "percpu" if percpu or self._of_module(found.value) else "plain"

    @cached_property
    def _several(self) -> bool:
        """Whether this kernel is made for several CPUs (rule 3)."""
        return variables.has(self._target, OFFSETS)

    @cached_property
    def _bounds(self) -> tuple[int, int] | None:
        start, end = self._target.symbols.lookup(BOUNDS)
        return (start.value, end.value) if start and end else None

    def _typed(self, name: str) -> bool:
        """Rule 2."""
        try:
            self._target.types.variable(name)
        except TypeMissing:
            return False
        return True

    def _of_module(self, address: int) -> bool:
        now = self.generation()
        if self._areas is None or self._areas[0] != now:
            self._areas = now, tuple(self._of_modules())
        return any(0 <= address - area.start < area.size for area in self._areas[1])

    def _of_modules(self) -> Iterator[Area]:
        """Those of all modules; none where their list is not known."""
        target = self._target
        if variables.has(target, MODULES) and target.has(MODULE, PERCPU[0]):
            record = target.record(MODULE, PERCPU)
            for module in ring(target, target.address(MODULES), MODULE, "list"):
                yield Area(*record.at(module))

    def cpus(self) -> Sequence[int]:
        """The CPUs that there could be; ascending."""
        return self._percpu.possible

    def running(self) -> Sequence[int]:
        """Those that are online now."""
        return self._percpu.running

    def of_cpu(self, address: int, cpu: int) -> int:
        """per_cpu(): a CPU's copy of a ``percpu`` variable."""
        return self._percpu.address(address, cpu)

    def of_allocation(self, address: int, cpu: int) -> int:
        """per_cpu_ptr(): a CPU's copy of what alloc_percpu() gave."""
        return self._percpu.address(address, cpu)

    def vnets(self) -> Sequence[Vnet]:
        """None (rule 4)."""
        return ()

    def of_vnet(self, address: int, vnet: Vnet) -> int:
        """Raises KvmError."""
        raise KvmError(f"Linux has no variables of a network stack: {address:#x}, {vnet.jail}")

    def names_like(self, name: str) -> Sequence[str]:
        """As Copies.names_like; no functions."""
        now = self.generation()
        if self._names is None or self._names[0] != now:
            listed = (one.name for one in self._target.symbols if one.type & ~N_EXT != N_TEXT)
            self._names = now, "\n".join(listed)
        return nearest_line(name, self._names[1])

    def untold(self) -> str:
        """As Copies.untold: kernels without CONFIG_KALLSYMS_ALL tell few variables."""
        if self._tells_variables:
            return ""
        return "its kallsyms have functions only (no CONFIG_KALLSYMS_ALL); its vmlinux tells more"

    @cached_property
    def _tells_variables(self) -> bool:
        """Looked for once: for each name that is not there, all of kallsyms is searched."""
        return variables.has(self._target, ALWAYS_THERE)

    def generation(self) -> Hashable:
        """The modules that are loaded, and the CPUs that run; of a dump always the same."""
        loaded = self._loaded()
        return loaded if loaded is None else (loaded, self._percpu.running)
