"""The long-running process: schedule, reload, signals and the end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import pytest
from fakes.exporter import (
    ALWAYS,
    PATIENCE,
    Client,
    Gate,
    bad_config,
    big_collector,
    config,
    gauge,
    serving,
    settings,
)

from kvm_exporter import service as module
from kvm_exporter.config import ConfigError, Otlp
from kvm_exporter.self_metrics import SelfMetrics
from kvm_exporter.service import Order

SCRIPT = """
import sys
from fakes.exporter import Gate, config, settings, start_of
from kvm_exporter import cli
chosen = config(settings("stuck", Gate()), settings("fine"))
{more}
cli.config.default = lambda: chosen
cli.config.load = lambda path: load()
sys.exit(cli.main(["--web.listen-address=127.0.0.1:0", *{arguments}]))
"""
LISTENING = re.compile(r"answering on http://(127\.0\.0\.1):(\d+)/metrics \(version ")


def own(client):
    """The exporter's own metrics as a scrape has them."""
    return client.get("/metrics?collect[]=exporter").text


@contextmanager
def process(arguments=(), more="load = lambda: chosen"):
    """The command line in a process of its own, with fake collectors; and its address."""
    script = SCRIPT.format(arguments=list(arguments), more=more)
    tests = str(Path(__file__).parent)
    path = os.pathsep.join(filter(None, (tests, os.environ.get("PYTHONPATH"))))
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        found = LISTENING.search(child.stderr.readline())
        assert found, child.stderr.read()
        yield child, Client((found[1], int(found[2])))
    finally:
        child.kill()
        child.wait()
        child.stderr.close()


def wait_for(child, words):
    """Read the log up to a line with these words."""
    for line in child.stderr:
        if words in line:
            return line
    raise AssertionError(f"the process ended without saying {words!r}")


def test_snapshots_go_on_in_the_background():
    """Nobody needs to scrape for collections to go on."""
    counts, thrice = [], threading.Event()

    def collect(kvm):
        counts.append(1)
        if len(counts) >= 3:
            thrice.set()
        return ()

    with serving(lambda: config(settings("busy", collect, every=0.001))):
        assert thrice.wait(PATIENCE)


def test_a_late_collector_does_not_stop_the_exporter():
    """While one collector hangs over its deadline, scrapes get what the others say."""
    gate = Gate()
    stuck = settings("stuck", gate, every=ALWAYS, deadline=0.01)
    with serving(lambda: config(stuck, settings("fine"))) as (client, _):
        try:
            assert "\nkvm_fine 1" in client.get("/metrics").text
            assert 'kvm_collector_success{collector="stuck"} 0' in own(client)
        finally:
            gate.opened.set()


def test_a_reload_takes_the_new_configuration():
    """After POST /-/reload the new collectors are there and the old ones are not."""
    chosen = [config(settings("old"))]
    with serving(lambda: chosen[0]) as (client, service):
        before = service.publication.wait(PATIENCE)
        chosen[0] = config(settings("new"))
        assert client.post("/-/reload").status == 200
        while service.publication.wait(0) is before:
            assert client.get("/-/healthy").status == 200
        body = client.get("/metrics").text
        assert "\nkvm_new 1" in body
        assert "kvm_old" not in body
        assert "new:" in client.get("/config").text


def test_a_failed_reload_keeps_the_old_configuration_and_says_why():
    """The answer is 500 with every mistake, the old collectors stay, and a metric tells it."""
    good = config(settings("old"))
    broken = threading.Event()
    with serving(lambda: bad_config() if broken.is_set() else good) as (client, service):
        before = service.publication.wait(PATIENCE)
        assert "kvm_exporter_config_last_reload_successful 1" in own(client)
        broken.set()
        response = client.post("/-/reload")
        assert response.status == 500
        assert "kvm_exporter.yml: colour: unknown key" in response.text
        while service.publication.wait(0) is before:
            assert client.get("/-/healthy").status == 200
        assert "kvm_exporter_config_last_reload_successful 0" in own(client)
        assert "\nkvm_old 1" in client.get("/metrics").text
        assert "old:" in client.get("/config").text


def test_what_a_collector_has_gathered_survives_a_reload():
    """Counters of processes that ended do not restart because an interval changed."""
    starts, chosen = [], []

    def start(options):
        starts.append(options)
        return lambda kvm: (gauge("kvm_starts", len(starts)),)

    chosen.append(config(settings("a", start=start)))
    with serving(lambda: chosen[-1]) as (client, service):
        before = service.publication.wait(PATIENCE)
        chosen.append(config(settings("a", start=start, every=1000.0)))
        service.reload()
        while service.publication.wait(0) is before:
            assert client.get("/-/healthy").status == 200
        assert "\nkvm_starts 1" in client.get("/metrics").text


def test_a_response_in_progress_is_finished_at_the_end():
    """A stop cuts no scrape short: what was begun arrives whole, and new clients are refused."""
    with serving(lambda: config(big_collector())) as (client, service):
        assert service.publication.wait(PATIENCE)
        with closing(socket.create_connection(client.address, timeout=PATIENCE)) as reader:
            reader.sendall(b"GET /metrics?collect[]=big HTTP/1.1\r\nHost: x\r\n\r\n")
            reader.recv(1, socket.MSG_PEEK)
            service.order(Order.STOP)
            response = HTTPResponse(reader)
            response.begin()
            assert len(response.read()) == int(response.headers["Content-Length"])
        client.ended(PATIENCE)
        assert client.status == [0]
        with pytest.raises(ConnectionRefusedError):
            client.get("/")


