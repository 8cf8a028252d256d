"""A whole scrape of a real FreeBSD 15.1, as root and as nobody, beside what its own tools printed.

The sysctls were recorded as root, as nobody and as nobody with see_other_uids=0, then the real
libkvm spoke and then the tools, all within seconds.  What does not change is compared exactly; what
only rises lies below the tools' later figure.
"""

from __future__ import annotations

import errno
import os
import re
from collections import Counter, defaultdict

import pytest
from forge import freebsd_facts
from forge.freebsd_facts import printed
from prometheus_client.parser import text_string_to_metric_families as parse

from kvm_exporter import config
from kvm_exporter.kvm import Kvm
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.objects.opened import Opened
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.outputs.exposition import render
from kvm_exporter.self_metrics import SelfMetrics
from kvm_exporter.snapshot import Collection

USERS = ("root", "nobody", "nobody-hidden")
EVERYTHING = ("root", "nobody")
"""Who sees every process."""

DEVICES = {0x33: "vtbd4", 0x34: "vtbd5"}
SELF = 77
"""A recorded process, taken for the exporter."""

BUSY = ("hog", "ps", "sh", "sysrec")
"""Programs that came, went or worked between two recordings; sysrec made the first."""

STATES = {"D": "waiting", "W": "waiting", "S": "sleeping", "I": "sleeping", "T": "stopped"}
KERNEL = 0x4
"""P_KPROC in ps(1)'s F."""


class NoTouching:
    """The kernel's memory and symbols, which no collector may need: there is no privilege."""

    def __getattr__(self, name):
        raise AssertionError(f"a scrape asked for kernel memory or symbols: {name}")


class Scrape:
    """A scrape as prometheus_client reads its text: name → {sorted label values: value}."""

    def __init__(self, sysctl):
        tally = Tally()
        system = FreeBSDLive(sysctl, DEVICES.__getitem__, tally)
        kvm = Kvm(Opened(system, NoTouching(), NoTouching(), tally, lambda: None))
        collection = Collection(config.default(), lambda: kvm, SelfMetrics())
        snapshot = collection.collect()
        self.errors = {one.name: one.error for one in collection.states if one.error}
        text = render([family for part in snapshot.parts for family in part.families]).decode()
        self.families = defaultdict(dict)
        for family in parse(text):
            for sample in family.samples:
                key = tuple(value for _, value in sorted(sample.labels.items()))
                self.families[sample.name][key] = sample.value

    def __getitem__(self, name):
        return self.families[name]

    def one(self, name):
        """The value of a family without labels."""
        return self.families[name][()]


@pytest.fixture
def scrape(monkeypatch):
    """A maker of scrapes as a user; ``changes`` are answers put over the recorded ones."""
    monkeypatch.setattr(os, "getpid", lambda: SELF)

    def scraped(user, **changes):
        sysctl = freebsd_facts.sysctl(user)
        sysctl.answers.update(changes)
        return Scrape(sysctl)

    return scraped


def listed():
    """Rows of the long form, by pid: comm or ``kernel``, state letter, RSS in bytes, CPU time."""
    table = freebsd_facts.text("tools.txt.gz").split("### ps2\n")[1].split("\n### ")[0]
    rows = {}
    for line in table.splitlines()[1:]:
        words = line.split()
        group = "kernel" if int(words[11], 16) & KERNEL else words[-1]
        minutes, seconds = words[17].split(":")
        cpu = int(minutes) * 60 + float(seconds)
        rows[int(words[0])] = (group, words[12][0], int(words[16]) * 1024, cpu)
    return rows


@pytest.mark.parametrize("user", USERS)
def test_every_collector_succeeds(scrape, user):
    """For whoever asks, without kernel memory; what was not recorded is missing, and is counted."""
    got = scrape(user)
    assert got.errors == {}
    assert set(got["kvm_collector_success"].values()) == {1}
    assert got["kvm_exporter_refused_reads_total"] == {("ENOENT", "kern.maxthread"): 1}


