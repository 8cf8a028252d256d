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
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from kvm_exporter.kvm.errors import AccessDenied, Fault, FormatError, KvmError, Unsupported

_PT_LOAD = 1
_CHUNK = 1 << 20


class Segment(NamedTuple):
    """``size`` bytes at virtual ``address`` lie at ``offset`` of the file."""

    address: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class _Class:
    """Where an ELF class keeps what we need (elf(5)).

    ``header``: e_phoff, e_phentsize, e_phnum.  ``program``: p_type, then the members that
    ``places`` finds: p_offset, p_vaddr, p_filesz.
    """

    header: str
    program: str
    places: tuple[int, int, int]


_CLASSES = {
    1: _Class("28xI10xHH", "7I", (1, 2, 4)),
    2: _Class("32xQ14xHH", "2I5Q", (2, 3, 5)),
}
_ORDERS = {1: "<", 2: ">"}
_LAST_OFFSET = 2**63 - 1
_PN_XNUM = 0xFFFF


def segments(at: Callable[[int, int], bytes], path: str) -> list[Segment]:
    """The PT_LOAD segments of an ELF file that ``at(offset, length)`` reads.

    Errors: FormatError for what is no ELF file or does not lie in it.
    """
    start = at(0, 64)
    elf = _CLASSES.get(start[4]) if start[:4] == b"\x7fELF" and len(start) > 5 else None
    order = _ORDERS.get(start[5]) if elf else None
    if elf is None or order is None:
        raise FormatError(f"{path}: no ELF file: it begins with {start[:8]!r}")
    table, size, count = _unpack(order + elf.header, start, path)
    program = struct.Struct(order + elf.program)
    if count == _PN_XNUM or size < program.size or table > _LAST_OFFSET:
        raise FormatError(f"{path}: {count} program headers of {size} bytes at {table:#x}")
    data = at(table, count * size)
    if len(data) < count * size:
        raise FormatError(f"{path}: ends within its {count} program headers at {table:#x}")
    rows = (program.unpack_from(data, index * size) for index in range(count))
    return list(_loads(rows, elf.places, path))


def find(among: Iterable[Segment], address: int) -> Segment | None:
    """The first segment that holds an address.

    They may overlap: on arm64 the kernel's own lies in vmalloc's.
    """
    return next((one for one in among if 0 <= address - one.address < one.size), None)


def _unpack(code: str, data: bytes, path: str) -> tuple[int, ...]:
    try:
        return struct.unpack_from(code, data)
    except struct.error as error:
        raise FormatError(f"{path}: ends within its ELF header, at {len(data):#x}") from error


def _loads(
    rows: Iterable[tuple[int, ...]], places: tuple[int, int, int], path: str
) -> Iterable[Segment]:
    for row in rows:
        offset, address, size = (row[place] for place in places)
        if row[0] != _PT_LOAD:
            continue
        if offset + size > _LAST_OFFSET:
            raise FormatError(f"{path}: {size:#x} bytes at {offset:#x} cannot be in a file")
        yield Segment(address, size, offset)


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
        fd = self._open()

        def at(offset: int, length: int) -> bytes:
            try:
                return os.pread(fd, length, offset)
            except (OSError, OverflowError) as error:
                raise FormatError(f"{self._path}: cannot read at {offset:#x}: {error}") from error

        return segments(at, self._path)

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
