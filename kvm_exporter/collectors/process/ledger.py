"""Who is a member of which group, and what is charged to it?  Pure accounting of Process rows.

Rule 1: a process is its pid and its start; a pid with another start is another process.
Rule 2: starts are Unix times, so a step of the clock moves all of them at once.  When most known
pids have a new start, those that moved by the same length are the same processes as before.
Rule 3: rules are asked for a new process, when a field that they hang on changes (exec(2) changes
comm), and again after a while, because a process may change its arguments.
Rule 4: a collection that breaks off half-way loses and doubles nothing: every change is made whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from math import inf
from operator import itemgetter
from typing import cast

from kvm_exporter.collectors.process.group import (
    COUNTERS,
    GAUGES,
    NO_STATE,
    UNKNOWN,
    Figures,
    Group,
    total,
)
from kvm_exporter.collectors.process.options import ProcessOptions
from kvm_exporter.collectors.process.rules import Key
from kvm_exporter.kvm.objects.model import Process

KeyOf = Callable[[Process], Key | None]

SAME_STEP_SECONDS = 0.05
"""Two starts that moved by the same step differ by less; a pid comes round again much later."""

SPREAD = 64
"""Into how many parts the times of rematching are spread."""


def _getter(fields: Iterable[str]) -> Callable[[Process], object]:
    """A function for those fields of a Process; twice as fast as by their names."""
    return itemgetter(*map(Process._fields.index, fields))


COUNTERS_OF = cast("Callable[[Process], Figures]", _getter(COUNTERS))
GAUGES_OF = cast("Callable[[Process], tuple[object, ...]]", _getter(GAUGES))


class Member:
    """What is remembered of a living process."""

    __slots__ = ("counters", "due", "facts", "generation", "group", "start")

    def __init__(self, start: float | None, group: Group) -> None:
        self.start = start
        self.group = group
        self.counters: Figures = UNKNOWN
        self.facts: object = None
        self.due = 0.0
        self.generation = 0


class Ledger:
    """Groups by key, and their members.  Times are of one clock that never goes back."""

    def __init__(self, options: ProcessOptions, facts: Iterable[str], other: Key) -> None:
        """``facts`` are the fields of Rule 3; ``other`` is the key when ``max_groups`` are full."""
        self.groups: dict[Key, Group] = {}
        self.states: Counter[str] = Counter()
        self.threads: float | None = None
        self._options = options
        self._per_pid = any(rule.per_pid for rule in options.groups)
        self._process_waits = options.wait_channels and not options.threads
        self._facts = _getter(facts)
        self._other = other
        self._unmatched = Group(())
        self._members: dict[int, Member] = {}
        self._generation = 0

    def update(self, processes: Iterable[Process], key_of: KeyOf, now: float) -> None:
        """Account for all processes of this moment, a row each."""
        self._generation += 1
        for group in self._everyone():
            group.rows.clear()
        members, facts = self._members, self._facts
        matched, moved = 0, []
        for process in processes:
            member = members.get(process.pid)
            if member is None:
                member = self._enter(process, key_of, now)
            elif member.start != process.start_seconds:
                moved.append(process)
                continue
            else:
                matched += 1
                if now >= member.due or member.facts != facts(process):
                    self._assign(member, process, key_of, now)
            self._count(member, process)
        self._settle(moved, matched, key_of, now)
        self._forget()
        self._close(now)

    def count_threads(self, threads: Iterable[Process]) -> None:
        """Add states and wait channels of threads, a row each, to their processes' groups."""
        for thread in threads:
            if member := self._members.get(thread.pid):
                member.group.thread_states[thread.state or NO_STATE] += 1
                if thread.wait_channel and self._options.wait_channels:
                    member.group.wait_channels[thread.wait_channel] += 1

    def _everyone(self) -> tuple[Group, ...]:
        return (*self.groups.values(), self._unmatched)

    def _enter(self, process: Process, key_of: KeyOf, now: float) -> Member:
        member = Member(process.start_seconds, self._unmatched)
        self._assign(member, process, key_of, now)
        self._members[process.pid] = member
        return member

    def _assign(self, member: Member, process: Process, key_of: KeyOf, now: float) -> None:
        group = self._group(key_of(process))
        if group is not member.group:
            group.join(member.counters)
            member.group = group
        member.facts = self._facts(process)
        # between half the interval and all of it, so that not all are due in one collection
        share = (1 + process.pid % SPREAD / SPREAD) / 2
        member.due = now + share * self._options.rematch_interval_seconds

    def _group(self, key: Key | None) -> Group:
        if key is None:
            return self._unmatched
        if key not in self.groups:
            taken = len(self.groups) - (self._other in self.groups)
            key = key if taken < self._options.max_groups else self._other
        return self.groups.setdefault(key, Group(key))

    def _count(self, member: Member, process: Process) -> None:
        member.generation = self._generation
        counters = COUNTERS_OF(process)
        if counters != member.counters:
            member.counters = member.group.charge(member.counters, counters)
        member.group.rows.append(GAUGES_OF(process))

    def _settle(self, moved: list[Process], matched: int, key_of: KeyOf, now: float) -> None:
        """Count the known pids whose start is another: Rule 2."""
        steps = [self._step(process) for process in moved]
        usual = sorted(steps)[len(steps) // 2] if len(steps) > matched else inf
        for process, step in zip(moved, steps, strict=True):
            if abs(step - usual) < SAME_STEP_SECONDS:
                member = self._members[process.pid]
                member.start = process.start_seconds
            else:
                member = self._enter(process, key_of, now)
            self._count(member, process)

    def _step(self, process: Process) -> float:
        start = self._members[process.pid].start
        if start is None or process.start_seconds is None:
            return inf
        return process.start_seconds - start

    def _forget(self) -> None:
        gone = [
            pid for pid, member in self._members.items() if member.generation != self._generation
        ]
        for pid in gone:
            del self._members[pid]

    def _close(self, now: float) -> None:
        for state in self.states:
            self.states[state] = 0
        for group in self._everyone():
            if group.rows:
                group.last_alive = now
            group.close(wait_channels=self._process_waits)
            self.states.update(group.states)
        self.threads = total([group.sums["threads"] for group in self._everyone()])
        self._drop_dead(now)

    def _drop_dead(self, now: float) -> None:
        for key, group in tuple(self.groups.items()):
            # a group of one process, told by its pid in the last label, cannot come back
            ttl = 0 if self._per_pid and key[-1] else self._options.group_ttl_seconds
            if group.last_alive + ttl < now:
                del self.groups[key]
