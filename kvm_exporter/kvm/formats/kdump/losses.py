"""How many pages of a kdump file were cut off with its end, or never written?"""

from __future__ import annotations

import struct

from kvm_exporter.kvm.formats.kdump.members import Member
from kvm_exporter.kvm.formats.kdump.store import DESCRIPTOR

TAIL = 1 << 10
"""Descriptors at the end: where all of their pages are there, so are all others."""

AT_ONCE = 1 << 16
"""Descriptors read at once."""


def lost(member: Member, count: int) -> int:
    """Of the ``count`` pages of a file, those whose descriptor or bytes are not in it."""
    source, header = member
    code = struct.Struct(header.order + DESCRIPTOR)
    have = min(max(source.size - header.descriptors_at, 0) // code.size, count)
    if not _lost(member, code, max(have - TAIL, 0), have):
        return count - have
    blocks = range(0, have, AT_ONCE)
    return count - have + sum(_lost(member, code, at, min(at + AT_ONCE, have)) for at in blocks)


def _lost(member: Member, code: struct.Struct, first: int, end: int) -> int:
    source, header = member
    data = source.read(header.descriptors_at + first * code.size, (end - first) * code.size)
    whole = data[: len(data) // code.size * code.size]
    size = source.size
    return sum(not 0 < length <= size - at for at, length, _ in code.iter_unpack(whole))
