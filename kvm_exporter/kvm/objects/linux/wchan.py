"""In which function does a dead kernel's task sleep?  As /proc/PID/wchan tells it.

1. It is the innermost on its stack that is not the scheduler's, nor one of the locks
   (in_sched_functions()).  A task that runs, or is about to, sleeps nowhere (get_wchan() in
   kernel/sched/core.c).
2. Stacks that cannot be gone through (stacks.py) tell nothing, and so do those of a zombie, which
   has none.
3. Until 5.16 (42a20f86dc19) x86_64 itself could not, without frame pointers, and showed 0.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.linux.stacks import Stack, find_walk
from kvm_exporter.kvm.remembered import Remembered
from kvm_exporter.kvm.symbols.elfsymtab import Place
from kvm_exporter.kvm.target import Target

WAKING = 0x200
"""TASK_WAKING (include/linux/sched.h)."""

SCHEDULER = ("__sched_text_start", "__sched_text_end")
LOCKS = ("__lock_text_start", "__lock_text_end")
"""Where these functions begin and end."""

MOST_KNOWN = 1 << 14
"""Names of addresses that are remembered; then all are forgotten."""


@runtime_checkable
class Named(Protocol):
    """Symbols that tell what lies at an address."""

    def at(self, address: int) -> Place | None:
        """The symbol there, and how far behind its start."""


class WaitChannels:
    """Of ``target``'s tasks.  Errors: SymbolMissing, TypeMissing."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._walk = find_walk(target)
        start, end = (target.address(name) for name in SCHEDULER)
        self._passed = [range(start, end)]
        locks = target.symbols.lookup(LOCKS)
        if locks[0] and locks[1]:
            self._passed.append(range(locks[0].value, locks[1].value))
        self._names: Remembered[int, str | None] = Remembered(MOST_KNOWN)

    def of(self, task: int, state: int, on_queue: int, stack: int) -> str | None:
        """The function's name; None for a task that sleeps nowhere, or nobody knows where."""
        if not stack or state in (0, WAKING) or on_queue or self._walk is None:
            return None
        try:
            for address in self._walk(task, Stack(self._target, stack)):
                if not address:
                    break
                if not any(address in some for some in self._passed):
                    return self._names.of(address, self._name)
        except KvmError:
            self._target.tally.add("kernel stack", None)
        return None

    def _name(self, address: int) -> str | None:
        symbols = self._target.symbols
        place = symbols.at(address) if isinstance(symbols, Named) else None
        return place.symbol.name if place else None
