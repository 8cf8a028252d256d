"""Kernel memory that is written word by word, may change while it is read, and keeps accounts."""

from __future__ import annotations

import struct
from collections.abc import Callable

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import AccessDenied, Fault

BASE = 0xFFFF_8000_0000_0000
PAGE = 4096


class Bare:
    """Pages that were written to are there, no others; bytes of them that were not are 0xEE.

    ``reads`` are (address, length) of what was asked; ``live`` is called before each read.
    """

    def __init__(self, abi: Abi | None = None) -> None:
        self.abi = abi or Abi("<", 8)
        self.pages: dict[int, bytearray] = {}
        self.reads: list[tuple[int, int]] = []
        self.live: Callable[[int, int], None] = lambda address, length: None

    @property
    def base(self) -> int:
        """Where there may be memory of this kernel."""
        return BASE & self.abi.address_mask or 0x8000_0000

    def put(self, address: int, code: str, *values: object) -> None:
        """Values in the kernel's byte order."""
        for at, byte in enumerate(struct.pack(self.abi.order + code, *values), address):
            page = self.pages.setdefault(at // PAGE, bytearray(b"\xee" * PAGE))
            page[at % PAGE] = byte

    def pointer(self, address: int, *values: int) -> None:
        """Pointers."""
        self.put(address, self.abi.pointer * len(values), *values)

    def forget(self, address: int) -> None:
        """Take a page away."""
        del self.pages[address // PAGE]

    def read(self, address: int, length: int) -> bytes:
        """As Memory.read."""
        self.live(address, length)
        self.reads.append((address, length))
        found = bytearray()
        while len(found) < length and (page := self.pages.get((address + len(found)) // PAGE)):
            within = (address + len(found)) % PAGE
            found += page[within : within + length - len(found)]
        if length and not found:
            raise Fault(address, "no page")
        return bytes(found)

    def write(self, address: int, data: bytes) -> int:
        """Nobody may."""
        raise AccessDenied("read only")

    def close(self) -> None:
        """Nothing to give back."""