@pytest.mark.parametrize("user", USERS)
def test_swap_is_as_pstat_prints_it(scrape, user):
    """Both devices and their total, in pstat -s's kilobytes."""
    got = scrape(user)
    lines = re.findall(
        r"^(/dev/\S+|Total) +(\d+) +(\d+) ", printed(r"### pstat -s\n((?:.*\n){4})"), re.MULTILINE
    )
    *devices, total = ((name, int(size) * 1024, int(used) * 1024) for name, size, used in lines)
    assert len(devices) == 2
    assert got["kvm_swap_size_bytes"] == {(name,): size for name, size, _ in devices}
    assert got["kvm_swap_used_bytes"] == {(name,): used for name, _, used in devices}
    assert total[1:] == (
        got.one("kvm_swap_total_size_bytes"),
        got.one("kvm_swap_total_used_bytes"),
    )


def test_load_is_what_libkvm_printed(scrape):
    """Nobody asked in the same five seconds as libkvm; root before that, when there was less."""
    names = ("kvm_load1", "kvm_load5", "kvm_load15")
    words = printed(r"^getloadavg ret=3 (.*)", "libkvm-live-root.txt.gz").split()
    said = list(map(float, words))
    for user in ("nobody", "nobody-hidden"):
        assert [scrape(user).one(name) for name in names] == said
    earlier = [scrape("root").one(name) for name in names]
    assert all(0 < before < value for before, value in zip(earlier, said, strict=True))


VMSTAT = {
    "kvm_context_switches_total": ("cpu context switches",),
    "kvm_interrupts_total": ("device interrupts",),
    "kvm_system_calls_total": ("system calls",),
    "kvm_traps_total": ("traps",),
    "kvm_forks_total": (r" fork\(\) calls", r"vfork\(\) calls", r"rfork\(\) calls"),
}


@pytest.mark.parametrize("name", VMSTAT)
def test_counters_rise_to_what_vmstat_prints(scrape, name):
    """From user to user, and then to the line (or lines) of vmstat -s."""
    last = sum(int(printed(rf"^ +(\d+) {line}$")) for line in VMSTAT[name])
    values = [*(scrape(user).one(name) for user in USERS), last]
    assert values == sorted(values)
    assert values[0] > 0.3 * last


@pytest.mark.parametrize("user", USERS)
def test_cpu_time_is_below_the_later_ticks(scrape, user):
    """The sum over CPUs of every mode, in ticks of 1/127 s, is most of sysctl's kern.cp_time."""
    ticks = Counter()
    for (_, mode), seconds in scrape(user)["kvm_cpu_seconds_total"].items():
        ticks[mode] += seconds * 127
    later = [int(x) for x in printed(r"^kern\.cp_time: (.*)").split()]
    for mode, most in zip(("user", "nice", "system", "interrupt", "idle"), later, strict=True):
        assert 0.6 * most < ticks[mode] <= most + 0.01, mode


@pytest.mark.parametrize("user", USERS)
def test_what_never_changes_is_what_the_tools_print(scrape, user):
    """Boot time, memory size, limits and every word of uname."""
    got = scrape(user)
    boot = re.search(r"sec = (\d+), usec = (\d+)", printed(r"^(kern\.boottime: .*)"))
    assert got.one("kvm_boot_time_seconds") == pytest.approx(int(boot[1]) + int(boot[2]) / 1e6)
    assert got.one("kvm_memory_size_bytes") == int(printed(r"^hw\.physmem: (\d+)"))
    assert got.one("kvm_max_processes") == int(printed(r"^kern\.maxproc: (\d+)"))
    assert got.one("kvm_max_vnodes") == int(printed(r"^kern\.maxvnodes: (\d+)", "sysctl-a.txt.gz"))
    ((labels, _),) = got["kvm_uname_info"].items()
    said = printed(r"^(FreeBSD testrig .*)$").split()
    assert sorted(word for label in labels for word in label.split()) == sorted(said)


