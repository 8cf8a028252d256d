"""How is a running Linux kernel's memory read?  /proc/kcore (proc_kcore(5)), an ELF core.

Rule 1: nothing is opened before the first read.
Rule 2: the segments change as modules, vmalloc areas and memory come and go, so an address that
        is in none of them is looked for once more in freshly read program headers.
Rule 3: the header is not trusted: a table that does not lie in the file is a FormatError, and only
        p_filesz bytes of a segment are there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import NamedTuple

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.errors import AccessDenied, Fault, FormatError, KvmError, Unsupported
from kvm_exporter.kvm.source import Readable

_CHUNK = 1 << 20


class Segment(NamedTuple):
    """``size`` bytes at virtual ``address`` lie at ``offset`` of the file."""

    address: int
    size: int
    offset: int


_LAST_OFFSET = 2**63 - 1


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


def segments(file: Readable) -> list[Segment]:
    """The PT_LOAD segments of an ELF file.

    Errors: FormatError for what is no ELF file or cannot lie in it.
    """
    return [_segment(one, file.name) for one in elf.loads(file)]


def _segment(one: elf.Program, path: str) -> Segment:
    if one.offset + one.file_size > _LAST_OFFSET:
        raise FormatError(f"{path}: {one.file_size:#x} bytes at {one.offset:#x} are in no file")
    return Segment(one.virtual, one.file_size, one.offset)


def find(among: Iterable[Segment], address: int) -> Segment | None:
    """The first segment that holds an address.

    They may overlap: on arm64 the kernel's own lies in vmalloc's.
    """
    return next((one for one in among if 0 <= address - one.address < one.size), None)


class Kcore:
    """Kernel virtual memory through an ELF core file; reading only."""

    def __init__(self, path: str = "/proc/kcore") -> None:
        self._path = path
        self._fd: int | None = None
        self._closed = False
        self._segments: list[Segment] = []

    def read(self, address: int, length: int) -> bytes:
        """At most ``length`` bytes; short at the end of what the file holds.

        Errors: Fault where the first byte is in no segment or cannot be read; AccessDenied,
        Unsupported and FormatError for the file.
        """
        parts: list[bytes] = []
        try:
            while length > 0:
                part = self._piece(address, min(length, _CHUNK))
                if not part:
                    break
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

    def close(self) -> None:
        """Give the file back; no read works afterwards."""
        self._closed = True
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _piece(self, address: int, length: int) -> bytes:
        """What one segment has at ``address``; Fault for nothing."""
        segment = self._find(address)
        into = address - segment.address
        try:
            data = os.pread(self._open(), min(length, segment.size - into), segment.offset + into)
        except OSError as error:
            raise Fault(address, f"{self._path}: {error.strerror}") from error
        if not data:
            raise Fault(address, f"{self._path} ends before it")
        return data

    def _find(self, address: int) -> Segment:
        segment = find(self._segments, address)
        if segment is None:
            self._segments = self._load()
            segment = find(self._segments, address)
        if segment is None:
            raise Fault(address, f"in none of the {len(self._segments)} segments of {self._path}")
        return segment

    def _load(self) -> list[Segment]:
        return segments(_Headers(self._open(), self._path))

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