def test_an_idle_connection_is_closed_at_the_end():
    """A kept-alive connection does not hold up the end; its client sees it closed."""
    with serving(lambda: config(settings("one"))) as (client, service):
        with closing(socket.create_connection(client.address, timeout=PATIENCE)) as idle:
            idle.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(1)
            service.order(Order.STOP)
            while idle.recv(65536):
                pass
        client.ended(PATIENCE)
        assert client.status == [0]


def test_a_death_of_the_collecting_thread_ends_the_process(monkeypatch):
    """A mistake of ours is a failed process, which a supervisor restarts, not a frozen scrape."""
    died = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    with serving(lambda: config(settings("one")), self_metrics=SelfMetrics()) as (client, service):
        assert service.publication.wait(PATIENCE)
        monkeypatch.setattr(service.publication, "publish", None)
        service.reload()
        client.ended(PATIENCE)
        assert client.status == [1]
    assert died[0].exc_type is TypeError


class FakePush:
    """Stands for OtlpPush: notes what it is told."""

    made: list[FakePush] = []  # noqa: RUF012 - emptied by each test

    def __init__(self, settings_):
        self.settings = settings_
        self.told = []
        self.pushed = threading.Event()
        self.made.append(self)

    def start(self):
        self.told.append("start")

    def publish(self, snapshot):
        self.told.append("publish")
        self.pushed.set()

    def stop(self, timeout):
        self.told.append("stop")

    def families(self):
        return (gauge("kvm_pushes"),)


@pytest.fixture
def pushes(monkeypatch):
    """Every push that was made, oldest first."""
    monkeypatch.setattr(module, "_push", lambda otlp: FakePush(otlp) if otlp else None)
    FakePush.made = []
    return FakePush.made


def with_push(endpoint):
    """A configuration with OTLP."""
    chosen = config(settings("one"))
    return type(chosen)(chosen.collectors, (), Otlp(endpoint))


def test_every_snapshot_is_pushed_where_otlp_is_configured(pushes):
    """The push gets the very snapshots that are scraped, and is stopped in the end."""
    with serving(lambda: with_push("http://a/v1/metrics")) as (client, _):
        assert pushes[0].pushed.wait(PATIENCE)
        assert "\nkvm_pushes 1" in own(client)
    assert pushes[0].told[-1] == "stop"
    assert sorted(set(pushes[0].told)) == ["publish", "start", "stop"]


def test_a_reload_replaces_the_push_only_when_its_settings_change(pushes):
    """The same settings keep the push; others start a new one and stop the old."""
    chosen = [with_push("http://a/v1/metrics")]
    with serving(lambda: chosen[0]) as (_, service):
        service.reload()
        assert len(pushes) == 1
        chosen[0] = with_push("http://b/v1/metrics")
        service.reload()
        assert "stop" in pushes[0].told
        chosen[0] = config(settings("one"))
        service.reload()
        assert "stop" in pushes[1].told
    assert [push.settings.endpoint for push in pushes] == [
        "http://a/v1/metrics",
        "http://b/v1/metrics",
    ]


def test_otlp_without_its_packages_is_a_mistake_in_the_configuration(monkeypatch):
    """Where the SDK is missing, the error says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(ConfigError, match=r"pip install 'kvm_exporter\[otlp\]'"):
        module._push(Otlp("http://127.0.0.1:1/v1/metrics"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_though_a_collector_is_stuck(number):
    """SIGTERM and SIGINT end it with status 0, while a collection hangs and a client is idle."""
    with (
        process() as (child, client),
        closing(socket.create_connection(client.address, timeout=PATIENCE)),
    ):
        assert client.get("/-/healthy").status == 200
        child.send_signal(number)
        assert child.wait(PATIENCE / 4) == 0


def test_sighup_loads_the_configuration_again_and_survives_a_broken_one():
    """SIGHUP with a mistake in the file logs it and changes nothing; the next one is fine."""
    more = (
        "from fakes.exporter import bad_config\n"
        "loads = iter([lambda: chosen, bad_config, lambda: chosen])\n"
        "load = lambda: next(loads)()"
    )
    with process(["--config.file=x.yml"], more) as (child, client):
        child.send_signal(signal.SIGHUP)
        assert "colour: unknown key" in wait_for(child, "stays as it was")
        assert client.get("/-/healthy").status == 200
        child.send_signal(signal.SIGHUP)
        wait_for(child, "loaded again")


def test_a_signal_that_another_thread_got_ends_the_process_too():
    """A signal need not interrupt what the main thread waits in; it is obeyed all the same."""
    more = (
        "import signal, threading\n"
        "hit = lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM) or chosen\n"
        "loads = iter([lambda: chosen, lambda: chosen, hit])\n"
        "load = lambda: next(loads)()"
    )
    with process(["--config.file=x.yml"], more) as (child, client):
        child.send_signal(signal.SIGHUP)
        wait_for(child, "loaded again")  # the main thread is up, and waits for more
        with suppress(OSError, HTTPException):  # the answer to who shoots the server is left open
            client.post("/-/reload")
        assert child.wait(PATIENCE) == 0
