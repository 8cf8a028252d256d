"""Real parts: the exporter as its own process, and ports for peers."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from system.guests.fleet import Fleet
from system.guests.guest import Guest
from system.guests.packages import Releases

REPO = Path(__file__).parents[2]


@pytest.fixture
def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def exporter() -> Iterator[str]:
    """The URL of an exporter with the default configuration, on this machine's kernel."""
    command = [sys.executable, "-m", "kvm_exporter", "--web.listen-address=127.0.0.1:0"]
    command += [f"--config.file={REPO / 'config' / 'kvm_exporter.yml'}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPO) as process:
        for line in process.stderr:
            if found := re.search(r"http://[\w.:\[\]]+", line):
                yield found[0]
                break
        else:
            pytest.fail(f"the exporter ended with {process.wait()} and printed no URL")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0


@pytest.fixture(scope="session")
def releases(pytestconfig: pytest.Config) -> Releases:
    """Debian's packages, as downloaded in this session or in an earlier one."""
    return Releases(pytestconfig.cache.mkdir("guests"))


@pytest.fixture(scope="session")
def fleet(
    request: pytest.FixtureRequest, releases: Releases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Every guest that this session's tests ask for, two at a time."""
    asked = [getattr(item, "callspec", None) for item in request.session.items]
    names = dict.fromkeys(spec.params["guest"] for spec in asked if spec and "guest" in spec.params)
    with Fleet(names, releases, tmp_path_factory.mktemp("guests")) as running:
        yield running


@pytest.fixture(scope="session")
def guest(request: pytest.FixtureRequest, fleet: Fleet) -> Guest:
    """The guest that the test is parametrized with by name (indirectly), dumped in every form."""
    return fleet.guest(request.param)
