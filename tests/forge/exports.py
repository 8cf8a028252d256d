"""What does a kernel's table of exported symbols look like?  Written as the linker leaves it.

From include/linux/export.h (export-internal.h), include/asm-generic/export.h and RO_DATA in
include/asm-generic/vmlinux.lds.h: the entries of __ksymtab and __ksymtab_gpl, sorted by name each,
checksums (__kcrctab), then the strings, ``__ksymtab_strings``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """``relative``: two or three words of 32 bits; else that many addresses of ``bits``."""

    order: str
    bits: int
    relative: bool
    words: int


KINDS = {
    "x86-64 since 5.4": Kind("<", 64, relative=True, words=3),
    "x86-64 4.19": Kind("<", 64, relative=True, words=2),
    "s390": Kind(">", 64, relative=True, words=3),
    "powerpc64 before 6.0": Kind(">", 64, relative=False, words=3),
    "4.18": Kind("<", 64, relative=False, words=2),
    "arm": Kind("<", 32, relative=False, words=3),
    "arm before 5.4": Kind("<", 32, relative=False, words=2),
}


def write(kind: Kind, at: int, exported: Mapping[str, int], gpl: Mapping[str, int]) -> bytes:
    """Tables and strings that start at ``at``."""
    size = kind.words * (4 if kind.relative else kind.bits // 8)
    rows = [*sorted(exported.items()), *sorted(gpl.items())]
    checksums = bytes(range(4)) * len(rows)
    places, strings = {}, bytearray(b"\0")
    first = at + size * len(rows) + len(checksums)
    for name, _ in rows:
        places[name] = first + len(strings)
        strings += name.encode() + b"\0"
    table = b"".join(
        _entry(kind, at + number * size, value, places[name])
        for number, (name, value) in enumerate(rows)
    )
    return table + checksums + bytes(strings)


def _entry(kind: Kind, at: int, value: int, name: int) -> bytes:
    if kind.relative:
        words = (value - at, name - at - 4, *((0,) * (kind.words - 2)))
        return struct.pack(f"{kind.order}{kind.words}i", *words)
    code = "Q" if kind.bits == 64 else "I"
    return struct.pack(f"{kind.order}{kind.words}{code}", value, name, *((0,) * (kind.words - 2)))
