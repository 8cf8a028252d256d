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
