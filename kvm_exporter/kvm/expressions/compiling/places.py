"""Where does one get from a place in memory?  To its members, its elements, what it points at."""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling import kinds
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.operands import Number, Operand, Place, Reference
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.spreads import CPU, Spread, mapped, widened
from kvm_exporter.kvm.expressions.language.phrases import indefinite
from kvm_exporter.kvm.expressions.program import Read
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.model import Array, Composite, Pointer, Type, Void, resolve

UNKNOWN = "its type is not known: declare it in types: or cast it"


def described(operand: Operand) -> str:
    """What it is, in an error."""
    match operand:
        case Number():
            return "a number"
        case Reference():
            return "an address"
        case Place(type=None):
            return "of a type that is not known (declare it in types: or cast it)"
    return indefinite(spell(operand.type)) if operand.type else ""


def place(operand: Operand) -> Place:
    """The operand as a place; KvmError where it is none."""
    if not isinstance(operand, Place):
        raise KvmError(f"it is {described(operand)}, and lies nowhere")
    return operand


def pointee(operand: Operand) -> Place:
    """A place as it is, of an address what lies there."""
    return operand.to if isinstance(operand, Reference) else place(operand)


def known(operand: Operand) -> tuple[Place, Type]:
    """A place, and what its type is behind names; KvmError where either is not known."""
    found = place(operand)
    if found.type is None:
        raise KvmError(UNKNOWN)
    type_ = resolve(found.type)
    if isinstance(type_, Void):
        raise KvmError(f"this kernel does not tell what {spell(found.type)} is")
    return found, type_


def typed(operand: Operand) -> Type:
    """A place's type as it is declared; KvmError where it is not known."""
    found = place(operand)
    if found.type is None:
        raise KvmError(UNKNOWN)
    return found.type


def member(kernel: Kernel, operand: Operand, name: str) -> Place:
    """A member of a struct or union."""
    struct, type_ = known(operand)
    if isinstance(type_, Pointer):
        raise KvmError(f"it is a pointer: write ->{name}")
    if not isinstance(type_, Composite):
        raise KvmError(f"{name}: it is {described(operand)}, and has no members")
    found = kernel.member(type_, name)
    at, bit = divmod(found.bit_offset, 8)
    bits = None if found.bit_size is None else (bit, found.bit_size)
    is_open = _is_open(type_, found.bit_offset, found.type)
    return _moved(struct, at)._replace(type=found.type, bits=bits, size=None, open=is_open)


def _is_open(struct: Composite, bit_offset: int, type_: Type) -> bool:
    """Whether it is an array without an end: one of one element was C's way before ``[]``."""
    array = resolve(type_)
    if not isinstance(array, Array) or array.count > 1:
        return False
    return bit_offset >= max(one.bit_offset for one in struct.members)


def _moved(from_: Place, distance: int) -> Place:
    """A place further on in the same memory."""
    if from_.counters is not None:
        return from_._replace(counters=from_.counters + distance)
    return from_._replace(offset=from_.offset + distance)


def element(kernel: Kernel, array: Place, number: int) -> Place:
    """An element of an array; KvmError for one behind its end."""
    found, type_ = known(array)
    if not isinstance(type_, Array):
        raise KvmError(f"it is {described(array)}, and has no elements")
    if not 0 <= number < (most(array) or number + 1):
        raise KvmError(f"there is no element {number}: it has {type_.count}")
    inner = type_.element()
    start = _moved(found, number * kernel.size(inner))
    return start._replace(type=inner, size=None, open=False)


def most(operand: Operand) -> int | None:
    """How many elements an array may have; None for any number."""
    return None if isinstance(operand, Place) and operand.open else elements(operand)


def elements(operand: Operand) -> int | None:
    """How many elements an array has, None where that is not told; KvmError for what has none."""
    if isinstance(operand, Reference):
        return None
    _, type_ = known(operand)
    if isinstance(type_, Array):
        return type_.count or None
    if isinstance(type_, Pointer):
        return None
    raise KvmError(f"it is {described(operand)}, and has no elements")


def element_type(operand: Operand) -> Type:
    """The type of an array's elements, or of what a pointer leads to."""
    if isinstance(operand, Reference):
        operand = operand.to
        return known(operand)[0].type or Void()
    _, type_ = known(operand)
    match type_:
        case Array():
            return type_.element()
        case Pointer():
            return type_.target()
    raise KvmError(f"it is {described(operand)}, and has no elements")


def pointer_read(kernel: Kernel, at: Place, reads: Reads) -> int:
    """The number of the read of the pointer there."""
    return reads.number(Read(at.base, at.offset, kernel.abi.pointer))


def pointed(
    kernel: Kernel, reads: Reads, operands: Spread[Operand], number: int = 0
) -> Spread[Place]:
    """What pointers point at, or the element ``number`` of it, of arrays as well.

    A pointer to a per-CPU allocation leads to the copy of each CPU.
    """
    if leads_to_copies(operands.first):
        return _copies(kernel, reads, operands, number)
    return mapped(operands, lambda one: follow(kernel, reads, one, number))


def leads_to_copies(operand: Operand) -> bool:
    """Whether it is a pointer to a per-CPU allocation."""
    if not isinstance(operand, Place) or operand.type is None:
        return False
    type_ = resolve(operand.type)
    return isinstance(type_, Pointer) and kinds.target(type_).percpu


def pointing(operand: Operand, name: str) -> None:
    """KvmError for a struct, of which a member is asked for as if it was a pointer."""
    if isinstance(operand, Place) and isinstance(known(operand)[1], Composite):
        raise KvmError(f"it is {described(operand)}, and no pointer: write .{name}")


def follow(kernel: Kernel, reads: Reads, operand: Operand, number: int = 0) -> Place:
    """What one plain pointer points at, or the element ``number`` of an array."""
    if isinstance(operand, Reference):
        return _numbered(kernel, operand.to, number)
    at, type_ = known(operand)
    if isinstance(type_, Array):
        return element(kernel, at, number)
    if not isinstance(type_, Pointer) or at.counters is not None:
        raise KvmError(f"it is {described(operand)}, and points at nothing")
    target = kinds.target(type_)
    base = pointer_read(kernel, at, reads)
    start = Place(target.type, base, 0, counters=0 if target.counters else None)
    return _numbered(kernel, start, number)


def _numbered(kernel: Kernel, start: Place, number: int) -> Place:
    if not number:
        return start
    if start.type is None:
        raise KvmError(UNKNOWN)
    distance = number * kernel.size(start.type)
    if abs(distance) > kernel.abi.address_mask:
        raise KvmError(f"element {number} is behind the end of all addresses")
    return _moved(start, distance)


def _copies(kernel: Kernel, reads: Reads, operands: Spread[Operand], number: int) -> Spread[Place]:
    if CPU in operands.axes:
        raise KvmError("a CPU's own pointer cannot lead to the copies of each CPU")

    def of(operand: Operand) -> Iterator[tuple[int, Place]]:
        start = follow(kernel, reads, operand, number)
        for cpu, distance in kernel.allocations.items():
            yield cpu, _moved(start, distance)

    return widened(operands, CPU, of)
