"""How is a guest run, stopped and dumped?  QEMU without hardware help, driven over QMP."""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 240.0  # seconds; the slowest guest wants fifty on an idle machine
CHUNK = 1 << 16
WINDOW = 2 * CHUNK  # of the console's end, in which its words are looked for


class Machine:
    """A running guest: its console as bytes, and QMP."""

    def __init__(self, process: subprocess.Popen[bytes], monitor: socket.socket) -> None:
        self.process = process
        self.console = bytearray()
        self._lines = monitor.makefile("rb")
        self._monitor = monitor
        self._lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: Any) -> Any:
        """QMP's answer to a command; events that come first are passed over."""
        words = {"execute": command, "arguments": arguments}
        self._monitor.sendall(json.dumps(words).encode())
        for line in self._lines:
            answer = json.loads(line)
            if "event" not in answer:
                assert "return" in answer, f"{command}: {answer}"
                return answer["return"]
        raise AssertionError(f"QEMU went away at {command}: {self.said()}")

    def wait_for(self, pattern: str) -> re.Match[bytes]:
        """Read the console until `pattern` matches near its end."""
        deadline = time.monotonic() + PATIENCE
        descriptor = self.process.stdout.fileno()
        with selectors.DefaultSelector() as ready:
            ready.register(descriptor, selectors.EVENT_READ)
            while not (found := re.search(pattern.encode(), self.console[-WINDOW:])):
                left = deadline - time.monotonic()
                assert ready.select(max(left, 0)), f"no {pattern} on the console: {self.said()}"
                data = os.read(descriptor, CHUNK)
                assert data, f"QEMU ended before {pattern}: {self.said()}"
                self.console += data
        return found

    def said(self) -> str:
        """The console's end, for a message."""
        return self.console[-2000:].decode(errors="replace")

    def dump(self, form: str, path: Path) -> None:
        """dump-guest-memory; `form` is elf, paging (elf by virtual addresses) or kdump-zlib."""
        wanted = {"format": form} if form.startswith("kdump") else {}
        self.ask("dump-guest-memory", paging=form == "paging", protocol=f"file:{path}", **wanted)


@contextmanager
def running(
    command: Sequence[str], kernel: Path, initramfs: Path, folder: Path
) -> Iterator[Machine]:
    """That guest from power on; it is gone afterwards."""
    ours, its = socket.socketpair()
    with ours, its:
        monitor = [
            "-chardev",
            f"socket,id=monitor,fd={its.fileno()}",
            "-mon",
            "chardev=monitor,mode=control",
        ]
        screen = ["-display", "none", "-serial", "stdio", "-no-reboot"]
        boot = ["-kernel", kernel, "-initrd", initramfs]
        with (
            (folder / "qemu.log").open("wb") as log,
            subprocess.Popen(
                [*command, *boot, *monitor, *screen],
                pass_fds=[its.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            ) as process,
        ):
            its.close()
            try:
                machine = Machine(process, ours)
                try:
                    yield machine
                finally:
                    (folder / "console").write_bytes(machine.console)
            finally:
                process.kill()