@pytest.mark.parametrize("user", EVERYTHING)
def test_groups_are_the_processes_of_ps(scrape, user):
    """Programs by name and state, and the kernel's own in one group, as many as ps(1) lists."""
    expected = Counter(
        (group, "zombie" if letter == "Z" else STATES[letter])
        for group, letter, _, _ in listed().values()
        if group not in ("kernel", *BUSY)
    )
    got = scrape(user)["kvm_process_group_processes"]
    found = {key: count for key, count in got.items() if key[0] not in ("kernel", *BUSY)}
    assert found == expected
    assert expected["sleep", "sleeping"] == 13
    assert expected["zombie", "zombie"] == 1
    in_kernel = sum(count for (group, _), count in got.items() if group == "kernel")
    assert in_kernel == sum(group == "kernel" for group, *_ in listed().values()) == 14


@pytest.mark.parametrize("user", EVERYTHING)
def test_groups_use_what_ps_prints(scrape, user):
    """Resident memory exactly, CPU seconds as near as ps's hundredths, of groups that were idle."""
    resident, cpu, members = Counter(), Counter(), Counter()
    for group, _, size, seconds in listed().values():
        resident[group] += size
        cpu[group] += seconds
        members[group] += 1
    got = scrape(user)
    spent = Counter()
    for (group, _), seconds in got["kvm_process_group_cpu_seconds_total"].items():
        spent[group] += seconds
    quiet = set(members) - {"kernel", *BUSY}
    assert quiet == {"init", "nc", "sleep", "su", "threads", "zombie"}
    for group in quiet:
        assert got["kvm_process_group_resident_memory_bytes"][group,] == resident[group]
        assert spent[group] == pytest.approx(cpu[group], abs=0.01 * members[group]), group
    assert 0 < spent["kernel"] < cpu["kernel"]


def test_hidden_processes_are_in_no_group(scrape):
    """With see_other_uids=0 nobody's two processes are all there is; the exporter's is not told."""
    got = scrape("nobody-hidden")
    assert sum(got["kvm_processes"].values()) == 2
    assert {group for group, _ in got["kvm_process_group_processes"]} == {"sleep", "sysrec"}
    assert not got["process_start_time_seconds"]
    assert scrape("nobody").one("process_start_time_seconds") > 0


SWAP_DEVICES = {
    "kvm_swap_size_bytes",
    "kvm_swap_used_bytes",
    "kvm_swap_total_size_bytes",
    "kvm_swap_total_used_bytes",
}
LOSSES = [
    # what is refused, as which source it is counted, and what is lost
    ("kern.hostname", "kern.hostname", {"kvm_uname_info"}),
    ("kern.openfiles", "kern.openfiles", {"kvm_open_files"}),
    ("kern.boottime", "kern.boottime", {"kvm_boot_time_seconds"}),
    ("vm.vmtotal", "vm.vmtotal", {"kvm_runnable_threads", "kvm_blocked_threads"}),
    ("vm.stats.vm.v_vforks", "vm.stats.vm.v_vforks", {"kvm_forks_total"}),
    ("vm.swap_info.0", "vm.swap_info", SWAP_DEVICES),
    ("kern.file", "kern.file", {"kvm_process_group_open_fds", "process_open_fds"}),
]


@pytest.mark.parametrize(("refused", "source", "lost"), LOSSES)
def test_a_refusal_costs_its_own_families_only(scrape, refused, source, lost):
    """Each is absent, counted with its errno, and fails no collector."""
    whole, got = scrape("nobody"), scrape("nobody", **{refused: errno.EPERM})
    assert set(whole.families) - set(got.families) == lost
    assert got.errors == {}
    assert got["kvm_exporter_refused_reads_total"]["EPERM", source] >= 1


@pytest.mark.parametrize(
    ("refused", "source", "collector"),
    [
        ("vm.loadavg", "vm.loadavg", "loadavg"),
        ("kern.cp_times", "kern.cp_times", "cpu"),
        ("kern.proc.proc", "kern.proc", "process"),
    ],
)
def test_a_refused_subject_costs_its_collector_only(scrape, refused, source, collector):
    """The others still succeed; the error names the sysctl, and is counted."""
    got = scrape("nobody", **{refused: errno.EPERM})
    assert list(got.errors) == [collector]
    assert source in got.errors[collector]
    assert got["kvm_collector_success"][collector,] == 0
    assert sum(got["kvm_collector_success"].values()) == len(got["kvm_collector_success"]) - 1
    assert got["kvm_exporter_refused_reads_total"]["EPERM", source] >= 1
