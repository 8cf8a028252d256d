"""Are processes put into their groups, and is every one's use counted once and for ever?"""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter import kvm
from kvm_exporter.collectors.process import COLLECTOR, ProcessOptions, start
from kvm_exporter.collectors.process.group import COUNTERS
from kvm_exporter.collectors.process.ledger import Ledger
from kvm_exporter.collectors.process.options import Rule
from kvm_exporter.collectors.process.rules import KERNEL_FLAGS, MAX_LABEL
from kvm_exporter.kvm.objects.model import Process
from kvm_exporter.metric import Family

GROUP = "kvm_process_group_"
BY_COMM = ProcessOptions(groups=(Rule("{comm}"),))


class FakeKvm:
    """A kernel with forged processes, that counts what it is asked for."""

    def __init__(self, system: str = "linux") -> None:
        self.system = SimpleNamespace(name=system)
        self.rows: Iterable[Process] = ()
        self.thread_rows: Iterable[Process] = ()
        self.argv: dict[int, tuple[str, ...]] = {}
        self.exe: dict[int, str | None] = {}
        self.asked: list[tuple[str, int]] = []
        self.fields: frozenset[str] = frozenset()

    def processes(self, fields: Iterable[str], *, threads: bool = False) -> Iterator[Process]:
        self.fields = self.fields if threads else frozenset(fields)
        return iter(self.thread_rows if threads else self.rows)

    def arguments(self, pid: int) -> tuple[str, ...]:
        self.asked.append(("arguments", pid))
        if pid not in self.argv:
            raise kvm.ProcessGone(f"process {pid} is gone")
        return self.argv[pid]

    def executable(self, pid: int) -> str | None:
        self.asked.append(("executable", pid))
        if pid not in self.exe:
            raise kvm.AccessDenied(f"process {pid}: not yours")
        return self.exe[pid]


def process(pid: int, comm: str = "a", **fields: object) -> Process:
    """A row with as much as every kernel tells."""
    return Process(pid, comm, **{"state": "sleeping", "start_seconds": 1e9 + pid} | fields)


def samples(families: Iterable[Family], name: str) -> dict[tuple[str, ...], float]:
    """The samples of a family of groups, none when it is not there."""
    found = [family for family in families if family.metric.name in (name, GROUP + name)]
    return {labels: value for family in found for labels, value in family.samples}


def grouped(options: ProcessOptions, fake: FakeKvm) -> set[tuple[str, ...]]:
    """The label values of all groups after one collection."""
    families = list(start(options)(fake))
    return {labels[:-1] for labels in samples(families, "processes")}


class Told:
    """A collector with its kernel; each call collects these rows."""

    def __init__(self, options: ProcessOptions = BY_COMM, fake: FakeKvm | None = None) -> None:
        self.kvm = fake or FakeKvm()
        self.collect = start(options)

    def __call__(self, *rows: Process) -> list[Family]:
        self.kvm.rows = rows
        return list(self.collect(self.kvm))


# ---- rules


