"""A kernel, collectors and a configuration that tests can bend, and a service made of them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection

from kvm_exporter.collectors import Collector
from kvm_exporter.config import CollectorSettings, Config, ConfigError, Problem
from kvm_exporter.kvm.objects.model import Process, Uname
from kvm_exporter.metric import Metric
from kvm_exporter.outputs.listen import Address, listen
from kvm_exporter.service import Order, Service, Web

PATIENCE = 20
"""Seconds after which something that should happen at once counts as never happening."""

RARELY = 3600.0
ALWAYS = 1e-9


class FakeKvm:
    """Counts its closings; ``refused`` are its refusals."""

    live = True

    def __init__(self):
        self.closed = 0
        self.refused = {}

    def refusals(self):
        return self.refused

    def close(self):
        self.closed += 1

    def uname(self):
        return Uname("FakeBSD", "host", "15.1", "GENERIC <kernel>", "amd64")

    def processes(self, fields, op, arg):
        yield Process(arg, user_seconds=1.5, system_seconds=0.25, open_files=7)


@dataclass(frozen=True)
class Options:
    """Options that are equal when their tags are."""

    tag: str = ""


class Gate:
    """A collect function that does not come back before it is let through."""

    def __init__(self):
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.runs = 0
        self.kvm = None

    def __call__(self, kvm):
        self.runs += 1
        self.kvm = kvm
        self.entered.set()
        self.opened.wait(PATIENCE)
        return ()


def gauge(name, value=1.0):
    """A family with one sample."""
    return Metric(name, "gauge", "Forged, not by kvm(3).").single(value)


def start_of(collect):
    """A ``start`` for a plain collect function."""
    return lambda options: collect


def settings(name, collect=None, *, start=None, every=RARELY, deadline=PATIENCE, most=1000, tag=""):
    """A collector; without ``collect`` or ``start`` it gives one gauge, ``kvm_NAME``."""
    collect = collect or (lambda kvm: (gauge(f"kvm_{name}"),))
    collector = Collector(start or start_of(collect), Options, (), "forged")
    return CollectorSettings(name, collector, Options(tag), every, deadline, most)


def config(*collectors, compat=()):
    """A configuration of these collectors."""
    return Config(tuple(collectors), tuple(compat), None)


def bad_config():
    """A ``load`` that finds a mistake."""
    raise ConfigError([Problem("kvm_exporter.yml", None, "colour", "unknown key")])


def big_collector(name="big", samples=100_000):
    """Some 5 MB of text: more than a socket's buffers take, less than a second's work."""
    metric = Metric("kvm_big_bytes", "gauge", "Forged.", ("name",), "bytes")
    family = metric.family(((f"a-long-name-to-fill-the-line-{i}",), i) for i in range(samples))
    return settings(name, lambda kvm: (family,), most=samples)


class Client:
    """Asks one address; each ``get`` has a connection of its own."""

    def __init__(self, address, connect=HTTPConnection):
        self.address = address
        self._connect = connect

    def request(self, method, path, headers=None, body=None):
        connection = self._connect(*self.address, timeout=PATIENCE)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            response.body = response.read()
            response.text = response.body.decode(errors="replace")
        finally:
            connection.close()
        return response

    def get(self, path, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("GET", path, names)

    def post(self, path):
        return self.request("POST", path)


@contextmanager
def serving(load, *, open_kvm=FakeKvm, self_metrics=None, **web):
    """A service on a free port of this machine, in a thread; gives a client and the service."""
    sockets = listen([Address("127.0.0.1", 0)])
    client = Client(sockets[0].getsockname())
    web = Web(sockets, **web)
    service = Service(load(), load, web, open_kvm=open_kvm, self_metrics=self_metrics)
    status = []
    thread = threading.Thread(target=lambda: status.append(service.run()))
    thread.start()
    client.ended = thread.join
    client.status = status
    try:
        yield client, service
    finally:
        service.order(Order.STOP)
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the service did not end"
