"""Forges full dumps: sys/kern/kern_dump.c (dumpsys_generic), as ELF cores of physical memory."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import BinaryIO

from forge.elf import MACHINES

PT_LOAD, PT_DUMP_DELTA = 1, 0x6FB5D000
STANDALONE = 255


def write_full_dump(
    arch: str = "amd64",
    *,
    runs: Sequence[tuple[int, bytes | int]],
    delta: tuple[int, int] | None = None,
    page: int = 4096,
    out: BinaryIO | None = None,
) -> bytes:
    """A full dump of ``runs``: (physical address, bytes, or how many zero bytes, page-rounded).

    ``delta``: (virtual, physical) of the PT_DUMP_DELTA that amd64 and arm add.  Zeros are holes in
    ``out``; then b"" is returned.
    """
    machine, bits, order = MACHINES[arch]
    target = io.BytesIO() if out is None else out
    count = len(runs) + (delta is not None)
    ehsize, phsize = (64, 56) if bits == 64 else (52, 32)
    offset = -(-(ehsize + count * phsize) // page) * page
    ident = struct.pack("4s5B7x", b"\x7fELF", bits // 32, "<>".index(order) + 1, 1, STANDALONE, 0)
    word = "Q" if bits == 64 else "I"
    sizes = (ehsize, phsize, count, 64 if bits == 64 else 40, 0, 0)
    # e_version stays 0: the kernel clears the header and never sets it
    head = struct.pack(f"{order}HHI3{word}I6H", 4, machine, 0, 0, ehsize, 0, 0, *sizes)
    programs = b""
    at = offset
    ones = (1 << bits) - 1
    for address, data in runs:
        size = _rounded(data, page)
        virtual = ones if arch.startswith("powerpc") else address
        programs += _program(order, bits, (PT_LOAD, at, virtual, address, size, page))
        at += size
    if delta:
        programs += _program(order, bits, (PT_DUMP_DELTA, 0, *delta, 0, page))
    target.write(ident + head + programs)
    for _, data in runs:
        target.seek(offset)
        if not isinstance(data, int):
            target.write(data)
        offset += _rounded(data, page)
    target.truncate(offset)
    return b"" if out is not None else target.getvalue()


def _rounded(data: bytes | int, page: int) -> int:
    size = data if isinstance(data, int) else len(data)
    return -(-size // page) * page


def _program(order: str, bits: int, row: tuple[int, int, int, int, int, int]) -> bytes:
    kind, offset, va, pa, size, align = row
    if bits == 64:
        return struct.pack(f"{order}IIQQQQQQ", kind, 4, offset, va, pa, size, size, align)
    return struct.pack(f"{order}8I", kind, offset, va, pa, size, size, 4, align)
