"""OTLP push: a real HTTP receiver decodes what arrives; a bad one never holds us up."""

from __future__ import annotations

import gzip
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from kvm_exporter.config import Otlp
from kvm_exporter.metric import Metric
from kvm_exporter.outputs import otlp
from kvm_exporter.snapshot import Part, Snapshot

BOOT, NOW = 1_000_000.5, 1_000_100.75
PATIENCE = 20
CUMULATIVE = 2  # AggregationTemporality in opentelemetry/proto/metrics/v1/metrics.proto


class Receiver:
    """An OTLP receiver on a free port; ``statuses`` are given out in turn, then 200."""

    def __init__(self, statuses=()):
        self.requests = queue.Queue()
        self.release = threading.Event()
        self.release.set()
        self._statuses = iter(statuses)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://user:secret@127.0.0.1:{self._server.server_port}/v1/metrics"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def _handler(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.put((self.path, self.headers, body))
                receiver.release.wait(PATIENCE)
                self.send_response(next(receiver._statuses, 200))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler

    def next(self):
        """The next request's (headers, decoded message)."""
        path, headers, body = self.requests.get(timeout=PATIENCE)
        assert path == "/v1/metrics"
        return headers, ExportMetricsServiceRequest.FromString(gzip.decompress(body))

    def close(self):
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver():
    """A receiver that accepts everything."""
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def pushing():
    """A function that starts a push to a URL and has it stopped at the end."""
    started = []

    def start(url, semconv="current", timeout=PATIENCE, interval=0.01, resource=None):
        settings = Otlp(url, {"X-Tenant": "ours"}, interval, timeout, semconv, resource or {})
        push = otlp.OtlpPush(settings, "9.8.7")
        push.start()
        started.append(push)
        return push

    yield start
    for push in started:
        push.stop(PATIENCE)


def snapshot(*families, time=NOW):
    """A snapshot of one part."""
    return Snapshot(time, (Part("test", families),))


def counter(name, samples, labels=(), unit=""):
    """A counter family."""
    return Metric(name, "counter", f"Help of {name}.", labels, unit).family(samples)


def gauge(name, samples, labels=(), unit=""):
    """A gauge family."""
    return Metric(name, "gauge", f"Help of {name}.", labels, unit).family(samples)


def pushed(receiver, pushing, *families, **settings):
    """Metrics by name that arrive for these families."""
    pushing(receiver.url, **settings).publish(snapshot(*families))
    _, message = receiver.next()
    metrics = message.resource_metrics[0].scope_metrics[0].metrics
    assert len({metric.name for metric in metrics}) == len(metrics)
    return {metric.name: metric for metric in metrics}


def attributes(point):
    """A point's attributes as a dictionary of Python values."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in point}


def points(metric):
    """A metric's points as (attributes, value)."""
    data = getattr(metric, metric.WhichOneof("data"))
    return [
        (attributes(point.attributes), getattr(point, point.WhichOneof("value")))
        for point in data.data_points
    ]


def test_resource_scope_and_headers(receiver, pushing):
    """Who speaks is told by the configuration over our own words; headers arrive; it is gzip."""
    push = pushing(receiver.url, resource={"service.name": "mine", "deployment": "lab"})
    push.publish(snapshot(gauge("kvm_load1", [((), 0.5)])))
    headers, message = receiver.next()
    assert headers["X-Tenant"] == "ours"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"] == "application/x-protobuf"
    (resource,) = message.resource_metrics
    assert attributes(resource.resource.attributes) == {
        "service.name": "mine",
        "service.version": "9.8.7",
        "host.name": os.uname().nodename,
        "os.type": sys.platform.rstrip("0123456789"),
        "deployment": "lab",
    }
    assert resource.scope_metrics[0].scope.name == "kvm_exporter"
    assert resource.scope_metrics[0].scope.version == "9.8.7"


