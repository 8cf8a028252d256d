"""What is a FreeBSD device number's name?"""

from __future__ import annotations

import ctypes

from kvm_exporter.kvm.errors import Unsupported

CHARACTER_DEVICE = 0o020000
"""S_IFCHR (sys/sys/stat.h); FreeBSD has no block devices left."""

NAME_SIZE = 256
"""SPECNAMELEN + 1 (sys/sys/param.h)."""


class LibcDeviceNames:
    """devname_r(3): device number → ``vtbd4``, or ``#C:0x…`` for one without a name.

    ``libc`` is the library to call, by default the one that Python itself is linked with.
    Unsupported where it has no devname_r.
    """

    def __init__(self, libc: ctypes.CDLL | None = None) -> None:
        library = ctypes.CDLL(None) if libc is None else libc
        try:
            self._devname_r = library.devname_r
        except AttributeError as e:
            raise Unsupported(f"this system's libc has no devname_r(3): {e}") from e
        # dev_t has 64 bits, mode_t 16 (sys/sys/_types.h).
        self._devname_r.argtypes = (
            ctypes.c_uint64,
            ctypes.c_uint16,
            ctypes.c_char_p,
            ctypes.c_int,
        )
        self._devname_r.restype = ctypes.c_char_p

    def __call__(self, device: int) -> str:
        """The name, without ``/dev/``."""
        buffer = ctypes.create_string_buffer(NAME_SIZE)
        self._devname_r(device, CHARACTER_DEVICE, buffer, NAME_SIZE)
        return buffer.value.decode("utf-8", "surrogateescape")
