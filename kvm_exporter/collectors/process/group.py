"""What does a group of processes use now, and what has it used so far?

Rule 1: a total is the sum over all processes that ever were members of what each of them did while
it was one, from its birth on.  So totals never fall, and outlive the processes.
Rule 2: a figure that no member knows is None; where only some know it, it is their sum.
Rule 3: a group without members uses nothing: its sums are 0, and states once seen stay, at 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

Figures = tuple[float | None, ...]
"""A process's counters since its birth, in the order of COUNTERS."""

COUNTERS = (
    "user_seconds",
    "system_seconds",
    "voluntary_switches",
    "involuntary_switches",
    "minor_faults",
    "major_faults",
    "read_operations",
    "write_operations",
    "read_bytes",
    "write_bytes",
)
SUMS = ("resident_bytes", "virtual_bytes", "swap_bytes", "threads", "open_files")
GAUGES = (*SUMS, "max_open_files", "state", "start_seconds", "wait_channel")
UNKNOWN: Figures = (None,) * len(COUNTERS)
NO_STATE = "unknown"


class Group:
    """The figures of one group.  The ledger appends each member's GAUGES to ``rows``."""

    __slots__ = (
        "key",
        "last_alive",
        "oldest_start",
        "rows",
        "states",
        "sums",
        "thread_states",
        "totals",
        "wait_channels",
        "worst_fd_ratio",
    )

    def __init__(self, key: tuple[str, ...]) -> None:
        self.key = key
        self.last_alive = 0.0
        self.rows: list[tuple[object, ...]] = []
        self.totals: list[float | None] = list(UNKNOWN)
        self.sums: dict[str, float | None] = dict.fromkeys(SUMS)
        self.states: Counter[str] = Counter()
        self.thread_states: Counter[str] = Counter()
        self.wait_channels: Counter[str] = Counter()
        self.oldest_start: float | None = None
        self.worst_fd_ratio: float | None = None

    def join(self, counters: Figures) -> None:
        """Note which figures a new member knows; what it did before is not this group's."""
        for index, value in enumerate(counters):
            if value is not None and self.totals[index] is None:
                self.totals[index] = 0

    def charge(self, before: Figures, after: Figures) -> Figures:
        """Add what a member did since ``before``; the highest figures of it so far.

        A figure that fell counts for nothing until it passes its old height; one that was
        unknown counts from the last known one, at first from the process's birth.
        """
        highest = list(before)
        for index, value in enumerate(after):
            if value is None:
                continue
            known = before[index] or 0
            if value >= known:
                self.totals[index] = (self.totals[index] or 0) + (value - known)
                highest[index] = value
        return tuple(highest)

    def close(self, *, wait_channels: bool) -> None:
        """Sum up the rows of one collection and let go of them."""
        self.thread_states.clear()
        self.wait_channels.clear()
        self.oldest_start = self.worst_fd_ratio = None
        for state in self.states:
            self.states[state] = 0
        if self.rows:
            columns = dict(zip(GAUGES, zip(*self.rows, strict=True), strict=True))
            self._sum_up(columns)
            if wait_channels:
                self.wait_channels.update(filter(None, columns["wait_channel"]))
        else:
            for field, before in self.sums.items():
                self.sums[field] = None if before is None else 0
        self.rows.clear()

    def _sum_up(self, columns: dict[str, tuple[Any, ...]]) -> None:
        for field in SUMS:
            self.sums[field] = total(columns[field])
        self.states.update(state or NO_STATE for state in columns["state"])
        self.oldest_start = min(filter(None, columns["start_seconds"]), default=None)
        ratios = (
            used / limit
            for used, limit in zip(columns["open_files"], columns["max_open_files"], strict=True)
            if limit and used is not None
        )
        self.worst_fd_ratio = max(ratios, default=None)


def total(column: Sequence[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    try:
        return sum(column)  # type: ignore[arg-type] # a None raises TypeError
    except TypeError:  # this way round because it is rare, and asking each value costs more
        known = [value for value in column if value is not None]
        return sum(known) if known else None