def test_a_counter_is_a_cumulative_sum_since_boot(receiver, pushing):
    """CPU seconds: name, unit, help, temporality, attributes, values and both times."""
    boot = gauge("kvm_boot_time_seconds", [((), BOOT)], unit="seconds")
    cpu = counter(
        "kvm_cpu_seconds_total", [(("0", "user"), 1.5), (("1", "irq"), 2)], ("cpu", "mode")
    )
    metric = pushed(receiver, pushing, cpu, boot)["system.cpu.time"]
    assert (metric.unit, metric.description) == ("s", "Help of kvm_cpu_seconds_total.")
    assert metric.sum.is_monotonic
    assert metric.sum.aggregation_temporality == CUMULATIVE
    assert points(metric) == [
        ({"cpu.logical_number": 0, "cpu.mode": "user"}, 1.5),
        ({"cpu.logical_number": 1, "cpu.mode": "interrupt"}, 2),
    ]
    for point in metric.sum.data_points:
        assert point.start_time_unix_nano == 1_000_000_500_000_000
        assert point.time_unix_nano == 1_000_100_750_000_000


def test_swap_use_has_a_used_and_a_free_point_a_device(receiver, pushing):
    """Free is size less used; the totals, being sums of the same bytes, stay out of it."""
    metrics = pushed(
        receiver,
        pushing,
        gauge("kvm_swap_size_bytes", [(("/dev/a",), 100), (("/dev/b",), 7)], ("device",), "bytes"),
        gauge("kvm_swap_used_bytes", [(("/dev/a",), 30)], ("device",), "bytes"),
        gauge("kvm_swap_total_used_bytes", [((), 30)], unit="bytes"),
    )
    usage = metrics["system.paging.usage"]
    assert sorted(points(usage), key=lambda point: point[1]) == [
        ({"system.device": "/dev/a", "system.paging.state": "used"}, 30),
        ({"system.device": "/dev/a", "system.paging.state": "free"}, 70),
    ]
    assert not usage.sum.is_monotonic
    assert points(metrics["kvm.swap_total_used"]) == [({}, 30)]


def test_start_times_become_ages(receiver, pushing):
    """Uptimes are gauges in seconds, measured at the snapshot's time."""
    metrics = pushed(
        receiver,
        pushing,
        gauge("kvm_boot_time_seconds", [((), BOOT)], unit="seconds"),
        gauge("kvm_process_group_oldest_start_time_seconds", [(("sh",), NOW - 3)], ("group",)),
    )
    assert points(metrics["system.uptime"]) == [({}, 100.25)]
    assert points(metrics["process.uptime"]) == [({"kvm.process.group": "sh"}, 3)]
    assert metrics["process.uptime"].WhichOneof("data") == "gauge"


def test_group_counters_start_with_the_exporter(receiver, pushing):
    """Totals that are gone when the exporter ends start with it, never after the point itself."""
    metrics = pushed(
        receiver,
        pushing,
        gauge("kvm_boot_time_seconds", [((), BOOT)]),
        counter("kvm_process_group_io_bytes_total", [(("a", "read"), 1)], ("group", "direction")),
    )
    (point,) = metrics["process.disk.io"].sum.data_points
    # The snapshot is of 1970 and the exporter started now, so the start is cut to the snapshot.
    assert point.start_time_unix_nano == point.time_unix_nano == 1_000_100_750_000_000


def test_a_moved_clock_is_no_reset(receiver, pushing):
    """The boot time first seen stays the start, though a corrected clock moves what is told."""
    push = pushing(receiver.url)
    starts = []
    for step in range(2):
        boot = gauge("kvm_boot_time_seconds", [((), BOOT + step)])
        push.publish(snapshot(boot, counter("kvm_forks_total", [((), 1)]), time=NOW + step))
        _, message = receiver.next()
        for metric in message.resource_metrics[0].scope_metrics[0].metrics:
            starts += [point.start_time_unix_nano for point in metric.sum.data_points]
    assert starts == [1_000_000_500_000_000] * 2


