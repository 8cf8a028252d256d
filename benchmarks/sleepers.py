"""How does a machine get to N processes?  By ours, which are killed at the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

KINDS = {
    "asleep": ["/bin/sleep", "100000"],
    # looks at its file five times a second, so it ran between any two collections
    "awake": ["/usr/bin/tail", "-f", "---disable-inotify", "-s", "0.2", "/dev/null"],
}


def process_count() -> int:
    """Processes on this machine now."""
    return sum(name.isdigit() for name in os.listdir("/proc"))


@contextmanager
def machine_with(total: int, kind: str = "asleep") -> Iterator[int]:
    """At least ``total`` processes while the block runs; gives how many there are."""
    children: list[int] = []
    command = KINDS[kind]
    try:
        missing = range(total - process_count())
        children.extend(os.posix_spawn(command[0], command, {}) for _ in missing)
        yield process_count()
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
