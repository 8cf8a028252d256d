"""Which are an array's elements, a struct's numbers?  Several parts of one, on an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling import folds, places
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.operands import Operand
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.spreads import CPU, Spread, widened
from kvm_exporter.kvm.types.model import Composite

T = TypeVar("T")

MOST_ELEMENTS = 1 << 16
"""Of an array that are values of their own."""


def bounds(array: Operand, first: int | None, stop: int | None) -> range:
    """The numbers of the elements that ``[first:stop]`` means; None: the array's own."""
    start = 0 if first is None else first
    end = places.elements(array) if stop is None else stop
    if end is None:
        raise KvmError("it does not tell how many elements it has: choose some with [first:stop]")
    if not 0 <= start <= end:
        raise KvmError(f"[{start}:{end}] is no slice")
    count = places.most(array)
    if count is not None and end > count:
        raise KvmError(f"[{start}:{end}] ends behind its {count} elements")
    return range(start, end)


def every(
    kernel: Kernel, reads: Reads, of: Spread[Operand], first: int | None, stop: int | None
) -> Spread[Operand]:
    """Elements of arrays, or of what pointers lead to, by their numbers."""
    numbers = bounds(of.first, first, stop)
    if numbers.stop - numbers.start > MOST_ELEMENTS:  # len() has an end of its own
        what = "choose some with [first:stop], or make it a list (lists: each)"
        raise KvmError(f"more than {MOST_ELEMENTS} elements: {what}")
    return _elements(kernel, reads, of, of.indexes, numbers)


def every_cpu(kernel: Kernel, reads: Reads, of: Spread[Operand]) -> Spread[Operand]:
    """The element of each CPU, by its number."""
    if CPU in of.axes:
        raise KvmError("it is a CPU's own already")
    return _elements(kernel, reads, of, CPU, kernel.cpus)


def _elements(
    kernel: Kernel, reads: Reads, of: Spread[Operand], axis: int, numbers: Sequence[int]
) -> Spread[Operand]:
    if places.leads_to_copies(of.first):
        raise KvmError("a pointer to the copies of each CPU has no elements: [a number] of it has")

    def elements(one: Operand) -> Iterator[tuple[int, Operand]]:
        for number in numbers:
            yield number, places.follow(kernel, reads, one, number)

    return widened(of, axis, elements)


def members(kernel: Kernel, of: Spread[Operand]) -> Spread[Operand]:
    """Every member that is a number, by its name."""
    _, type_ = places.known(of.first)
    if not isinstance(type_, Composite):
        raise KvmError(f"it is {places.described(of.first)}, and has no members")
    names = kernel.member_names(type_)
    of_first = ((name, places.member(kernel, of.first, name)) for name in names)
    numeric = [name for name, place in of_first if folds.is_number(kernel, place)]

    def numbers(one: Operand) -> Iterator[tuple[str, Operand]]:
        for name in numeric:
            yield name, places.member(kernel, one, name)

    return widened(of, of.indexes, numbers)


def axes(spread: Spread[T]) -> Sequence[int]:
    """The axes of a spread that are indexes."""
    return [axis for axis in spread.axes if axis >= 0]