def test_hostmetrics_names(receiver, pushing):
    """The other style speaks as the collector's hostmetrics receiver does."""
    metrics = pushed(
        receiver,
        pushing,
        counter("kvm_cpu_seconds_total", [(("3", "iowait"), 1)], ("cpu", "mode")),
        counter("kvm_swap_in_operations_total", [((), 4)]),
        counter("kvm_swap_out_operations_total", [((), 5)]),
        gauge("kvm_processes", [(("zombie",), 1), (("running",), 2)], ("state",)),
        gauge("kvm_swap_used_bytes", [(("/dev/a",), 30)], ("device",), "bytes"),
        semconv="hostmetrics",
    )
    assert {name: points(metric) for name, metric in metrics.items()} == {
        "system.cpu.time": [({"cpu": "cpu3", "state": "wait"}, 1)],
        "system.paging.operations": [
            ({"direction": "page_in", "type": "major"}, 4),
            ({"direction": "page_out", "type": "major"}, 5),
        ],
        "system.processes.count": [({"status": "zombies"}, 1), ({"status": "running"}, 2)],
        "system.paging.usage": [({"device": "/dev/a", "state": "used"}, 30)],
    }


def test_what_no_convention_names_keeps_its_own_name(receiver, pushing):
    """Nothing is lost: a metric without a row goes out, its unit and kind told the OTLP way."""
    metrics = pushed(
        receiver,
        pushing,
        counter("kvm_swap_in_bytes_total", [((), 4096)], unit="bytes"),
        Metric("kvm_uname_info", "info", "U.", ("machine",)).family([(("amd64",), 1)]),
        counter("process_cpu_seconds_total", [((), 0.5)], unit="seconds"),
    )
    assert {name: (metric.unit, points(metric)) for name, metric in metrics.items()} == {
        "kvm.swap_in": ("By", [({}, 4096)]),
        "kvm.uname_info": ("", [({"machine": "amd64"}, 1)]),
        "process_cpu_seconds_total": ("s", [({}, 0.5)]),
    }


def test_odd_values_and_names_arrive(receiver, pushing):
    """Undecodable names, numbers beyond 64 bits, infinities and NaN cost nobody the push."""
    samples = [
        (("\udcff",), 2**63 - 1),
        (("ü",), 2**64),
        (("inf",), float("inf")),
        (("nan",), float("nan")),
        (("true",), True),
    ]
    metric = pushed(receiver, pushing, gauge("kvm_x", samples, ("comm",)))["kvm.x"]
    assert [(labels["comm"], repr(value)) for labels, value in points(metric)] == [
        ("\\xff", repr(2**63 - 1)),
        ("ü", repr(2.0**64)),
        ("inf", "inf"),
        ("nan", "nan"),
        ("true", "1"),
    ]


def test_an_empty_family_is_no_metric(receiver, pushing):
    """Unknown is absent here as well."""
    empty = gauge("kvm_load5", [])
    assert set(pushed(receiver, pushing, empty, gauge("kvm_load1", [((), 1)]))) == {
        "system.cpu.load_average.1m"
    }


def test_the_newest_snapshot_is_pushed_once(receiver, pushing):
    """However short the interval, the next push is the next snapshot; what came between is gone."""
    receiver.release.clear()
    push = pushing(receiver.url)
    push.publish(snapshot(gauge("kvm_x", [((), 0)])))
    receiver.next()
    for number in (1, 2):
        push.publish(snapshot(gauge("kvm_x", [((), number)])))
    receiver.release.set()
    _, message = receiver.next()
    (metric,) = message.resource_metrics[0].scope_metrics[0].metrics
    assert points(metric) == [({}, 2)]


def counts(push):
    """(pushes, failures) as the self-metrics tell them."""
    values = {family.metric.name: family.samples[0][1] for family in push.families()}
    return (
        values["kvm_exporter_otlp_pushes_total"],
        values["kvm_exporter_otlp_failures_total"],
    )


def test_successes_are_counted(receiver, pushing):
    """Two snapshots that the receiver took are two pushes and no failure."""
    push = pushing(receiver.url)
    for number in range(3):
        push.publish(snapshot(gauge("kvm_x", [((), number)])))
        receiver.next()
    pushes, failures = counts(push)  # the third request means that two are done
    assert pushes >= 2
    assert failures == 0


