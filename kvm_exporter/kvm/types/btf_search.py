"""Where is a kernel's BTF, where no symbol tells?  It is looked for behind the kernel's code.

Kernels without CONFIG_KALLSYMS_ALL name functions, but not ``__start_BTF``.  The section lies in
the kernel's image, after its read-only data (include/asm-generic/vmlinux.lds.h), and starts with a
header of which most is known: the parts follow each other, and together they are megabytes.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import NamedTuple

from kvm_exporter.kvm.errors import Fault, FormatError, TypeMissing
from kvm_exporter.kvm.memory import Memory, exactly, occurrences
from kvm_exporter.kvm.types.btf_section import HEADER, HEADER_SIZE, LARGEST, MAGIC, VERSION

MOST_SEARCHED = 1 << 26
"""Bytes behind the code."""

MOST_BEGINNINGS = 1 << 10
"""Places that look like a section's start."""

LONGEST_HEADER = 1 << 10
SMALLEST = 1 << 16
"""Bytes of a header, and of a whole kernel's BTF: what is smaller is a module's, or nothing."""


class Lies(NamedTuple):
    """From ``start`` to ``stop``, exclusive."""

    start: int
    stop: int


def find_btf(memory: Memory, start: int, stop: int) -> Lies:
    """The first BTF of a kernel between two addresses; TypeMissing where there is none."""
    size = min(stop - start, MOST_SEARCHED)
    for order in "<>":
        known = struct.pack(f"{order}HBB", MAGIC, VERSION, 0)
        for at in islice(occurrences(memory, start, size, known), MOST_BEGINNINGS):
            try:
                return _section(exactly(memory, at, HEADER_SIZE), order, at)
            except (Fault, FormatError):
                continue
    raise TypeMissing("no BTF is in its memory (it was built without CONFIG_DEBUG_INFO_BTF)")


def _section(data: bytes, order: str, start: int) -> Lies:
    *_, header, types, length, strings, size = struct.unpack(order + HEADER, data)
    whole = header + strings + size
    right = HEADER_SIZE <= header <= LONGEST_HEADER and SMALLEST <= whole <= LARGEST
    if not right or length % 4 or types + length > strings:
        raise FormatError(f"no BTF at {start:#x}")
    return Lies(start, start + whole)
