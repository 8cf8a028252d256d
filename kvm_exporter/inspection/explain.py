"""How does an expression become a number?  ``kvm_exporter explain EXPR``, a step at a time.

What is shown is what compiling and running do: the same evaluation, watched, and the same reads.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from kvm_exporter.inspection import parts
from kvm_exporter.inspection.explained import Explanation, Fetch, Item, Part, Worth
from kvm_exporter.inspection.onecpu import OneCpu
from kvm_exporter.inspection.report import Report, Text
from kvm_exporter.inspection.still import Still
from kvm_exporter.inspection.whereabouts import whereabouts
from kvm_exporter.inspection.whose import Whose, whose
from kvm_exporter.kvm import Kvm, KvmError
from kvm_exporter.kvm.expressions import totals
from kvm_exporter.kvm.expressions.budgets import Budget
from kvm_exporter.kvm.expressions.evaluating import Evaluation
from kvm_exporter.kvm.expressions.kernel import Kernel
from kvm_exporter.kvm.expressions.labelling import spelled
from kvm_exporter.kvm.expressions.operands import Number as Amount
from kvm_exporter.kvm.expressions.operands import Operand, Place, Reference
from kvm_exporter.kvm.expressions.parsing import parse
from kvm_exporter.kvm.expressions.program import (
    ABSOLUTE,
    TEXT,
    Compiled,
    Constant,
    Formula,
    Joined,
    Program,
    Read,
    Series,
    Spelled,
    Value,
)
from kvm_exporter.kvm.expressions.reads import Reads
from kvm_exporter.kvm.expressions.running import Runner
from kvm_exporter.kvm.expressions.samples import Sample
from kvm_exporter.kvm.expressions.spreads import Spread, mapped
from kvm_exporter.kvm.expressions.surroundings import Frame
from kvm_exporter.kvm.expressions.syntax import (
    Cast,
    ExpressionError,
    Index,
    Member,
    Node,
    Number,
)
from kvm_exporter.kvm.expressions.writing import written

SUM, EACH, ALL = "sum", "each", "all"
MOST = 1 << 12
"""Values of a part, and reads, that are shown."""
LONGEST_TEXT = 256
"""Bytes of a text of unknown length that are shown."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: ``cpu`` is ``sum``, ``each`` or a CPU's number, ``vnet`` as a metric's.

    ``types`` are declared: variable → type.
    """

    expression: str
    cpu: str = SUM
    vnet: str = "host"
    types: Mapping[str, str] = field(default_factory=dict)


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
        self._reads = Reads()
        self._seen: list[tuple[Node, Spread[Operand]]] = []

    def explanation(self) -> Explanation:
        """All of it, up to where the expression means nothing."""
        result: Spread[Formula] | None = None
        problem: KvmError | None = None
        try:
            result = self._evaluated()
        except ExpressionError as e:
            problem = ExpressionError(e.expression, e.column, e.what + self._kernel.hints())
        except KvmError as e:
            problem = e
        told = tuple(self._parts())
        samples = tuple(self._samples(result)) if result else ()
        return Explanation(
            self._question.expression, told, tuple(self._fetches()), samples, problem
        )

    def _evaluated(self) -> Spread[Formula]:
        """The numbers that the expression is, else the texts."""
        expression, frame = self._question.expression, self._frame()
        node = parse(expression)
        evaluation = Evaluation(self._kernel, self._reads, frame, expression, self._watch)
        found = evaluation.values(node)
        try:
            numbers = totals.numbers(self._kernel, self._reads, frame, found)
        except KvmError as e:
            try:
                return spelled(self._kernel, self._reads, frame, found)
            except KvmError:
                raise ExpressionError(expression, node.column, str(e)) from e
        return mapped(numbers, lambda one: one.formula)

    def _frame(self) -> Frame:
        wanted = self._question.vnet
        stacks = (self._kernel.vnets or (None,)) if wanted == ALL else (self._kernel.vnet(wanted),)
        return Frame(vnets=stacks, jails=wanted == ALL, each=self._question.cpu != SUM)

    def _watch(self, node: Node, found: Spread[Operand]) -> None:
        self._seen.append((node, found))

    def _worths(self, formulas: Sequence[Formula]) -> list[Worth]:
        """What formulas over the reads give: numbers and texts, None for what is unread."""
        reads = self._reads.all
        series = [
            Series(number, (one,), Constant(1)) if _is_text(one, reads) else Series(number, (), one)
            for number, one in enumerate(formulas)
        ]
        compiled = Compiled(Program(reads, tuple(series)), (), ((),) * len(series), ())
        found = Runner(compiled, self._memory, self._kernel.abi).collect(Budget()).samples
        return [_worth(samples) for samples in found]

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
        worths = iter(self._worths(numbers))
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
        return self._at(place.base, offset)

    def _at(self, base: int, offset: int) -> int | None:
        """An address; None behind a null pointer, and one that cannot be read."""
        if base == ABSOLUTE:
            return offset & self._kernel.abi.address_mask
        start = self._values[base]
        if not isinstance(start, int) or not start:
            return None
        return start + offset & self._kernel.abi.address_mask

    @cached_property
    def _values(self) -> list[Worth]:
        """What the reads gave."""
        return self._worths([Value(number) for number in range(len(self._reads))])

    def _samples(self, result: Spread[Formula]) -> Iterator[Item]:
        some = result.items[:MOST]
        for (keys, _), worth in zip(some, self._worths([one for _, one in some]), strict=True):
            yield Item(parts.labels(result.axes, keys), value=worth)

    def _fetches(self) -> Iterator[Fetch]:
        behind: dict[int, set[int]] = {}
        for read in self._reads.all:
            behind.setdefault(read.base, set()).add(read.offset)
        for number, read in enumerate(self._reads.all[:MOST]):
            address = self._at(read.base, read.offset)
            yield Fetch(
                number,
                address,
                None if read.base == ABSOLUTE else read.base,
                self._whose(read, behind[read.base]),
                None if address is None else self._bytes(read, address),
                self._values[number],
                number in behind,
                None if address is None else whereabouts(self._kvm, address),
            )

    def _whose(self, read: Read, others: Collection[int]) -> Whose:
        if read.base == ABSOLUTE:
            return Whose(None, 0)
        mask = self._kernel.abi.address_mask
        return whose(read.offset, others, self._kernel.allocations, mask)

    def _bytes(self, read: Read, address: int) -> bytes | None:
        size = struct.calcsize(self._kernel.abi.order + read.code) or LONGEST_TEXT
        try:
            data = self._memory.read(address, size)
        except KvmError:
            return None
        # nothing that lies behind the end of a text is the text's
        return data.partition(b"\0")[0] if _is_text(Value(0), (read,)) else data


def _is_text(formula: Formula, reads: Sequence[Read]) -> bool:
    if isinstance(formula, Value):
        code = reads[formula.read].code
        return code == TEXT or code.endswith("s")
    return isinstance(formula, Spelled | Joined)


def _worth(samples: Sequence[Sample]) -> Worth:
    """Of a text the label, of a number the value."""
    for labels, value in samples:
        return labels[0] if labels else value
    return None
