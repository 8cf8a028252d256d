"""Who may connect: users, TLS and client certificates, with real clients and certificates."""

from __future__ import annotations

import base64
import functools
import os
import re
import socket
import ssl
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from fakes.exporter import PATIENCE, Client, big_collector, config, serving, settings

from kvm_exporter.config import ConfigError
from kvm_exporter.outputs import auth, server, tls, web_config
from kvm_exporter.outputs.rate_limit import Limiter
from kvm_exporter.outputs.tls import Tls

bcrypt = pytest.importorskip("bcrypt", reason="PyPI has no wheel for this system")
trustme = pytest.importorskip("trustme", reason="PyPI has no wheel for this system")

PASSWORD = "correct horse"
HASHED = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
FILES = "tls_server_config:\n  cert_file: a\n  key_file: b\n"
USERS = f"basic_auth_users:\n  alice: {HASHED}\n"


def token(user, password):
    """Credentials as base64."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def basic(user, password):
    """A header with credentials."""
    return {"Authorization": f"Basic {token(user, password)}"}


@pytest.fixture(scope="module")
def authority():
    """A certificate authority that only these tests know."""
    return trustme.CA()


@pytest.fixture(scope="module")
def issue(authority, tmp_path_factory):
    """Writes a certificate for a name: the paths of certificate and key."""

    def issue_(name, by=authority):
        folder = tmp_path_factory.mktemp("cert")
        certificate = by.issue_cert(name)
        certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        return folder / "cert.pem", folder / "key.pem"

    return issue_


@pytest.fixture
def ca_file(authority, tmp_path):
    """The authority's own certificate in a file."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


@pytest.fixture
def file(tmp_path):
    """Writes the web configuration."""
    path = tmp_path / "web.yml"

    def write(text):
        fresh = tmp_path / "fresh.yml"
        fresh.write_text(text)
        fresh.replace(path)  # another inode, so that a change within one clock tick is seen
        return path

    return write


EXAMPLE = Path(__file__).parents[2] / "config" / "web.yml"


@contextmanager
def guarded(path, collector=None):
    """A service with this web configuration."""
    current = web_config.watch(path)
    secure = Tls(path, current) if current().tls_server_config else None
    load = functools.partial(config, collector or settings("one"))
    with serving(load, config=current, tls=secure) as (client, service):
        assert service.publication.wait(PATIENCE)
        yield client


def trusting(client, authority, certificate=None, version=None):
    """A client over TLS that trusts the authority and may show a certificate."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if certificate:
        context.load_cert_chain(*certificate)
    if version:
        context.maximum_version = version
    return Client(client.address, functools.partial(HTTPSConnection, context=context))


def section(certificate, more=""):
    """The file's TLS section for a certificate and its key."""
    cert, key = certificate
    return f"tls_server_config:\n  cert_file: {cert}\n  key_file: {key}\n{more}"


def test_without_users_nobody_is_asked(file):
    """An empty web configuration changes nothing."""
    with guarded(file("{}")) as client:
        assert client.get("/metrics").status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (basic("alice", PASSWORD), 200),
        ({"Authorization": f"basic {token('alice', PASSWORD)}"}, 200),
        (basic("alice", "wrong"), 401),
        (basic("alice", ""), 401),
        (basic("alice", PASSWORD + "\0"), 401),
        (basic("alice", "x" * 100), 401),
        (basic("mallory", PASSWORD), 401),
        (basic("", ""), 401),
        ({"Authorization": "Basic !"}, 401),
        ({"Authorization": "Bearer x"}, 401),
        ({"Authorization": "Basic " + base64.b64encode(b"alice").decode()}, 401),
        ({"Authorization": "Basic " + base64.b64encode(b"\xff:\xfe").decode()}, 401),
    ],
)
def test_only_a_user_with_the_password_gets_in(file, headers, status):
    """Every address asks for it, and says how."""
    with guarded(file(USERS)) as client:
        for path in ("/metrics", "/", "/-/healthy", "/nothing"):
            response = client.request("GET", path, headers)
            if status == 401:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"].startswith("Basic")
            else:
                assert response.status != 401


