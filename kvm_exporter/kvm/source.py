"""Where do bytes come from?  The only place that opens files."""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import NewType, Protocol, Self

from kvm_exporter.kvm.errors import AccessDenied, FormatError, KvmError

FileOffset = NewType("FileOffset", int)


class Readable(Protocol):
    """Bytes that can be read by offset."""

    @property
    def name(self) -> str:
        """What error messages call it: a path."""

    @property
    def size(self) -> int:
        """Bytes that can be read."""

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes at ``offset``, fewer only where the source ends.  Errors: KvmError."""


class Source(Readable, Protocol):
    """A file, or what looks like one (a decompressed stream, a part of a disk)."""

    def write(self, offset: int, data: bytes) -> int:
        """Write at ``offset``; the count written.  Errors: AccessDenied where it is read only."""

    def close(self) -> None:
        """Give the file back; twice is fine."""


class File:
    """A regular file or device at ``path``; a context manager.

    Errors: KvmError with the reason where it cannot be opened.
    """

    def __init__(self, path: str, *, writable: bool = False) -> None:
        self.name = path
        self._writable = writable
        self._fd = -1
        # a pipe without a writer must not make anyone wait
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._fd = os.open(path, flags)
            self.status = os.fstat(self._fd)
            regular = stat.S_ISREG(self.status.st_mode)
            # a device tells its size, if at all, by seeking
            self.size = self.status.st_size if regular else os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as e:
            self.close()
            raise _refused(path, e) from e
        except ValueError as e:  # a NUL in it
            raise KvmError(f"{path!r}: {e}") from e

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """As Source.read."""
        try:
            data = os.pread(self._fd, length, offset)
            while len(data) < length and (more := self._more(data, offset, length)):
                data += more
        except (OSError, OverflowError, MemoryError) as e:
            raise KvmError(f"{self.name}: cannot read {length} bytes at {offset:#x}: {e}") from e
        return data

    def _more(self, data: bytes, offset: int, length: int) -> bytes:
        """What a read that came short left: Linux gives 2 GiB at most at once."""
        return os.pread(self._fd, length - len(data), offset + len(data))

    def write(self, offset: int, data: bytes) -> int:
        """As Source.write."""
        if not self._writable:
            raise AccessDenied(f"{self.name} is open for reading only; open(write=True)")
        try:
            return os.pwrite(self._fd, data, offset)
        except (OSError, OverflowError) as e:
            raise KvmError(f"{self.name}: cannot write at {offset:#x}: {e}") from e

    def close(self) -> None:
        """As Source.close."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Part:
    """``size`` bytes of another source, from ``start`` on: a dump on its device.  Closes it."""

    def __init__(self, whole: Source, start: int, size: int) -> None:
        self._whole = whole
        self._start = start
        self.name = whole.name
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """As Source.read."""
        length = min(length, self.size - offset)
        if offset < 0 or length <= 0:
            return b""
        return self._whole.read(self._start + offset, length)

    def write(self, offset: int, data: bytes) -> int:
        """As Source.write; nothing is written past the part's end."""
        return self._whole.write(self._start + offset, data[: max(self.size - offset, 0)])

    def close(self) -> None:
        """As Source.close."""
        self._whole.close()


def exactly(source: Readable, offset: int, length: int, what: str) -> bytes:
    """Just ``length`` bytes; FormatError naming ``what`` where the source ends before."""
    data = source.read(offset, length) if offset + length <= source.size else b""
    if len(data) != length:
        raise FormatError(
            f"{source.name}: ends within {what}: {length} bytes at {offset:#x}, "
            f"where the file has {source.size:#x}; it is truncated or damaged"
        )
    return data


def _refused(path: str, error: OSError) -> KvmError:
    kind = AccessDenied if isinstance(error, PermissionError) else KvmError
    return kind(f"{path}: {error.strerror}")
