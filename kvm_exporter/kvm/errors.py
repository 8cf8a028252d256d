"""What can go wrong while reading a kernel, and what its user can do about it."""

from __future__ import annotations


class KvmError(Exception):
    """Any failure to read a kernel; the message says what, where and what to do."""


class FormatError(KvmError):
    """Bytes that are not what their format promises (a struct size, a header, a count)."""


class Fault(KvmError):
    """An address that no page answers for.

    ``address`` is the first byte that could not be reached; ``level`` is the page table
    level that had no entry, or None where no table was walked (live /dev/kmem, kcore).
    """

    def __init__(self, address: int, reason: str, level: int | None = None) -> None:
        super().__init__(f"address {address:#x}: {reason}")
        self.address = address
        self.level = level


class Filtered(Fault):
    """An address whose page was there, but was left out of the dump (makedumpfile -d)."""


class SymbolMissing(KvmError):
    """A name that this kernel's symbol tables do not hold."""


class TypeMissing(KvmError):
    """A type or member that this kernel's type information does not hold."""


class AccessDenied(KvmError):
    """The kernel refused; the message names the privilege that would help."""


class ProcessGone(KvmError):
    """The process ended (or never was) before it could be read."""


class Unsupported(KvmError):
    """A thing this kernel, or this version of the library, does not have."""
