"""The exporter's addresses over real sockets, and clients that misbehave."""

from __future__ import annotations

import gzip
import socket
import threading
from contextlib import ExitStack, closing
from http.client import HTTPResponse

import pytest
from fakes.exporter import (
    PATIENCE,
    Gate,
    big_collector,
    config,
    gauge,
    serving,
    settings,
)
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from kvm_exporter.outputs import http, negotiation, publication, server
from kvm_exporter.outputs.publication import Form, Publication
from kvm_exporter.snapshot import Part, Snapshot

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,/;q=0.1"
)
PLAIN, OPENMETRICS = Form(), Form(openmetrics=True)


@pytest.fixture(scope="module")
def client():
    """A service with two small collectors."""
    with serving(lambda: config(settings("one"), settings("two"))) as (client, service):
        assert service.publication.wait(PATIENCE)
        yield client


@pytest.fixture
def big():
    """A service whose scrape is larger than a socket's buffers."""
    with serving(lambda: config(big_collector()), max_requests=2) as (client, service):
        assert service.publication.wait(PATIENCE)
        yield client


def connect(client):
    """A bare connection, closed in the end."""
    return closing(socket.create_connection(client.address, timeout=PATIENCE))


def read(connection):
    """The next response on a connection, whole."""
    response = HTTPResponse(connection)
    response.begin()
    response.body = response.read()
    return response


def names(response, parse=text):
    """The families in a scrape."""
    return {family.name for family in parse(response.text)}


def test_a_scrape_gets_text_by_default(client):
    """Without wishes it is Prometheus text 0.0.4, as its own parser reads it."""
    response = client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert {"kvm_one", "kvm_two", "kvm_collector_success"} <= names(response)


def test_a_scrape_gets_openmetrics_when_it_wants_it(client):
    """OpenMetrics ends with # EOF and is read by prometheus_client's strict parser."""
    response = client.get("/metrics", Accept=PROMETHEUS_2)
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1")
    assert "kvm_one" in names(response, openmetrics)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0", PLAIN),
        ("application/openmetrics-text; q=0", PLAIN),
        ("application/openmetrics-text; q=0.5, text/plain; q=0.4", OPENMETRICS),
        ("application/openmetrics-text; q=0.4, text/plain; q=0.5", PLAIN),
        ("application/openmetrics-text; q=0.4, */*; q=0.5", PLAIN),
        ("application/openmetrics-text, */*", OPENMETRICS),
        ("application/*, text/plain; q=0.9", OPENMETRICS),
        ("text/html, application/xml;q=0.9, */*;q=0.8", PLAIN),
        ("application/openmetrics-text; q=nan, text/plain; q=0.1", PLAIN),
        ("application/openmetrics-text; q=7, text/plain; q=0.1", PLAIN),
        (",;,=;q", PLAIN),
    ],
)
def test_the_form_that_is_accepted_best_is_given(accept, expected):
    """q-values, versions and wildcards are weighed as RFC 9110 says; text where all are equal."""
    assert negotiation.form(accept, "") == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("*", True),
        ("*;q=0", False),
        ("br", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=0.5", True),
        ("gzip;q=high", False),
    ],
)
def test_gzip_is_given_only_to_who_accepts_it(header, expected):
    """``gzip;q=0`` is a no."""
    assert negotiation.form("", header).gzip is expected


def test_gzip_is_the_same_text_packed(client):
    """What comes packed is what comes plain, and says so."""
    packed = client.get("/metrics?collect[]=one", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert gzip.decompress(packed.body) == client.get("/metrics?collect[]=one").body


def test_head_is_get_without_the_body(client):
    """HEAD tells the length that GET sends."""
    head = client.request("HEAD", "/metrics?collect[]=one")
    assert head.body == b""
    length = len(client.get("/metrics?collect[]=one").body)
    assert head.headers["Content-Length"] == str(length)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("collect[]=one", {"kvm_one"}),
        ("collect%5B%5D=one&collect%5B%5D=two", {"kvm_one", "kvm_two"}),
        ("exclude[]=exporter", {"kvm_one", "kvm_two"}),
        ("exclude[]=exporter&exclude[]=one", {"kvm_two"}),
    ],
)
def test_a_scrape_can_choose_its_collectors(client, query, expected):
    """collect[] gives the named ones, exclude[] all others."""
    assert names(client.get(f"/metrics?{query}")) == expected


