"""What lies at an address?  ``inspect read ADDR LEN`` as hexdump -C shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvm_exporter.inspection.report import Report, Text, Value
from kvm_exporter.kvm import Kvm, SymbolMissing

WIDTH = 16


class Place(NamedTuple):
    """``offset`` bytes after a symbol, or without one the address itself."""

    symbol: str | None
    offset: int


def read(kvm: Kvm, place: Place, length: int) -> Report:
    """``length`` bytes; fewer where a page is missing.  Errors: SymbolMissing, and as Kvm.read."""
    address = _address(kvm, place)
    data = kvm.read(address, length)
    fields: dict[str, Value] = {
        "address": f"{address:#x}",
        "length": len(data),
        "missing": length - len(data),
        "hex": data.hex(),
    }
    return Text(_dump(address, data, length), fields)


def _address(kvm: Kvm, place: Place) -> int:
    if place.symbol is None:
        return place.offset
    (found,) = kvm.nlist([place.symbol])
    if found is None:
        raise SymbolMissing(
            f"the kernel has no symbol {place.symbol}; inspect symbols lists them all"
        )
    return found.value + place.offset


def _dump(address: int, data: bytes, wanted: int) -> Iterator[str]:
    for at in range(0, len(data), WIDTH):
        row = data[at : at + WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        pairs = row[:8].hex(" ").ljust(23) + "  " + row[8:].hex(" ").ljust(23)
        yield f"{address + at:016x}  {pairs}  |{text}|"
    if len(data) < wanted:
        yield f"{address + len(data):016x}  no page; {wanted - len(data)} bytes are missing"