def test_a_refusal_is_logged_once_and_counted_always(pushing, caplog):
    """One line for each cause, naming the receiver without its password; the SDK is silent."""
    receiver = Receiver([401, 401, 400])
    push = pushing(receiver.url)
    with caplog.at_level(logging.DEBUG):
        push.publish(snapshot(gauge("kvm_x", [((), 1)])))
        for _ in range(4):
            receiver.next()
        push.stop(PATIENCE)
    receiver.close()
    _, failures = counts(push)
    assert failures == 3
    ours = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in ours] == ["kvm_exporter.outputs.otlp"] * 2
    assert ["401" in record.getMessage() for record in ours] == [True, False]
    assert "127.0.0.1" in caplog.text
    assert "secret" not in caplog.text


def test_nobody_listening_is_a_counted_failure(pushing):
    """A receiver that is down costs a count and a line of log, and stops cleanly."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        logged = threading.Event()
        handler = logging.Handler()
        handler.emit = lambda record: logged.set()
        otlp.log.addHandler(handler)
        push = pushing(f"http://127.0.0.1:{taken.getsockname()[1]}/v1/metrics", timeout=0.2)
        push.publish(snapshot(gauge("kvm_x", [((), 1)])))
        assert logged.wait(PATIENCE)
        otlp.log.removeHandler(handler)
        push.stop(PATIENCE)
    assert counts(push)[1] >= 1


def test_a_failure_tells_no_credentials(pushing, caplog):
    """What the SDK says holds the URL, whose user and query are for nobody's eyes."""
    logged = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: logged.set()
    otlp.log.addHandler(handler)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        push = pushing(f"http://me:hunter2@{where}/v1/metrics?token=hunter2", timeout=0.2)
        push.publish(snapshot(gauge("kvm_x", [((), 1)])))
        assert logged.wait(PATIENCE)
        push.stop(PATIENCE)
    otlp.log.removeHandler(handler)
    assert where in caplog.text
    assert "hunter2" not in caplog.text


def test_stop_does_not_wait_for_a_slow_receiver(receiver, pushing):
    """With a push hanging at the receiver, stop comes back at its timeout and leaves the push."""
    receiver.release.clear()
    push = pushing(receiver.url)
    push.publish(snapshot(gauge("kvm_x", [((), 1)])))
    receiver.next()
    push.stop(0.01)
    assert push._thread.is_alive()
    push.publish(snapshot(gauge("kvm_x", [((), 2)])))  # never blocks either
    receiver.release.set()


def test_stop_cuts_a_wait_for_the_next_try_short(pushing):
    """The SDK's pause between tries ends with stop, and giving up so is no failure."""
    receiver = Receiver([503])
    push = pushing(receiver.url, timeout=3600)
    push.publish(snapshot(gauge("kvm_x", [((), 1)])))
    receiver.next()
    push.stop(PATIENCE)
    receiver.close()
    assert not push._thread.is_alive()
    assert counts(push)[1] == 0


def test_stop_before_anything_was_published(receiver, pushing):
    """A push that never had a snapshot ends at once."""
    push = pushing(receiver.url, interval=3600)
    push.stop(PATIENCE)
    assert not push._thread.is_alive()


def test_other_users_of_the_sdk_keep_their_log(receiver, pushing, caplog):
    """Only records of our own pushes are taken from the SDK's logger."""
    pushing(receiver.url)
    logging.getLogger(otlp._SDK_LOGGER).warning("theirs")
    assert "theirs" in caplog.text


def test_without_the_packages_the_error_says_what_to_install(monkeypatch):
    """A missing extra names the pip command that brings it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    settings = Otlp("http://127.0.0.1:1/v1/metrics", {}, 1, 1, "current", {})
    with pytest.raises(otlp.OtlpMissingError, match=r"pip install 'kvm_exporter\[otlp\]'"):
        otlp.OtlpPush(settings, "1")


def test_opentelemetry_costs_nothing_until_it_is_configured():
    """Importing the module imports no opentelemetry."""
    code = (
        "import sys, kvm_exporter.outputs.otlp\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