@pytest.mark.parametrize("query", ["collect[]=nix", "exclude[]=nix", "collect[]=one&collect[]=nix"])
def test_an_unknown_collector_is_refused_and_the_known_ones_are_named(client, query):
    """A typo in a scrape configuration is told, not taken for nothing."""
    response = client.get(f"/metrics?{query}")
    assert response.status == 400
    assert "'nix'" in response.text
    assert "one, two, exporter" in response.text


def test_collect_and_exclude_exclude_each_other(client):
    """Both at once is 400, as with node_exporter."""
    assert client.get("/metrics?collect[]=one&exclude[]=two").status == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("POST", "/metrics", 405, "GET, HEAD"),
        ("DELETE", "/", 405, "GET, HEAD"),
        ("OPTIONS", "/config", 405, "GET, HEAD"),
        ("GET", "/-/reload", 405, "POST, PUT"),
        ("HEAD", "/-/reload", 405, "POST, PUT"),
        ("GET", "/nothing", 404, None),
        ("GET", "/metrics/", 404, None),
    ],
)
def test_wrong_methods_and_addresses_are_told(client, method, path, status, allowed):
    """A method that an address does not have is 405 with those it has, an address 404."""
    response = client.request(method, path)
    assert (response.status, response.headers["Allow"]) == (status, allowed)


def test_the_landing_page_tells_version_kernel_and_collectors(client):
    """A person who opens the exporter sees what it is and how it fares, and nothing unescaped."""
    response = client.get("/")
    assert response.headers["Content-Type"].startswith("text/html")
    for text_ in ("kvm_exporter", "GENERIC &lt;kernel&gt;", 'href="/metrics"', "<td>one</td>"):
        assert text_ in response.text


def test_an_address_is_shown_escaped(client):
    """The page for an unknown address does not run what stands in it."""
    assert "<script>" not in client.get("/%3Cscript%3E").text


def test_the_configuration_is_shown(client):
    """/config is YAML as plain text, with the collectors."""
    response = client.get("/config")
    assert response.headers["Content-Type"].startswith("text/plain")
    assert "one:" in response.text


def test_every_response_has_the_security_headers(client):
    """Nothing is cached or sniffed, be it an answer of ours or an error of the server's."""
    with connect(client) as broken:
        broken.sendall(b"NONSENSE\r\n\r\n")
        error = read(broken)
    assert error.status == 400
    for response in (client.get("/"), client.get("/metrics"), client.get("/nothing"), error):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"


def test_responses_are_counted_by_status():
    """kvm_exporter_http_requests_total has what was answered, in the next snapshot."""
    with serving(lambda: config(settings("one"))) as (client, service):
        assert client.get("/metrics").status == 200
        assert client.get("/nothing").status == 404
        before = service.publication.wait(PATIENCE)
        service.reload()
        while service.publication.wait(0) is before:
            assert client.get("/-/healthy").status == 200
        body = client.get("/metrics?collect[]=exporter").text
        assert 'kvm_exporter_http_requests_total{code="404"} 1' in body


def test_metrics_can_be_elsewhere():
    """--web.telemetry-path moves the metrics, and the landing page links to them."""
    with serving(lambda: config(settings("one")), telemetry_path="/kernel") as (client, _):
        assert "kvm_one" in client.get("/kernel").text
        assert client.get("/metrics").status == 404
        assert 'href="/kernel"' in client.get("/").text


def test_before_the_first_snapshot_the_exporter_is_healthy_but_not_ready(monkeypatch):
    """While the first collection hangs, probes can tell, and a scrape gets 503 after a while."""
    monkeypatch.setattr(http, "FIRST_SNAPSHOT_SECONDS", 0.01)
    gate = Gate()
    with serving(lambda: config(settings("slow", gate))) as (client, service):
        assert gate.entered.wait(PATIENCE)
        assert client.get("/-/healthy").status == 200
        assert client.get("/-/ready").status == 503
        assert client.get("/metrics").status == 503
        assert client.get("/").status == 200
        gate.opened.set()
        assert service.publication.wait(PATIENCE)
        assert client.get("/-/ready").status == 200


def test_a_scrape_waits_for_the_first_snapshot(monkeypatch):
    """Prometheus's first scrape of a fresh exporter is answered, not refused."""
    monkeypatch.setattr(http, "FIRST_SNAPSHOT_SECONDS", PATIENCE)
    gate = Gate()
    with serving(lambda: config(settings("slow", gate))) as (client, _), connect(client) as early:
        assert gate.entered.wait(PATIENCE)
        early.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        gate.opened.set()
        assert read(early).status == 200


