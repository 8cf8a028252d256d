"""How are a list's elements found?  From steps to walks: heads, and how each list is linked.

1. A step's expression is a head, or a pointer to one, or with ``via`` a pointer to the first
   element; or it is an array, or a part of one.
2. An array's elements are the list's, or what they point at.  Where these are heads themselves, as
   in a hash table, or with ``via`` pointers to first elements, there are two walks, and what is
   between goes by no name.
3. ``element`` is another type for what is behind pointers.  What lies in an array is of its type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling import indexing, kinds, places, shapes
from kvm_exporter.kvm.expressions.compiling.alternatives import first_of
from kvm_exporter.kvm.expressions.compiling.evaluating import Evaluation
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.operands import Operand, Place
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.spreads import CPU, JAIL, Spread
from kvm_exporter.kvm.expressions.compiling.surroundings import Frame
from kvm_exporter.kvm.expressions.language.parsing import parse
from kvm_exporter.kvm.expressions.language.phrases import indefinite
from kvm_exporter.kvm.expressions.language.syntax import Every, EveryCpu, Node
from kvm_exporter.kvm.expressions.program import ELEMENT, Address, Strided, Walk
from kvm_exporter.kvm.expressions.wanted import Step
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.model import Array, Composite, Pointer, Type, resolve

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
            self._refuse_copies(of)
            return self._array(of, max(cpus) + 1, cpus)
        if isinstance(node, Every):
            first, stop = evaluation.bound(node.first), evaluation.bound(node.stop)
            return self._elements(evaluation.operands(node.of), first, stop)
        of = evaluation.operands(node)
        if isinstance(of.first, Place) and isinstance(places.known(of.first)[1], Array):
            return self._elements(of, None, None)
        return self._lists(of)

    def _elements(self, of: Spread[Operand], first: int | None, stop: int | None) -> Listed:
        numbers = indexing.bounds(of.first, first, stop)
        if numbers.stop > MOST_ELEMENTS:
            raise KvmError(f"an array of more than {MOST_ELEMENTS} elements is no list")
        return self._array(of, numbers.stop, numbers if numbers.start else None)

    def _array(self, of: Spread[Operand], count: int, numbers: Sequence[int] | None) -> Listed:
        """The elements of an array, those that ``numbers`` are if there are any; rule 2."""
        stored = places.element_type(of.first)
        pointer = resolve(stored)
        pointers = isinstance(pointer, Pointer) and not kinds.is_text(pointer.target())
        element = pointer.target() if isinstance(pointer, Pointer) and pointers else stored
        chosen = None if numbers is None else tuple(numbers)
        shape = Strided(count, self._kernel.size(stored), pointers, chosen)
        starts = places.pointed(self._kernel, self._reads, of)
        buckets = self._buckets(element, pointers=pointers)
        if buckets is None:
            wanted = self._wanted(element) if pointers else self._stored(element)
            return self._with(starts, shape, wanted)
        # a pointer to a head leads to the list, one to a first element is the list's head
        behind = pointers and shapes.is_head(self._kernel, element)
        table = self._with(starts, replace(shape, pointers=behind, heads=True), None)
        inside = Walk((), (Address(ELEMENT, 0),), buckets.shape)
        return Listed((*table.walks, inside), table.frame.inside(buckets.element), table.jails)

    def _buckets(self, element: Type, *, pointers: bool) -> shapes.Shaped | None:
        """The list that each element of an array is, or that each of its pointers leads to; None
        where they are no lists."""
        if shapes.is_head(self._kernel, element) or (self._step.via and not pointers):
            return shapes.shaped(self._kernel, element, self._step)
        if self._step.via:
            return shapes.plain(self._kernel, self._wanted(element), self._step)
        return None

    def _wanted(self, element: Type) -> Type:
        return self._kernel.type(self._step.element) if self._step.element else element

    def _stored(self, element: Type) -> Type:
        """Rule 3."""
        wanted = self._wanted(element)
        if spell(resolve(wanted)) != spell(resolve(element)):
            raise KvmError(f"{indefinite(spell(element))} is no {spell(wanted)}")
        return wanted

    def _lists(self, of: Spread[Operand]) -> Listed:
        """What begins with a head, or with a pointer to the first element."""
        _, type_ = places.known(places.pointee(of.first))
        if not isinstance(type_, Pointer):
            self._refuse_copies(of)
            return self._with(of, *shapes.shaped(self._kernel, type_, self._step))
        target = type_.target()
        if shapes.is_head(self._kernel, target):
            heads = places.pointed(self._kernel, self._reads, of)
            return self._with(heads, *shapes.shaped(self._kernel, target, self._step))
        if not self._step.via:
            what = indefinite(spell(type_))
            raise KvmError(f"{what} is no list without via, its pointer to the next")
        element = self._wanted(target)
        return self._with(of, *shapes.plain(self._kernel, element, self._step))

    def _refuse_copies(self, of: Spread[Operand]) -> None:
        """KvmError for a struct that each CPU has, and that is no list."""
        one = places.pointee(of.first)
        if CPU not in of.axes or one.type is None or shapes.is_head(self._kernel, one.type):
            return
        if isinstance(resolve(one.type), Composite):
            what = f"each CPU has its own {spell(one.type)}, which is no list"
            raise KvmError(f"{what}: metrics of its members take cpu: each")

    def _with(self, heads: Spread[Operand], shape: shapes.Shape, element: Type | None) -> Listed:
        starts = map(places.pointee, heads.values)
        addresses = tuple(Address(one.base, one.offset) for one in starts)
        walk = Walk(self._reads.all, addresses, shape)
        before = self._before
        jails = before.jails or JAIL in heads.axes
        frame = replace(before.frame, cpus=before.frame.cpus or CPU in heads.axes)
        return Listed((*before.walks, walk), frame.inside(element), jails)
