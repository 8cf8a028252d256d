"""How is a running Linux kernel's memory read?  /proc/kcore (proc_kcore(5)), an ELF core.

Rule 1: nothing is opened before the first read.
Rule 2: the segments change as modules, vmalloc areas and memory come and go, so an address that
        is in none of them is looked for once more in freshly read program headers.
Rule 3: the header is not trusted: a table that does not lie in the file is a FormatError, and only
        p_filesz bytes of a segment are there.
Rule 4: segments may overlap (on arm64 the kernel's own lies in vmalloc's): an address has the same
        place in all of them, since the place is counted from one base (kc_vaddr_to_offset).
Rule 5: a page that cannot be read fails all of a read that has it (read_kcore_iter in
        fs/proc/kcore.c), so a read that fails is tried again with less, until it is one page.
        Which pages fail is the kernel's choice: memory that is offline, poisoned or lent out (a
        balloon's), and addresses in vmalloc's room where nothing is, read as zeros.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from kvm_exporter.kvm.errors import AccessDenied, Fault, FormatError, KvmError, Unsupported
from kvm_exporter.kvm.memory import Place

if TYPE_CHECKING:  # kernel memory is seldom read: they are imported by who reads it
    from kvm_exporter.kvm.elf import Header, Program
    from kvm_exporter.kvm.segments import Segments
    from kvm_exporter.kvm.source import Readable
    from kvm_exporter.kvm.space import Extent, Stored

_CHUNK = 1 << 20
_PAGE = 4096
"""Bytes of the smallest page; those of larger ones are read in a few steps more."""

_LAST_OFFSET = 2**63 - 1

VMCOREINFO = b"VMCOREINFO"
"""The name of the note, since Linux 4.19 (23c85094fe18)."""


class _Headers:
    """The file behind a descriptor, as elf.py reads one; the size that it tells means nothing."""

    size = _LAST_OFFSET

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self.name = path

    def read(self, offset: int, length: int) -> bytes:
        """As Readable.read."""
        try:
            return os.pread(self._fd, length, offset)
        except (OSError, OverflowError) as error:
            raise FormatError(f"{self.name}: cannot read at {offset:#x}: {error}") from error


def segments(file: Readable) -> Segments:
    """The PT_LOAD segments of an ELF file, by virtual address.

    Errors: FormatError for what is no ELF file or cannot lie in it.
    """
    from kvm_exporter.kvm import elf  # noqa: PLC0415 - as above
    from kvm_exporter.kvm.segments import Segments  # noqa: PLC0415

    return Segments([_extent(one, file.name) for one in elf.loads(file)], _LAST_OFFSET)


def _extent(one: Program, path: str) -> Extent:
    from kvm_exporter.kvm.space import Extent  # noqa: PLC0415 - as above

    if one.offset + one.file_size > _LAST_OFFSET:
        raise FormatError(f"{path}: {one.file_size:#x} bytes at {one.offset:#x} are in no file")
    return Extent(one.virtual, one.offset, one.file_size)


class Kcore:
    """Kernel virtual memory through an ELF core file; reading only."""

    def __init__(self, path: str = "/proc/kcore") -> None:
        self._path = path
        self._fd: int | None = None
        self._closed = False
        self._segments: Segments | None = None

    def read(self, address: int, length: int) -> bytes:
        """At most ``length`` bytes; short where no segment goes on, or a page cannot be read.

        Errors: Fault where the first byte is in no segment or cannot be read; AccessDenied,
        Unsupported and FormatError for the file.
        """
        parts: list[bytes] = []
        try:
            while length > 0:
                part = self._piece(address, min(length, _CHUNK))
                parts.append(part)
                address += len(part)
                length -= len(part)
        except Fault:
            if not parts:
                raise
        return b"".join(parts)

    def write(self, address: int, data: bytes) -> int:
        """Raises Unsupported: Linux does not let memory be written this way."""
        raise Unsupported(
            f"{self._path}: {len(data)} bytes at {address:#x} not written; it is read-only on Linux"
        )

    def place(self, address: int) -> Place:
        """As Memory.place."""
        return Place(self._path, self._find(address, 1).offset)

    def close(self) -> None:
        """Give the file back; no read works afterwards."""
        self._closed = True
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def header(self) -> Header:
        """The ELF header: of which machine the kernel is, whose words may be wider than ours.

        Errors: as read, but for Fault.
        """
        from kvm_exporter.kvm import elf  # noqa: PLC0415 - as above

        return elf.read_header(self._headers())

    def vmcoreinfo(self) -> bytes | None:
        """The text of the note VMCOREINFO; None before Linux 4.19, and without CONFIG_VMCORE_INFO.

        Errors: as read, but for Fault.
        """
        from kvm_exporter.kvm import elf  # noqa: PLC0415 - as above

        notes = elf.notes(self._headers())
        return next((one.description for one in notes if one.name == VMCOREINFO), None)

    def _piece(self, address: int, length: int) -> bytes:
        """What can be read at once at ``address``, a byte at least; Fault for nothing."""
        offset, length = self._find(address, length)
        fd = self._open()
        while True:
            try:
                data = os.pread(fd, length, offset)
            except OSError as error:
                length = _less(address, length)
                if not length:
                    raise Fault(address, f"{self._path}: {error.strerror}") from error
            else:
                if not data:
                    raise Fault(address, f"{self._path} ends before it")
                return data

    def _find(self, address: int, length: int) -> Stored:
        if self._segments is not None:
            try:
                return self._segments.find(address, length)
            except Fault:
                pass  # rule 2
        self._segments = segments(self._headers())
        try:
            return self._segments.find(address, length)
        except Fault:
            raise Fault(address, f"in no segment of {self._path}") from None

    def _headers(self) -> _Headers:
        return _Headers(self._open(), self._path)

    def _open(self) -> int:
        if self._closed:
            raise KvmError(f"{self._path}: the handle is closed")
        if self._fd is None:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise self._refusal(error) from error
        return self._fd

    def _refusal(self, error: OSError) -> KvmError:
        if error.errno == errno.ENOENT:
            return Unsupported(f"{self._path}: not there; this kernel has no CONFIG_PROC_KCORE")
        if error.errno in (errno.EACCES, errno.EPERM):
            return AccessDenied(
                f"{self._path}: {error.strerror}; it takes root's CAP_SYS_RAWIO, "
                "and a kernel that is not locked down"
            )
        return KvmError(f"{self._path}: {error.strerror}")


def _less(address: int, length: int) -> int:
    """About half as many bytes, up to the end of a page; 0 where all of them are on one."""
    for end in (address + length // 2, address + _PAGE):
        less = (end & -_PAGE) - address
        if 0 < less < length:
            return less
    return 0
