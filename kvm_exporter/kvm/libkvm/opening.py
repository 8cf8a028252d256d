"""kvm_open(3) and kvm_geterr(3): how does a descriptor come and go, and what is it of?"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable

from kvm_exporter.kvm import handle
from kvm_exporter.kvm.errors import KvmError, Unsupported
from kvm_exporter.kvm.libkvm.descriptor import Descriptor, tell
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive

DEV_NULL = "/dev/null"
DEV_MEM = "/dev/mem"
DEV_KMEM = "/dev/kmem"
"""paths.h"""

MAXPATHLEN = 1024
"""Bytes of a path with its NUL (sys/sys/param.h)."""

Resolver = Callable[[str], int | None]
"""Symbol name → address.  kvm_open2's, for kernels that are not this machine's."""


def kvm_open(
    execfile: str | None = None,
    corefile: str | None = None,
    swapfile: str | None = None,  # noqa: ARG001 - unused in libkvm, too
    flags: int = os.O_RDONLY,
    errstr: str | None = None,
) -> Descriptor | None:
    """Open a kernel; None on failure.  ``errstr``: errors are printed behind that name."""
    try:
        return _open(execfile, corefile, flags, errstr)
    except Unsupported:
        raise
    except KvmError as e:
        if errstr is not None:
            tell(errstr, str(e))
        return None


def kvm_openfiles(
    execfile: str | None = None,
    corefile: str | None = None,
    swapfile: str | None = None,  # noqa: ARG001 - unused in libkvm, too
    flags: int = os.O_RDONLY,
    errbuf: list[str] | None = None,
) -> Descriptor | None:
    """Open a kernel; None on failure, whose text becomes the only string of ``errbuf``."""
    return kvm_open2(execfile, corefile, flags, errbuf)


def kvm_open2(
    execfile: str | None = None,
    corefile: str | None = None,
    flags: int = os.O_RDONLY,
    errbuf: list[str] | None = None,
    resolver: Resolver | None = None,  # noqa: ARG001 - a live kernel resolves its own names
) -> Descriptor | None:
    """As kvm_openfiles; ``resolver`` is for the dumps of other machines, and not used yet."""
    try:
        return _open(execfile, corefile, flags, None)
    except Unsupported:
        raise
    except KvmError as e:
        if errbuf is not None:
            errbuf[:] = [str(e)]
        return None


def _open(
    execfile: str | None, corefile: str | None, flags: int, program: str | None
) -> Descriptor:
    if execfile is not None and len(os.fsencode(execfile)) >= MAXPATHLEN:
        raise KvmError("exec file name too long")
    if flags & ~os.O_RDWR:
        # refuses O_WRONLY as well, in spite of the manual
        raise KvmError("bad flags arg")
    if corefile is not None:
        _probe(corefile, flags)
    writable = flags == os.O_RDWR and corefile != DEV_NULL
    kvm = handle.open(corefile, write=writable)
    if kvm.system.name == "freebsd" and corefile in (None, DEV_MEM):
        # our handles open devices when they are read; libkvm's callers expect the refusal here
        _probe(DEV_MEM, flags)
        _probe(DEV_KMEM, flags)
    return Descriptor(kvm, program, writable=writable, memoryless=corefile == DEV_NULL)


def _probe(path: str, flags: int) -> None:
    """Fail as libkvm does for a file that cannot be opened, or is empty."""
    try:
        opened = os.open(path, flags | os.O_CLOEXEC)
    except OSError as e:
        raise KvmError(f"{path}: {os.strerror(e.errno or 0)}") from e
    try:
        status = os.fstat(opened)
    finally:
        os.close(opened)
    if stat.S_ISREG(status.st_mode) and status.st_size <= 0:
        raise KvmError(f"empty file: {os.strerror(errno.EINVAL)}")


def kvm_close(kd: Descriptor | None) -> int:
    """0; -1 for None (EINVAL in C)."""
    if kd is None:
        return -1
    kd.kvm.close()
    return 0


def kvm_geterr(kd: Descriptor | None) -> str:
    """The last call's error; empty if it had none, and for None."""
    return "" if kd is None else kd.error


def kvm_native(kd: Descriptor) -> int:  # noqa: ARG001 - a running kernel always is
    """1: a running kernel is of this machine."""
    return 1


def kvm_kerndisp(kd: Descriptor) -> int:
    """Bytes between where the kernel lies and where it was linked; 0 on failure as well.

    Unsupported on Linux, which does not tell it.
    """
    system = kd.kvm.system
    if not isinstance(system, FreeBSDLive):
        raise Unsupported(f"kvm_kerndisp: {system.name} does not tell a kernel's displacement")
    with kd.reporting("kvm_kerndisp"):
        linked = _address(system, "kern.base_address", "kernel base address")
        lies = _address(system, "kern.relbase_address", "relocated kernel base address")
        return lies - linked
    return 0


def _address(system: FreeBSDLive, name: str, what: str) -> int:
    try:
        return int.from_bytes(system.sysctl.by_name(name), sys.byteorder)
    except OSError as e:
        raise KvmError(f"failed to get {what}: {os.strerror(e.errno or 0)}") from None


def kvm_walk_pages(
    kd: Descriptor,  # noqa: ARG001
    callback: Callable[[object, object], int],  # noqa: ARG001
    closure: object = None,  # noqa: ARG001
) -> int:
    """0: only a dump's pages can be walked (libkvm crashes on a running kernel)."""
    return 0