def test_clients_that_never_finish_their_request_do_not_stop_a_scrape(monkeypatch):
    """Slow-loris: when half-sent requests take every connection, the idlest make room."""
    monkeypatch.setattr(server, "CONNECTIONS", 8)
    with (
        serving(lambda: config(settings("one")), max_requests=2) as (client, _),
        ExitStack() as held,
    ):
        for _ in range(20):
            loris = held.enter_context(connect(client))
            loris.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
            assert client.get("/metrics").status == 200


def test_a_request_that_takes_too_long_to_arrive_is_cut_off(monkeypatch):
    """A trickle of bytes keeps a connection no longer than the limit."""
    monkeypatch.setattr(server, "EXCHANGE_SECONDS", 0.0)
    monkeypatch.setattr(server, "CHECK_SECONDS", 0)
    with serving(lambda: config(settings("one"))) as (client, _), connect(client) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        assert slow.recv(1) == b""


def test_clients_that_read_nothing_do_not_stop_a_scrape(big, monkeypatch):
    """Pipelined requests for large answers that nobody reads hold no worker."""
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    with ExitStack() as held:
        for _ in range(server.WORKERS * 2):
            greedy = held.enter_context(connect(big))
            greedy.sendall(request * 5)
        # the limit on requests in progress may say 503, but it says so at once
        assert big.get("/-/healthy").status in (200, 503)
    assert big.get("/metrics").status in (200, 503)


def test_more_requests_than_allowed_are_refused_as_promhttp_does(big):
    """Over --web.max-requests in progress, down to the last byte sent, the answer is 503."""
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    with ExitStack() as held:
        slow = [held.enter_context(connect(big)) for _ in range(2)]
        for each in slow:
            each.sendall(request)
            each.recv(1, socket.MSG_PEEK)  # its answer has begun, and is too large to be over
        refused = big.get("/metrics")
        assert refused.status == 503
        assert refused.text == "Limit of concurrent requests reached (2), try again later.\n"
        assert read(slow[0]).status == 200
        assert big.get("/metrics").status == 200


def test_many_clients_at_once_get_whole_answers(big):
    """Concurrent readers of a large body all get the same bytes."""
    expected = len(big.get("/metrics?collect[]=big").body)
    sizes, refused = [], []

    def scrape():
        while True:
            response = big.get("/metrics?collect[]=big")
            if response.status == 200:
                break
            refused.append(response.status)
        sizes.append(len(response.body))

    threads = [threading.Thread(target=scrape) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sizes == [expected] * 6
    assert set(refused) <= {503}


def test_a_connection_is_used_again(client):
    """Prometheus's keep-alive: several requests on one connection, and several sent at once."""
    request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n"
    with connect(client) as kept:
        kept.sendall(request + b"\r\n" + request + b"\r\n" + request + b"Connection: close\r\n\r\n")
        lines = kept.makefile("rb").readlines()
    assert lines.count(b"HTTP/1.1 200 OK\r\n") == 3


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * server.HEADER_BYTES + b"\r\n\r\n", 431),
        (b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"\xff\xfe GET\r\n\r\n", 400),
    ],
)
def test_requests_out_of_bounds_are_refused(client, request_, status):
    """Headers and bodies have limits, and nonsense is an error of the client's."""
    with connect(client) as sender:
        sender.sendall(request_)
        assert read(sender).status == status


def test_a_part_is_rendered_once_while_it_does_not_change(monkeypatch):
    """Publishing a snapshot renders what is new in it, in the forms in use, and nothing else."""
    rendered = []

    def render(families, *, openmetrics):
        rendered.append((families[0].metric.name, openmetrics))
        return b"x"

    monkeypatch.setattr(publication, "render", render)
    same, first, second = (Part(name, (gauge(name),)) for name in ("same", "fresh", "fresh"))
    published = Publication()
    published.publish(Snapshot(1.0, (same, first)))
    assert rendered == []
    published.body(PLAIN)
    published.body(Form(gzip=True))
    assert rendered == [("same", False), ("fresh", False)]
    published.publish(Snapshot(2.0, (same, second)))
    assert rendered[2:] == [("fresh", False)]
    published.body(OPENMETRICS)
    assert rendered[3:] == [("same", True), ("fresh", True)]


def test_a_form_that_nobody_wants_any_more_is_not_made(monkeypatch):
    """One curl does not cost a rendering for ever."""
    monkeypatch.setattr(publication, "KEPT_SECONDS", -1.0)
    published = Publication()
    published.publish(Snapshot(1.0, (Part("a", (gauge("a"),)),)))
    published.body(PLAIN)
    monkeypatch.setattr(publication, "render", lambda *_, **__: pytest.fail("rendered"))
    published.publish(Snapshot(2.0, (Part("a", (gauge("a"),)),)))
