"""Of what parts is an expression made?  Its tree becomes places, addresses and numbers.

1. A variable with several copies has several places, on the axis of CPUs or of network stacks;
   ``[*]`` and its like make several of one, on the axis of an index (spreads.py).  The two sides of
   an operator have their first indexes in common, their second, and so on.
2. Where numbers are wanted, the copies of all CPUs are added up (totals.py).  A cast to a number is
   made of each copy before.
3. An index, and a slice's bounds, are worked out while compiling: constants, and numbers that
   plain variables have then.
4. A name directly under a cast to an enum is that enum's constant, if it has one of that name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kvm_exporter.kvm.errors import AccessDenied, KvmError
from kvm_exporter.kvm.expressions.compiling import (
    arithmetic,
    casts,
    indexing,
    kinds,
    places,
    totals,
)
from kvm_exporter.kvm.expressions.compiling.immediate import integer
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.naming import around, in_list, named, near_members
from kvm_exporter.kvm.expressions.compiling.operands import (
    Number,
    Operand,
    Place,
    Reference,
    constant,
)
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.spreads import Spread, folded, mapped, met, single
from kvm_exporter.kvm.expressions.compiling.surroundings import Frame
from kvm_exporter.kvm.expressions.language.parsing import names_in
from kvm_exporter.kvm.expressions.language.syntax import (
    Binary,
    Call,
    Cast,
    Every,
    EveryCpu,
    ExpressionError,
    Index,
    Member,
    Members,
    Name,
    Node,
    Unary,
)
from kvm_exporter.kvm.expressions.language.syntax import Number as Literal
from kvm_exporter.kvm.expressions.program import Constant, Formula
from kvm_exporter.kvm.types.model import Enum, Float, Integer, Pointer, resolve

NETWORK = {"ntohs": 2, "ntohl": 4}
"""Functions of numbers in network byte order, and their bytes."""

T = TypeVar("T")

Watch = Callable[[Node, Spread[Operand]], None]


class Evaluation:
    """One expression's meaning in a kernel, in a frame; what it must read goes to ``reads``.

    ``watch`` is told what each part of it was found to be, inner ones first.
    """

    def __init__(
        self,
        kernel: Kernel,
        reads: Reads,
        frame: Frame,
        expression: str,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._kernel = kernel
        self._reads = reads
        self._frame = frame
        self._expression = expression

    def operands(self, node: Node) -> Spread[Operand]:
        """What a part of the expression is.  ExpressionError where it means nothing here."""
        return self._watched(node, self.located(node, self._operands))

    def _watched(self, node: Node, found: Spread[Operand]) -> Spread[Operand]:
        if self._watch:
            self._watch(node, found)
        return found

    def numbers(self, node: Node) -> Spread[Number]:
        """The numbers that it is, with the copies of CPUs added up if they are to be."""
        return self.located(node, lambda one: self._totals(self.operands(one)))

    def truth(self, node: Node) -> Formula:
        """A number, or an address, of which only counts whether it is 0."""
        found = self.located(node, lambda one: self._truths("!", self.values(one)))
        if found.axes:
            raise ExpressionError(self._expression, node.column, "it has several values")
        return found.first.formula

    def located(self, node: Node, of: Callable[[Node], T]) -> T:
        """``of`` the node; errors are told at its column, unless an inner one has told already."""
        try:
            return of(node)
        except AccessDenied:
            raise
        except ExpressionError as e:
            if e.expression == self._expression:
                raise
            raise ExpressionError(self._expression, node.column, e.what) from e
        except KvmError as e:
            raise ExpressionError(self._expression, node.column, str(e)) from e

    def values(self, node: Node) -> Spread[Operand]:
        """As ``operands``, where a constant of an enum may stand."""
        if isinstance(node, Name):
            found = self.located(node, lambda _: self._name(node, constants=True))
            return self._watched(node, found)
        return self.operands(node)

    def _name(self, node: Name, *, constants: bool = False) -> Spread[Operand]:
        found = named(self._kernel, self._frame, node.text)
        if found is None and constants:
            value = self._kernel.enumerator(node.text)
            found = None if value is None else single(constant(value))
        if found is None:
            near = near_members(self._kernel, self._frame, node.text)
            raise self._kernel.unknown(node.text, constants=constants, near=near)
        return found

    def _operands(self, node: Node) -> Spread[Operand]:
        match node:
            case Name():
                return self._name(node)
            case Cast():
                return self._cast(node)
            case Unary():
                return self._unary(node)
            case Binary():
                return self._binary(node)
            case Call():
                return self._call(node)
        return single(constant(node.value)) if isinstance(node, Literal) else self._path(node)

    def _path(self, node: Node) -> Spread[Operand]:
        match node:
            case Member():
                return self._member(node)
            case Members():
                return indexing.members(self._kernel, self.operands(node.of))
            case Index():
                return self._element(node)
            case Every():
                first, stop = self.bound(node.first), self.bound(node.stop)
                of = self.operands(node.of)
                return indexing.every(self._kernel, self._reads, of, first, stop)
            case EveryCpu():
                return indexing.every_cpu(self._kernel, self._reads, self.operands(node.of))
        raise KvmError("it is nothing that is known")

    def _element(self, node: Index) -> Spread[Operand]:
        number = self.constant(node.at)
        of = self.operands(node.of)
        places.elements(of.first)  # says so if it has none
        return places.pointed(self._kernel, self._reads, of, number)

    def _member(self, node: Member) -> Spread[Operand]:
        further = around(self._frame, node)
        if further:
            return single(further)
        of = self.operands(node.of)
        if node.arrow:
            places.pointing(of.first, node.name)
            of = places.pointed(self._kernel, self._reads, of)
        return mapped(of, lambda one: places.member(self._kernel, one, node.name))

    def _pointed(self, of: Node) -> Spread[Operand]:
        return places.pointed(self._kernel, self._reads, self.operands(of))

    def constant(self, node: Node) -> int:
        """An integer that is worked out now (rule 3)."""
        if isinstance(node, Literal) and isinstance(node.value, int):
            return node.value
        return self.located(node, self._constant)

    def _constant(self, node: Node) -> int:
        for name in names_in(node):
            if in_list(self._kernel, self._frame, name) is not None:
                raise KvmError(f"{name} is of an element: an index is worked out while compiling")
        reads, frame = Reads(), self._frame.outside
        outside = Evaluation(self._kernel, reads, frame, self._expression)
        number = totals.numbers(self._kernel, reads, frame, outside.values(node))
        if number.axes:
            raise KvmError("an index is one number")
        return integer(self._kernel, reads, number.first.formula)

    def bound(self, node: Node | None) -> int | None:
        """A slice's bound; None for the array's own."""
        return None if node is None else self.constant(node)

    def _cast(self, node: Cast) -> Spread[Operand]:
        type_ = self._kernel.type(node.type)
        wanted = resolve(type_)
        if isinstance(wanted, Enum) and isinstance(node.of, Name):
            value = dict(wanted.values).get(node.of.text)
            if value is not None:
                return single(Number(Constant(value), wanted))
            if not self._has(node.of.text):
                raise KvmError(f"{node.type} has no {node.of.text} here")
        of = self.operands(node.of)
        if isinstance(wanted, Integer | Enum | Float) and self._frame.each:
            of = self._copies(of)
        return mapped(of, lambda one: casts.cast(self._kernel, self._reads, one, type_))

    def _copies(self, of: Spread[Operand]) -> Spread[Operand]:
        """With the copies of a counter apart, if it is one."""
        if not all(totals.splits(one) for one in of.values):
            return of
        return totals.each(self._kernel, self._reads, self._frame, of)

    def _unary(self, node: Unary) -> Spread[Operand]:
        if node.operator == "*":
            return self._pointed(node.of)
        if node.operator == "&":
            return mapped(self.operands(node.of), lambda one: Reference(places.place(one)))
        of = self.values(node.of)
        numbers = self._truths("!", of) if node.operator == "!" else self._totals(of)
        return mapped(numbers, lambda one: arithmetic.unary(node.operator, one))

    def _binary(self, node: Binary) -> Spread[Operand]:
        left, right = self.values(node.left), self.values(node.right)
        if arithmetic.is_pointer(left.first) or arithmetic.is_pointer(right.first):
            return self._addresses(node, left, right)
        return met(
            self.located(node.left, lambda _: self._totals(left)),
            self.located(node.right, lambda _: self._totals(right)),
            lambda one, other: arithmetic.binary(node.operator, one, other),
        )

    def _addresses(
        self, node: Binary, left: Spread[Operand], right: Spread[Operand]
    ) -> Spread[Operand]:
        if node.operator not in arithmetic.OF_ADDRESSES:
            raise KvmError("a pointer is no number")
        return met(
            self._truths(node.operator, left),
            self._truths(node.operator, right),
            lambda one, other: arithmetic.binary(node.operator, one, other),
        )

    def _truths(self, operator: str, of: Spread[Operand]) -> Spread[Number]:
        """For ``&&`` and ``||`` any number, for others an address or 0."""
        if operator in ("&&", "||", "!") and not arithmetic.is_pointer(of.first):
            return self._totals(of)
        return mapped(of, lambda one: arithmetic.address(self._kernel, self._reads, one))

    def _totals(self, of: Spread[Operand]) -> Spread[Number]:
        return totals.numbers(self._kernel, self._reads, self._frame, of)

    def _call(self, node: Call) -> Spread[Operand]:
        if node.name == "sizeof":
            return single(constant(self._size(node.argument)))
        if isinstance(node.argument, str):
            raise KvmError(f"{node.name}() is of a value, not of a type")
        if node.name == "percpu":
            return mapped(self.operands(node.argument), _percpu)
        numbers = self.numbers(node.argument)
        if node.name in NETWORK:
            size, order = NETWORK[node.name], self._kernel.abi.order
            return mapped(numbers, lambda one: arithmetic.byte_swapped(one, size, order))
        if node.name == "sum":
            return folded(numbers, indexing.axes(numbers), totals.total)
        raise KvmError(f"there is no {node.name}()")

    def _size(self, of: Node | str) -> int:
        """sizeof(): a variable of the name first, else the type."""
        if isinstance(of, str):
            return self._kernel.size(self._kernel.type(of))
        if isinstance(of, Name) and not self._has(of.text):
            return self._kernel.size(self._kernel.type(of.text))
        measured = Evaluation(self._kernel, Reads(), self._frame, self._expression)
        return self._kernel.size(places.typed(measured.operands(of).first))

    def _has(self, name: str) -> bool:
        if in_list(self._kernel, self._frame, name) is not None:
            return True
        return self._kernel.variable(name) is not None


def _percpu(operand: Operand) -> Operand:
    """percpu(): a pointer that leads to the copies of each CPU."""
    if isinstance(operand, Place):
        pointer = places.known(operand)[1]
        if isinstance(pointer, Pointer):
            return operand._replace(type=casts.marked(pointer, kinds.PERCPU))
    raise KvmError(f"it is {places.described(operand)}, and no pointer in memory")
