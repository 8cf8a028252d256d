"""Which text tells a value from others?  The formulas of labels.

1. Arrays of char and pointers to char are texts, the constants of enums go by their names, numbers
   by their digits.
2. A label of several expressions is their texts, one behind the other.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling import kinds, places, totals
from kvm_exporter.kvm.expressions.compiling.evaluating import Evaluation
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.operands import Number, Operand, Place
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.spreads import CPU, Spread, mapped, met, single
from kvm_exporter.kvm.expressions.compiling.surroundings import Frame
from kvm_exporter.kvm.expressions.language.parsing import parse
from kvm_exporter.kvm.expressions.language.syntax import Node
from kvm_exporter.kvm.expressions.program import (
    TEXT,
    Constant,
    Formula,
    Joined,
    Read,
    Spelled,
    Value,
)
from kvm_exporter.kvm.types.flatten import is_signed
from kvm_exporter.kvm.types.model import Array, Enum, Pointer, resolve

LITERAL = "="
"""What a label begins with that stands for itself."""

LONGEST = 4096
"""Bytes of an array that are read as a text."""


def label(
    kernel: Kernel, reads: Reads, frame: Frame, wanted: str | tuple[str, ...]
) -> Spread[Formula]:
    """A label's formula.  ExpressionError where it means nothing here."""
    parts = (wanted,) if isinstance(wanted, str) else wanted
    told = [_part(kernel, reads, frame, part) for part in parts]
    if len(told) == 1:
        return told[0]
    joined: Spread[tuple[Formula, ...]] = single(())
    for one in told:
        joined = met(joined, one, lambda before, last: (*before, last))
    return mapped(joined, Joined)


def _part(kernel: Kernel, reads: Reads, frame: Frame, part: str) -> Spread[Formula]:
    if part.startswith(LITERAL):
        return single(Constant(part.removeprefix(LITERAL)))
    return text(kernel, reads, frame, part)


def text(kernel: Kernel, reads: Reads, frame: Frame, expression: str) -> Spread[Formula]:
    """The text of an expression.  ExpressionError where it has none here."""
    evaluation = Evaluation(kernel, reads, frame, expression)

    def of(node: Node) -> Spread[Formula]:
        return spelled(kernel, reads, frame, evaluation.operands(node))

    return evaluation.located(parse(expression), of)


def spelled(kernel: Kernel, reads: Reads, frame: Frame, found: Spread[Operand]) -> Spread[Formula]:
    """The texts of what was found; KvmError where it has none."""
    if _is_text(found.first):
        if CPU in found.axes and not frame.each:
            raise KvmError("each CPU has a text of its own: take cpu: each")
        return mapped(found, lambda one: Value(reads.number(_text_read(kernel, reads, one))))
    return mapped(totals.numbers(kernel, reads, frame, found), _number)


def _is_text(operand: Operand) -> bool:
    if not isinstance(operand, Place) or operand.type is None or operand.counters is not None:
        return False
    match resolve(operand.type):
        case Array(element=inner) | Pointer(target=inner):
            return kinds.is_text(inner())
    return False


def _text_read(kernel: Kernel, reads: Reads, operand: Operand) -> Read:
    place, type_ = places.known(operand)
    if isinstance(type_, Pointer):
        return Read(places.pointer_read(kernel, place, reads), 0, TEXT)
    count = type_.count if isinstance(type_, Array) else 0
    if not count:
        raise KvmError("it does not tell how long it is: cast it, (char[16])")
    return Read(place.base, place.offset, f"{min(count, LONGEST)}s")


def _number(number: Number) -> Formula:
    """Rule 1."""
    if isinstance(number.type, Enum):
        return Spelled(number.formula, names(number.type))
    return number.formula


def names(enum: Enum) -> Mapping[int, str]:
    """What an enum calls its numbers (the first name of each), as they are read."""
    bits = 8 * enum.size
    half = 1 << bits - 1 if is_signed(enum) else 0
    found: dict[int, str] = {}
    for name, value in enum.values:
        # CTF tells all values as signed 32 bits
        found.setdefault((value + half & (1 << bits) - 1) - half, name)
    return found
