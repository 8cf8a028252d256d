"""Where in physical memory are certain bytes?  Read a megabyte at a time, from the start on."""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.space import Physical, PhysicalMemory

PIECE = 1 << 20
MOST = 1 << 40
"""Bytes that are searched at most."""


def search(memory: PhysicalMemory, physical: Physical, wanted: bytes) -> Iterator[int]:
    """Each physical address of ``wanted``, by rising address.

    All that the dump has is read, once: of pages that are compressed that is what takes the time.
    """
    left = MOST
    for start, end in _runs(physical):
        tail = b""
        if (left := left - (end - start)) < 0:
            return
        for at in range(start, end, PIECE):
            data = tail + _piece(memory, at, min(PIECE, end - at))
            first = at - len(tail)
            found = data.find(wanted)
            while found >= 0:
                yield first + found
                found = data.find(wanted, found + 1)
            tail = data[max(len(data) - len(wanted) + 1, 0) :]


def _piece(memory: PhysicalMemory, address: int, length: int) -> bytes:
    """The bytes; zeros where they cannot be had after all."""
    try:
        return memory.read(address, length)
    except Fault:
        return bytes(length)


def _runs(physical: Physical) -> Iterator[tuple[int, int]]:
    """(start, end) of memory that lies together, wherever the file has it."""
    start = end = 0
    for address, _, length in physical.extents():
        if address != end:
            if end > start:
                yield start, end
            start = address
        end = address + length
    if end > start:
        yield start, end
