"""How does an expression become a number?  ``kvm_exporter explain EXPR``, a step at a time.

What is shown is what compiling and running do: the same evaluation, watched, and the same reads;
those of all CPUs' copies together are taken apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from kvm_exporter.inspection import parts
from kvm_exporter.inspection.answers import Answers
from kvm_exporter.inspection.element import Chosen, Element, find_element
from kvm_exporter.inspection.explained import Explanation, Fetch, Item, Part
from kvm_exporter.inspection.onecpu import OneCpu
from kvm_exporter.inspection.report import Report, Text
from kvm_exporter.inspection.still import Still
from kvm_exporter.inspection.whereabouts import whereabouts
from kvm_exporter.inspection.whose import Whose, whose
from kvm_exporter.kvm import Kvm, KvmError
from kvm_exporter.kvm.expressions.compiling import totals
from kvm_exporter.kvm.expressions.compiling.evaluating import Evaluation
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.labelling import spelled
from kvm_exporter.kvm.expressions.compiling.operands import Number as Amount
from kvm_exporter.kvm.expressions.compiling.operands import Operand, Place, Reference
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.spreads import Spread, mapped
from kvm_exporter.kvm.expressions.compiling.surroundings import Frame
from kvm_exporter.kvm.expressions.language.parsing import parse
from kvm_exporter.kvm.expressions.language.syntax import (
    Cast,
    ExpressionError,
    Index,
    Member,
    Node,
    Number,
)
from kvm_exporter.kvm.expressions.language.writing import written
from kvm_exporter.kvm.expressions.program import ABSOLUTE, ELEMENT, Formula, Read
from kvm_exporter.kvm.types.declare import spell

SUM, EACH, ALL = "sum", "each", "all"
MOST = 1 << 12
"""Values of a part, and reads, that are shown."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: ``cpu`` is ``sum``, ``each`` or a CPU's number, ``vnet`` as a metric's.

    ``types`` are declared: variable → type.  With ``chosen`` it is asked of a list's element.
    """

    expression: str
    cpu: str = SUM
    vnet: str = "host"
    types: Mapping[str, str] = field(default_factory=dict)
    chosen: Chosen | None = None


def explain(kvm: Kvm, question: Question) -> Report:
    """Each part, each read, and the numbers.  What the expression lacks is the report's problem.

    Errors: KvmError where there is no kernel memory at all.
    """
    told = _Explaining(kvm, question).explanation()
    return Text(told.lines(), told.document(), told.problem)


class _Explaining:
    """One question."""

    def __init__(self, kvm: Kvm, question: Question) -> None:
        copies = kvm.copies
        if question.cpu not in (SUM, EACH):
            copies = OneCpu(copies, int(question.cpu))
        self._kvm = kvm
        self._question = question
        self._kernel = Kernel(kvm.target, copies, question.types)
        self._memory = Still(kvm.target.memory)
        self._element: Element | None = None
        self._frame = Frame()
        self._reads = Reads(apart=True)
        self._seen: list[tuple[Node, Spread[Operand]]] = []

    def explanation(self) -> Explanation:
        """All of it, up to where the expression means nothing."""
        result: Spread[Formula] | None = None
        problem: KvmError | None = None
        try:
            self._enter()
            result = self._evaluated()
        except ExpressionError as e:
            problem = ExpressionError(e.expression, e.column, e.what + self._kernel.hints())
        except KvmError as e:
            problem = e
        told = (*self._of_element(), *self._parts())
        samples = tuple(self._samples(result)) if result else ()
        fetches = tuple(self._fetches())
        return Explanation(self._question.expression, told, fetches, samples, problem)

    def _enter(self) -> None:
        """Where the expression stands: which network stacks and CPUs, which list's element."""
        question = self._question
        every = question.vnet == ALL
        self._frame = Frame(stack=question.vnet, jails=every, each=question.cpu != SUM)
        if question.chosen:
            found = find_element(self._kernel, self._memory, self._frame, question.chosen)
            self._element, self._frame = found

    def _evaluated(self) -> Spread[Formula]:
        """The numbers that the expression is, else the texts."""
        kernel, reads, frame = self._kernel, self._reads, self._frame
        expression = self._question.expression
        node = parse(expression)
        found = Evaluation(kernel, reads, frame, expression, self._watch).values(node)
        before = len(reads)
        try:
            return mapped(totals.numbers(kernel, reads, frame, found), lambda one: one.formula)
        except KvmError as e:
            reads.forget(before)
            try:
                return spelled(kernel, reads, frame, found)
            except KvmError:
                raise ExpressionError(expression, node.column, str(e)) from e

    def _watch(self, node: Node, found: Spread[Operand]) -> None:
        self._seen.append((node, found))

    @cached_property
    def _answers(self) -> Answers:
        """When all that is to be read is known."""
        return Answers(self._memory, self._kernel.abi, self._reads.all, self._element)

    def _of_element(self) -> Iterator[Part]:
        """The element of the list, if that is what the expression is about."""
        chosen, element, place = self._question.chosen, self._element, self._frame.element(0)
        if chosen and element:
            type_ = "no name" if place is None or place.type is None else spell(place.type)
            facts = ("element", f"number {chosen.number} of {element.many}"), ("type", type_)
            yield Part(chosen.name, 1, facts, (Item({}, element.address(ELEMENT)),))

    def _parts(self) -> Iterator[Part]:
        """Each part once, in the order in which they were found."""
        known: dict[Node, Spread[Operand]] = {}
        for node, found in self._seen:
            if node in known or isinstance(node, Number):
                continue
            known[node] = found
            of = known.get(node.of) if isinstance(node, Member | Index | Cast) else None
            told = tuple(parts.facts(self._kernel, node, found, of))
            yield Part(written(node), node.column, told, tuple(self._items(found)))

    def _items(self, found: Spread[Operand]) -> Iterator[Item]:
        """The values of a part, where they lie or what they are."""
        some = found.items[:MOST]
        numbers = [one.formula for _, one in some if isinstance(one, Amount)]
        worths = iter(self._answers.worths(numbers))
        for keys, one in some:
            labels = parts.labels(found.axes, keys)
            if isinstance(one, Amount):
                yield Item(labels, value=next(worths))
            else:
                yield Item(labels, self._address(one))

    def _address(self, operand: Place | Reference) -> int | None:
        place = operand if isinstance(operand, Place) else operand.to
        offset = place.offset
        if place.counters is not None:
            offset += place.counters // 8 * self._kernel.abi.pointer_size
        return self._answers.address(place.base, offset)

    def _samples(self, result: Spread[Formula]) -> Iterator[Item]:
        some = result.items[:MOST]
        worths = self._answers.worths([one for _, one in some])
        for (keys, _), worth in zip(some, worths, strict=True):
            yield Item(parts.labels(result.axes, keys), value=worth)

    def _fetches(self) -> Iterator[Fetch]:
        behind: dict[int, set[int]] = {}
        for read in self._reads.all:
            behind.setdefault(read.base, set()).add(read.offset & self._kernel.abi.address_mask)
        for number, read in enumerate(self._reads.all[:MOST]):
            address = self._answers.address(read.base, read.offset)
            yield Fetch(
                number,
                address,
                read.base,
                self._whose(read, behind[read.base]),
                self._answers.bytes(read),
                self._answers.values[number],
                number in behind,
                None if address is None else whereabouts(self._kvm, address),
            )

    def _whose(self, read: Read, others: set[int]) -> Whose:
        if read.base < 0:
            return Whose(None, 0 if read.base == ABSOLUTE else read.offset)
        mask = self._kernel.abi.address_mask
        return whose(read.offset, others, self._kernel.allocations, mask)
