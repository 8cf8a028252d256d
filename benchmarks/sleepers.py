"""How does a machine get to N processes?  Sleepers, killed at the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


def process_count() -> int:
    """Processes on this machine now."""
    return sum(name.isdigit() for name in os.listdir("/proc"))


@contextmanager
def machine_with(total: int) -> Iterator[int]:
    """At least ``total`` processes while the block runs; gives how many there are."""
    children: list[int] = []
    try:
        missing = range(total - process_count())
        children.extend(os.posix_spawn("/bin/sleep", ["sleep", "100000"], {}) for _ in missing)
        yield process_count()
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
