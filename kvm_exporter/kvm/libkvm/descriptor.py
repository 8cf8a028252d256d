"""What is a kvm_t?  An open kernel, its last error, and who is told of errors.

libkvm has two ways of failing (_kvm_err and _kvm_syserr of lib/libkvm/kvm_private.c), told apart
here by the exception: one that an OSError caused, and an address of a running kernel that is none,
reads ``function: strerror``; any other is its own text.  Each call starts with a clean error, so a
text is never a stale one.

Errors of kvm_read and kvm_write are soft: kvm_open's errstr does not have them printed, because
programs such as gdb try addresses that may be bogus.  A short transfer is printed.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from types import TracebackType

from kvm_exporter.kvm.errors import Fault, KvmError
from kvm_exporter.kvm.handle import Kvm

Resolver = Callable[[str], int | None]
"""Symbol name → address, None for none: kvm_open2's."""


class Descriptor:
    """kvm(3)'s ``kvm_t``; made by kvm_open and its kin, or around a Kvm that is already open.

    ``program``: errors go to standard error behind that name, as kvm_open's errstr wants it;
    None stores them for kvm_geterr.  ``memoryless``: opened with /dev/null as its core.
    ``resolver``: finds a dump's symbols instead of the kernel's file.
    """

    def __init__(
        self,
        kvm: Kvm,
        program: str | None = None,
        *,
        writable: bool = False,
        memoryless: bool = False,
        resolver: Resolver | None = None,
    ) -> None:
        self.kvm = kvm
        self.program = program
        self.writable = writable
        self.memoryless = memoryless
        self.resolver = resolver
        self.error = ""

    def fail(self, text: str, *, soft: bool = False) -> None:
        """Report an error as _kvm_err does; a ``soft`` one is stored in any case."""
        if self.program is None or soft:
            self.error = text
        else:
            tell(self.program, text)

    def fail_with(self, function: str, number: int, *, soft: bool = False) -> None:
        """Report an errno as _kvm_syserr does."""
        self.fail(f"{function}: {os.strerror(number)}", soft=soft)

    def reporting(self, function: str, *, soft: bool = False) -> Reporting:
        """A block whose KvmError is reported and ends it."""
        self.error = ""
        return Reporting(self, function, soft=soft)


class Reporting:
    """See Descriptor.reporting: what follows the block is the failed function's return."""

    def __init__(self, kd: Descriptor, function: str, *, soft: bool) -> None:
        self._kd = kd
        self._function = function
        self._soft = soft

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, KvmError):
            return False
        number = errno_of(error)
        if number is None and isinstance(error, Fault) and self._kd.kvm.live:
            number = errno.EFAULT
        if number is None:
            self._kd.fail(str(error), soft=self._soft)
        else:
            self._kd.fail_with(self._function, number, soft=self._soft)
        return True


def errno_of(error: KvmError) -> int | None:
    """The errno behind an error; None where it is not the operating system's."""
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None


def tell(program: str, text: str) -> None:
    """One line on standard error, as perror(3) has it."""
    sys.stderr.write(f"{program}: {text}\n")
