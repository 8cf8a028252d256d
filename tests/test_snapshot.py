"""Snapshots: forged collectors that are late, raise, give too much or nonsense."""

from __future__ import annotations

import itertools
import logging
import os

import psutil
import pytest
from fakes.exporter import ALWAYS, FakeKvm, Gate, config, gauge, settings

from kvm_exporter import kvm as kernel
from kvm_exporter import snapshot as module
from kvm_exporter.kvm import Unsupported
from kvm_exporter.metric import Family, Metric
from kvm_exporter.self_metrics import METRICS, SelfMetrics
from kvm_exporter.snapshot import Collection, Job

A_BIT = 0.05
BY_NAME = Metric("kvm_names", "gauge", "Forged.", ("name",))


def collection(*collectors, open_kvm=FakeKvm, compat=(), self_metrics=None):
    """A Collection against a fake kernel."""
    return Collection(config(*collectors, compat=compat), open_kvm, self_metrics or SelfMetrics())


def part(snapshot, name):
    """The part of that name."""
    return next(part for part in snapshot.parts if part.collector == name)


def samples(snapshot, metric):
    """Label values → value of a self-metric."""
    families = part(snapshot, "exporter").families
    return dict(next(f.samples for f in families if f.metric.name == metric))


def fail(kvm):
    """A collect function that raises."""
    raise LookupError("no such sysctl")


def test_parts_come_in_the_configured_order_and_the_exporter_last():
    """A snapshot has every collector's families, then the exporter's own."""
    snapshot = collection(settings("b"), settings("a")).collect()
    assert [part.collector for part in snapshot.parts] == ["b", "a", "exporter"]
    assert part(snapshot, "a").families == (gauge("kvm_a"),)


def test_a_collector_that_raises_loses_only_its_own_families():
    """An error in one collector leaves the others' families, and is counted and told."""
    snapshot = collection(settings("bad", fail), settings("good")).collect()
    assert part(snapshot, "bad").families == ()
    assert part(snapshot, "good").families
    assert samples(snapshot, "kvm_collector_success") == {("bad",): 0, ("good",): 1}
    assert samples(snapshot, "kvm_collector_failures_total")["bad", "error"] == 1
    assert list(samples(snapshot, "kvm_collector_last_success_timestamp_seconds")) == [("good",)]


def test_a_failed_collector_takes_its_old_families_away():
    """What was true before a failure is not told as if it were still true."""
    runs = itertools.count()
    flaky = collection(
        settings("flaky", lambda kvm: fail(kvm) if next(runs) else (gauge("kvm_x"),), every=ALWAYS)
    )
    assert part(flaky.collect(), "flaky").families
    assert part(flaky.collect(), "flaky").families == ()


def test_the_same_error_is_logged_once(caplog):
    """A collector that fails in the same way again and again floods no log; another way is told."""
    reasons = iter(["one", "one", "two", "one"])

    def failing(kvm):
        raise OSError(next(reasons))

    bad = collection(settings("bad", failing, every=ALWAYS))
    for _ in range(4):
        bad.collect()
    assert [record.getMessage() for record in caplog.records] == [
        "collector bad failed: OSError: one",
        "collector bad failed: OSError: two",
    ]


def test_distinct_errors_without_end_are_not_logged_without_end(caplog):
    """Messages that differ every time (a pid in them) are bounded as well."""
    numbers = itertools.count()

    def failing(kvm):
        raise OSError(f"pid {next(numbers)}")

    bad = collection(settings("bad", failing, every=ALWAYS))
    for _ in range(module.REMEMBERED_ERRORS + 5):
        bad.collect()
    assert len(caplog.records) == module.REMEMBERED_ERRORS


def test_a_trace_is_logged_for_developers_only(caplog):
    """A collector's traceback is there at level debug, and only there."""
    with caplog.at_level(logging.DEBUG, logger=module.__name__):
        collection(settings("bad", fail)).collect()
    assert caplog.records[-1].exc_info
    caplog.clear()
    with caplog.at_level(logging.INFO, logger=module.__name__):
        collection(settings("bad", fail)).collect()
    assert not caplog.records[-1].exc_info


def test_a_late_collector_loses_its_families_and_the_others_go_on():
    """A collector over its deadline costs itself only; while it runs it is not started again."""
    gate = Gate()
    both = collection(
        settings("late", gate, every=ALWAYS, deadline=A_BIT), settings("good", every=ALWAYS)
    )
    try:
        for _ in range(3):
            snapshot = both.collect()
            assert part(snapshot, "late").families == ()
            assert part(snapshot, "good").families
        assert gate.runs == 1
        assert samples(snapshot, "kvm_collector_failures_total")["late", "late"] == 3
    finally:
        gate.opened.set()


