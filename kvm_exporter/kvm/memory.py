"""How is a kernel's memory read, and its symbols found?  The two interfaces, as interfaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol


class Symbol(NamedTuple):
    """A kernel symbol: what kvm_nlist(3) fills into struct nlist, and its size where known."""

    name: str
    value: int
    type: int = 4
    size: int | None = None


class Memory(Protocol):
    """Kernel virtual memory."""

    def read(self, address: int, length: int) -> bytes:
        """At most ``length`` bytes from ``address``; Fault where the first byte has no page."""

    def write(self, address: int, data: bytes) -> int:
        """Write ``data`` at ``address``; the count written."""

    def close(self) -> None:
        """Give the files back."""


class Symbols(Protocol):
    """Kernel symbols by name."""

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """Each name's symbol, None where the kernel has none; order kept."""

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol there is, in the order of the kernel's table."""
