"""KvmCollector: our metrics in somebody else's prometheus_client registry."""

from __future__ import annotations

import doctest
import logging
import sys
import threading
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from kvm_exporter.kvm import AccessDenied
from kvm_exporter.kvm.objects import model
from kvm_exporter.metric import Metric
from kvm_exporter.outputs import registry as subject
from kvm_exporter.outputs.registry import KvmCollector

DEVICES = (model.SwapDevice("/dev/\udcff", 8192, 4096, 8192),)


class Kernel:
    """A kernel with a load and swap, counting how often it is closed and asked at once."""

    def __init__(self):
        self.closed = 0
        self.answer = model.LoadAverage(0.5, 1.25, 2.0)
        self.second = threading.Event()
        self.hold_seconds = 0
        self.inside = self.most_inside = 0

    def close(self):
        self.closed += 1

    def load_average(self):
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        if self.inside > 1:
            self.second.set()
        self.second.wait(self.hold_seconds)
        self.inside -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def swap_devices(self):
        return DEVICES

    def swap_activity(self):
        return model.SwapActivity(in_bytes=10)


@pytest.fixture
def kernel():
    """A forged kernel."""
    return Kernel()


def scraped(registry):
    """Samples by name, as prometheus_client's own parser reads them from its own text."""
    text = generate_openmetrics(registry).decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


@pytest.mark.skipif(
    not sys.platform.startswith(("linux", "freebsd")), reason="needs a live kernel to read"
)
def test_the_example_in_the_docstring_works():
    """Three lines show the live kernel in a registry."""
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    example = parser.get_doctest(
        KvmCollector.__doc__, {"KvmCollector": KvmCollector}, "KvmCollector", None, 0
    )
    assert len(example.examples) == 4
    assert runner.run(example).failed == 0


def test_families_reach_the_registry(kernel):
    """Names, labels and values come out of prometheus_client as they are, odd names readable."""
    registry = CollectorRegistry()
    registry.register(KvmCollector(kernel, ["loadavg", "swap"]))
    got = scraped(registry)
    assert got["kvm_load5"] == [({}, 1.25)]
    assert got["kvm_swap_size_bytes"] == [({"device": "/dev/\\xff"}, 8192)]
    assert got["kvm_swap_in_bytes_total"] == [({}, 10)]
    assert "kvm_swap_out_bytes_total" not in got


def test_each_scrape_reads_anew(kernel):
    """Nothing is cached between two scrapes."""
    registry = CollectorRegistry()
    registry.register(KvmCollector(kernel, ["loadavg"]))
    assert scraped(registry)["kvm_load1"] == [({}, 0.5)]
    kernel.answer = model.LoadAverage(3.0, 1.25, 2.0)
    assert scraped(registry)["kvm_load1"] == [({}, 3.0)]


def test_registering_reads_nothing_and_finds_conflicts(kernel):
    """describe() names every family, so a name that is taken is refused at registration."""
    kernel.answer = AssertionError("read while registering")
    registry = CollectorRegistry()
    Counter("kvm_swap_in_bytes", "Help.", registry=registry)
    with pytest.raises(ValueError, match="kvm_swap_in_bytes"):
        registry.register(KvmCollector(kernel, ["loadavg", "swap"]))


def test_two_scrapes_wait_for_each_other(kernel):
    """A handle is in one thread at a time, however many scrape."""
    collector = KvmCollector(kernel, ["loadavg"])
    kernel.hold_seconds = 0.2  # long enough for the other to come in, were it let in
    threads = [threading.Thread(target=collector.collect) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert kernel.most_inside == 1


def test_a_failing_collector_costs_only_its_own(kernel, caplog):
    """What the kernel refuses is left out and logged once; the rest of the scrape is there."""
    kernel.answer = AccessDenied("vm.loadavg: not permitted; be root")
    registry = CollectorRegistry()
    registry.register(KvmCollector(kernel, ["loadavg", "swap"]))
    with caplog.at_level(logging.WARNING):
        assert b"kvm_swap_size_bytes{" in generate_latest(registry)
        assert b"kvm_load1" not in generate_latest(registry)
    (record,) = caplog.records
    assert "loadavg" in record.getMessage()
    assert "be root" in record.getMessage()


def test_a_given_kernel_is_not_ours_to_close(kernel):
    """close() and the with statement leave a handle that was given alone."""
    with KvmCollector(kernel, ["loadavg"]):
        pass
    assert kernel.closed == 0


def test_our_own_kernel_is_closed(kernel, monkeypatch):
    """A handle that was opened here is given back."""
    monkeypatch.setattr(subject, "open_kernel", lambda: kernel)
    with KvmCollector(collectors=["loadavg"]) as collector:
        assert [metric.name for metric in collector.collect()] == [
            "kvm_load1",
            "kvm_load5",
            "kvm_load15",
        ]
        assert kernel.closed == 0
    assert kernel.closed == 1


def test_an_unknown_collector_is_an_error(kernel):
    """The message names what there is not and what there is."""
    with pytest.raises(ValueError, match=r"no collector lod; there are .*loadavg"):
        KvmCollector(kernel, ["swap", "lod"])


def test_all_that_are_on_by_default_are_the_default(kernel, monkeypatch):
    """Without names, a collector that is off by default stays off."""
    table = {
        name: SimpleNamespace(
            enabled=enabled,
            options=lambda: None,
            start=lambda _: lambda _: (),
            metrics=(Metric(f"kvm_{name}", "gauge", "Help."),),
        )
        for name, enabled in (("on", True), ("off", False))
    }
    monkeypatch.setattr(subject, "names", lambda: tuple(table))
    monkeypatch.setattr(subject, "find", table.get)
    assert [metric.name for metric in KvmCollector(kernel).describe()] == ["kvm_on"]
    assert [metric.name for metric in KvmCollector(kernel, ["off"]).describe()] == ["kvm_off"]
