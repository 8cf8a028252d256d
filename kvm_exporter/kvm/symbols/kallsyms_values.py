"""What are the addresses of a Linux kernel's symbols?  The forms that kallsyms has had.

From scripts/kallsyms.c and kallsyms_sym_address() of kernel/kallsyms.c:

1. ``kallsyms_addresses`` are addresses (CONFIG_KALLSYMS_BASE_RELATIVE=n, gone in 6.11).
2. ``kallsyms_offsets`` are 32 bits each, relative to ``kallsyms_relative_base``.
3. With CONFIG_KALLSYMS_ABSOLUTE_PERCPU (x86-64 before 6.15) they are signed: those from 0 on are
   absolute, offsets of per-CPU variables; -1 is the base itself, and -2 the byte behind it.
4. Without a base (since 7.0) each is relative to its own place; on 32-bit machines whose kernels
   do not move, they are addresses.

Symbols are sorted by address, absolute ones first.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.memory import Memory, exactly

_SIGN, _ONES = 1 << 31, (1 << 32) - 1

SAMPLES = 64
"""Values that are looked at to see that they rise."""


class Form(Enum):
    """What the words of a column are (rules 1 to 4)."""

    ADDRESSES = 0
    OFFSETS = 1
    PERCPU_OFFSETS = 2
    SELF_OFFSETS = 3


class Column(NamedTuple):
    """Where values are: their form, address, and that of the base, 0 for none."""

    form: Form
    address: int
    base: int = 0


@dataclass(frozen=True, slots=True)
class Values:
    """A sequence of addresses; those before number ``first`` are absolute (rule 3).

    ``words`` are the words as they are in memory.
    """

    form: Form
    words: array[int]
    base: int
    mask: int
    first: int

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, number: int) -> int:
        return self._value(self.words[number], number) & self.mask

    def _value(self, word: int, number: int) -> int:
        if self.form is Form.OFFSETS:
            return self.base + word
        if self.form is Form.PERCPU_OFFSETS:
            return word if word < _SIGN else self.base + (_ONES - word)
        if self.form is Form.SELF_OFFSETS:
            signed = word if word < _SIGN else word - _ONES - 1
            return self.base + 4 * number + signed
        return word

    def __iter__(self) -> Iterator[int]:
        return map(self.__getitem__, range(len(self)))

    def rise(self) -> bool:
        """Whether some of them, evenly spread, are in order."""
        count = len(self) - self.first
        step = max(count // SAMPLES, 1)
        some = [self[number] for number in range(self.first, len(self), step)]
        return some == sorted(some)


def read_values(memory: Memory, abi: Abi, column: Column, count: int) -> Values:
    """``count`` values.  Errors: those of memory."""
    size = abi.pointer_size if column.form is Form.ADDRESSES else 4
    words = array("Q" if size == 8 else "I", exactly(memory, column.address, count * size))
    if abi.byteorder != sys.byteorder:
        words.byteswap()
    base = column.address
    if column.base:
        data = exactly(memory, column.base, abi.pointer_size)
        base = int.from_bytes(data, abi.byteorder)
    first = 0
    if column.form is Form.PERCPU_OFFSETS:
        first = bisect_left(words, _SIGN)
    return Values(column.form, words, base, abi.address_mask, first)
