"""kvm_open(3) and kvm_geterr(3): how does a descriptor come and go, and what is it of?"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from typing import NamedTuple

from kvm_exporter.kvm import elf, handle
from kvm_exporter.kvm.errors import KvmError, Unsupported
from kvm_exporter.kvm.formats.pages import Page
from kvm_exporter.kvm.libkvm.descriptor import Descriptor, Resolver, tell
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.source import File

DEV_NULL = "/dev/null"
DEV_MEM = "/dev/mem"
DEV_KMEM = "/dev/kmem"
"""paths.h"""

MAXPATHLEN = 1024
"""Bytes of a path with its NUL (sys/sys/param.h)."""

LIBKVM_WALK_PAGES_VERSION = 2
"""kp_version: the members of struct kvm_page up to kp_len (lib/libkvm/kvm.h)."""


class KvmPage(NamedTuple):
    """struct kvm_page (lib/libkvm/kvm.h); addresses that a page has not are 0, a missing offset -1.

    ``kp_prot`` is of VM_PROT_READ 1, WRITE 2 and EXECUTE 4.
    """

    kp_version: int
    kp_paddr: int
    kp_kmap_vaddr: int
    kp_dmap_vaddr: int
    kp_prot: int
    kp_offset: int
    kp_len: int


def kvm_open(
    execfile: str | None = None,
    corefile: str | None = None,
    swapfile: str | None = None,  # noqa: ARG001 - unused in libkvm, too
    flags: int = os.O_RDONLY,
    errstr: str | None = None,
) -> Descriptor | None:
    """Open a kernel; None on failure.  ``errstr``: errors are printed behind that name.

    ``corefile`` is what kvm.open() takes as its core; ``execfile`` None looks in /boot for the
    kernel of a FreeBSD's dump, and does without one for a Linux's.
    """
    try:
        return _open(execfile, corefile, flags, program=errstr)
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
    resolver: Resolver | None = None,
) -> Descriptor | None:
    """As kvm_openfiles.  ``resolver`` finds symbols for kvm_nlist instead of a dump's kernel file.

    It gives an address, None for a symbol that it does not find.  libkvm cannot do without it for
    the dumps of other machines; this library can.  Of a running kernel it is not asked.
    """
    try:
        return _open(execfile, corefile, flags, resolver=resolver)
    except KvmError as e:
        if errbuf is not None:
            errbuf[:] = [str(e)]
        return None


def _open(
    execfile: str | None,
    corefile: str | None,
    flags: int,
    *,
    program: str | None = None,
    resolver: Resolver | None = None,
) -> Descriptor:
    if execfile is not None and len(os.fsencode(execfile)) >= MAXPATHLEN:
        raise KvmError("exec file name too long")
    if flags & ~os.O_RDWR:
        # refuses O_WRONLY as well, in spite of the manual
        raise KvmError("bad flags arg")
    if corefile is not None:
        _probe(corefile, flags)
    writable = flags == os.O_RDWR and corefile != DEV_NULL
    kvm = handle.open(execfile, corefile, write=writable)
    if not kvm.live:
        return Descriptor(kvm, program, writable=writable, resolver=resolver)
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


def kvm_native(kd: Descriptor) -> int:
    """1 where the kernel's architecture is this program's, as a running one's always is; else 0."""
    with kd.reporting("kvm_native"):
        if kd.kvm.dump is None:
            return 1
        with File(sys.executable) as program:
            return int(elf.read_header(program).identity == kd.kvm.dump.arch.elf)
    return 0


def kvm_kerndisp(kd: Descriptor) -> int:
    """Bytes between where the kernel lies and where it was linked; 0 on failure as well.

    Unsupported on a running Linux, which does not tell it.
    """
    system = kd.kvm.system
    if kd.kvm.live and system.name != "freebsd":
        raise Unsupported(f"kvm_kerndisp: {system.name} does not tell a kernel's displacement")
    with kd.reporting("kvm_kerndisp"):
        if not isinstance(system, FreeBSDLive):
            return kd.kvm.dump.displacement if kd.kvm.dump else 0
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
    kd: Descriptor, callback: Callable[[KvmPage, object], int], closure: object = None
) -> int:
    """Call ``callback(page, closure)`` for each page of a dump while it gives non-zero.

    1 when all were visited, else 0; 0 for a running kernel too, of which no page can be walked
    (libkvm crashes there, and walks no full dump's).
    """
    if kd.kvm.live:
        return 0
    with kd.reporting("kvm_walk_pages"):
        return int(all(callback(_page(page), closure) for page in kd.kvm.pages()))
    return 0


def _page(page: Page) -> KvmPage:
    physical, kernel, direct, protection, offset, length = page
    return KvmPage(
        LIBKVM_WALK_PAGES_VERSION,
        physical,
        kernel or 0,
        direct or 0,
        protection,
        -1 if offset is None else offset,
        length,
    )