ROOT = pwd.getpwuid(0).pw_name
RULES = {
    # name: (rule, fields of the process, its arguments, its program, the group or None)
    "comm": (Rule("x", comm=("b", "a")), {}, None, None, "x"),
    "other comm": (Rule("x", comm=("b", "aa")), {}, None, None, None),
    "comm in the name": (Rule("it is {comm}"), {}, None, None, "it is a"),
    "unknown comm": (Rule("{comm}"), {"comm": None}, None, None, None),
    "braces": (Rule("{{{comm}}}"), {}, None, None, "{a}"),
    "program by path": (Rule("x", exe=("/bin/sh",)), {}, None, "/bin/sh", "x"),
    "program by file name": (Rule("x", exe=("sh",)), {}, None, "/bin/sh", "x"),
    "other path": (Rule("x", exe=("/usr/bin/sh",)), {}, None, "/bin/sh", None),
    "program in the name": (Rule("{exe_base} {exe}"), {}, None, "/bin/sh", "sh /bin/sh"),
    "replaced program": (Rule("{exe}"), {}, None, "/bin/sh (deleted)", "/bin/sh"),
    "unreadable program": (Rule("{exe}"), {}, None, None, None),
    "all patterns": (
        Rule("x", cmdline=(re.compile("a b"), re.compile("c"))),
        {},
        "a b c",
        None,
        "x",
    ),
    "one pattern fails": (
        Rule("x", cmdline=(re.compile("a"), re.compile("d"))),
        {},
        "a b",
        None,
        None,
    ),
    "captures": (
        Rule(
            "{v}-{w}{u}", cmdline=(re.compile(r"-v (?P<v>\w)(?P<u>y)?"), re.compile(r"-w(?P<w>\w)"))
        ),
        {},
        "p -v 1 -w2",
        None,
        "1-2",
    ),
    "empty capture": (Rule("{v}", cmdline=(re.compile("a(?P<v>b)?"),)), {}, "a", None, None),
    "unreadable arguments": (Rule("x", cmdline=(re.compile(""),)), {}, None, None, None),
    "user by name": (Rule("{user}", user=(ROOT,)), {"uid": 0}, None, None, ROOT),
    "user by number": (Rule("x", user=("0",)), {"uid": 0}, None, None, "x"),
    "user without a name": (Rule("{user}"), {"uid": 3999888777}, None, None, "3999888777"),
    "other user": (Rule("x", user=("1",)), {"uid": 0}, None, None, None),
    "unknown user": (Rule("x", user=("0",)), {}, None, None, None),
    "jail": (Rule("jail {jail}", jail=(0, 3)), {"jail": 3}, None, None, "jail 3"),
    "the host is jail 0": (Rule("{jail}", jail=(0,)), {"jail": 0}, None, None, "0"),
    "other jail": (Rule("x", jail=(0, 3)), {"jail": 33}, None, None, None),
    "unknown jail": (Rule("x", jail=(0,)), {}, None, None, None),
    "control group": (
        Rule("{unit}", cgroup=(re.compile("^/no"), re.compile(r"/(?P<unit>\w+)\.service$"))),
        {"cgroup": "/system.slice/cron.service"},
        None,
        None,
        "cron",
    ),
    "other control group": (
        Rule("x", cgroup=(re.compile("b"),)),
        {"cgroup": "/"},
        None,
        None,
        None,
    ),
    "unknown control group": (Rule("x", cgroup=(re.compile(""),)), {}, None, None, None),
    "of the kernel": (Rule("k", kernel=True), {"flags": 0x00200040}, None, None, "k"),
    "not of the kernel": (Rule("k", kernel=True), {"flags": 0x00400040}, None, None, None),
    "flags unknown": (Rule("p", kernel=False), {}, None, None, "p"),
    "every condition": (Rule("x", comm=("a",), user=("1",)), {"uid": 0}, None, None, None),
    "not UTF-8": (Rule("{comm}"), {"comm": "\udcff\udce4b"}, None, None, "\ufffd\ufffdb"),
    "very long": (Rule("{comm}"), {"comm": "x" * 99999}, None, None, "x" * MAX_LABEL),
}


@pytest.mark.parametrize("name", RULES)
def test_rule(name: str) -> None:
    """A rule matches a process when all its conditions hold, and makes its group's name."""
    rule, fields, line, exe, group = RULES[name]
    fake = FakeKvm()
    fake.rows = [process(7)._replace(**fields)]
    fake.argv = {} if line is None else {7: tuple(line.split())}
    fake.exe = {} if exe is None else {7: exe}
    found = grouped(ProcessOptions(groups=(rule,)), fake)
    assert found == (set() if group is None else {(group,)})


def test_kernel_flag_of_freebsd() -> None:
    """FreeBSD marks its own processes with P_KPROC."""
    fake = FakeKvm("freebsd")
    fake.rows = [process(1, flags=0x10000204), process(2, flags=0x00200000)]
    assert grouped(ProcessOptions(), fake) == {("kernel",), ("a",)}


def test_kernel_flag_of_linux_is_right() -> None:
    """The flag for kernel threads is the one that marks kthreadd's children here."""
    kernel = Path("/proc/2/stat")
    if not kernel.exists() or not kernel.read_text().startswith("2 (kthreadd)"):
        pytest.skip("no kernel threads to see here")
    flags = [
        int(stat.read_text().rpartition(")")[2].split()[6])
        for stat in (kernel, Path("/proc/self/stat"))
    ]
    assert [bool(flag & KERNEL_FLAGS["linux"]) for flag in flags] == [True, False]


def test_first_match_wins() -> None:
    """The first rule that matches names the group; what none matches is in no group."""
    told = Told(ProcessOptions(groups=(Rule("1", comm=("a",)), Rule("2", comm=("a", "b")))))
    families = told(process(1, "a"), process(2, "b"), process(3, "c"))
    assert samples(families, "processes") == {("1", "sleeping"): 1, ("2", "sleeping"): 1}
    assert samples(families, "kvm_processes") == {("sleeping",): 3}


