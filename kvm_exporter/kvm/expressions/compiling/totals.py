"""What do several copies count together?  The numbers of an expression's parts, added up.

1. The copies of all CPUs are added up, unless each is a value of its own.
2. The copies of an unsigned integer of 32 or 64 bits are a counter in parts: modulo that width, as
   each of them was counted.  Narrower ones, and those with a sign, are amounts: their sum is exact.
3. Elements are not parts of one number: their sum is exact, too, if they are not of 64 bits.
4. The states of an enum are no amounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling import folds
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.operands import Number, Operand, Place, Reference
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.spreads import CPU, Spread, folded, mapped, widened
from kvm_exporter.kvm.expressions.compiling.strides import copied
from kvm_exporter.kvm.expressions.compiling.surroundings import Frame
from kvm_exporter.kvm.expressions.program import Apply, Formula, Read, Sum, Value
from kvm_exporter.kvm.types.model import Enum, Integer

INT, LONG = 4, 8
"""Bytes of the narrowest unsigned integers that are counters (rules 2 and 3)."""


def numbers(
    kernel: Kernel, reads: Reads, frame: Frame, operands: Spread[Operand]
) -> Spread[Number]:
    """The numbers that are there, those of all CPUs together where that is wanted.

    KvmError for what is no number.
    """
    if frame.each or CPU not in operands.axes:
        return each(kernel, reads, frame, operands)
    return folded(operands, (CPU,), partial(_of_cpus, kernel, reads))


def each(kernel: Kernel, reads: Reads, frame: Frame, operands: Spread[Operand]) -> Spread[Number]:
    """The numbers that are there, those of each CPU apart where there are several."""
    if frame.each and CPU not in operands.axes and all(map(splits, operands.values)):
        return widened(operands, CPU, lambda one: folds.parts(kernel, reads, _place(one)))
    if frame.each and CPU not in operands.axes and any(map(splits, operands.values)):
        raise KvmError("cpu: each: some of these are counters of each CPU, others are not")
    return mapped(operands, lambda one: _number(kernel, reads, one))


def _of_cpus(kernel: Kernel, reads: Reads, copies: Sequence[Operand]) -> Number:
    """The copies of all CPUs added up."""
    places = [one for one in copies if isinstance(one, Place)]
    alike = len(places) == len(copies) > 1 and len({one.base for one in places}) == 1
    plain = _integer(kernel, places[0]) if alike else None
    if plain is None:
        return total([_number(kernel, reads, one) for one in copies], narrowest=INT)
    read, type_ = plain
    offsets = (read.offset + one.offset - places[0].offset for one in places)
    return _sum(copied(kernel, reads, read, offsets), type_, narrowest=INT)


def _integer(kernel: Kernel, place: Place) -> tuple[Read, Integer] | None:
    """How the integer there is read; None where there is another number, or one has to be made."""
    reads = Reads()
    number = folds.number(kernel, reads, place)
    if number.formula != Value(0) or not isinstance(number.type, Integer):
        return None
    *pointers, read = reads.all
    return None if pointers or read.bits else (read, number.type)


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


def total(parts: Sequence[Number], narrowest: int = LONG) -> Number:
    """Numbers added up; sums of unsigned integers wrap from ``narrowest`` bytes on."""
    first = parts[0]
    if len(parts) == 1:
        return first
    formulas = tuple(part.formula for part in parts)
    if any(isinstance(part.type, Enum) for part in parts):
        raise KvmError("states cannot be added up: take cpu: each")
    if not _alike(parts) or not isinstance(first.type, Integer):
        return Number(_added(formulas))
    return _sum(formulas, first.type, narrowest)


def _sum(formulas: tuple[Formula, ...], type_: Integer, narrowest: int) -> Number:
    """The sum of integers of one type."""
    wraps = not type_.signed and type_.size >= narrowest
    bits = 8 * type_.size if wraps else 64
    return Number(Sum(formulas, bits, signed=not wraps), type_ if wraps else folds.EXACT)


def _alike(parts: Sequence[Number]) -> bool:
    """Whether C has the same type of integer for all of them."""
    known = {
        (type_.size, type_.signed) for part in parts if isinstance(type_ := part.type, Integer)
    }
    return len(known) == 1 and all(isinstance(part.type, Integer) for part in parts)


def _added(formulas: Sequence[Formula]) -> Formula:
    """A sum of what has no width: a tree of additions, as low as may be."""
    if len(formulas) == 1:
        return formulas[0]
    half = len(formulas) // 2
    return Apply("+", (_added(formulas[:half]), _added(formulas[half:])))
