"""How much may a collection read, and what has it used?  Budgets of bytes, elements and time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvm_exporter.kvm.expressions.program import Stopped

OFTEN = 64
"""Reads between two looks at the clock."""


def never() -> bool:
    """No time is too long."""
    return False


@dataclass(frozen=True, slots=True)
class Budget:
    """At most ``bytes`` of memory, ``elements`` of lists (of all of them, outer ones included), and
    reading until ``expired`` says so; it is asked often."""

    bytes: int = 1 << 26
    elements: int = 1 << 17
    expired: Callable[[], bool] = never


class Ledger:
    """What one collection used and lost.

    ``bytes`` and ``elements`` so far; ``unreadable`` values, whose memory was not there; ``torn``
    elements, which were not linked as a list's are; ``stopped`` tells which budget ended first,
    ``halted`` that nothing may be read any more.  ``gaps``: whether a program (begin) has anything
    unread, of null pointers, too.
    """

    def __init__(self, budget: Budget) -> None:
        self.bytes = self.elements = self.unreadable = self.torn = 0
        self.stopped: Stopped = ""
        self.gaps = False
        self._most_bytes = budget.bytes
        self._most_elements = budget.elements
        self._expired = budget.expired
        self.halted = budget.expired()
        self._reads = self._before = 0
        if self.halted:
            self.stopped = "time"

    def allows(self, size: int) -> bool:
        """Whether ``size`` bytes may be read, which are then used; after a no, always no."""
        if self.halted:
            return False
        used = self.bytes + size
        if used > self._most_bytes:
            return self._halt("bytes")
        self._reads += 1
        if not self._reads % OFTEN and self._expired():
            return self._halt("time")
        self.bytes = used
        return True

    def element(self) -> bool:
        """Whether another element may be looked at.  What was found before may still be read."""
        if not self.room:
            self.full()
            return False
        self.elements += 1
        return not self.halted

    @property
    def room(self) -> int:
        """How many elements more may be looked at."""
        return self._most_elements - self.elements

    def full(self) -> None:
        """There was no room for another element."""
        self.stopped = self.stopped or "elements"

    def lost(self, values: int = 1) -> None:
        """Values were not to be had; which is the budget's fault after its end."""
        if not self.halted:
            self.unreadable += values
        self.gaps = True

    def begin(self) -> None:
        """Another program begins: ``gaps`` and ``missed`` are its own."""
        self.gaps = False
        self._before = self.unreadable

    @property
    def missed(self) -> bool:
        """Whether memory was not there since the program began."""
        return self.unreadable > self._before

    def _halt(self, reason: Stopped) -> bool:
        self.halted = True
        self.stopped = self.stopped or reason
        return False
