"""Which file systems are mounted on this machine?  getfsstat(2) of FreeBSD, as raw structs."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

from kvm_exporter.kvm.errors import Unsupported

FileSystems = Callable[[int], list[bytes]]
"""Size of a struct statfs → one for each mounted file system; OSError as the kernel says."""

MNT_NOWAIT = 2
"""Tell what is known, ask no file system (sys/sys/mount.h)."""

ROOM = 16
"""File systems that may come between counting and reading."""

ATTEMPTS = 4


class LibcFileSystems:
    """FileSystems of the running kernel.

    ``libc`` is the library to call, by default the one that Python itself is linked with.
    Unsupported where it has no getfsstat.
    """

    def __init__(self, libc: ctypes.CDLL | None = None) -> None:
        library = ctypes.CDLL(None, use_errno=True) if libc is None else libc
        try:
            self._getfsstat = library.getfsstat
        except AttributeError as e:
            raise Unsupported(f"this system's libc has no getfsstat(2): {e}") from e
        self._getfsstat.argtypes = (ctypes.c_void_p, ctypes.c_long, ctypes.c_int)
        self._getfsstat.restype = ctypes.c_int

    def __call__(self, size: int) -> list[bytes]:
        """Each file system's struct; a list that fills its room may be longer: it is read again."""
        room = self._call(None, 0) + ROOM
        for _ in range(ATTEMPTS):
            buffer = ctypes.create_string_buffer(room * size)
            count = self._call(buffer, room * size)
            if count < room:
                break
            room *= 2
        raw = buffer.raw
        return [raw[at : at + size] for at in range(0, min(count, room) * size, size)]

    def _call(self, buffer: ctypes.Array[ctypes.c_char] | None, size: int) -> int:
        count = int(self._getfsstat(buffer, size, MNT_NOWAIT))
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return count
