"""The command line: what it does, what it says, and how it ends."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys

import pytest
from fakes.exporter import FakeKvm, bad_config, config, settings
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from kvm_exporter import __version__, arguments, cli, collectors, log, opening, trial
from kvm_exporter.kvm import Unsupported
from kvm_exporter.outputs import listen
from kvm_exporter.outputs.listen import Address, ListenError


@pytest.fixture(autouse=True)
def _same_log():
    """The command line sets up the log of the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def configured(monkeypatch):
    """Makes the built-in configuration one of fake collectors, on a fake kernel."""

    def configure(*some):
        monkeypatch.setattr(cli.config, "default", lambda: config(*some))
        monkeypatch.setattr(opening.kernel, "open", FakeKvm)

    return configure


def fail(kvm):
    """A collect function that raises."""
    raise OSError("no swap here")


def run(*argv):
    """``python -m kvm_exporter`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "kvm_exporter", *argv],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def families(output, parse=text):
    """The families in a scrape."""
    return {family.name for family in parse(output)}


def test_the_version_is_told():
    """--version prints it and is fine."""
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"kvm_exporter {__version__}\n")


def test_scrape_prints_a_snapshot_of_this_machine():
    """``scrape`` needs no configuration, no privilege and no server."""
    done = run("scrape")
    assert done.returncode == 0, done.stderr
    assert {"kvm_load1", "kvm_collector_success", "kvm_exporter_build_info"} <= families(
        done.stdout
    )


def test_scrape_prints_openmetrics(configured, capfdbinary):
    """--openmetrics gives the other format, complete."""
    configured(settings("one"))
    assert cli.main(["scrape", "--openmetrics"]) == 0
    assert "kvm_one" in families(capfdbinary.readouterr().out.decode(), openmetrics)


def test_a_scrape_that_lacks_a_collector_says_so(configured, capfd):
    """What there is gets printed; the failure is on stderr and in the status."""
    configured(settings("one"), settings("swap", fail))
    assert cli.main(["scrape"]) == 1
    out, err = capfd.readouterr()
    assert "kvm_one" in families(out)
    assert "collector swap failed: OSError: no swap here" in err


def test_a_reader_that_has_enough_is_no_disaster():
    """``kvm_exporter scrape | head`` prints no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "kvm_exporter", "scrape"],
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("command", [["scrape"], ["check"], ["--config.check"]])
def test_closed_output_is_told(command):
    """Without a standard output (``>&-``) there is one line on the other, and no traceback."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "kvm_exporter", *command],
        check=False,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "kvm_exporter: cannot go on: standard output is closed, so there is nowhere to write to\n"
    )


@pytest.mark.parametrize("command", [["scrape"], ["--config.check"]])
def test_output_that_cannot_be_written_is_told(command):
    """A full disk is a failure with its reason and without a traceback."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "kvm_exporter", *command],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


def test_check_tells_what_every_collector_gets(configured, capsys):
    """``check`` tries each collector; one that fails is named with its reason."""
    configured(settings("one"), settings("swap", fail))
    assert cli.main(["check"]) == 1
    out = capsys.readouterr().out
    assert "The configuration is good." in out
    assert "collector one: ok, 1 series" in out
    assert "collector swap: FAILED: OSError: no swap here" in out


@pytest.mark.parametrize(
    ("system", "hint"), [("linux", "CAP_SYS_PTRACE"), ("freebsd15", "bsd.see")]
)
def test_check_tells_what_was_refused_and_how_to_be_allowed(system, hint):
    """A refused source is named with its errno and the privilege that would help."""

    class Refusing(FakeKvm):
        def refusals(self):
            return {("proc io", "EACCES"): 3}

    well, lines = trial.trial(config(settings("one")), Refusing, system)
    assert well
    assert any("proc io: EACCES (3 times)" in line for line in lines)
    assert any(line.startswith("hint:") and hint in line for line in lines)
    assert any(
        "kernel memory" in line and "only the collector symbols needs it" in line for line in lines
    )


def test_config_check_tells_every_mistake(monkeypatch, tmp_path, capsys):
    """Mistakes of both files are told at once, on stderr, with status 2 and nothing started."""
    monkeypatch.setattr(cli.config, "load", lambda path: bad_config())
    web = tmp_path / "web.yml"
    web.write_text("nonsense: 1\n")
    argv = ["--config.check", "--config.file=x.yml", f"--web.config.file={web}"]
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert "colour: unknown key" in err
    assert "nonsense: unknown key" in err


def test_a_missing_configuration_is_told(capsys):
    """A file that is not there is a mistake of the configuration, without a traceback."""
    assert cli.main(["--config.file=/nonexistent.yml"]) == 2
    assert "/nonexistent.yml: cannot read it: No such file" in capsys.readouterr().err


