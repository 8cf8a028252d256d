"""What does a cast make of it?  Memory of another type, another pointer, a number that C converts.

1. Memory of a type that is not known, of a struct, union or array is taken as the new type; an
   array as a pointer's is its own address, as in C.
2. A pointer can become a pointer to something else, and nothing else; nothing else becomes one.
3. An array of counter_u64_t, or a pointer to such, taken as a struct's stands for that struct of
   numbers (folds.py).
4. Where the kernel says that there is a pointer, no number or text is taken (leaks.py).
"""

from __future__ import annotations

from functools import partial

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling import folds, kinds
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.kinds import is_counters
from kvm_exporter.kvm.expressions.compiling.leaks import shows_address
from kvm_exporter.kvm.expressions.compiling.operands import Number, Operand, Place, Reference
from kvm_exporter.kvm.expressions.compiling.places import described
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.program import Apply, Constant, Formula, Truncated
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.flatten import is_signed, size_of
from kvm_exporter.kvm.types.model import (
    Array,
    Composite,
    Enum,
    Float,
    Integer,
    Named,
    Pointer,
    Type,
    Void,
    resolve,
)


def cast(kernel: Kernel, reads: Reads, operand: Operand, type_: Type) -> Operand:
    """``operand`` as ``type_``; KvmError where the language knows no such cast."""
    if isinstance(operand, Reference):
        return _reference(kernel, operand, type_)
    if isinstance(operand, Place):
        return _place(kernel, reads, operand, type_)
    return converted(operand, type_)


def _reference(kernel: Kernel, operand: Reference, type_: Type) -> Reference:
    pointer = resolve(type_)
    if not isinstance(pointer, Pointer):
        raise KvmError(f"an address is no {spell(type_)}")
    target = kinds.target(pointer).type
    if operand.to.type and shows_address(operand.to.type, target, all_of_it=True):
        raise KvmError("there is a pointer, which is no number")
    return Reference(taken(kernel, operand.to, target))


def _place(kernel: Kernel, reads: Reads, place: Place, type_: Type) -> Operand:
    known = resolve(place.type) if place.type else None
    if folds.is_counter(place) and isinstance(resolve(type_), Integer | Enum | Float):
        return converted(folds.number(kernel, reads, place), type_)
    if isinstance(known, Pointer):
        return place._replace(type=_pointer(known, type_))
    if isinstance(known, Array) and isinstance(resolve(type_), Pointer):
        return _reference(
            kernel, Reference(place._replace(type=known.element(), open=False)), type_
        )
    if known is None or isinstance(known, Void | Composite | Array):
        return taken(kernel, place, type_)
    if isinstance(resolve(type_), Pointer):
        raise KvmError("addresses come only from symbols and pointers, not from numbers")
    return converted(folds.number(kernel, reads, place), type_)


def _pointer(known: Pointer, type_: Type) -> Type:
    """Rule 2."""
    wanted = resolve(type_)
    if not isinstance(wanted, Pointer):
        raise KvmError(f"a pointer is no {spell(type_)}: cast it to a pointer, or dereference it")
    target = wanted.target()
    source = known.target()
    if not kinds.is_counter(source) and shows_address(source, target, all_of_it=True):
        raise KvmError("there is a pointer, which is no number")
    marks = []
    if kinds.target(known).percpu:
        marks.append(kinds.PERCPU)
    if kinds.is_counter(known.target()) and isinstance(resolve(target), Composite):
        marks.append(kinds.COUNTERS)
    return marked(wanted, *marks) if marks else type_


def marked(pointer: Pointer, *marks: str) -> Pointer:
    """A pointer whose target has these names, too."""
    target = pointer.target
    for mark in marks:
        target = partial(Named, mark, target)
    return Pointer(pointer.size, target)


def taken(kernel: Kernel, place: Place, type_: Type) -> Place:
    """The memory of a place as of another type (rules 1, 3 and 4)."""
    if place.type is not None:
        if is_counters(place.type) and isinstance(resolve(type_), Composite):
            return _counters(kernel, place, place.type, type_)
        if place.counters is None and shows_address(place.type, type_):
            raise KvmError("a pointer is no number")
    if place.size:
        type_ = _fitting(type_, place.size)
    return place._replace(type=type_, bits=None, open=False)


def _fitting(type_: Type, most: int) -> Type:
    """A type that is not larger than its variable: of an array, as many elements as there are."""
    size = size_of(type_)
    if not size or size <= most:
        return type_
    array = resolve(type_)
    count = most * array.count // size if isinstance(array, Array) else 0
    if not isinstance(array, Array) or not count:
        raise KvmError(f"{spell(type_)} has {size} bytes, and this variable {most}")
    return Array(array.element, count)


def _counters(kernel: Kernel, place: Place, counters: Type, type_: Type) -> Place:
    size, array = kernel.size(type_), resolve(counters)
    count = array.count if isinstance(array, Array) else 0
    if count and size > 8 * count:
        raise KvmError(f"{spell(type_)} is of {size} bytes: more than {count} counters")
    return place._replace(type=type_, counters=0, size=None)


def converted(number: Number, type_: Type) -> Number:
    """A number as C converts it."""
    wanted = resolve(type_)
    match wanted:
        case Integer(kind="bool"):
            return Number(Apply("!=", (number.formula, Constant(0))), wanted)
        case Float():
            return Number(Apply("*", (number.formula, Constant(1.0))), wanted)
        case Enum():
            return Number(Truncated(number.formula, 8 * wanted.size, is_signed(wanted)), wanted)
        case Integer():
            return Number(_cut(number, wanted), wanted)
        case Pointer():
            raise KvmError("addresses come only from symbols and pointers, not from numbers")
    raise KvmError(f"{described(number)} is no {spell(type_)}")


def _cut(number: Number, wanted: Integer) -> Formula:
    own = number.type
    if isinstance(own, Integer) and (own.size, own.signed) == (wanted.size, wanted.signed):
        return number.formula
    return Truncated(number.formula, 8 * wanted.size, wanted.signed)
