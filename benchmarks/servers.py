"""How are the peers and ourselves run side by side, and what did each use?"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Server:
    """A running exporter."""

    pid: int
    url: str

    def cpu_seconds(self) -> float:
        """CPU time it has used so far: its process clock (clock_getcpuclockid(3))."""
        return time.clock_gettime(~self.pid << 3 | 2)

    def resident_mib(self) -> float:
        """Resident memory now (VmRSS)."""
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

    def scrape(self, *, gzip: bool = False) -> bytes:
        """One scrape's body as it came over the wire."""
        headers = {"Accept-Encoding": "gzip"} if gzip else {}
        request = urllib.request.Request(f"{self.url}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            body: bytes = answer.read()
        return body


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def serving(command: Sequence[str], listen_flag: str = "--web.listen-address") -> Iterator[Server]:
    """The exporter started by ``command``, once its first scrape has been good."""
    if not shutil.which(command[0]):
        sys.exit(f"{command[0]} is not installed; on Debian: apt-get install {' '.join(PEERS)}")
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [*command, f"{listen_flag}={address}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Server(process.pid, f"http://{address}")
    try:
        first_scrape(server, process)
        yield server
    finally:
        process.terminate()
        process.wait()


def first_scrape(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Try until the server answers; an ended process is an error."""
    while process.poll() is None:
        try:
            server.scrape()
        except OSError:
            time.sleep(0.002)
        else:
            return
    raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")


def ours(*flags: str) -> list[str]:
    """The command line of this checkout's exporter."""
    return [sys.executable, "-m", "kvm_exporter", *flags]


NODE_EXPORTER = ["prometheus-node-exporter"]
PEERS = ("prometheus-node-exporter", "prometheus-process-exporter")
"""Debian packages, and the programs in them."""
