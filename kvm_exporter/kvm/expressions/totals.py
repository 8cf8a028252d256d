"""What do several copies count together?  The numbers of an expression's parts, added up.

1. The copies of all CPUs are added up, unless each is a value of its own.
2. Sums of unsigned integers of 32 and 64 bits are taken modulo that, as each of them was counted.
   Narrower ones, and those with a sign, are amounts: their sums are exact.
3. The states of an enum are no amounts.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions import folds
from kvm_exporter.kvm.expressions.kernel import Kernel
from kvm_exporter.kvm.expressions.operands import Number, Operand, Place, Reference
from kvm_exporter.kvm.expressions.program import Apply, Formula, Sum
from kvm_exporter.kvm.expressions.reads import Reads
from kvm_exporter.kvm.expressions.spreads import CPU, Spread, folded, mapped, widened
from kvm_exporter.kvm.expressions.surroundings import Frame
from kvm_exporter.kvm.types.model import Enum, Integer


def numbers(
    kernel: Kernel, reads: Reads, frame: Frame, operands: Spread[Operand]
) -> Spread[Number]:
    """The numbers that are there, those of all CPUs together where that is wanted.

    KvmError for what is no number.
    """
    found = each(kernel, reads, frame, operands)
    return found if frame.each else folded(found, (CPU,), total)


def each(kernel: Kernel, reads: Reads, frame: Frame, operands: Spread[Operand]) -> Spread[Number]:
    """The numbers that are there, those of each CPU apart where there are several."""
    if frame.each and CPU not in operands.axes and all(map(splits, operands.values)):
        return widened(operands, CPU, lambda one: folds.parts(kernel, reads, _place(one)))
    return mapped(operands, lambda one: _number(kernel, reads, one))


def splits(operand: Operand) -> bool:
    """Whether it is a counter that each CPU has a part of."""
    return isinstance(operand, Place) and folds.splits(operand)


def _place(operand: Operand) -> Place:
    if not isinstance(operand, Place):
        raise KvmError("only what is in memory has copies")
    return operand


def _number(kernel: Kernel, reads: Reads, operand: Operand) -> Number:
    if isinstance(operand, Number):
        return operand
    if isinstance(operand, Reference):
        raise KvmError("an address is no number")
    return folds.number(kernel, reads, operand)


def total(parts: Sequence[Number]) -> Number:
    """Numbers of one type, added up."""
    first = parts[0]
    if len(parts) == 1:
        return first
    type_ = first.type
    if isinstance(type_, Enum):
        raise KvmError("states cannot be added up: take cpu: each")
    formulas = tuple(part.formula for part in parts)
    if not isinstance(type_, Integer):
        return Number(_added(formulas), type_)
    wraps = not type_.signed and type_.size >= WRAPS
    bits = 8 * type_.size if wraps else 64
    return Number(Sum(formulas, bits, signed=not wraps), type_ if wraps else folds.EXACT)


WRAPS = 4
"""Bytes of the narrowest unsigned integer that is a counter (rule 2)."""


def _added(formulas: Sequence[Formula]) -> Formula:
    """A sum of what has no width: a tree of additions, as low as may be."""
    if len(formulas) == 1:
        return formulas[0]
    half = len(formulas) // 2
    return Apply("+", (_added(formulas[:half]), _added(formulas[half:])))