def test_a_late_collector_is_started_again_once_it_ended():
    """Lateness is not for ever."""
    gate = Gate()
    late = collection(settings("late", gate, every=ALWAYS, deadline=A_BIT))
    late.collect()
    gate.opened.set()
    running = next(iter(late._jobs.values()))._late
    running._thread.join()
    snapshot = late.collect()
    assert samples(snapshot, "kvm_collector_success") == {("late",): 1}
    assert gate.runs == 2


def test_a_late_collector_keeps_its_handle_and_the_others_get_a_new_one():
    """No handle is in two threads at once, and the abandoned one is closed in the end."""
    gate, used, opened = Gate(), [], []

    def open_kvm():
        opened.append(FakeKvm())
        return opened[-1]

    def collect(kvm):
        used.append(kvm)
        return ()

    both = collection(
        settings("late", gate, every=ALWAYS, deadline=A_BIT),
        settings("good", collect, every=ALWAYS),
        open_kvm=open_kvm,
    )
    both.collect()
    assert gate.kvm is opened[0]
    assert used == [opened[1]]
    gate.opened.set()
    next(iter(both._jobs.values()))._late._thread.join()
    both.collect()
    assert [kvm.closed for kvm in opened] == [1, 0]
    both.close()
    assert [kvm.closed for kvm in opened] == [1, 1]


def test_refused_reads_of_every_handle_are_counted():
    """The count of refusals does not fall when a handle is replaced."""
    gate, opened = Gate(), []

    def open_kvm():
        opened.append(FakeKvm())
        opened[-1].refused = {("proc io", "EACCES"): len(opened)}
        return opened[-1]

    both = collection(
        settings("late", gate, every=ALWAYS, deadline=A_BIT), settings("good"), open_kvm=open_kvm
    )
    counts = samples(both.collect(), "kvm_exporter_refused_reads_total")
    assert counts == {("proc io", "EACCES"): 1 + 2}
    gate.opened.set()
    next(iter(both._jobs.values()))._late._thread.join()
    counts = samples(both.collect(), "kvm_exporter_refused_reads_total")
    assert counts == {("proc io", "EACCES"): 1 + 2}


def test_samples_over_the_budget_are_dropped_from_the_end_and_counted():
    """max_series is kept by whole samples, the first ones; the count grows with each run."""
    family = BY_NAME.family(((name,), 1) for name in "abcde")
    cut = collection(
        settings(
            "many", lambda kvm: (gauge("kvm_one"), family, gauge("kvm_z")), most=4, every=ALWAYS
        )
    )
    snapshot = cut.collect()
    assert part(snapshot, "many").families == (
        gauge("kvm_one"),
        Family(BY_NAME, family.samples[:3]),
    )
    assert samples(snapshot, "kvm_exporter_series_dropped_total") == {("many",): 3}
    assert samples(cut.collect(), "kvm_exporter_series_dropped_total") == {("many",): 6}


def test_a_budget_that_fits_exactly_drops_nothing():
    """max_series itself is allowed, and empty families are left as they are."""
    families = (gauge("kvm_one"), gauge("kvm_two"), BY_NAME.family(()))
    assert module.within(2, families) == (families, 0)


def test_a_collector_that_is_not_due_keeps_its_very_part():
    """An output can tell from a part's identity that there is nothing new."""
    both = collection(settings("slow"), settings("fast", every=ALWAYS))
    first, second = both.collect(), both.collect()
    assert part(first, "slow") is part(second, "slow")
    assert part(first, "fast") is not part(second, "fast")


@pytest.mark.parametrize(
    ("now", "due"), [(100.0, 110.0), (100.4, 110.0), (110.0, 120.0), (137.0, 140.0)]
)
def test_due_times_stay_on_the_grid_of_intervals(now, due):
    """A run that took long shifts no later one, and runs that were missed are not made up for."""
    job = Job(settings("a", every=10.0), 100.0)
    job.postpone(now)
    assert job.due == due


def test_the_next_round_is_when_the_first_collector_is_due():
    """The schedule waits for the earliest collector."""
    two = collection(settings("slow", every=3000.0), settings("fast", every=1000.0))
    begin = two.due
    two.collect()
    assert two.due == begin + 1000.0


@pytest.mark.parametrize(
    "family",
    [
        BY_NAME.family([((), 1)]),
        BY_NAME.family([(("a", "b"), 1)]),
        BY_NAME.family([((None,), 1)]),
        BY_NAME.family([(("a",), None)]),
        BY_NAME.family([(("a",), "1")]),
    ],
)
def test_what_no_output_could_send_fails_its_collector(family):
    """A plug-in's nonsense never reaches an output, where it would cost everyone."""
    snapshot = collection(settings("bad", lambda kvm: (family,)), settings("good")).collect()
    assert samples(snapshot, "kvm_collector_success") == {("bad",): 0, ("good",): 1}