def test_programs_are_read_once() -> None:
    """Arguments and program are asked for once a process, and only if a rule needs them."""
    rules = (Rule("x", comm=("a",)), Rule("{exe}", cmdline=(re.compile("z"),)), Rule("y {exe}"))
    told = Told(ProcessOptions(groups=rules))
    told.kvm.argv = {2: ("q",)}
    told.kvm.exe = {2: "/b"}
    for _ in range(3):
        families = told(process(1, "a"), process(2, "b"))
    assert sorted(told.kvm.asked) == [("arguments", 2), ("executable", 2)]
    assert set(samples(families, "processes")) == {("x", "sleeping"), ("y /b", "sleeping")}


def test_only_needed_fields_are_asked() -> None:
    """Fields that cost a system call are asked for only if a rule or label needs them."""
    told = Told(BY_COMM)
    told()
    assert not told.kvm.fields & {"uid", "jail", "cgroup", "flags"}
    assert told.kvm.fields >= {"comm", "pid", "start_seconds", *COUNTERS}
    rules = (Rule("k", kernel=True), Rule("{user}", cgroup=(re.compile("x"),)))
    told = Told(ProcessOptions(groups=rules, labels=("jail",), wait_channels=False))
    told()
    assert told.kvm.fields >= {"uid", "jail", "cgroup", "flags"}
    assert "wait_channel" not in told.kvm.fields


def test_labels() -> None:
    """User and jail split a group when asked for; an unknown one is an empty label."""
    told = Told(ProcessOptions(groups=(Rule("g"),), labels=("user", "jail")))
    families = told(process(1, uid=0, jail=2), process(2, uid=0))
    assert samples(families, "processes") == {
        ("g", ROOT, "2", "sleeping"): 1,
        ("g", ROOT, "", "sleeping"): 1,
    }
    assert {f.metric.labels for f in families if f.metric.name.endswith("group_processes")} == {
        ("group", "user", "jail", "state")
    }


def test_per_pid() -> None:
    """A rule with per_pid gives each process its own series, which end with it."""
    told = Told(ProcessOptions(groups=(Rule("p", comm=("a",), per_pid=True), Rule("{comm}"))))
    rows = process(1, "a"), process(2, "a"), process(3, "b")
    assert set(samples(told(*rows), "processes")) == {
        ("p", "1", "sleeping"),
        ("p", "2", "sleeping"),
        ("b", "", "sleeping"),
    }
    assert set(samples(told(rows[0]), "processes")) == {
        ("p", "1", "sleeping"),
        ("b", "", "sleeping"),
    }


def test_budget() -> None:
    """Groups beyond the budget are one group, _other, and nothing is lost."""
    told = Told(ProcessOptions(groups=(Rule("{comm}", per_pid=True),), max_groups=2))
    rows = [process(pid, f"c{pid}", user_seconds=pid) for pid in range(1, 6)]
    found = samples(told(*rows), "cpu_seconds_total")
    assert found == {("c1", "1", "user"): 1, ("c2", "2", "user"): 2, ("_other", "", "user"): 12}


# ---- accounting


def cpu(families: Iterable[Family]) -> dict[str, float]:
    """User time by group."""
    found = samples(families, "cpu_seconds_total")
    return {labels[0]: value for labels, value in found.items() if labels[-1] == "user"}


ANCHORS = tuple(process(pid, "anchor") for pid in range(900, 910))
"""Processes that stay: without them every start is another, which is a step of the clock."""


def test_counts_from_birth() -> None:
    """A process seen for the first time brings all that it did."""
    told = Told()
    assert cpu(told(process(1, user_seconds=5.0))) == {"a": 5}
    assert cpu(told(process(1, user_seconds=6.0), process(2, user_seconds=3.0))) == {"a": 9}


def test_counters_survive_exit() -> None:
    """What a process did stays counted when it ends; the group then uses nothing."""
    told = Told()
    told(
        process(1, user_seconds=5.0, resident_bytes=4096, threads=2, open_files=3, max_open_files=9)
    )
    families = told()
    assert cpu(families) == {"a": 5}
    assert samples(families, "processes") == {("a", "sleeping"): 0}
    for name in ("resident_memory_bytes", "threads", "open_fds"):
        assert samples(families, name) == {("a",): 0}
    for name in ("worst_fd_ratio", "oldest_start_time_seconds", "swap_bytes"):
        assert samples(families, name) == {}


