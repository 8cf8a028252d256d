"""Does a real FreeBSD 15.1 decode to what its own tools and the real libkvm printed?

The recordings were made within seconds of each other, in the order of USERS, then libkvm's, then
the tools'.  What does not change is compared exactly; what only rises must rise in that order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
from forge import freebsd, freebsd_facts
from forge.freebsd_facts import printed
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.objects.freebsd import loadavg
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.tally import Tally

USERS = ("root", "nobody", "nobody-hidden")
LIBKVM = "libkvm-live-root.txt.gz"
TEXTS = "sysctl-a.txt.gz"
NAMES = {0x33: "vtbd4", 0x34: "vtbd5"}


def live(user: str, tally: Tally | None = None) -> FreeBSDLive:
    """The recorded kernel as ``user`` saw it."""
    return FreeBSDLive(freebsd_facts.sysctl(user), NAMES.__getitem__, tally or Tally())


def rises(*values: float | None) -> bool:
    """Whether none is missing and none is below the one before it."""
    known = [value for value in values if value is not None]
    return known == sorted(known) and len(known) == len(values)


@pytest.mark.parametrize("user", USERS)
def test_swap_is_what_pstat_and_libkvm_say(user: str) -> None:
    """Sizes as pstat -s, usable sizes as kvm_getswapinfo, names as both; nothing was used."""
    rows = re.findall(
        r"^(/dev/\S+) +(\d+) +(\d+) ", freebsd_facts.text("tools.txt.gz"), re.MULTILINE
    )
    usable = re.findall(
        r"^swap \d dev=(\S+) used=(\d+) total=(\d+)", freebsd_facts.text(LIBKVM), re.MULTILINE
    )
    found = live(user).swap_devices()
    assert [(d.name, d.size_bytes // 1024, d.used_bytes // 1024) for d in found] == [
        (name, int(size), int(used)) for name, size, used in rows[:2]
    ]
    assert [(d.name, d.used_bytes, d.usable_bytes) for d in found] == [
        (f"/dev/{name}", int(used) * 4096, int(total) * 4096) for name, used, total in usable
    ]


def test_the_load_is_what_getloadavg_said() -> None:
    """The bytes that libkvm read at averunnable, and what its kvm_getloadavg made of them."""
    raw = bytes.fromhex(printed(r"^rd averunnable 32 ret=32 (\w+)", LIBKVM))[:24]
    tree = {"hw.machine_arch": freebsd.machine("amd64"), "vm.loadavg": raw}
    found = loadavg.from_live(Answers(ForgedSysctl(tree), Tally()))
    said = printed(r"^getloadavg ret=3 (.*)", LIBKVM).split()
    assert [found.one, found.five, found.fifteen] == pytest.approx([float(x) for x in said])


@pytest.mark.parametrize("user", USERS)
def test_the_load_is_near_what_sysctl_prints(user: str) -> None:
    """The machine was getting busy: each later reading is higher."""
    found = live(user).load_average()
    one, five, fifteen = map(float, printed(r"vm\.loadavg: \{ (.*) \}").split())
    assert 0 < found.one <= one
    assert 0 < found.five <= five
    assert 0 < found.fifteen <= fifteen


def test_cpu_times_lie_between_earlier_and_later_ticks() -> None:
    """In every mode, from sysctl to kvm_getcptime to sysctl(8), in seconds of 127 ticks."""
    libkvm = [int(x) / 127 for x in printed(r"^getcptime ret=0 (.*)", LIBKVM).split()]
    tools = [int(x) / 127 for x in printed(r"^kern\.cp_time: (.*)").split()]
    ours = [live(user).cpu_times() for user in USERS]
    for mode, later, latest in zip(
        ("user", "nice", "system", "interrupt", "idle"), libkvm, tools, strict=True
    ):
        assert rises(*(getattr(times, mode) for times in ours), later, latest), mode


@pytest.mark.parametrize("user", USERS)
def test_the_cpus_add_up_to_the_sum(user: str) -> None:
    """kern.cp_times was read a moment after kern.cp_time, or before it: within a second."""
    system = live(user)
    whole, parts = system.cpu_times(), system.cpu_times_per_cpu()
    assert [times.cpu for times in parts] == [0, 1]
    for mode in ("user", "nice", "system", "interrupt", "idle"):
        total = sum(getattr(times, mode) for times in parts)
        assert total == pytest.approx(getattr(whole, mode), abs=1)


VMSTAT: Mapping[str, Callable[[FreeBSDLive], int | None]] = {
    "cpu context switches": lambda system: system.kernel().context_switches,
    "device interrupts": lambda system: system.kernel().interrupts,
    "software interrupts": lambda system: system.kernel().soft_interrupts,
    "traps": lambda system: system.kernel().traps,
    "system calls": lambda system: system.kernel().system_calls,
    "swap pager pageins": lambda system: system.swap_activity().in_operations,
    "swap pager pageouts": lambda system: system.swap_activity().out_operations,
    "vnode pager pageins": lambda system: system.memory().counters["vnodein"],
    "vnode pager pages paged in": lambda system: system.memory().counters["vnodepgsin"],
    "copy-on-write faults": lambda system: system.memory().counters["cow_faults"],
    "zero fill pages zeroed": lambda system: system.memory().counters["zfod"],
    "total VM faults taken": lambda system: system.memory().counters["vm_faults"],
    "page faults requiring I/O": lambda system: system.memory().counters["io_faults"],
    "pages affected by  fork\\(\\)": lambda system: system.memory().counters["forkpages"],
    "pages freed by exiting processes": lambda system: system.memory().counters["pfree"],
    "pages examined by the page daemon": lambda system: system.memory().counters["pdpages"],
    "kernel threads created": lambda system: system.memory().counters["kthreads"],
}


@pytest.mark.parametrize("line", VMSTAT)
def test_counters_rise_to_what_vmstat_printed(line: str) -> None:
    """Each line of vmstat -s, from three earlier readings of its sysctl."""
    last = int(printed(rf"^ +(\d+) +{line}$"))
    assert rises(*(VMSTAT[line](live(user)) for user in USERS), last)


def test_forks_rise_to_what_vmstat_printed() -> None:
    """The sum of its three lines of forks."""
    last = sum(int(printed(rf"^ +(\d+) +{kind}\(\) calls$")) for kind in ("fork", "vfork", "rfork"))
    assert rises(*(live(user).kernel().forks for user in USERS), last)


@pytest.mark.parametrize("user", USERS)
def test_what_never_changes_is_what_the_tools_print(user: str) -> None:
    """Boot time, limits, memory size and the kernel's name, exactly."""
    system = live(user)
    kernel = system.kernel()
    seconds = printed(r"^kern\.boottime: \{ sec = (\d+)")
    micros = printed(r"^kern\.boottime: .* usec = (\d+)")
    assert kernel.boot_time_seconds == pytest.approx(int(seconds) + int(micros) / 1e6)
    assert kernel.max_processes == int(printed(r"^kern\.maxproc: (\d+)"))
    assert kernel.max_files == int(printed(r"^ *\d+/(\d+) files$"))
    assert kernel.max_vnodes == int(printed(r"^kern\.maxvnodes: (\d+)", TEXTS))
    assert system.page_size == int(printed(r"^vm\.stats\.vm\.v_page_size: (\d+)"))
    memory = system.memory()
    assert memory.size_bytes == int(printed(r"^hw\.physmem: (\d+)"))
    assert memory.levels["free_target"] == int(
        printed(r"^vm\.stats\.vm\.v_free_target: (\d+)", TEXTS)
    )
    uname = system.uname()
    words = (uname.sysname, uname.nodename, uname.release, uname.version, uname.machine)
    said = printed(r"^(FreeBSD testrig .*)$")
    assert " ".join(" ".join(words).split()) == " ".join(said.split())


@pytest.mark.parametrize("user", USERS)
def test_the_queues_hold_most_of_memory(user: str) -> None:
    """Each page is on one queue: together no more than v_page_count, and nearly that."""
    pages = int(printed(r"^vm\.stats\.vm\.v_page_count: (\d+)"))
    held = sum(live(user).memory().queues.values()) / 4096
    assert 0.95 * pages < held <= pages


def test_an_ordinary_user_loses_nothing_here() -> None:
    """Load, swap, CPU, memory and kernel are open to all; only what was not recorded is missing."""
    missing = {}
    for user in USERS:
        tally = Tally()
        system = live(user, tally)
        system.load_average()
        system.swap_devices()
        system.swap_activity()
        system.cpu_times_per_cpu()
        system.memory()
        system.kernel()
        system.uname()
        missing[user] = tally.counts()
    assert missing == {user: {("kern.maxthread", "ENOENT"): 1} for user in USERS}