def test_a_password_is_hashed_once(monkeypatch, file):
    """Bcrypt's cost is paid at the first request only; a wrong password pays every time."""
    checks = []

    def checkpw(password, hashed):
        checks.append(password)
        return password == PASSWORD.encode()

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    guard = auth.BasicAuth(web_config.watch(file(USERS)))
    for _ in range(3):
        assert guard.granted(basic("alice", PASSWORD)["Authorization"])
        assert not guard.granted(basic("alice", "wrong")["Authorization"])
    assert checks.count(PASSWORD.encode()) == 1
    assert checks.count(b"wrong") == 3


def test_an_unknown_user_costs_a_check_too(monkeypatch, file):
    """Response times tell no user names."""
    checks = []
    monkeypatch.setattr(bcrypt, "checkpw", lambda *given: checks.append(given) or True)
    guard = auth.BasicAuth(web_config.watch(file(USERS)))
    assert not guard.granted(basic("mallory", PASSWORD)["Authorization"])
    assert len(checks) == 1


def test_more_requests_than_the_limit_are_refused(file):
    """A burst is answered, what is over gets 429, and a higher limit holds at once."""
    path = file("rate_limit:\n  interval: 1h\n  burst: 2\n")
    with guarded(path) as client:
        assert [client.get(at).status for at in ("/", "/metrics", "/metrics")] == [200, 200, 429]
        file("rate_limit:\n  interval: 1h\n  burst: 3\n")
        assert [client.get("/metrics").status for _ in range(4)] == [200, 200, 200, 429]
        file("{}")
        assert {client.get("/metrics").status for _ in range(5)} == {200}


def test_the_limit_gives_one_more_for_each_interval():
    """Half an interval is not enough, a whole one is, and unused ones fill the burst only."""
    now = 100.0
    limit = web_config.RateLimit(interval_seconds=10.0, burst=2)
    limiter = Limiter(lambda: web_config.WebConfig(rate_limit=limit), lambda: now)
    assert [limiter.allows() for _ in range(3)] == [True, True, False]
    now += 5
    assert not limiter.allows()
    now += 5
    assert [limiter.allows() for _ in range(2)] == [True, False]
    now += 1000
    assert [limiter.allows() for _ in range(3)] == [True, True, False]


def test_the_shipped_example_is_one(file):
    """As it is it sets a header; with its lines uncommented it is good, and its password too."""
    header = web_config.HttpServerConfig(headers={"X-Frame-Options": "deny"})
    assert web_config.watch(EXAMPLE)() == web_config.WebConfig(http_server_config=header)
    taught = web_config.watch(file(re.sub(r"(?m)^#: ", "", EXAMPLE.read_text())))
    assert taught().rate_limit == web_config.RateLimit(1.0, 20)
    assert taught().tls_server_config.client_allowed_sans == ("prometheus.example.org",)
    guard = auth.BasicAuth(taught)
    assert guard.granted(basic("prometheus", "change me")["Authorization"])


def test_users_can_change_without_a_restart(file):
    """The file is read again when it changed, and a remembered password is forgotten with it."""
    with guarded(file(USERS)) as client:
        assert client.request("GET", "/", basic("alice", PASSWORD)).status == 200
        other = bcrypt.hashpw(b"new", bcrypt.gensalt(4)).decode()
        file(f"basic_auth_users:\n  alice: {other}\n")
        assert client.request("GET", "/", basic("alice", PASSWORD)).status == 401
        assert client.request("GET", "/", basic("alice", "new")).status == 200


@pytest.mark.parametrize("broken", ["nonsense: 1\n", "basic_auth_users:\n  a: plain\n", "[", ""])
def test_a_file_that_became_broken_leaves_the_old_one_in_force(file, broken, caplog):
    """A typo neither locks everyone out nor lets anyone in; the log says what is wrong, once."""
    with guarded(file(USERS)) as client:
        file(broken)
        for _ in range(2):
            assert client.get("/").status == 401
            assert client.request("GET", "/", basic("alice", PASSWORD)).status == 200
    assert sum("web.yml" in record.getMessage() for record in caplog.records) == 1


