"""What does the running FreeBSD kernel answer to sysctl(3)?

Rules, from sys/kern/kern_sysctl.c and lib/libkvm/kvm_proc.c:

1. A question without a buffer answers an estimate of the size, often too large (kern.file says
   ten times its length); the length of the real answer is what the second call returns.
2. A list may have grown in between, so the buffer gets a tenth more than the estimate.
3. ENOMEM with a full buffer means "too small": ask again with a larger one, a bounded number of
   times.  ENOMEM with anything less is a real failure (the kernel could not wire the buffer).
4. An estimate of zero is an answer: an empty list.
5. Some answers depend on the buffer's size (vm.stats.* is 32 or 64 bits wide): there the caller
   says the size, and there is no estimate and no second try.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from kvm_exporter.kvm.errors import Unsupported

ATTEMPTS = 6
"""Buffers tried, each twice as large, before a list that outgrows them all is ENOMEM."""

CTL_MAXNAME = 24
"""Most numbers in a MIB (sys/sys/sysctl.h)."""


class Sysctl(Protocol):
    """A FreeBSD kernel's sysctl tree, live or recorded.  Answers are raw bytes, host byte order.

    Every method raises OSError with the kernel's errno: ENOENT for a name or number that is not
    there, EPERM and EACCES for what is refused, ESRCH for a process that is gone (or hidden),
    EINVAL and ENOTDIR for a MIB of the wrong length, ENOMEM for an answer longer than ``size``.
    """

    def by_name(self, name: str, size: int | None = None) -> bytes:
        """The answer of ``vm.loadavg`` and its kin, as ``by_mib``."""

    def by_mib(
        self, mib: Sequence[int], size: int | None = None, *, keep_partial: bool = False
    ) -> bytes:
        """The answer of a MIB.

        ``size`` None: the whole answer, however long.  Else one question with a buffer of exactly
        ``size`` bytes; an answer longer than that is ENOMEM, or with ``keep_partial`` its first
        ``size`` bytes (len(answer) == size then means that there may be more; the argument
        vectors of kern.proc.args are read so).
        """

    def mib(self, name: str) -> tuple[int, ...]:
        """The MIB of a name (sysctlnametomib(3))."""


class Answer(NamedTuple):
    """One system call's outcome: errno or 0, what was copied out, and the length it reported."""

    error: int
    data: bytes
    length: int


Call = Callable[[Sequence[int], int | None], Answer]
"""Ask a MIB with a buffer of that many bytes; None asks for the size alone."""


def read_whole(call: Call, mib: Sequence[int]) -> bytes:
    """The whole answer of ``mib`` (rules 1 to 4); OSError with the kernel's errno."""
    estimate = call(mib, None)
    _check(estimate.error, mib)
    if estimate.length == 0:
        return b""
    size = estimate.length + estimate.length // 10
    for _ in range(ATTEMPTS):
        answer = call(mib, size)
        if answer.error != errno.ENOMEM or answer.length != size:
            _check(answer.error, mib)
            return answer.data
        size *= 2
    raise _error(errno.ENOMEM, mib)


def read_sized(call: Call, mib: Sequence[int], size: int, *, keep_partial: bool) -> bytes:
    """The answer of ``mib`` to a buffer of exactly ``size`` bytes (rule 5)."""
    answer = call(mib, size)
    if not (keep_partial and answer.error == errno.ENOMEM and answer.length == size):
        _check(answer.error, mib)
    return answer.data


def _check(error: int, mib: Sequence[int]) -> None:
    if error:
        raise _error(error, mib)


def _error(error: int, what: object) -> OSError:
    return OSError(error, f"{os.strerror(error)} (sysctl {what})")


class LibcSysctl:
    """The running kernel's own answers, through libc.

    ``libc`` is the library to call, by default the one that Python itself is linked with.
    Unsupported where it has no FreeBSD sysctl.  Names are resolved once a handle.
    """

    def __init__(self, libc: ctypes.CDLL | None = None) -> None:
        library = ctypes.CDLL(None, use_errno=True) if libc is None else libc
        size_p = ctypes.POINTER(ctypes.c_size_t)
        mib_p = ctypes.POINTER(ctypes.c_int)
        try:
            self._sysctl = library.sysctl
            self._nametomib = library.sysctlnametomib
        except AttributeError as e:
            raise Unsupported(f"this system's libc has no FreeBSD sysctl(3): {e}") from e
        void_p = ctypes.c_void_p
        self._sysctl.argtypes = (mib_p, ctypes.c_uint, void_p, size_p, void_p, ctypes.c_size_t)
        self._sysctl.restype = ctypes.c_int
        self._nametomib.argtypes = (ctypes.c_char_p, mib_p, size_p)
        self._nametomib.restype = ctypes.c_int
        self._mibs: dict[str, tuple[int, ...]] = {}

    def by_name(self, name: str, size: int | None = None) -> bytes:
        """As Sysctl.by_name."""
        return self.by_mib(self.mib(name), size)

    def by_mib(
        self, mib: Sequence[int], size: int | None = None, *, keep_partial: bool = False
    ) -> bytes:
        """As Sysctl.by_mib."""
        if size is None:
            return read_whole(self._call, mib)
        return read_sized(self._call, mib, size, keep_partial=keep_partial)

    def mib(self, name: str) -> tuple[int, ...]:
        """As Sysctl.mib."""
        known = self._mibs.get(name)
        if known is None:
            numbers = (ctypes.c_int * CTL_MAXNAME)()
            count = ctypes.c_size_t(CTL_MAXNAME)
            if self._nametomib(name.encode(), numbers, ctypes.byref(count)) != 0:
                raise _error(ctypes.get_errno(), name)
            known = self._mibs[name] = tuple(numbers[: count.value])
        return known

    def _call(self, mib: Sequence[int], size: int | None) -> Answer:
        numbers = (ctypes.c_int * len(mib))(*mib)
        buffer = None if size is None else ctypes.create_string_buffer(size)
        length = ctypes.c_size_t(size or 0)
        failed = self._sysctl(numbers, len(mib), buffer, ctypes.byref(length), None, 0)
        error = ctypes.get_errno() if failed else 0
        copied = 0 if buffer is None else min(length.value, len(buffer))
        return Answer(error, ctypes.string_at(buffer, copied) if buffer else b"", length.value)
