"""Four whole scrapes, of a forged Linux, a forged FreeBSD and a dump of each, in golden/.

Every collector runs with its defaults (but on FreeBSD groups are split by jail), with
node_exporter's names, twice: between the two collections a process ends, but in dumps, where
nothing happens any more.  Nothing in the text is edited: the clock, the exporter's own pid and what
it is built from are forged as the kernels are.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from forge import linux_whole, machines, system_world, whole
from forge.crashed import crash
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kvm_exporter import collectors, config, self_metrics, snapshot
from kvm_exporter import kvm as kernel
from kvm_exporter.kvm import Kvm
from kvm_exporter.kvm.live.kallsyms import Kallsyms
from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.objects.linux import LinuxLive, NoMemory
from kvm_exporter.kvm.objects.opened import Opened
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.outputs.exposition import OPENMETRICS_END, family_name, family_unit, render

GOLDEN = Path(__file__).parent / "golden"
BEGIN = 1795410400.0
"""Unix time of the first collection; the second is 15 seconds later."""


class Clock:
    """The module ``time`` with hands that only the test moves."""

    def __init__(self):
        self.passed = 0.0

    def time(self):
        return BEGIN + self.passed

    def monotonic(self):
        return self.passed


@pytest.fixture
def clock(monkeypatch):
    """A clock, an exporter's pid and a build that are the same in every run."""
    clock = Clock()
    monkeypatch.setattr(snapshot, "time", clock)
    monkeypatch.setattr(self_metrics, "time", clock)
    monkeypatch.setattr(self_metrics, "__version__", "1.2.3")
    python = SimpleNamespace(
        python_version=lambda: "3.11.0", python_implementation=lambda: "CPython"
    )
    monkeypatch.setattr(self_metrics, "platform", python)
    monkeypatch.setattr(os, "getpid", lambda: machines.EXPORTER)
    return clock


def chosen(labels):
    """The default configuration with node_exporter's names, and groups split by these labels."""
    default = config.default()
    parts = [
        replace(one, options=replace(one.options, labels=labels)) if one.name == "process" else one
        for one in default.collectors
    ]
    return replace(default, collectors=tuple(parts), compat=("node_exporter",))


def scrape(kvm, clock, later, labels=()):
    """The second of two snapshots; ``later`` is what happens between the two."""
    own = self_metrics.SelfMetrics()
    collection = snapshot.Collection(chosen(labels), lambda: kvm, own)
    collection.collect()
    own.count_response("200")
    later()
    clock.passed = 15.0
    taken = collection.collect()
    assert [state.error for state in collection.states if state.error] == []
    collection.close()
    return [family for part in taken.parts for family in part.families]


@pytest.fixture
def linux(clock, tmp_path, monkeypatch):
    """Families of the forged Linux."""
    monkeypatch.chdir(tmp_path)  # so that messages name "proc/…", wherever the tree lies
    monkeypatch.setattr(os, "uname", lambda: machines.LINUX_UNAME)
    tree = machines.linux_machine(Path("proc"))
    procfs, tally = Procfs("proc"), Tally()
    procfs.clock_ticks, procfs.page_size = 100, 4096
    memory = NoMemory("/dev/null")
    kvm = Kvm(Opened(LinuxLive(procfs, tally), memory, Kallsyms(procfs), tally, memory.close))
    return scrape(kvm, clock, lambda: machines.linux_later(tree))


@pytest.fixture
def freebsd(clock):
    """Families of the forged FreeBSD."""
    machine, tally = machines.freebsd_machine(), Tally()
    system = FreeBSDLive(machine, {0x33: "ada0p3"}.__getitem__, tally)
    memory = NoMemory("/dev/null")
    kvm = Kvm(Opened(system, memory, SimpleNamespace(), tally, memory.close))
    return scrape(kvm, clock, lambda: machines.freebsd_later(machine), labels=("jail",))


@pytest.fixture
def dump(clock, tmp_path):
    """Families of the forged crash dump, in which a process has the exporter's own pid."""
    file, core = crash(whole.machine(), tmp_path)
    return scrape(kernel.open(str(file), str(core)), clock, lambda: None, labels=("jail",))


@pytest.fixture
def vmcore(clock, tmp_path):
    """Families of the forged Linux core, in which a process has the exporter's own pid."""
    core = tmp_path / "vmcore"
    core.write_bytes(linux_whole.machine().core)
    return scrape(kernel.open(None, str(core)), clock, lambda: None)


@pytest.fixture(params=["linux", "freebsd", "dump", "vmcore"])
def system(request):
    """The name of each system in turn, and its families."""
    return request.param, request.getfixturevalue(request.param)


