"""What has the kernel printed?  The records of /dev/kmsg, as dmesg(1) shows them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable

from kvm_exporter.kvm.errors import AccessDenied, KvmError, Unsupported
from kvm_exporter.kvm.live.kmsg import PATH
from kvm_exporter.kvm.tally import Tally

Records = Callable[[], Iterable[bytes]]
"""The records there are now; OSError as the kernel says."""

RECORD = re.compile(rb"\d+,\d+,(\d+),[^;\n]*;([^\n]*)")
"""``6,339,5140900,-;text``: level, number, microseconds since boot; lines of details may follow."""

ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def from_live(records: Records, tally: Tally) -> str:
    """Lines of ``[    5.140900] text``; undecodable bytes as surrogates.

    Errors: AccessDenied where only root may read it, Unsupported where there is none.
    """
    try:
        lines = [_line(record) for record in records()]
    except OSError as e:
        tally.add(PATH, e.errno)
        raise _refusal(e) from e
    return "".join(lines)


def _line(record: bytes) -> str:
    found = RECORD.match(record)
    if not found:
        return ""
    microseconds = int(found[1][-20:])
    text = ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), found[2])
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"[{seconds:5d}.{rest:06d}] {text.decode('utf-8', 'surrogateescape')}\n"


def _refusal(error: OSError) -> KvmError:
    reason = f"{PATH}: {os.strerror(error.errno or 0)}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessDenied(f"{reason}; it takes CAP_SYSLOG, or kernel.dmesg_restrict=0")
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return Unsupported(f"{reason}; this machine, or this container, has none")
    return KvmError(reason)
