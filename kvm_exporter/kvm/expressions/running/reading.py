"""How do bytes of memory become values?  Records, and who reads them.

What cannot be read is no error here: it is nothing, and who asked decides what that means.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import AccessDenied, KvmError, Unsupported
from kvm_exporter.kvm.expressions.running.budgets import Ledger
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.remembered import Remembered

Parts = tuple[tuple[int, str], ...]
"""Values that lie behind each other: their offsets, and their codes as Read has them."""

MOST_RECORDS = 1 << 12


class Record(NamedTuple):
    """How bytes become values; ``parts`` are (offset, how its bytes become a value)."""

    size: int
    unpack: Callable[[bytes], tuple[Any, ...]]
    parts: tuple[tuple[int, struct.Struct], ...]


def nothing(error: KvmError) -> bytes:
    """No bytes, where there is no memory; the error again if there is none anywhere."""
    if isinstance(error, AccessDenied | Unsupported):
        raise error
    return b""


class Reading:
    """One kernel's memory, with the records that were made for it."""

    def __init__(self, memory: Memory, abi: Abi) -> None:
        self.read = memory.read
        self.abi = abi
        self.mask = abi.address_mask
        self._records: Remembered[Parts, Record] = Remembered(MOST_RECORDS)

    def bytes(self, address: int, size: int) -> bytes:
        """Up to ``size`` bytes, none where there is no memory.

        Errors: AccessDenied and Unsupported, for then there is none anywhere.
        """
        try:
            return self.read(address, size)
        except KvmError as e:
            return nothing(e)

    def pointer(self, address: int, ledger: Ledger) -> int | None:
        """The pointer at an address; None, not counted, where it cannot be read."""
        size = self.abi.pointer_size
        data = self.bytes(address, size) if ledger.allows(size) else b""
        return int.from_bytes(data, self.abi.byteorder) if len(data) == size else None

    def record(self, parts: Parts) -> Record:
        """The record of these parts, the first of which is at 0."""
        return self._records.of(parts, self._make)

    def _make(self, parts: Parts) -> Record:
        at, each = 0, []
        codes: list[str] = [self.abi.order]
        for offset, code in parts:
            codes.append(f"{offset - at}x{code}")
            each.append((offset, struct.Struct(self.abi.order + code)))
            at = offset + each[-1][1].size
        whole = struct.Struct("".join(codes))
        return Record(whole.size, whole.unpack, tuple(each))

    def pieces(self, address: int, record: Record, ledger: Ledger) -> Iterator[Any]:
        """The values of a record one by one; None, not counted, for those that cannot be read."""
        for offset, part in record.parts:
            data = b""
            if ledger.allows(part.size):
                data = self.bytes(address + offset & self.mask, part.size)
            yield part.unpack(data)[0] if len(data) == part.size else None
