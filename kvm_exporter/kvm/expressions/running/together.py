"""How are many formulas worked out for one row?  Those that are alike at once.

1. Most are values as they were read, or sums of as many such values each (often of one: that of
   all CPUs' copies): of these, every value's first part is fetched together, then every second
   part, and added pairwise.
2. What wraps in a sum's bits is rare: it is looked for only in the largest and the smallest.
3. Others are functions, called one by one (formulas.py).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from kvm_exporter.kvm.expressions.program import Formula, Read, Sum
from kvm_exporter.kvm.expressions.running.formulas import (
    Function,
    Functions,
    Row,
    plain_reads,
    valued,
)
from kvm_exporter.kvm.expressions.running.operators import wrapping
from kvm_exporter.kvm.expressions.running.slots import Places

Values = Sequence[Any]
AtOnce = Callable[[Row], Values]


class Together:
    """Several formulas over what is in no list."""

    def __init__(self, formulas: Sequence[Formula], places: Places, mask: int) -> None:
        self._formulas = formulas
        self._indices = Slots(places)
        self._mask = mask

    def values(self, row: Row, *, gaps: bool) -> Values:
        """A value for each formula, None for none; ``gaps``: some of the row may be unread."""
        if self._plain:
            return self._plain(row)
        if not gaps:
            try:
                return self._fast(row)
            except ArithmeticError:  # of one of them
                pass
        return [valued(function, row) for function in self._careful]

    @cached_property
    def _plain(self) -> AtOnce | None:
        """Where all are values as they were read; unread ones as None."""
        return self._getter(self._formulas) if len(self._formulas) > 1 else None

    def _getter(self, formulas: Sequence[Formula]) -> AtOnce | None:
        reads = plain_reads(formulas, self._indices.reads)
        return operator.itemgetter(*map(self._indices.read, reads)) if reads else None

    @cached_property
    def _fast(self) -> AtOnce:
        return self._sums() or self._functions()

    def _functions(self) -> AtOnce:
        functions = Functions(self._indices, self._mask, careful=False)
        found = [functions.number(one) for one in self._formulas]
        return lambda row: [function(row) for function in found]

    @cached_property
    def _careful(self) -> Sequence[Function]:
        functions = Functions(self._indices, self._mask, careful=True)
        return [functions.number(one) for one in self._formulas]

    def _sums(self) -> AtOnce | None:
        """Where all are sums of as many values, in the same bits."""
        sums = [one for one in self._formulas if isinstance(one, Sum)]
        kinds = {(len(one.of), one.bits, one.signed) for one in sums}
        if len(sums) != len(self._formulas) or len(kinds) != 1 or len(sums) < 2:
            return None
        ((_, bits, signed),) = kinds
        parts = [self._getter(part) for part in zip(*(one.of for one in sums), strict=True)]
        getters = [part for part in parts if part]
        if len(getters) != len(parts) or not parts:
            return None
        return _adding(getters, bits, signed=signed)


def _adding(getters: Sequence[AtOnce], bits: int, *, signed: bool) -> AtOnce:
    wrap = wrapping(bits, signed=signed)

    def add(row: Row) -> Values:
        totals, *more = [getter(row) for getter in getters]
        for part in more:
            totals = list(map(operator.add, totals, part))
        high, low = max(totals), min(totals)
        if wrap(high) == high and wrap(low) == low:  # rule 2
            return totals
        return [wrap(total) for total in totals]

    return add


class Slots:
    """Indices of a row that is table 0's."""

    def __init__(self, places: Places) -> None:
        self.reads: Sequence[Read] = places.reads
        self._places = places

    def read(self, number: int) -> int:
        """As Indices.read."""
        return self._places.read(number).slot

    def address(self, base: int) -> int:
        """As Indices.address."""
        return self._places.address(base).slot

    def position(self, base: int) -> int:
        """As Indices.position."""
        return self._places.position(base).slot
