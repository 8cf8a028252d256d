"""The collectors without state: every number of the kernel's values reaches its family."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from kvm_exporter import collectors
from kvm_exporter.collectors import cpu, kernel, loadavg, memory, swap
from kvm_exporter.kvm import AccessDenied, Unsupported
from kvm_exporter.kvm.objects import model

UNAME = model.Uname("FreeBSD", "host", "15.1-RELEASE", "15.1 #0 GENERIC", "amd64")


def scraped(collect, **answers):
    """Collected families as {name: {labels: value}} from a kernel with these answers."""
    methods = {name: lambda value=value: value for name, value in answers.items()}
    kvm = SimpleNamespace(dump=None, **methods)
    return {family.metric.name: dict(family.samples) for family in collect(kvm)}


def raising(error):
    """A method that fails in that way."""

    def method():
        raise error

    return method


def test_load_averages():
    """Each average has its own metric, so a swapped pair is seen."""
    got = scraped(loadavg.collect, load_average=model.LoadAverage(0.5, 1.25, 2.0))
    assert got == {"kvm_load1": {(): 0.5}, "kvm_load5": {(): 1.25}, "kvm_load15": {(): 2.0}}


def test_swap_devices_and_totals():
    """Two devices give two series each and totals that are their sums."""
    devices = (
        model.SwapDevice("/dev/ada0p3", 8192, 4096, 8192),
        model.SwapDevice("/dev/ada1p3", 1024, 0, 1024),
    )
    got = scraped(
        swap.collect, swap_devices=devices, swap_activity=model.SwapActivity(10, 20, 3, 4)
    )
    assert got["kvm_swap_size_bytes"] == {("/dev/ada0p3",): 8192, ("/dev/ada1p3",): 1024}
    assert got["kvm_swap_used_bytes"] == {("/dev/ada0p3",): 4096, ("/dev/ada1p3",): 0}
    assert got["kvm_swap_total_size_bytes"] == {(): 9216}
    assert got["kvm_swap_total_used_bytes"] == {(): 4096}
    assert got["kvm_swap_in_bytes_total"] == {(): 10}
    assert got["kvm_swap_out_bytes_total"] == {(): 20}
    assert got["kvm_swap_in_operations_total"] == {(): 3}
    assert got["kvm_swap_out_operations_total"] == {(): 4}


def test_no_swap_is_zero_and_unknown_traffic_is_absent():
    """Without devices the totals are 0; a count that the kernel lacks has no sample."""
    got = scraped(swap.collect, swap_devices=(), swap_activity=model.SwapActivity(1, 2))
    assert got["kvm_swap_size_bytes"] == {}
    assert got["kvm_swap_total_size_bytes"] == got["kvm_swap_total_used_bytes"] == {(): 0}
    assert got["kvm_swap_in_operations_total"] == {}


def test_devices_of_one_name_are_one_series():
    """Swap files over NFS have no names of their own; two like series would be no exposition."""
    nfs = model.SwapDevice("[NFS swap]", 100, 10, 100)
    got = list(
        swap.collect(
            SimpleNamespace(swap_devices=lambda: (nfs, nfs), swap_activity=model.SwapActivity)
        )
    )
    samples = {family.metric.name: list(family.samples) for family in got}
    assert samples["kvm_swap_size_bytes"] == [(("[NFS swap]",), 200)]
    assert samples["kvm_swap_used_bytes"] == [(("[NFS swap]",), 20)]
    assert samples["kvm_swap_total_size_bytes"] == [((), 200)]


@pytest.mark.parametrize("error", [AccessDenied("EPERM"), Unsupported("ENOENT")])
def test_refused_devices_cost_no_traffic(error):
    """Without vm.swap_info there is no size, not even a total of 0; the traffic is still told."""
    kvm = SimpleNamespace(
        swap_devices=raising(error), swap_activity=lambda: model.SwapActivity(1, 2, 3, 4)
    )
    got = {family.metric.name: dict(family.samples) for family in swap.collect(kvm)}
    assert {name: series for name, series in got.items() if series} == {
        "kvm_swap_in_bytes_total": {(): 1},
        "kvm_swap_out_bytes_total": {(): 2},
        "kvm_swap_in_operations_total": {(): 3},
        "kvm_swap_out_operations_total": {(): 4},
    }


def test_cpu_modes_are_those_of_the_kernel():
    """FreeBSD's five modes give five series a CPU, and guest time none."""
    times = (
        model.CpuTimes(0, 1.0, 2.0, 3.0, 4.0, interrupt=5.0),
        model.CpuTimes(2, 6.0, 7.0, 8.0, 9.0, interrupt=10.0),
    )
    got = scraped(cpu.collect, cpu_times_per_cpu=times)
    assert got["kvm_cpu_seconds_total"] == {
        ("0", "user"): 1.0, ("0", "nice"): 2.0, ("0", "system"): 3.0, ("0", "idle"): 4.0,
        ("0", "interrupt"): 5.0, ("2", "user"): 6.0, ("2", "nice"): 7.0, ("2", "system"): 8.0,
        ("2", "idle"): 9.0, ("2", "interrupt"): 10.0,
    }  # fmt: skip
    assert got["kvm_cpu_guest_seconds_total"] == {}