def test_reused_pid() -> None:
    """A pid with another start is another process, with all that it did."""
    told = Told()
    told(*ANCHORS, process(1, user_seconds=5.0))
    assert cpu(told(*ANCHORS, process(1, user_seconds=2.0, start_seconds=2e9)))["a"] == 7
    assert cpu(told(*ANCHORS, process(1, user_seconds=6.0, start_seconds=3e9)))["a"] == 13


def test_falling_counter() -> None:
    """A counter of one process that falls counts for nothing until it is higher than before."""
    told = Told()
    for value, total in ((5.0, 5), (3.0, 5), (4.0, 5), (7.0, 7)):
        assert cpu(told(process(1, user_seconds=value))) == {"a": total}


@pytest.mark.parametrize("step", [-3600.0, 3600.0, 0.003])
def test_step_of_the_clock(step: float) -> None:
    """When the clock is stepped, all starts move; the processes are the same as before."""
    told = Told()
    rows = [process(pid, user_seconds=1.0) for pid in range(1, 9)]
    told(*rows)
    moved = [row._replace(start_seconds=row.start_seconds + step) for row in rows]
    moved[3] = moved[3]._replace(start_seconds=5e9)  # but this pid was used again
    assert cpu(told(*moved)) == {"a": 9}
    assert cpu(told(*moved)) == {"a": 9}


def test_unknown_start() -> None:
    """Where no start is known the pid alone names the process."""
    told = Told()
    for value in (1.0, 4.0):
        families = told(process(1, user_seconds=value, start_seconds=None))
    assert cpu(families) == {"a": 4}
    assert samples(families, "oldest_start_time_seconds") == {}


def test_new_comm() -> None:
    """A process with a new comm (exec) is in its new group at once; what it did before is not."""
    told = Told()
    told(process(1, "sh", user_seconds=5.0))
    families = told(process(1, "make", user_seconds=7.0))
    assert cpu(families) == {"sh": 5, "make": 2}
    assert samples(families, "processes") == {("sh", "sleeping"): 0, ("make", "sleeping"): 1}


def test_moved_idle_process() -> None:
    """A group has the counters that its members know, at 0 before they did anything there."""
    told = Told()
    told(process(1, "sh", user_seconds=5.0))
    assert cpu(told(process(1, "make", user_seconds=5.0))) == {"sh": 5, "make": 0}


def test_new_user() -> None:
    """A daemon that drops its privileges changes its group at once, if users tell groups apart."""
    told = Told(ProcessOptions(groups=(Rule("{user}"),)))
    told(process(1, uid=0))
    assert samples(told(process(1, uid=3999888777)), "processes") == {
        (ROOT, "sleeping"): 0,
        ("3999888777", "sleeping"): 1,
    }


def test_rematch() -> None:
    """After the rematch interval, and not much before, rules are asked again."""
    options = ProcessOptions(rematch_interval_seconds=100)
    ledger = Ledger(options, ("comm",), ("_other",))
    asked = []

    def key_of(one: Process) -> tuple[str, ...]:
        asked.append(one.pid)
        return ("g",)

    for now, times in ((0, 1), (49, 1), (100, 2)):
        ledger.update([process(pid) for pid in range(64)], key_of, now)
        assert sorted(asked) == sorted(list(range(64)) * times)


def test_group_ttl() -> None:
    """A group without processes goes on for its time to live, then its series end."""
    options = ProcessOptions(group_ttl_seconds=100)
    ledger = Ledger(options, ("comm",), ("_other",))
    found = []
    for now, rows in ((0, [process(1)]), (50, [process(1)]), (150, []), (151, [])):
        ledger.update(rows, lambda one: (one.comm,), now)
        found.append(set(ledger.groups))
    assert found == [{("a",)}, {("a",)}, {("a",)}, set()]


def test_room_again() -> None:
    """When groups end, processes that had no room get their own group at the next match."""
    options = ProcessOptions(max_groups=1, group_ttl_seconds=1, rematch_interval_seconds=10)
    ledger = Ledger(options, ("comm",), ("_other",))
    for now, rows in (
        (0, [process(1, "a"), process(2, "b")]),
        (5, [process(2, "b")]),
        (20, [process(2, "b")]),
    ):
        ledger.update(rows, lambda one: (one.comm,), now)
    assert ("b",) in ledger.groups


