"""Where are the tables of a Linux kernel's symbols?  Where its VMCOREINFO says.

1. VMCOREINFO has the addresses of all since Linux 6.0 (5fd8fea935a1), with KASLR's displacement
   already in them.  Those of older kernels are found in memory (kallsyms_scan.py).
2. ``kallsyms_num_syms`` is an unsigned int; it was a long before 4.20 (80ffbaa5b1bd).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.memory import Memory, exactly
from kvm_exporter.kvm.symbols.kallsyms_names import (
    LONGEST_TOKEN,
    TOKENS,
    Names,
    read_names,
    read_tokens,
)
from kvm_exporter.kvm.symbols.kallsyms_values import Column, Form

MOST_SYMBOLS = 1 << 21
"""A kernel has 60,000 to 300,000."""

MOST_PACKED = 1 << 25
"""Bytes of all names, compressed; a kernel has 1 MB to 4 MB."""

AVERAGE = 32
"""Bytes of compressed names where nothing bounds them: twice what they have on average."""


class Told(Protocol):
    """What a core says of its kernel (vmcoreinfo.py's Vmcoreinfo)."""

    @property
    def build_id(self) -> str | None: ...

    @property
    def release(self) -> str | None: ...

    def symbol(self, name: str) -> int | None: ...


class Tables(NamedTuple):
    """The addresses of the tables of ``size`` symbols; ``columns`` are where values may be."""

    size: int
    names: int
    token_table: int
    token_index: int
    columns: tuple[Column, ...]


def told_tables(memory: Memory, abi: Abi, info: Told) -> Tables | None:
    """The tables that VMCOREINFO tells of; None where it does not.

    Errors: those of memory; FormatError for an absurd count.
    """
    told = [info.symbol(f"kallsyms_{name}") for name in _NEEDED]
    addresses = [address for address in told if address is not None]
    columns = tuple(_columns(abi, info))
    if len(addresses) < len(told) or not columns:
        return None
    count_at, names, token_table, token_index = addresses
    count = int.from_bytes(exactly(memory, count_at, 4), abi.byteorder)
    if not 0 < count <= MOST_SYMBOLS:
        raise FormatError(f"kallsyms_num_syms at {count_at:#x}: {count} symbols")
    return Tables(count, names, token_table, token_index, columns)


_NEEDED = "num_syms", "names", "token_table", "token_index"


def _columns(abi: Abi, info: Told) -> Iterator[Column]:
    offsets, base = info.symbol("kallsyms_offsets"), info.symbol("kallsyms_relative_base")
    addresses = info.symbol("kallsyms_addresses")
    if offsets and base:
        yield Column(Form.OFFSETS, offsets, base)
        yield Column(Form.PERCPU_OFFSETS, offsets, base)
    elif offsets:
        yield Column(Form.SELF_OFFSETS, offsets)
        if abi.pointer_size == 4:
            yield Column(Form.ADDRESSES, offsets)
    elif addresses:
        yield Column(Form.ADDRESSES, addresses)


def tokens_of(memory: Memory, abi: Abi, tables: Tables) -> list[bytes]:
    """The tokens.  Errors: those of memory; FormatError."""
    data = exactly(memory, tables.token_index, 2 * TOKENS)
    index = struct.unpack(f"{abi.order}{TOKENS}H", data)
    return read_tokens(memory.read(tables.token_table, max(index) + LONGEST_TOKEN), index)


def names_of(memory: Memory, tables: Tables, tokens: Sequence[bytes]) -> Names:
    """The names, which takes 50 ms to 150 ms.  Errors: those of memory; FormatError."""
    size = tables.token_table - tables.names  # which has always been behind them
    if not 0 < size <= MOST_PACKED:
        size = min(tables.size * AVERAGE, MOST_PACKED)
    return read_names(memory.read(tables.names, size), tables.size, tokens)
