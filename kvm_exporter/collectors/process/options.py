"""What can be set for the process collector?  Rules, budgets and times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from kvm_exporter.collectors.process.template import FACTS, Template
from kvm_exporter.typed_yaml.option import Check, Count, Help, OptionError, Seconds

Pattern = re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """Which processes belong to a group: all the conditions that are given must hold."""

    name: Annotated[
        str,
        Help(
            "The group's name. Placeholders: {comm} {exe} {exe_base} {user} {jail} {cgroup}, and "
            "the named groups (?P<name>…) of cmdline and cgroup. Where one of them is unknown, "
            "or the name comes out empty, the rule does not match."
        ),
    ]
    comm: Annotated[tuple[str, ...], Help("The kernel's name of the process is one of these.")] = ()
    exe: Annotated[
        tuple[str, ...],
        Help("The program is one of these: a whole path where it has a slash, else a file name."),
    ] = ()
    cmdline: Annotated[
        tuple[Pattern, ...],
        Help("Each of these is found in the arguments, which are joined with single spaces."),
    ] = ()
    user: Annotated[
        tuple[str, ...], Help('The effective user is one of these, by name or "number".')
    ] = ()
    jail: Annotated[
        tuple[int, ...], Help("FreeBSD: the jail's number is one of these; 0 is the host.")
    ] = ()
    cgroup: Annotated[
        tuple[Pattern, ...], Help("Linux: one of these is found in the path of the control group.")
    ] = ()
    kernel: Annotated[
        bool | None,
        Help("true: only the kernel's own processes; false: only those that run a program."),
    ] = None
    per_pid: Annotated[
        bool, Help("A group for each process, told apart by the label pid. Mind max_groups.")
    ] = False

    def __post_init__(self) -> None:
        captures = [name for one in (*self.cmdline, *self.cgroup) for name in one.groupindex]
        if taken := sorted(FACTS.intersection(captures)):
            raise ValueError(f"the named group {taken[0]} hides the placeholder of that name")
        if not self.name:
            raise OptionError("name", "a group needs a name")
        try:
            Template(self.name, (*sorted(FACTS), *captures))
        except ValueError as error:
            raise OptionError("name", str(error)) from error


def _twice(labels: Sequence[str]) -> Iterable[str]:
    return ("a label is there twice",) if len(set(labels)) < len(labels) else ()


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """How processes are grouped, and what is told of each group."""

    groups: Annotated[
        tuple[Rule, ...],
        Help(
            "Rules; the first that matches a process names its group. A process that none "
            "matches is counted in kvm_processes and kvm_threads only."
        ),
    ] = (Rule("kernel", kernel=True), Rule("{comm}"))
    labels: Annotated[
        tuple[Literal["user", "jail"], ...],
        Check(_twice),
        Help("Further labels: a group is then split by them."),
    ] = ()
    max_groups: Annotated[
        Count, Help("Budget of groups. What would be one more is counted in the group _other.")
    ] = 400
    group_ttl_seconds: Annotated[
        Seconds,
        Help("A group without processes goes on this long, then its series end."),
    ] = 3600.0
    rematch_interval_seconds: Annotated[
        Seconds,
        Help(
            "Look at arguments and program again after this time at the latest. A changed comm, "
            "user, jail or control group is seen at once where a rule or label asks for it."
        ),
    ] = 300.0
    wait_channels: Annotated[
        bool, Help("Give what processes wait for in the kernel (one series for each).")
    ] = True
    threads: Annotated[
        bool, Help("Read every thread, for states and wait channels by thread. Expensive.")
    ] = False
