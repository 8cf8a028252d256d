"""What did a process write into its own memory for ps(1)?  Its arguments and its environment.

1. struct ps_strings lies near the top of the stack: sv_psstringssz below vm_stacktop, until 13 at
   sv_psstrings (sys/sys/exec.h, PROC_PS_STRINGS).  It points to two vectors of strings.
2. A 32-bit process on a 64-bit kernel (SV_ILP32) has the narrow form of all that.
3. As many strings are read as the kernel itself would (get_ps_strings(), sys/kern/kern_proc.c); a
   null pointer ends a vector early.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.memory import Memory

ARG_MAX = 512 * 1024
MOST_BYTES = 2 * (1024 + ARG_MAX)
"""Of strings: 2 * (PATH_MAX + ARG_MAX)."""

PIECE = 256
"""Bytes of a string read at once: less than a page."""


class Vector(NamedTuple):
    """An array of ``length`` pointers to strings."""

    address: int
    length: int


def find_vectors(memory: Memory, abi: Abi, ps_strings: int) -> tuple[Vector, Vector]:
    """The arguments' and the environment's; Fault, FormatError."""
    # char **ps_argvstr; u_int ps_nargvstr; char **ps_envstr; u_int ps_nenvstr
    shape = struct.Struct(abi.order + ("QI4xQI4x" if abi.pointer_size == 8 else "IIII"))
    arguments, argument_count, environment, environment_count = shape.unpack(
        _exactly(memory, ps_strings, shape.size)
    )
    return Vector(arguments, argument_count), Vector(environment, environment_count)


def read_strings(memory: Memory, abi: Abi, vector: Vector) -> tuple[str, ...]:
    """The strings, undecodable bytes as surrogates; Fault where one of them has no page."""
    if vector.length > ARG_MAX:
        raise FormatError(f"a vector of {vector.length} strings at {vector.address:#x}")
    data = _exactly(memory, vector.address, vector.length * abi.pointer_size)
    left = MOST_BYTES
    found = []
    for (pointer,) in struct.iter_unpack(abi.order + abi.pointer, data):
        if not pointer or left <= 0:
            break
        string = _string(memory, pointer, left)
        left -= len(string) + 1
        found.append(string.decode("utf-8", "surrogateescape"))
    return tuple(found)


def _string(memory: Memory, address: int, limit: int) -> bytes:
    parts: list[bytes] = []
    read = 0
    while read < limit:
        piece = memory.read(address + read, min(PIECE, limit - read))
        text, end, _ = piece.partition(b"\0")
        parts.append(text)
        if end:
            break
        read += len(piece)
    return b"".join(parts)


def _exactly(memory: Memory, address: int, length: int) -> bytes:
    data = memory.read(address, length) if length else b""
    if len(data) != length:
        raise Fault(address + len(data), "a page of the process's own memory is missing")
    return data
