"""How is the running FreeBSD kernel's memory read and written?  Through mem(4)'s /dev/kmem.

1. The file offset is the kernel's virtual address.  off_t is signed, so addresses of the upper
   half of a 64-bit space are negative offsets, which FreeBSD allows on a character device.
2. A read that meets an unmapped page gives what came before it, and EFAULT only if nothing did;
   but arm64 and its kin say EFAULT all the same (no look at uio_resid in their mem.c), so after
   EFAULT the pages are read one by one.
3. The devices are 0640 root:kmem: reading needs the group kmem.  Writing needs more than the
   file's mode: PRIV_KMEM_WRITE and a kern.securelevel of at most 0.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NoReturn, TypeVar

from kvm_exporter.kvm.errors import AccessDenied, Fault, KvmError, Unsupported
from kvm_exporter.kvm.memory import Place

Result = TypeVar("Result", bytes, int)

KMEM = "/dev/kmem"

PAGE = 4096
"""The smallest page of any machine: no page ends between two of its multiples."""

TO_READ = "its mode is 0640 root:kmem; run as a member of the group kmem, or as root"
TO_WRITE = "writing needs root (PRIV_KMEM_WRITE) and a kern.securelevel of 0 or less"


class DeviceMemory:
    """Kernel virtual memory (memory.py's Memory) in the device at ``path``.

    The device is opened at the first read, so that a handle costs no privilege.
    """

    def __init__(self, path: str = KMEM, *, writable: bool = False) -> None:
        self._path = path
        self._writable = writable
        self._descriptor: int | None = None
        self._closed = False

    def read(self, address: int, length: int) -> bytes:
        """At most ``length`` bytes; Fault where the first has no page, AccessDenied, KvmError."""
        first = PAGE - address % PAGE
        try:
            return self._read(address, length)
        except Fault:
            if length <= first:
                raise
        data = bytearray(self._read(address, first))
        while len(data) < length and (address + len(data)) % PAGE == 0:
            try:
                data += self._read(address + len(data), min(PAGE, length - len(data)))
            except Fault:
                break
        return bytes(data)

    def write(self, address: int, data: bytes) -> int:
        """Write ``data``; the count written.  Fault, AccessDenied, KvmError as ``read``."""
        if not self._writable:
            raise AccessDenied(f"{self._path} is open for reading only; open(write=True)")
        return self._transfer(address, lambda fd, offset: os.pwrite(fd, data, offset))

    def place(self, address: int) -> Place:
        """As Memory.place: an address is its own offset, which is negative in the upper half."""
        self.read(address, 1)
        return Place(self._path, _offset(address))

    def close(self) -> None:
        """Give the device back."""
        self._closed = True
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _read(self, address: int, length: int) -> bytes:
        data = self._transfer(address, lambda fd, offset: os.pread(fd, length, offset))
        if length and not data:
            raise Fault(address, f"{self._path} has nothing there")
        return data

    def _transfer(self, address: int, transfer: Callable[[int, int], Result]) -> Result:
        if not 0 <= address < 2**64:
            raise Fault(address, "an address has 64 bits")
        try:
            return transfer(self._open(), _offset(address))
        except OSError as e:
            self._failed(address, e)

    def _open(self) -> int:
        if self._closed:
            raise KvmError(f"{self._path}: this handle is closed")
        if self._descriptor is None:
            mode = os.O_RDWR if self._writable else os.O_RDONLY
            self._descriptor = os.open(self._path, mode | os.O_CLOEXEC)
        return self._descriptor

    def _failed(self, address: int, error: OSError) -> NoReturn:
        if error.errno == errno.EFAULT:
            raise Fault(address, "no page of kernel memory") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            need = TO_WRITE if self._writable else TO_READ
            raise AccessDenied(f"{self._path}: {error.strerror}: {need}") from error
        if error.errno == errno.ENOENT:
            raise Unsupported(f"{self._path}: there is none here (in a jail, say)") from error
        raise KvmError(f"{self._path} at address {address:#x}: {error.strerror}") from error


def _offset(address: int) -> int:
    """As an off_t (rule 1)."""
    return address if address < 2**63 else address - 2**64


class NoMemory:
    """The memory of a handle that was opened with /dev/null as its core: none (Unsupported)."""

    def read(self, address: int, length: int) -> bytes:
        """Unsupported."""
        raise self._none(address, length)

    def write(self, address: int, data: bytes) -> int:
        """Unsupported."""
        raise self._none(address, len(data))

    def place(self, address: int) -> Place:
        """Unsupported."""
        raise self._none(address, 1)

    def close(self) -> None:
        """Nothing to give back."""

    def _none(self, address: int, length: int) -> Unsupported:
        return Unsupported(
            f"{length} bytes at address {address:#x}: this handle was opened without kernel memory "
            f"(/dev/null); open it without a core to use {KMEM}"
        )
