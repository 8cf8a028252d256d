"""What does a failed read of /proc mean to who asked?  An error that helps, or an absent value."""

from __future__ import annotations

import errno

from kvm_exporter.kvm.errors import AccessDenied, FormatError, KvmError, ProcessGone, Unsupported
from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.tally import Tally


def required(procfs: Procfs, tally: Tally, name: str) -> bytes:
    """A file without which there is no answer at all; its failure is tallied and raised."""
    try:
        return procfs.read(name)
    except OSError as error:
        tally.add(procfs.path(name), error.errno)
        raise refusal(procfs.path(name), error) from error


def optional(procfs: Procfs, tally: Tally, name: str) -> bytes:
    """A file that can be missed: empty, and tallied, where it cannot be read."""
    try:
        return procfs.read(name)
    except OSError as error:
        tally.add(procfs.path(name), error.errno)
        return b""


def pids(procfs: Procfs, tally: Tally) -> list[int]:
    """The processes there are; AccessDenied or Unsupported where /proc cannot be listed."""
    try:
        return procfs.pids()
    except OSError as error:
        tally.add(procfs.root, error.errno)
        raise refusal(procfs.root, error) from error


def refusal(path: str, error: OSError) -> KvmError:
    """The KvmError for a file that could not be read."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessDenied(
            f"{path}: {error.strerror}; it takes the same user, or root's CAP_SYS_PTRACE "
            "and CAP_DAC_READ_SEARCH"
        )
    if error.errno == errno.ESRCH:
        return ProcessGone(f"{path}: {error.strerror}")
    if error.errno == errno.ENOENT:
        return Unsupported(
            f"{path}: {error.strerror}; is /proc mounted, and does this kernel have it?"
        )
    return KvmError(f"{path}: {error.strerror}")


def malformed(path: str, what: bytes) -> FormatError:
    """The FormatError that shows the beginning of what was not understood."""
    return FormatError(f"{path}: not understood: {what[:80]!r}")


def number(token: bytes) -> int | None:
    """A decimal number as the kernel prints a u64 or less; None for anything else."""
    return int(token) if token.isdigit() and len(token) <= 20 else None


def first_number(text: bytes) -> int | None:
    """The number that a line begins with, however long the line; None where there is none."""
    return number(b"".join(text.split(None, 1)[:1]))