def values(parsed):
    """Every sample of a parsed text."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parsed
        for sample in family.samples
    }


def test_text_is_as_reviewed(system, same_as_file):
    """The whole text of a scrape, byte for byte."""
    name, families = system
    same_as_file(render(families).decode(), GOLDEN / f"{name}.prom")


def test_openmetrics_is_as_reviewed(freebsd, same_as_file):
    """The same scrape as OpenMetrics, byte for byte."""
    text = render(freebsd, openmetrics=True) + OPENMETRICS_END
    same_as_file(text.decode(), GOLDEN / "freebsd.openmetrics")


def test_both_formats_mean_the_same_to_prometheus_client(system):
    """Two parsers that are not ours read the same samples out of both formats, and none is lost."""
    _, families = system
    text = values(parse_text(render(families).decode()))
    openmetrics = render(families, openmetrics=True) + OPENMETRICS_END
    assert text == values(parse_openmetrics(openmetrics.decode()))
    assert len(text) == sum(len(family.samples) for family in families)


def test_types_units_and_help_arrive(system):
    """Prometheus_client's parser gives each family the type, unit and help of its metric."""
    _, families = system
    text = render(families, openmetrics=True) + OPENMETRICS_END
    parsed = parse_openmetrics(text.decode())
    assert {(family.name, family.type, family.unit, family.documentation) for family in parsed} == {
        (family_name(metric), metric.kind, family_unit(metric), metric.help)
        for metric in (family.metric for family in families if family.samples)
    }


REFUSED = {"kvm_exporter_refused_reads_total"}
"""Which the forged Linux core has not: nothing of it is damaged or missing."""

SYMBOLS = {metric.name for metric in collectors.find("symbols").metrics}
NOT_BY_DEFAULT = {"kvm_memory_level", "kvm_process_group_threads_by_state"} | SYMBOLS


def test_every_family_is_there_but_those_that_a_kernel_lacks(system):
    """A scrape has all metrics of all tables, less those that the other system alone has."""
    name, families = system
    has = {"dump": {"freebsd", "dump"}, "vmcore": {"linux", "dump"}}.get(name, {name})
    lacking = {row for row, system_ in machines.ONLY_ON.items() if system_ not in has}
    if "dump" in has:  # the exporter is no process of a dead machine
        lacking |= {metric.name for metric, _ in self_metrics.PROCESS}
    if name == "vmcore":
        lacking |= REFUSED
    tables = [collectors.find(each).metrics for each in collectors.names()]
    every = {metric.name for metric in (*self_metrics.METRICS, *sum(tables, ()))}
    there = {family.metric.name for family in families if family.samples}
    assert every - there == lacking | NOT_BY_DEFAULT
    assert {each for each in there - every if not each.startswith("node_")} == set()


@pytest.mark.parametrize(("live", "dead"), [("freebsd", "dump"), ("linux", "vmcore")])
def test_a_dump_has_the_families_of_its_system(live, dead, request):
    """What a live kernel's scrape has a dump's has, with the same labels: both ways.

    But for the exporter's own process, the reads that were refused, and the dump itself.
    """
    [live, dead] = [
        {one.metric.name: one.metric for one in request.getfixturevalue(name) if one.samples}
        for name in (live, dead)
    ]
    own = {metric.name for metric, _ in self_metrics.PROCESS}
    assert live.keys() - dead.keys() - REFUSED == own & live.keys()
    assert {name for name in dead.keys() - live.keys() if not name.startswith("kvm_dump_")} == set()
    assert all(live[name] == dead[name] for name in live.keys() & dead.keys())


def test_a_dump_says_of_what_its_kernel_died(dump):
    """The panic, and an uptime that no clock of this machine moves."""
    found = {family.metric.name: dict(family.samples) for family in dump}
    [(format_, panic)] = found["kvm_dump_info"]
    assert (format_, panic) == ("minidump of amd64, version 3", system_world.PANIC)
    assert found["kvm_dump_uptime_seconds"][()] == 19.5


def test_a_core_says_of_what_its_kernel_died(vmcore):
    """The panic, and how long the kernel had run by its own clock."""
    found = {family.metric.name: dict(family.samples) for family in vmcore}
    assert list(found["kvm_dump_info"]) == [("ELF core", linux_whole.PANIC)]
    assert found["kvm_dump_uptime_seconds"][()] == 105.25
    assert found["kvm_dump_death_timestamp_seconds"][()] == linux_whole.CRASHED


@pytest.mark.parametrize("name", ["linux", "freebsd"])
def test_a_counter_outlives_its_process(name, request):
    """The process that ended between the collections is in its group's CPU time still."""
    families = request.getfixturevalue(name)
    found = {family.metric.name: dict(family.samples) for family in families}
    processes = found["kvm_process_group_processes"]
    assert sum(count for key, count in processes.items() if key[0] == "postgres") == 1
    key, seconds = {
        "linux": (("postgres", "user"), 13.0),
        "freebsd": (("postgres", "3", "user"), 1325.0),
    }[name]
    assert found["kvm_process_group_cpu_seconds_total"][key] == seconds