def test_headers_are_added_to_every_response(file):
    """http_server_config.headers are on answers and errors."""
    path = file("http_server_config:\n  headers:\n    X-Frame-Options: DENY\n")
    with guarded(path) as client:
        for address in ("/", "/metrics", "/nothing"):
            assert client.get(address).headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tls_sever_config: {}\n", "tls_server_config"),
        ("tls_server_config:\n  cert_file: a\n", "key"),
        ("tls_server_config:\n  key_file: a\n", "cert"),
        ("tls_server_config:\n  cert_file: a\n  cert: b\n  key_file: c\n", "exclude each other"),
        (FILES + "  min_version: SSL3\n", "TLS12"),
        (
            FILES + "  min_version: TLS13\n  max_version: TLS12\n",
            "higher than max_version",
        ),
        (
            FILES + "  client_auth_type: RequireAndVerifyClientCert\n",
            "client_ca",
        ),
        (
            FILES + "  client_ca_file: c\n",
            "NoClientCert",
        ),
        (
            FILES + "  client_auth_type: RequestClientCert\n",
            "VerifyClientCertIfGiven",
        ),
        ("basic_auth_users:\n  alice: secret\n", "htpasswd"),
        ("http_server_config:\n  headers:\n    Server: x\n", "X-Frame-Options"),
        ('http_server_config:\n  headers:\n    X-Frame-Options: "a\\r\\nb"\n', "printable"),
        ("http_server_config:\n  http2: true\n", "HTTP/2"),
        ("rate_limit:\n  burst: 3\n", "interval"),
        ("rate_limit:\n  interval: 1s\n  burst: 0\n", "at least 1"),
    ],
)
def test_mistakes_in_the_file_are_told(file, text, told):
    """Each message names the file and what to do; a password is never in it."""
    with pytest.raises(ConfigError) as caught:
        web_config.watch(file(text))
    assert "web.yml" in str(caught.value)
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


def test_users_without_bcrypt_are_a_clear_error(file, monkeypatch):
    """Where the optional package is missing, the message says what to install."""
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(ConfigError, match=r"pip install 'kvm_exporter\[auth\]'"):
        web_config.watch(file(USERS))


def test_a_missing_certificate_is_a_clear_error(file):
    """The configuration is refused, with the file and the reason."""
    path = file(section(("no-cert.pem", "no-key.pem")))
    with pytest.raises(
        ConfigError, match=r"certificate or key cannot be used.*No such file.*/no-cert\.pem"
    ):
        Tls(path, web_config.watch(path))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_scrape_over_tls(file, authority, issue, version):
    """A client that trusts our authority gets its metrics, whatever the version of TLS."""
    with guarded(file(section(issue("127.0.0.1")))) as client:
        response = trusting(client, authority, version=version).get("/metrics")
    assert response.status == 200
    assert "kvm_one" in response.text


def test_a_large_answer_over_tls_arrives_whole(file, authority, issue):
    """Megabytes through a non-blocking TLS connection are the bytes that were sent."""
    with guarded(file(section(issue("127.0.0.1"))), big_collector()) as client:
        over_tls = trusting(client, authority).get("/metrics?collect[]=big")
    assert over_tls.text.count("\nkvm_big_bytes{") == 100_000
    assert over_tls.text.endswith(" 99999\n")


def test_many_requests_on_one_tls_connection(file, authority, issue):
    """Keep-alive and requests that arrive in one record are answered in order."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n"
    with guarded(file(section(issue("127.0.0.1")))) as client:
        raw = socket.create_connection(client.address, timeout=PATIENCE)
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
            padding = b"X-Padding: " + b"x" * 6000 + b"\r\n\r\n"
            connection.sendall(2 * (request + padding) + request + b"Connection: close\r\n\r\n")
            answers = connection.makefile("rb").readlines()
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 3


def test_certificates_can_be_inline(file, authority):
    """Cert and key may stand in the file itself."""
    certificate = authority.issue_cert("127.0.0.1")
    pems = {
        "cert": certificate.cert_chain_pems[0].bytes().decode(),
        "key": certificate.private_key_pem.bytes().decode(),
    }
    lines = [
        f"  {name}: |\n" + "".join(f"    {line}\n" for line in pem.splitlines())
        for name, pem in pems.items()
    ]
    with guarded(file("tls_server_config:\n" + "".join(lines))) as client:
        assert trusting(client, authority).get("/-/healthy").status == 200


MUTUAL = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {}\n"


def test_a_client_certificate_can_be_demanded(file, authority, issue, ca_file):
    """mTLS: the right certificate gets in, none or a stranger's does not."""
    path = file(section(issue("127.0.0.1"), MUTUAL.format(ca_file)))
    stranger = issue("prometheus", by=trustme.CA())
    with guarded(path) as client:
        friend = trusting(client, authority, issue("prometheus"))
        assert friend.get("/metrics").status == 200
        for other in (None, stranger):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                trusting(client, authority, other).get("/metrics")
        assert friend.get("/metrics").status == 200


