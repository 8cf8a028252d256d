"""Where among a dump's notes is what the Linux kernel says of itself?

The first notes of a /proc/vmcore may be what drivers had to say, of hundreds of megabytes
(fs/proc/vmcore.c, vmcoredd): notes are stepped over, not read.
"""

from __future__ import annotations

import struct

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.source import Source

NAME = b"VMCOREINFO"

LONGEST = 1 << 20
"""Bytes of its text; the kernel gives it a page (kernel/crash_core.c)."""

MOST_NOTES = 1 << 16
"""Stepped over at most; there are some for each CPU."""


def find_note(source: Source, at: int, size: int, abi: Abi) -> bytes | None:
    """The text of the note VMCOREINFO among the ``size`` bytes of notes at ``at``; None if none."""
    head = struct.Struct(abi.order + "III")
    end = min(at + size, source.size)
    for _ in range(MOST_NOTES):
        data = source.read(at, head.size + len(NAME) + 1)
        if at + head.size > end or len(data) < head.size:
            return None
        name_size, text_size, _ = head.unpack_from(data)
        text_at = at + head.size + (name_size + 3 & ~3)
        if data[head.size :][:name_size].rstrip(b"\0") == NAME and text_size <= LONGEST:
            return source.read(text_at, min(text_size, max(end - text_at, 0))).rstrip(b"\0") or None
        at = text_at + (text_size + 3 & ~3)
    return None
