"""How does a FreeBSD kernel write its structs?  Bytes for ForgedSysctl, for three ABIs.

Written out by hand from sys/sys/*.h and sys/vm/vm_param.h, padding and all.
"""

from __future__ import annotations

import struct

ORDERS = {"amd64": "<", "powerpc64": ">", "i386": "<", "armv7": "<"}
LONGS = {"amd64": "q", "powerpc64": "q", "i386": "i", "armv7": "i"}


def machine(name: str) -> bytes:
    """hw.machine_arch."""
    return name.encode() + b"\0"


def number(value: int, width: int = 4, arch: str = "amd64") -> bytes:
    """An integer of ``width`` bytes."""
    return value.to_bytes(width, "big" if ORDERS[arch] == ">" else "little")


def longs(*values: int, arch: str = "amd64") -> bytes:
    """C longs, as kern.cp_time has them."""
    return struct.pack(f"{ORDERS[arch]}{len(values)}{LONGS[arch].upper()}", *values)


def loadavg(*values: int, scale: int = 2048, arch: str = "amd64") -> bytes:
    """A struct loadavg: three fixed point numbers and what makes 1.0."""
    gap = "4x" if LONGS[arch] == "q" else ""
    return struct.pack(f"{ORDERS[arch]}3I{gap}{LONGS[arch]}", *values, scale)


def clockinfo(hz: int = 1000, stathz: int = 127, arch: str = "amd64") -> bytes:
    """A struct clockinfo."""
    return struct.pack(f"{ORDERS[arch]}5i", hz, 1_000_000 // hz, 0, stathz, 8128)


def timeval(seconds: int, microseconds: int, arch: str = "amd64") -> bytes:
    """A struct timeval."""
    codes = {"amd64": "qq", "powerpc64": "qq", "i386": "ii", "armv7": "qi4x"}
    return struct.pack(ORDERS[arch] + codes[arch], seconds, microseconds)


def vmtotal(rq: int, dw: int, pw: int, arch: str = "amd64") -> bytes:
    """A struct vmtotal, all sizes 7."""
    return struct.pack(f"{ORDERS[arch]}9Q5h6x", *[7] * 9, rq, dw, pw, 30, 0)


def xswdev(
    dev: int,
    blocks: int,
    used: int,
    flags: int = 1,
    version: int = 2,
    arch: str = "amd64",
) -> bytes:
    """A struct xswdev: 24 bytes on i386, which aligns 64 bits to 4, and 32 elsewhere."""
    code = "IQiii" if arch == "i386" else "I4xQiii4x"
    return struct.pack(ORDERS[arch] + code, version, dev, flags, blocks, used)