def test_a_collector_that_cannot_start_fails_alone():
    """An error in ``start`` is a failed run, and the start is tried again."""
    starts = itertools.count()

    def start(options):
        if next(starts) == 0:
            raise OSError("not yet")
        return lambda kvm: (gauge("kvm_x"),)

    late_starter = collection(settings("x", start=start, every=ALWAYS))
    assert samples(late_starter.collect(), "kvm_collector_success") == {("x",): 0}
    assert samples(late_starter.collect(), "kvm_collector_success") == {("x",): 1}


def test_a_kernel_that_cannot_be_opened_fails_every_collector():
    """Without a handle there is still a snapshot that says so."""

    def open_kvm():
        raise Unsupported("plan9: no")

    snapshot = collection(settings("a"), settings("b"), open_kvm=open_kvm).collect()
    assert samples(snapshot, "kvm_collector_success") == {("a",): 0, ("b",): 0}
    assert samples(snapshot, "process_open_fds") == {}


def started(starts):
    """A ``start`` that notes the tag of the options it got."""

    def start(options):
        starts.append(options.tag)
        return lambda kvm: ()

    return start


def test_a_collector_outlives_a_change_that_leaves_its_options_alone():
    """What it has gathered is kept when only its interval changes, and lost with new options."""
    starts = []
    start = started(starts)
    changing = collection(settings("a", start=start, tag="1"))
    changing.collect()
    for tag, every in (("1", 5.0), ("2", 5.0)):
        changing.change(config(settings("a", start=start, tag=tag, every=every)))
        changing.collect()
    assert starts == ["1", "2"]


def test_a_change_adds_and_removes_collectors():
    """After a change, exactly the configured collectors are there."""
    changing = collection(settings("a"), settings("b"))
    changing.collect()
    changing.change(config(settings("c"), settings("b")))
    snapshot = changing.collect()
    assert [part.collector for part in snapshot.parts] == ["c", "b", "exporter"]
    assert part(snapshot, "c").families


def test_node_exporters_names_come_beside_ours_when_asked_for():
    """compat: node_exporter adds names with the same samples; without it there are none."""
    cpu = Metric("kvm_cpu_seconds_total", "counter", "Forged.", ("cpu", "mode"), "seconds")
    load = gauge("kvm_load1", 0.5)

    def collect(kvm):
        return load, cpu.family([(("0", "user"), 1.5)])

    def names(compat):
        snapshot = collection(settings("x", collect), compat=compat).collect()
        return {f.metric.name: f.samples for f in part(snapshot, "x").families}

    assert names(()).keys() == {"kvm_load1", "kvm_cpu_seconds_total"}
    both = names(("node_exporter",))
    assert both["node_load1"] == (((), 0.5),)
    assert both["node_cpu_seconds_total"] == ((("0", "user"), 1.5),)


def test_the_exporters_own_process_is_told_as_the_kernel_sees_it():
    """process_* are the kernel's values for our pid; what it does not tell is absent."""
    snapshot = collection(settings("a")).collect()
    assert samples(snapshot, "process_cpu_seconds_total") == {(): 1.75}
    assert samples(snapshot, "process_open_fds") == {(): 7}
    assert samples(snapshot, "process_resident_memory_bytes") == {}


def test_the_exporters_own_process_agrees_with_psutil():
    """On this machine's kernel, our own start and descriptor limit are what psutil reads."""
    snapshot = collection(settings("a"), open_kvm=kernel.open).collect()
    ours = psutil.Process(os.getpid())
    started_at = samples(snapshot, "process_start_time_seconds")[()]
    assert started_at == pytest.approx(ours.create_time(), abs=1.5)
    soft, _hard = ours.rlimit(psutil.RLIMIT_NOFILE)
    assert samples(snapshot, "process_max_fds") == {(): soft}


def test_details_about_the_exporter_can_be_left_out():
    """--web.disable-exporter-metrics leaves the collectors' health and drops the rest."""
    own = SelfMetrics(detailed=False)
    own.count_response("200")
    names = {
        family.metric.name
        for family in part(
            collection(settings("a"), self_metrics=own).collect(), "exporter"
        ).families
    }
    assert "kvm_collector_success" in names
    assert not {name for name in names if name.startswith("process_") or "http" in name}


def test_every_self_metric_is_in_the_table():
    """The table of self-metrics, from which documents are made, is complete."""
    own = SelfMetrics()
    own.count_response("200")
    snapshot = collection(settings("a"), self_metrics=own).collect()
    assert {family.metric for family in part(snapshot, "exporter").families} == set(METRICS)
    assert all("kvm(3)" in metric.help for metric in METRICS)