def test_an_occupied_port_is_told(configured, capsys):
    """The message names the address and how to choose another."""
    configured(settings("one"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert cli.main([f"--web.listen-address=127.0.0.1:{port}"]) == 1
    err = capsys.readouterr().err
    assert f"127.0.0.1 port {port}" in err
    assert "--web.listen-address" in err


def test_a_system_that_cannot_be_read_is_told(monkeypatch, capsys):
    """On another system the library's own words are the message."""

    def open_kvm():
        raise Unsupported("plan9: a live kernel can be read on FreeBSD and Linux only")

    monkeypatch.setattr(opening.kernel, "open", open_kvm)
    assert cli.main([]) == 1
    assert "FreeBSD and Linux only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--nonsense"], "--nonsense"),
        (["look"], "look"),
        (["--web.listen-address=10111"], "host:port"),
        (["--web.listen-address=::1:10111"], "brackets"),
        (["--web.listen-address=:65536"], "65535"),
        (["--web.telemetry-path=metrics"], "starts with /"),
        (["--web.telemetry-path=/-/ready"], "own"),
        (["--web.telemetry-path=//metrics"], "letters"),
        (["--web.telemetry-path=/métriques"], "letters"),
        (["--web.telemetry-path=/a%20b"], "letters"),
        (["--config.file="], "empty"),
        (["--web.config.file="], "empty"),
        (["--web.max-requests=-1"], "whole number"),
        (["--log.level=loud"], "loud"),
        (["--collector.nonsense"], "nonsense"),
        (["--web.systemd-socket", "--web.listen-address=:0"], "exclude each other"),
    ],
)
def test_a_wrong_argument_is_told(argv, told, capsys):
    """Status 2, and the message names what is wrong."""
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_collectors_can_be_switched_on_and_off(monkeypatch):
    """--collector.X and --no-collector.X are handed to the configuration."""
    name, other = collectors.names()[:2]
    given = arguments.parse([f"--collector.{name}", f"--no-collector.{other}"])
    assert (given.enable, given.disable) == ((name,), (other,))
    assert arguments.parse([]).enable == ()


def test_the_address_outside_the_full_range_is_the_default():
    """9100-9999 is allocated to other exporters."""
    assert arguments.parse([]).addresses == (Address("", 10111),)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        (":10111", ("", 10111)),
        ("localhost:0", ("localhost", 0)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("[::1]:80", ("::1", 80)),
        ("[::]:80", ("::", 80)),
    ],
)
def test_addresses_are_written_as_gos_exporters_write_them(written, address):
    """host:port, with brackets around IPv6."""
    assert Address.parse(written) == address


def test_every_interface_is_answered_on():
    """:port is reached by IPv4, and by IPv6 where the machine has it; the URL is one to click."""
    (sock,) = listen.listen([Address("", 0)])
    with sock:
        port = sock.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        if sock.family == socket.AF_INET6:
            socket.create_connection(("::1", port)).close()
        assert listen.url(sock, "http") == f"http://localhost:{port}/"


def test_an_address_that_fails_leaves_no_other_open():
    """Of several addresses all are listened on, or none."""
    (taken,) = listen.listen([Address("127.0.0.1", 0)])
    with taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match="choose another"):
            listen.listen([Address("127.0.0.1", 0), Address("127.0.0.1", port)])


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_name_that_no_host_can_have_is_told(host):
    """What cannot even be asked of DNS is an error like any other address."""
    with pytest.raises(ListenError, match="not a host's name"):
        listen.listen([Address(host, 0)])


def test_systemd_must_have_handed_over_a_socket():
    """Without LISTEN_FDS, or with those of another process, the error says how to start it."""
    for environ in ({}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}):
        with pytest.raises(ListenError, match=r"\.socket unit"):
            listen.from_systemd(environ)


def test_sockets_of_systemd_are_taken_over(monkeypatch):
    """The descriptors from 3 on are listened on, and the variables are used up."""
    with socket.create_server(("127.0.0.1", 0)) as original:
        fd = os.dup(original.fileno())
        monkeypatch.setattr(listen, "SYSTEMD_FIRST_FD", fd)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}
        (sock,) = listen.from_systemd(environ)
        with sock:
            assert sock.getsockname() == original.getsockname()
    assert environ == {}


def record(message, level=logging.WARNING):
    """A log record of a fixed instant."""
    made = logging.LogRecord("kvm_exporter", level, "", 0, message, (), None)
    made.created = 1_000_000.25
    return made


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("ending", "msg=ending"),
        ("two words", 'msg="two words"'),
        ('a="b"\nc', r'msg="a=\"b\"\nc"'),
        ("", 'msg=""'),
        ("\u00e9", 'msg="\u00e9"'),
    ],
)
def test_the_log_is_logfmt(message, line):
    """One record is one line, whatever it says."""
    formatted = log.Formatter("logfmt").format(record(message))
    assert formatted == f"ts=1970-01-12T13:46:40.250Z level=warn {line}"


def test_the_log_can_be_json():
    """--log.format=json gives an object a line."""
    fields = json.loads(log.Formatter("json").format(record('say "hi"\n', logging.ERROR)))
    assert fields == {"ts": "1970-01-12T13:46:40.250Z", "level": "error", "msg": 'say "hi"\n'}


def test_help_names_every_collector(capsys):
    """--help lists the switches of all built-in collectors."""
    with pytest.raises(SystemExit):
        arguments.parse(["--help"])
    out = capsys.readouterr().out
    assert all(f"--no-collector.{name}" in out for name in collectors.names())