def test_broken_listing() -> None:
    """A listing that breaks off half-way doubles nothing and loses nothing."""
    told = Told()

    def broken() -> Iterator[Process]:
        yield process(1, user_seconds=5.0)
        yield process(2, user_seconds=6.0)
        raise kvm.FormatError("nonsense")

    told(process(1, user_seconds=1.0), process(3, user_seconds=2.0))
    told.kvm.rows = broken()
    with pytest.raises(kvm.FormatError):
        list(told.collect(told.kvm))
    families = told(*(process(pid, user_seconds=6.0) for pid in (1, 2, 3)))
    assert cpu(families) == {"a": 18}
    assert samples(families, "processes") == {("a", "sleeping"): 3}


def test_unknown_figures() -> None:
    """What no member knows has no series; of what some know, the known part is the sum."""
    told = Told()
    families = told(
        process(1, "a", read_bytes=10, open_files=4),
        process(2, "a"),
        process(3, "b"),
    )
    assert samples(families, "io_bytes_total") == {("a", "read"): 10}
    assert samples(families, "open_fds") == {("a",): 4}
    assert samples(families, "io_operations_total") == {}


def test_figure_known_for_a_time() -> None:
    """A figure that was refused for a while counts on from the last known one."""
    told = Told()
    for value in (10, None, 30):
        families = told(process(1, read_bytes=value))
    assert samples(families, "io_bytes_total") == {("a", "read"): 30}


def test_gauges() -> None:
    """Gauges are sums over the members of this moment, or their extreme."""
    rows = (
        process(1, state="running", threads=2, resident_bytes=1, virtual_bytes=10, swap_bytes=5),
        process(2, state="zombie", threads=1, resident_bytes=2, virtual_bytes=20, swap_bytes=0),
        process(3, state=None, open_files=5, max_open_files=10, wait_channel="pipe"),
        process(4, open_files=5, max_open_files=5, wait_channel="pipe"),
        process(5, open_files=5, max_open_files=0),
    )
    families = Told()(*rows)
    states = {"running": 1, "zombie": 1, "unknown": 1, "sleeping": 2}
    assert samples(families, "processes") == {("a", state): n for state, n in states.items()}
    assert samples(families, "kvm_processes") == {(state,): n for state, n in states.items()}
    for name, value in (
        ("threads", 3),
        ("resident_memory_bytes", 3),
        ("virtual_memory_bytes", 30),
        ("swap_bytes", 5),
        ("open_fds", 15),
        ("worst_fd_ratio", 1.0),
        ("oldest_start_time_seconds", 1e9 + 1),
    ):
        assert samples(families, name) == {("a",): value}, name
    assert samples(families, "wait_channels") == {("a", "pipe"): 2}
    assert samples(families, "kvm_threads") == {(): 3}


def test_threads() -> None:
    """With ``threads`` every thread's state and wait channel counts for its process's group."""
    told = Told(ProcessOptions(groups=(Rule("{comm}"),), threads=True))
    told.kvm.thread_rows = [
        Process(1, tid=1, state="running"),
        Process(1, tid=2, state="sleeping", wait_channel="futex"),
        Process(9, tid=9, state="sleeping", wait_channel="born since"),
    ]
    families = told(process(1, wait_channel="process"))
    assert samples(families, "threads_by_state") == {("a", "running"): 1, ("a", "sleeping"): 1}
    assert samples(families, "wait_channels") == {("a", "futex"): 1}


def test_no_wait_channels() -> None:
    """Without ``wait_channels`` there is no such family, whatever the kernel tells."""
    for threads in (False, True):
        told = Told(ProcessOptions(wait_channels=False, threads=threads))
        told.kvm.thread_rows = [Process(1, tid=1, state="running", wait_channel="x")]
        assert samples(told(process(1, wait_channel="x")), "wait_channels") == {}


PROCESS_EXPORTER = {
    # its family without namedprocess_namegroup_ (-threads=false -gather-smaps=false), ours
    "num_procs": "processes",
    "states": "processes",
    "cpu_seconds_total": "cpu_seconds_total",
    "read_bytes_total": "io_bytes_total",
    "write_bytes_total": "io_bytes_total",
    "major_page_faults_total": "page_faults_total",
    "minor_page_faults_total": "page_faults_total",
    "context_switches_total": "context_switches_total",
    "memory_bytes": "resident_memory_bytes virtual_memory_bytes swap_bytes",
    "open_filedesc": "open_fds",
    "worst_fd_ratio": "worst_fd_ratio",
    "oldest_start_time_seconds": "oldest_start_time_seconds",
    "num_threads": "threads",
    "threads_wchan": "wait_channels",
}


