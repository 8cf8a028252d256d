"""How are a list's elements found?  From steps to walks: heads, and how each list is linked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions import indexing, kinds, places, shapes
from kvm_exporter.kvm.expressions.alternatives import first_of
from kvm_exporter.kvm.expressions.evaluating import Evaluation
from kvm_exporter.kvm.expressions.kernel import Kernel
from kvm_exporter.kvm.expressions.operands import Operand, Place
from kvm_exporter.kvm.expressions.parsing import parse
from kvm_exporter.kvm.expressions.program import ELEMENT, Address, Formula, Strided, Walk
from kvm_exporter.kvm.expressions.reads import Reads
from kvm_exporter.kvm.expressions.spreads import JAIL, Spread
from kvm_exporter.kvm.expressions.surroundings import Frame
from kvm_exporter.kvm.expressions.syntax import Every, EveryCpu, Node
from kvm_exporter.kvm.expressions.wanted import Step
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.model import Array, Pointer, Type, resolve

MOST_ELEMENTS = 1 << 20
"""Of an array that is a list."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The walks to a list's elements, the frame of these; ``jails``: network stacks have their own
    lists."""

    walks: tuple[Walk, ...]
    frame: Frame
    jails: bool = False


def listed(kernel: Kernel, frame: Frame, steps: Sequence[Step]) -> Listed:
    """How a list's elements are found.  KvmError where this kernel does not have it."""
    found = Listed((), frame)
    for step in steps:
        found = _Stepping(kernel, found, step).taken()
    return found


class _Stepping:
    """One step further: a list of each element before."""

    def __init__(self, kernel: Kernel, before: Listed, step: Step) -> None:
        self._kernel = kernel
        self._before = before
        self._step = step
        self._reads = Reads()

    def taken(self) -> Listed:
        """With the walks of this step."""
        return first_of(self._step.of, self._walked, self._reads)

    def _walked(self, expression: str) -> Listed:
        node = parse(expression)
        evaluation = Evaluation(self._kernel, self._reads, self._before.frame, expression)
        return evaluation.located(node, lambda _: self._of(evaluation, node))

    def _of(self, evaluation: Evaluation, node: Node) -> Listed:
        if isinstance(node, EveryCpu):
            of, cpus = evaluation.operands(node.of), self._kernel.cpus
            return self._array(of, range(max(cpus) + 1), cpus)
        if isinstance(node, Every):
            first, stop = evaluation.bound(node.first), evaluation.bound(node.stop)
            of = evaluation.operands(node.of)
            return self._elements(of, first, stop)
        of = evaluation.operands(node)
        if isinstance(of.first, Place) and isinstance(places.known(of.first)[1], Array):
            return self._elements(of, None, None)
        return self._lists(of)

    def _elements(self, of: Spread[Operand], first: int | None, stop: int | None) -> Listed:
        numbers = indexing.bounds(of.first, first, stop)
        if numbers.stop > MOST_ELEMENTS:
            raise KvmError(f"an array of more than {MOST_ELEMENTS} elements is no list")
        return self._array(of, range(numbers.stop), numbers if numbers.start else None)

    def _array(self, of: Spread[Operand], all_: range, numbers: Sequence[int] | None) -> Listed:
        inner = places.element_type(of.first)
        pointer = resolve(inner)
        pointers = isinstance(pointer, Pointer) and not kinds.is_text(pointer.target())
        size = self._kernel.size(inner)
        if isinstance(pointer, Pointer) and pointers:
            inner = pointer.target()
        if self._step.element and not shapes.is_head(self._kernel, inner):
            inner = self._kernel.type(self._step.element)
        starts = places.pointed(self._kernel, self._reads, of)
        chosen = None if numbers is None else tuple(numbers)
        shape = Strided(len(all_), size, pointers, chosen)
        if not shapes.is_head(self._kernel, inner):
            return self._with(starts, shape, inner)
        array = self._with(starts, shape, None)
        # each is a list of its own: the elements are theirs
        head = Place(inner, ELEMENT, 0)
        found = shapes.shaped(self._kernel, inner, self._step)
        inside = Walk((), (_address(head),), found.shape)
        return Listed((*array.walks, inside), array.frame.inside(found.element), jails=array.jails)

    def _lists(self, of: Spread[Operand]) -> Listed:
        """What begins with a head, or with a pointer to the first element."""
        _, type_ = places.known(places.pointee(of.first))
        if not isinstance(type_, Pointer):
            found = shapes.shaped(self._kernel, type_, self._step)
            return self._with(of, found.shape, found.element)
        target = type_.target()
        if shapes.is_head(self._kernel, target):
            found = shapes.shaped(self._kernel, target, self._step)
            return self._with(
                places.pointed(self._kernel, self._reads, of), found.shape, found.element
            )
        if not self._step.via:
            raise KvmError(f"a {spell(type_)} is no list without via, its pointer to the next")
        element = self._kernel.type(self._step.element) if self._step.element else target
        found = shapes.plain(self._kernel, element, self._step)
        return self._with(of, found.shape, found.element)

    def _with(self, heads: Spread[Operand], shape: shapes.Shape, element: Type | None) -> Listed:
        addresses = tuple(_address(places.pointee(one)) for one in heads.values)
        walk = Walk(self._reads.all, addresses, shape)
        before = self._before
        jails = before.jails or JAIL in heads.axes
        return Listed((*before.walks, walk), before.frame.inside(element), jails)


def _address(place: Place) -> Formula:
    return Address(place.base, place.offset)