def test_a_client_certificates_name_can_be_demanded(file, authority, issue, ca_file):
    """client_allowed_sans: of certificates that are good, only those with such a name get in."""
    more = MUTUAL.format(ca_file) + "  client_allowed_sans: [prometheus, backup]\n"
    with guarded(file(section(issue("127.0.0.1"), more))) as client:
        assert trusting(client, authority, issue("prometheus")).get("/").status == 200
        with pytest.raises((ssl.SSLError, OSError)):
            trusting(client, authority, issue("somebody")).get("/")


def test_a_client_certificate_can_be_optional(file, authority, issue, ca_file):
    """VerifyClientCertIfGiven: none is fine, a stranger's is not."""
    more = f"  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: {ca_file}\n"
    with guarded(file(section(issue("127.0.0.1"), more))) as client:
        assert trusting(client, authority).get("/").status == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            trusting(client, authority, issue("x", by=trustme.CA())).get("/")


def test_a_version_that_is_too_old_is_refused(file, authority, issue):
    """min_version holds."""
    with guarded(file(section(issue("127.0.0.1"), "  min_version: TLS13\n"))) as client:
        with pytest.raises(ssl.SSLError):
            trusting(client, authority, version=ssl.TLSVersion.TLSv1_2).get("/")
        assert trusting(client, authority).get("/").status == 200


def test_plain_http_to_the_tls_port_is_told(file, issue):
    """Who forgot the s in https gets words, not a cut connection."""
    with guarded(file(section(issue("127.0.0.1")))) as client:
        response = client.get("/metrics")
    assert response.status == 400
    assert "HTTPS" in response.text


def test_nonsense_to_the_tls_port_costs_only_its_connection(file, authority, issue):
    """Garbage, silence and an early goodbye are no trouble for the next client."""
    with guarded(file(section(issue("127.0.0.1")))) as client:
        for nonsense in (b"", b"\x16\x03\x01\xff\xff" + b"x" * 100, os.urandom(50)):
            with socket.create_connection(client.address, timeout=PATIENCE) as connection:
                connection.sendall(nonsense)
        assert trusting(client, authority).get("/").status == 200


def test_a_handshake_that_never_ends_is_cut_off(file, issue, monkeypatch):
    """Silence on the TLS port holds a connection no longer than the limit."""
    monkeypatch.setattr(server, "EXCHANGE_SECONDS", 0.0)
    monkeypatch.setattr(server, "CHECK_SECONDS", 0)
    with (
        guarded(file(section(issue("127.0.0.1")))) as client,
        socket.create_connection(client.address, timeout=PATIENCE) as silent,
    ):
        assert silent.recv(1) == b""


def test_certificates_rotate_without_a_restart(file, authority, issue):
    """A new certificate is used from the next connection on; a broken one is not."""
    other = trustme.CA()
    path = file(section(issue("127.0.0.1")))
    with guarded(path) as client:
        assert trusting(client, authority).get("/").status == 200
        file(section(issue("127.0.0.1", by=other)))
        assert trusting(client, other).get("/").status == 200
        file(section((path, path)))
        assert trusting(client, other).get("/").status == 200


def test_tls_cannot_be_switched_off_while_running(file, authority, issue, caplog):
    """Taking the section out keeps TLS until a restart: a typo must not open a door."""
    with guarded(file(section(issue("127.0.0.1")))) as client:
        file("{}")
        assert trusting(client, authority).get("/").status == 200
    assert "restart" in caplog.text


def test_ssl_and_bcrypt_are_imported_by_their_users_only():
    """Plain HTTP does not pay the memory of TLS and of passwords."""
    program = (
        "import sys, kvm_exporter.cli, kvm_exporter.outputs.auth\n"
        "heavy = {'ssl', 'bcrypt', 'hashlib', 'email', 'http.client', 'asyncio',"
        " 'importlib.metadata', 'prometheus_client', 'opentelemetry'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_every_version_and_way_of_asking_is_known_to_tls():
    """What the file may say, the context can be made of."""
    assert set(tls.VERSIONS) == set(web_config.Version.__args__)
    known = set(web_config.ClientAuth.__args__) - set(web_config.UNVERIFIED)
    assert set(tls.CLIENT_AUTH) == known
