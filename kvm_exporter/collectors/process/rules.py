"""Which group does a process belong to?  Its facts, and the first rule that they satisfy.

Rule 1: a fact costs something (a system call) only when a rule asks for it, and then once.
Rule 2: a fact that is unknown satisfies no condition and fills no placeholder.  (A process whose
flags are unknown is taken for one that runs a program, as nearly all do.)
Rule 3: what a process calls itself is cut to a bounded length and to valid UTF-8.
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Callable
from functools import cached_property

from kvm_exporter.collectors.process.options import ProcessOptions, Rule
from kvm_exporter.collectors.process.template import FACTS, Template
from kvm_exporter.kvm import Kvm, KvmError
from kvm_exporter.kvm.objects.model import Process

Key = tuple[str, ...]
"""A group's label values: its name, the extra labels, and the pid where rules ask for it."""

OTHER = "_other"
"""The group of the processes for which there is no room."""

KERNEL_FLAGS = {"freebsd": 0x00000004, "linux": 0x00200000}
"""P_KPROC in sys/sys/proc.h; PF_KTHREAD in include/linux/sched.h."""

DELETED = " (deleted)"
"""Linux adds it to the path of a program that was replaced on disk (proc_pid_exe(5))."""

FIELDS = {"comm": "comm", "user": "uid", "jail": "jail", "cgroup": "cgroup"}
"""The field of Process behind a fact."""

MAX_USERS = 10_000
MAX_LABEL = 256
"""Names remembered; characters of a label value."""


class Users:
    """Names of user numbers, remembered; those without a name are looked up each time."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def name(self, uid: int) -> str:
        """The user's name; the number as text where it has none."""
        found = self._names.get(uid)
        if found is None:
            try:
                found = pwd.getpwuid(uid).pw_name
            except (KeyError, OverflowError):  # OverflowError: beyond this system's uid_t
                return str(uid)
            if len(self._names) < MAX_USERS:
                self._names[uid] = found
        return found


class Subject:
    """One process, as rules see it; a fact is None where it is unknown."""

    def __init__(self, process: Process, kernel: Kvm, users: Users) -> None:
        self._process = process
        self._kernel = kernel
        self._users = users
        self.comm = process.comm
        self.cgroup = process.cgroup
        self.kernel = bool((process.flags or 0) & KERNEL_FLAGS.get(kernel.system.name, 0))

    @cached_property
    def user(self) -> str | None:
        """Name of the effective user."""
        return None if self._process.uid is None else self._users.name(self._process.uid)

    @property
    def users(self) -> frozenset[str]:
        """Name and number of the effective user."""
        return frozenset(() if self.user is None else (self.user, str(self._process.uid)))

    @property
    def jail(self) -> str | None:
        """The jail's number."""
        return None if self._process.jail is None else str(self._process.jail)

    @cached_property
    def exe(self) -> str | None:
        """Path of the program."""
        try:
            path = self._kernel.executable(self._process.pid)
        except KvmError:  # counted in the handle's tally
            return None
        return path and path.removesuffix(DELETED)

    @property
    def exe_base(self) -> str | None:
        """File name of the program."""
        return self.exe and self.exe.rpartition("/")[2]

    @property
    def programs(self) -> frozenset[str]:
        """Path and file name of the program."""
        return frozenset(name for name in (self.exe, self.exe_base) if name is not None)

    @cached_property
    def cmdline(self) -> str | None:
        """The arguments, joined with spaces."""
        try:
            return " ".join(self._kernel.arguments(self._process.pid))
        except KvmError:  # counted in the handle's tally
            return None


Captures = dict[str, str]


def _cmdline(rule: Rule, subject: Subject, captures: Captures) -> bool:
    line = subject.cmdline
    return line is not None and all(_found(one, line, captures) for one in rule.cmdline)


def _cgroup(rule: Rule, subject: Subject, captures: Captures) -> bool:
    group = subject.cgroup
    return group is not None and any(_found(one, group, captures) for one in rule.cgroup)


def _found(pattern: re.Pattern[str], text: str, captures: Captures) -> bool:
    match = pattern.search(text)
    if match:
        captures.update(match.groupdict(""))
    return match is not None


CONDITIONS: dict[str, Callable[[Rule, Subject, Captures], bool]] = {
    # cheap ones first: the first that fails spares the others
    "kernel": lambda rule, subject, _: subject.kernel == rule.kernel,
    "comm": lambda rule, subject, _: subject.comm in rule.comm,
    "user": lambda rule, subject, _: not subject.users.isdisjoint(rule.user),
    "jail": lambda rule, subject, _: subject.jail in set(map(str, rule.jail)),
    "cgroup": _cgroup,
    "exe": lambda rule, subject, _: not subject.programs.isdisjoint(rule.exe),
    "cmdline": _cmdline,
}
"""How each condition of a rule is tested; the named groups it found go into the captures."""


class _Compiled:
    """A rule with its template parsed and the conditions that it has."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        names = [name for one in (*rule.cmdline, *rule.cgroup) for name in one.groupindex]
        self.unfound = dict.fromkeys(names, "")
        self.template = Template(rule.name, (*FACTS, *names))
        self.conditions = tuple(
            name for name in CONDITIONS if getattr(rule, name) not in ((), None)
        )
        self.facts = self.template.placeholders & FACTS

    def name(self, subject: Subject) -> str:
        """The group's name for a process; empty if the rule does not match it."""
        values: Captures = dict(self.unfound)
        if not all(CONDITIONS[name](self.rule, subject, values) for name in self.conditions):
            return ""
        for fact in self.facts:
            value = getattr(subject, fact)
            if value is None:
                return ""
            values[fact] = value
        return self.template.fill(values)


class Rules:
    """Names the group of each process."""

    def __init__(self, options: ProcessOptions) -> None:
        self._rules = tuple(map(_Compiled, options.groups))
        self._labels = options.labels
        self._per_pid = any(rule.per_pid for rule in options.groups)
        self._users = Users()
        self.labels: tuple[str, ...] = ("group", *options.labels, *(("pid",) * self._per_pid))
        """Names of a key's values."""

    @property
    def fields(self) -> frozenset[str]:
        """Fields of Process that a group hangs on: when one changes, the process is seen anew."""
        asked = {*self._labels, *(name for one in self._rules for name in one.conditions)}
        asked.update(*(one.facts for one in self._rules))
        return frozenset(("comm", *(FIELDS[name] for name in asked if name in FIELDS)))

    @property
    def needs_flags(self) -> bool:
        """Whether a rule tells the kernel's own processes from others."""
        return any("kernel" in one.conditions for one in self._rules)

    @property
    def other(self) -> Key:
        """The key of the group for which there is no room; its other labels are left out."""
        return (OTHER, *("" for _ in self.labels[1:]))

    def key(self, process: Process, kernel: Kvm) -> Key | None:
        """The group's label values; None for a process that no rule matches."""
        subject = Subject(process, kernel, self._users)
        for one in self._rules:
            if name := one.name(subject):
                extra = (getattr(subject, label) or "" for label in self._labels)
                pid = (str(process.pid) if one.rule.per_pid else "",) * self._per_pid
                return tuple(map(_label, (name, *extra, *pid)))
        return None


def _label(text: str) -> str:
    """A label value: Rule 3."""
    return text[:MAX_LABEL].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