def test_every_family_of_process_exporter() -> None:
    """With default options there is a counterpart to every family of process-exporter."""
    full = process(1, **dict.fromkeys(Process._fields[5:], 1) | {"wait_channel": "x"})
    given = {family.metric.name for family in Told(ProcessOptions())(full)}
    asked = {GROUP + name for names in PROCESS_EXPORTER.values() for name in names.split()}
    assert asked <= given


def test_families_are_declared() -> None:
    """Every family that is given is one of the collector's metrics, and all speak of kvm(3)."""
    full = process(1, **dict.fromkeys(Process._fields[5:], 1) | {"wait_channel": "x"})
    told = Told(ProcessOptions(threads=True))
    told.kvm.thread_rows = [full]
    given = {family.metric.name for family in told(full)}
    assert given == {metric.name for metric in COLLECTOR.metrics}
    assert all("kvm(3)" in metric.help for metric in COLLECTOR.metrics)


VALUES = st.none() | st.integers(0, 50)
MOMENTS = st.lists(
    st.dictionaries(st.integers(1, 4), st.tuples(st.integers(0, 2), VALUES, VALUES)), max_size=12
)


@given(MOMENTS)
def test_totals_are_the_sum_of_each_process(
    moments: list[dict[int, tuple[int, int | None, int | None]]],
) -> None:
    """Whatever happens, a total never falls and is the sum of every process's highest figure."""
    told = Told()
    highest: dict[tuple[int, int, int, str], int] = {}
    alive: dict[int, tuple[int, int]] = {}
    before: dict[tuple[str, ...], float] = defaultdict(float)
    for moment, rows in enumerate(moments):
        # a pid that was away, or has another start, is another process
        alive = {
            pid: alive[pid] if alive.get(pid, (None,))[0] == life else (life, moment)
            for pid, (life, _, _) in rows.items()
        }
        for pid, (_, read, written) in rows.items():
            for name, value in (("read", read), ("write", written)):
                if value is not None:
                    key = (pid, *alive[pid], name)
                    highest[key] = max(highest.get(key, 0), value)
        families = told(
            *ANCHORS,
            *(
                process(pid, start_seconds=float(life), read_bytes=read, write_bytes=written)
                for pid, (life, read, written) in rows.items()
            ),
        )
        found = samples(families, "io_bytes_total")
        wanted: dict[tuple[str, str], int] = defaultdict(int)
        for (*_, name), value in highest.items():
            wanted["a", name] += value
        assert found == wanted
        assert all(found[key] >= value for key, value in before.items())
        before = found


# ---- on this machine


def test_live() -> None:
    """A child is in its group with what psutil says of it, and stays counted when killed."""
    token = f"token{os.getpid()}"
    burn = (
        "import sys,time\nwhile time.process_time()<0.1: pass\nprint(flush=True); sys.stdin.read()"
    )
    rule = Rule("{t}", cmdline=(re.compile(rf"(?P<t>{token})$"),))
    collect = start(ProcessOptions(groups=(rule,)))
    command = [sys.executable, "-c", burn, token]
    with (
        kvm.open() as handle,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child,
    ):
        child.stdout.readline()
        before = psutil.Process(child.pid)
        low = sum(before.cpu_times()[:2])
        families = list(collect(handle))
        high = sum(before.cpu_times()[:2])
        used = sum(samples(families, "cpu_seconds_total").values())
        assert low - 0.011 <= used <= high + 0.011  # a clock tick of rounding
        assert sum(samples(families, "processes").values()) == 1
        assert samples(families, "threads") == {(token,): before.num_threads()}
        assert samples(families, "open_fds") == {(token,): before.num_fds()}
        assert samples(families, "virtual_memory_bytes") == {(token,): before.memory_info().vms}
        born = samples(families, "oldest_start_time_seconds")[token,]
        assert born == pytest.approx(before.create_time(), abs=1.1)
        child.kill()
        child.wait()
        families = list(collect(handle))
    assert sum(samples(families, "cpu_seconds_total").values()) == used
    assert sum(samples(families, "processes").values()) == 0
