"""How is a kernel's memory read, and its symbols found?  The two interfaces, as interfaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from kvm_exporter.kvm.errors import Fault

PIECE = 1 << 20
"""Bytes that are searched at once."""

PAGE = 1 << 12
"""Bytes of the smallest page there is."""


class Symbol(NamedTuple):
    """A kernel symbol: what kvm_nlist(3) fills into struct nlist, and its size where known."""

    name: str
    value: int
    type: int = 4
    size: int | None = None


class Place(NamedTuple):
    """Where a byte of memory is read: at ``offset`` of the file with this ``name``."""

    name: str
    offset: int


class Memory(Protocol):
    """Kernel virtual memory."""

    def read(self, address: int, length: int) -> bytes:
        """At most ``length`` bytes from ``address``; Fault where the first byte has no page."""

    def write(self, address: int, data: bytes) -> int:
        """Write ``data`` at ``address``; the count written."""

    def place(self, address: int) -> Place:
        """Where the byte at ``address`` is read from; Fault where it is nowhere, as ``read``."""

    def close(self) -> None:
        """Give the files back."""


class Symbols(Protocol):
    """Kernel symbols by name."""

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """Each name's symbol, None where the kernel has none; order kept."""

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol there is, in the order of the kernel's table."""


def exactly(memory: Memory, address: int, length: int) -> bytes:
    """Just ``length`` bytes; Fault where any of them is missing."""
    data = memory.read(address, length)
    if len(data) != length:
        raise Fault(address + len(data), "no page of memory there")
    return data


def before(memory: Memory, end: int, size: int) -> bytes:
    """The memory before ``end``, as far back as it goes without a gap, ``size`` bytes or so."""
    parts: list[bytes] = []
    stop, start = end, (end - 1) // PAGE * PAGE
    while start > end - size and start >= 0:
        try:
            parts.append(exactly(memory, start, stop - start))
        except Fault:
            break
        stop, start = start, start - PAGE
    return b"".join(reversed(parts))


def occurrences(memory: Memory, start: int, size: int, wanted: bytes) -> Iterator[int]:
    """The addresses of ``wanted`` in ``size`` bytes from ``start`` on.

    Pages that are not there are passed over.
    """
    at, tail = start, b""
    while at < start + size:
        try:
            piece = memory.read(at, min(PIECE, start + size - at))
        except Fault:
            piece = b""
        if not piece:
            at, tail = (at | PAGE - 1) + 1, b""
            continue
        data = tail + piece
        found = data.find(wanted)
        while found >= 0:
            yield at - len(tail) + found
            found = data.find(wanted, found + 1)
        at += len(piece)
        tail = data[max(len(data) - len(wanted) + 1, 0) :]
