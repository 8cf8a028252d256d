"""Forges bare physical memory: a file where each byte lies at its own physical address."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import BinaryIO


def write_raw(runs: Iterable[tuple[int, bytes]], out: BinaryIO | None = None) -> bytes:
    """Memory with ``runs`` (physical address, bytes), zeros (holes in ``out``) between them."""
    target = io.BytesIO() if out is None else out
    for address, data in runs:
        target.seek(address)
        target.write(data)
    return b"" if out is not None else target.getvalue()