def test_guest_time_is_apart():
    """Linux's guest time, which is in user already, does not add to the CPU's seconds."""
    times = replace(model.CpuTimes(0, 1.0, 2.0, 3.0, 4.0), guest=0.5, guest_nice=0.25)
    got = scraped(cpu.collect, cpu_times_per_cpu=(times,))
    assert sum(got["kvm_cpu_seconds_total"].values()) == 10.0
    assert got["kvm_cpu_guest_seconds_total"] == {("0", "user"): 0.5, ("0", "nice"): 0.25}


def test_memory_and_its_choice_of_names():
    """Queues, fields and events carry the kernel's names; options cut events and levels."""
    figures = model.Memory(
        100, None, {"active": 60, "free": 40}, {"Slab": 7}, {"zfod": 1, "cow_faults": 2}, {"x": 3}
    )
    got = scraped(memory.start(memory.Options()), memory=figures)
    assert got["kvm_memory_size_bytes"] == {(): 100}
    assert got["kvm_memory_available_bytes"] == {}
    assert got["kvm_memory_queue_bytes"] == {("active",): 60, ("free",): 40}
    assert got["kvm_memory_field_bytes"] == {("Slab",): 7}
    assert got["kvm_memory_events_total"] == {("zfod",): 1, ("cow_faults",): 2}
    assert got["kvm_memory_level"] == {}
    options = memory.Options(events=re.compile("zf.*"), levels=re.compile("x"))
    got = scraped(memory.start(options), memory=figures)
    assert got["kvm_memory_events_total"] == {("zfod",): 1}
    assert got["kvm_memory_level"] == {("x",): 3}


def test_kernel_counters():
    """Every field of KernelCounters has its own metric; an unknown one has no sample."""
    names = [field for field, _ in kernel.METRICS]
    assert sorted(names) == sorted(model.KernelCounters.__dataclass_fields__)
    values = model.KernelCounters(**{name: i for i, name in enumerate(names)})
    got = scraped(kernel.collect, kernel=values, uname=UNAME)
    assert [got[metric.name] for _, metric in kernel.METRICS] == [
        {(): i} for i in range(len(names))
    ]
    got = scraped(kernel.collect, kernel=model.KernelCounters(forks=7), uname=UNAME)
    assert {name: series for name, series in got.items() if series} == {
        "kvm_forks_total": {(): 7},
        "kvm_uname_info": {("FreeBSD", "host", "15.1-RELEASE", "15.1 #0 GENERIC", "amd64"): 1},
    }


def test_a_refused_name_costs_no_counter():
    """What refuses kern.hostname takes kvm_uname_info away, and nothing else."""
    kvm = SimpleNamespace(
        dump=None,
        kernel=lambda: model.KernelCounters(forks=7),
        uname=raising(AccessDenied("kern.hostname")),
    )
    got = {family.metric.name: dict(family.samples) for family in kernel.collect(kvm)}
    assert {name: series for name, series in got.items() if series} == {"kvm_forks_total": {(): 7}}


@pytest.mark.parametrize(
    ("life", "dump"),
    [
        (model.Life(1.0, 19.5, 20.5, "page fault"), {("minidump", "page fault"): 1}),
        (model.Life(), {("minidump", ""): 1}),
    ],
)
def test_a_dump_says_that_it_is_one(life, dump):
    """Of a dead kernel there is how and when it died, as far as that is known."""
    kvm = SimpleNamespace(
        dump=SimpleNamespace(format="minidump"),
        kernel=model.KernelCounters,
        uname=lambda: UNAME,
        life=lambda: life,
    )
    got = {family.metric.name: dict(family.samples) for family in kernel.collect(kvm)}
    assert got["kvm_dump_info"] == dump
    for name, value in (
        ("kvm_dump_death_timestamp_seconds", life.death_time_seconds),
        ("kvm_dump_uptime_seconds", life.uptime_seconds),
    ):
        assert list(got[name].values()) == ([] if value is None else [value])


@pytest.mark.parametrize("name", collectors.names())
def test_metric_tables_keep_the_conventions(name):
    """Prefix, suffixes, units and help of every row are as the field has them."""
    for metric in collectors.find(name).metrics:
        assert re.fullmatch(r"kvm_[a-z0-9_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert (metric.kind == "info") == metric.name.endswith("_info")
        assert metric.name.removesuffix("_total").endswith(metric.unit)
        assert "kvm(3)" in metric.help
        assert metric.help.endswith(".")


def test_no_two_collectors_share_a_family():
    """A family's samples come from one collector, so parts of a scrape can be joined."""
    every = [metric.name for name in collectors.names() for metric in collectors.find(name).metrics]
    assert len(every) == len(set(every))
