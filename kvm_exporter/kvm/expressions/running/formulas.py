"""How does a formula become a number?  Once it becomes a function of a row; then the function is
called for each.

1. Where every value of a row was read, a fast function looks for nothing unread.
2. Where some are unread (None), its careful twin finds out whether it needs them: then there is no
   number, never one of the rest.  ``&&`` and ``||`` need their second part as C's do.
3. No number comes of a division by zero either (operators.py).
4. A label behind a null pointer is an empty text: there is nothing, which is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

from kvm_exporter.kvm.expressions.program import (
    ABSOLUTE,
    TEXT,
    Address,
    Apply,
    Constant,
    Formula,
    Joined,
    Position,
    Read,
    Spelled,
    Sum,
    Truncated,
    Value,
)
from kvm_exporter.kvm.expressions.running.operators import BINARY, UNARY, whole, wrapping
from kvm_exporter.kvm.expressions.running.slots import reads_of
from kvm_exporter.kvm.expressions.running.texts import text

Row = Sequence[Any]
Function = Callable[[Row], Any]
"""Gives a number or a text; ArithmeticError where there is none."""


class Unread(ArithmeticError):
    """A formula needs what could not be read."""


class Indices(Protocol):
    """Where in a row is what formulas need."""

    @property
    def reads(self) -> Sequence[Read]:
        """What their numbers of reads mean."""

    def read(self, number: int) -> int:
        """Of a read's value."""

    def address(self, base: int) -> int:
        """Of an element's address, or that in a pointer."""

    def position(self, base: int) -> int:
        """Of an element's number."""


class Functions:
    """Functions of rows in which everything is at these indices."""

    def __init__(self, indices: Indices, mask: int, *, careful: bool) -> None:
        self._indices = indices
        self._mask = mask
        self._get: Callable[[int], Function] = _known if careful else itemgetter
        self._careful = careful

    def label(self, formula: Formula) -> Function:
        """A function that gives texts; a number's are its digits."""
        function = self.number(formula)
        told = function if self._is_text(formula) else lambda row: str(function(row))
        # asked for by both twins, which have the same rows
        pointers = [self._indices.read(one) for one in pointers_of(formula, self._indices.reads)]
        return _or_empty(told, pointers) if self._careful and pointers else told

    def number(self, formula: Formula) -> Function:
        """A function that gives numbers, or texts where the formula does."""
        match formula:
            case Value(read=number):
                return _value(self._indices.reads[number], self._get(self._indices.read(number)))
            case Constant(value=value):
                return lambda _: value
            case Address():
                return self._address(formula)
            case Position(base=base):
                return itemgetter(self._indices.position(base))
        return self._made(formula)

    def _made(self, formula: Sum | Apply | Spelled | Truncated | Joined) -> Function:
        match formula:
            case Sum():
                return self._sum(formula)
            case Apply(operator=operator, of=parts):
                functions = [self.number(part) for part in parts]
                last = parts[-1]
                if len(parts) > 1 and operator in BINARY and isinstance(last, Constant):
                    return _with_constant(BINARY[operator], functions[0], last.value)
                return _apply(operator, functions)
            case Spelled(of=part, names=names):
                return _spell(self.number(part), names)
            case Truncated(of=part, bits=bits, signed=signed):
                wrap, function = wrapping(bits, signed=signed), self.number(part)
                return lambda row: wrap(whole(function(row)))
            case Joined(of=parts):
                functions = [self.label(part) for part in parts]
                return lambda row: "".join([function(row) for function in functions])

    def _address(self, formula: Address) -> Function:
        offset, mask = formula.offset, self._mask
        if formula.base == ABSOLUTE:
            return lambda _: offset & mask
        base = self._get(self._indices.address(formula.base))
        return lambda row: _somewhere(base(row)) + offset & mask

    def _sum(self, formula: Sum) -> Function:
        wrap = wrapping(formula.bits, signed=formula.signed)
        plain = plain_reads(formula.of, self._indices.reads)
        if len(plain) > 1 and not self._careful:
            values = itemgetter(*map(self._indices.read, plain))
            return lambda row: wrap(sum(values(row)))
        functions = [self.number(part) for part in formula.of]
        if len(functions) == 1:
            (only,) = functions
            return lambda row: wrap(only(row))
        return lambda row: wrap(sum([function(row) for function in functions]))

    def _is_text(self, formula: Formula) -> bool:
        match formula:
            case Constant(value=value):
                return isinstance(value, str)
            case Value(read=number):
                return is_text(self._indices.reads[number])
        return isinstance(formula, Spelled | Joined)


def valued(function: Function, row: Row) -> Any:  # noqa: ANN401 - a number or a text
    """What a careful function gives for a row, None for nothing."""
    try:
        return function(row)
    except ArithmeticError:
        return None


def plain_reads(formulas: Sequence[Formula], reads: Sequence[Read]) -> Sequence[int]:
    """The reads whose values these are, just as they were read; none if one is something else."""
    found = [formula.read for formula in formulas if isinstance(formula, Value)]
    if len(found) != len(formulas) or any(reads[one].bits or is_text(reads[one]) for one in found):
        return ()
    return found


def pointers_of(formula: Formula, reads: Sequence[Read]) -> Sequence[int]:
    """The reads of pointers that lead to what a formula uses."""
    found: list[int] = []
    pending = list(reads_of(formula))
    while pending:
        base = reads[pending.pop()].base
        if base >= 0 and base not in found:
            found.append(base)
            pending.append(base)
    return found


def is_text(read: Read) -> bool:
    """Whether its value is a text."""
    return read.code == TEXT or read.code.endswith("s")


def _known(index: int) -> Function:
    def known(row: Row) -> Any:  # noqa: ANN401 - whatever was read
        if row[index] is None:
            raise Unread
        return row[index]

    return known


def _or_empty(function: Function, pointers: Sequence[int]) -> Function:
    """Rule 4."""

    def told(row: Row) -> str:
        try:
            return str(function(row))
        except Unread:
            if any(row[pointer] == 0 for pointer in pointers):
                return ""
            raise

    return told


def _value(read: Read, get: Function) -> Function:
    if is_text(read):
        return lambda row: text(get(row))
    if read.bits:
        shift, wrap = read.shift, wrapping(read.bits, signed=read.signed)
        return lambda row: wrap(get(row) >> shift)
    return get


def _somewhere(pointer: int) -> int:
    if not pointer:
        raise Unread
    return pointer


def _apply(operator: str, functions: Sequence[Function]) -> Function:
    if len(functions) == 1:
        apply, (only,) = UNARY[operator], functions
        return lambda row: apply(only(row))
    first, second = functions
    if operator == "&&":
        return lambda row: int(bool(first(row)) and bool(second(row)))
    if operator == "||":
        return lambda row: int(bool(first(row)) or bool(second(row)))
    combine = BINARY[operator]
    return lambda row: combine(first(row), second(row))


def _with_constant(combine: Callable[..., Any], first: Function, value: object) -> Function:
    return lambda row: combine(first(row), value)


def _spell(function: Function, names: Mapping[int, str]) -> Function:
    def spelled(row: Row) -> str:
        number = function(row)
        return names.get(number) or str(number)

    return spelled
