"""What do operators make of numbers and addresses?  Formulas, with C's type where it matters."""

from __future__ import annotations

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling import kinds
from kvm_exporter.kvm.expressions.compiling.folds import is_counter
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.operands import Number, Operand, Place, Reference
from kvm_exporter.kvm.expressions.compiling.places import pointer_read
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.program import Address, Apply, Constant, Formula, Truncated, Value
from kvm_exporter.kvm.types.model import Enum, Integer, Pointer, resolve

OF_ADDRESSES = frozenset(("==", "!=", "&&", "||", "!"))
"""Operators that tell nothing of an address but whether it is one, and the same."""

INT = 4
"""Bytes of the narrowest integer that C calculates with."""


def unary(operator: str, number: Number) -> Number:
    """``-``, ``~`` or ``!`` of a number."""
    formula = Apply(operator, (number.formula,))
    if operator == "~" and isinstance(number.type, Integer | Enum):
        return _inverted(formula, number.type)
    return Number(formula)


def _inverted(formula: Formula, type_: Integer | Enum) -> Number:
    """All the bits that C has there."""
    signed = type_.size < INT or (isinstance(type_, Integer) and type_.signed)
    bits = 8 * max(type_.size, INT)
    return Number(Truncated(formula, bits, signed))


def binary(operator: str, left: Number, right: Number) -> Number:
    """Two numbers; integers have no width here, and do not overflow."""
    return Number(Apply(operator, (left.formula, right.formula)))


def is_pointer(operand: Operand) -> bool:
    """Whether it is an address, which is no number."""
    if isinstance(operand, Reference):
        return True
    if not isinstance(operand, Place) or operand.type is None or is_counter(operand):
        return False
    return isinstance(resolve(operand.type), Pointer) and not kinds.is_counter(operand.type)


def address(kernel: Kernel, reads: Reads, operand: Operand) -> Number:
    """A pointer's value, for the operators that may see it."""
    match operand:
        case Reference(to=place) if place.bits is None and place.counters is None:
            return Number(Address(place.base, place.offset))
        case Place() if is_pointer(operand):
            return Number(Value(pointer_read(kernel, operand, reads)))
        case Number(formula=Constant(value=0)):
            return operand
    raise KvmError("an address can be compared with an address, or with 0")


def byte_swapped(number: Number, size: int, order: str) -> Number:
    """ntohs() and ntohl(): ``size`` bytes of network byte order."""
    bits = 8 * size
    own = Truncated(number.formula, bits, signed=False)
    type_ = Integer(f"uint{bits}_t", size, signed=False)
    if order == ">":
        return Number(own, type_)
    moved = [_byte_moved(own, at, size - 1 - at) for at in range(size)]
    whole = moved[0]
    for part in moved[1:]:
        whole = Apply("|", (whole, part))
    return Number(whole, type_)


def _byte_moved(whole: Formula, at: int, to: int) -> Apply:
    byte = Apply("&", (Apply(">>", (whole, Constant(8 * at))), Constant(0xFF)))
    return Apply("<<", (byte, Constant(8 * to)))
