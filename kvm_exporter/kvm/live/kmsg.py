"""What is in Linux's log?  /dev/kmsg (Documentation/ABI/testing/dev-kmsg), a record a read."""

from __future__ import annotations

import os
from collections.abc import Iterator

PATH = "/dev/kmsg"

LONGEST = 32768
"""Bytes of a record at most: the kernel's own buffer for one has 8 KiB."""

MOST = 1 << 20
"""Records at most, should somebody write them as fast as they are read."""


def records(path: str = PATH) -> Iterator[bytes]:
    """Each record from the oldest on, until there is no other yet.  OSError as the kernel says."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        for _ in range(MOST):
            try:
                record = os.read(fd, LONGEST)
            except BlockingIOError:
                return
            except BrokenPipeError:
                # overwritten before it was read: the next read is of the oldest that there is
                continue
            if not record:
                return
            yield record
    finally:
        os.close(fd)
