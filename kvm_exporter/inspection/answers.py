"""What do formulas over an expression's reads give?  Numbers, texts, and where the reads lie."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property

from kvm_exporter.inspection.element import Element
from kvm_exporter.inspection.explained import Worth
from kvm_exporter.kvm import KvmError
from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.expressions.program import (
    ABSOLUTE,
    ELEMENT,
    TEXT,
    Compiled,
    Constant,
    Formula,
    Joined,
    ListProgram,
    Program,
    Read,
    Series,
    Spelled,
    Value,
)
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.running.runner import Runner
from kvm_exporter.kvm.expressions.running.samples import Sample
from kvm_exporter.kvm.memory import Memory

LONGEST_TEXT = 256
"""Bytes of a text of unknown length that are shown."""


class Answers:
    """Of ``reads`` in ``memory``; in a list over its ``element``."""

    def __init__(
        self, memory: Memory, abi: Abi, reads: Sequence[Read], element: Element | None
    ) -> None:
        self._memory = memory
        self._abi = abi
        self.reads = tuple(reads)
        self._element = element

    def worths(self, formulas: Sequence[Formula]) -> list[Worth]:
        """What formulas give: numbers and texts, None for what cannot be read."""
        if not formulas:
            return []
        series = tuple(
            Series(number, (one,), Constant(1)) if self._is_text(one) else Series(number, (), one)
            for number, one in enumerate(formulas)
        )
        program, nothing = Program(self.reads, series), Program((), ())
        names = ((),) * len(series)
        compiled = Compiled(program, (), names, ())
        if self._element:
            around = ListProgram("", self._element.walks, program)
            compiled = Compiled(nothing, (around,), names, ())
        found = Runner(compiled, self._memory, self._abi).collect(Budget()).samples
        return [_worth(samples) for samples in found]

    @cached_property
    def values(self) -> list[Worth]:
        """What was read, by the numbers of the reads."""
        return self.worths([Value(number) for number in range(len(self.reads))])

    def address(self, base: int, offset: int) -> int | None:
        """Where something lies; None behind a null pointer, or one that cannot be read."""
        start: Worth = 0
        if base <= ELEMENT and self._element:
            start = self._element.address(base)
        elif base != ABSOLUTE:
            start = self.values[base] or None
        return start + offset & self._abi.address_mask if isinstance(start, int) else None

    def bytes(self, read: Read) -> bytes | None:
        """What lies there; of a text nothing behind its end."""
        address = self.address(read.base, read.offset)
        if address is None:
            return None
        size = struct.calcsize(self._abi.order + read.code) or LONGEST_TEXT
        try:
            data = self._memory.read(address, size)
        except KvmError:
            return None
        return data.partition(b"\0")[0] if _holds_text(read) else data

    def _is_text(self, formula: Formula) -> bool:
        if isinstance(formula, Value):
            return _holds_text(self.reads[formula.read])
        return isinstance(formula, Spelled | Joined)


def _holds_text(read: Read) -> bool:
    return read.code == TEXT or read.code.endswith("s")


def _worth(samples: Sequence[Sample]) -> Worth:
    """Of a text the label, of a number the value."""
    for labels, value in samples:
        return labels[0] if labels else value
    return None
