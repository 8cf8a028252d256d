"""Forges flattened dumps (makedumpfile.h: makedumpfile_header, makedumpfile_data_header)."""

from __future__ import annotations

import struct
from collections.abc import Iterable


def write_flattened(
    pieces: Iterable[tuple[int, bytes]],
    *,
    end: bool = True,
    type_: int = 1,
    version: int = 1,
) -> bytes:
    """The stream that puts each of ``pieces`` (offset, bytes) where it belongs."""
    head = b"makedumpfile".ljust(16, b"\0") + struct.pack(">qq", type_, version)
    body = b"".join(struct.pack(">qq", at, len(data)) + data for at, data in pieces)
    return head.ljust(4096, b"\0") + body + (struct.pack(">qq", -1, -1) if end else b"")


def flatten(data: bytes, size: int = 5000) -> bytes:
    """A file as makedumpfile -F sends it: its header once more at the end, as it was corrected."""
    pieces = [(at, data[at : at + size]) for at in range(0, len(data), size)]
    spoiled = (0, bytes(min(len(data), 600)))
    return write_flattened([spoiled, *pieces[1:], *pieces[:1]])
