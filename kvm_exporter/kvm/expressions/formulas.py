"""How does a formula become a number?  Once it becomes a function of a row (slots.py); then the
function is called for each.

1. Where every value of the rows was read, a function looks for nothing unread: it is fast.
2. Where some are unread (None), its careful twin finds out whether it needs them: then there is no
   number (None), never one of the rest.  ``&&`` and ``||`` need their second part as C's do.
3. No number comes of a division by zero either (operators.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

from kvm_exporter.kvm.expressions.layouts import Column
from kvm_exporter.kvm.expressions.operators import BINARY, UNARY, whole, wrapping
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
from kvm_exporter.kvm.expressions.slots import Places
from kvm_exporter.kvm.expressions.texts import text

Row = Sequence[Any]
Function = Callable[[Row], Any]


class Unread(ArithmeticError):
    """A formula needs what could not be read."""


class Formulas:
    """The formulas of one program, as functions of the rows that ``places`` tells of."""

    def __init__(self, places: Places, mask: int) -> None:
        self._fast = _Functions(places, mask, itemgetter)
        self._careful = _Functions(places, mask, _known)

    def number(self, formula: Formula) -> Evaluated:
        """A formula's numbers."""
        return Evaluated(
            lambda: self._fast.function(formula), lambda: self._careful.function(formula)
        )

    def numbers(self, formulas: Sequence[Formula]) -> Together:
        """Several formulas' numbers."""
        return Together([self.number(one) for one in formulas], lambda: self._fast.plain(formulas))

    def label(self, formula: Formula) -> Evaluated:
        """A formula's texts; a number's are its digits."""
        return Evaluated(lambda: self._fast.label(formula), lambda: self._careful.label(formula))


class Evaluated:
    """One formula's values, row by row; it becomes functions when they are first needed."""

    def __init__(self, fast: Callable[[], Function], careful: Callable[[], Function]) -> None:
        self._make_fast = fast
        self._make_careful = careful

    def column(self, rows: Sequence[Row], *, gaps: bool) -> Column:
        """A value for each row, None for none; ``gaps``: there may be unread ones in the rows."""
        if not gaps:
            try:
                return tuple(map(self.fast, rows))
            except ArithmeticError:  # of one of the rows
                pass
        return tuple(map(self.value, rows))

    def value(self, row: Row) -> Any:  # noqa: ANN401 - a number or a text
        """The value for a row that may lack some, None for none."""
        try:
            return self._careful(row)
        except ArithmeticError:
            return None

    @cached_property
    def fast(self) -> Function:
        """The value for a row that lacks nothing; or ArithmeticError."""
        return self._make_fast()

    @cached_property
    def _careful(self) -> Function:
        return self._make_careful()


class Together:
    """Several formulas' values for one row."""

    def __init__(self, each: Sequence[Evaluated], plain: Callable[[], Sequence[int]]) -> None:
        self._each = each
        self._make_plain = plain

    def of(self, row: Row, *, gaps: bool) -> Column:
        """A value for each formula, None for none; ``gaps``: some of the row may be unread."""
        if self._plain:
            return self._plain(row)
        if not gaps:
            try:
                return tuple([one.fast(row) for one in self._each])
            except ArithmeticError:  # of one of the formulas
                pass
        return tuple([one.value(row) for one in self._each])

    @cached_property
    def _plain(self) -> Callable[[Row], Column] | None:
        """Where all are values as they were read: all of them at once, unread ones as None."""
        indices = self._make_plain()
        return itemgetter(*indices) if indices else None


class _Functions:
    """Functions of rows; ``get`` makes one that gives the value at an index."""

    def __init__(self, places: Places, mask: int, get: Callable[[int], Function]) -> None:
        self._places = places
        self._mask = mask
        self._get = get

    def label(self, formula: Formula) -> Function:
        """A function that gives texts."""
        function = self.function(formula)
        return function if self._is_text(formula) else lambda row: str(function(row))

    def function(self, formula: Formula) -> Function:
        """A function that gives numbers, or texts where the formula does."""
        match formula:
            case Value(read=number):
                return _value(self._places.reads[number], self._get(self._places.read(number)))
            case Constant(value=value):
                return lambda _: value
            case Address():
                return self._address(formula)
            case Position(base=base):
                return itemgetter(self._places.position(base))
        return self._made(formula)

    def _made(self, formula: Sum | Apply | Spelled | Truncated | Joined) -> Function:
        match formula:
            case Sum():
                return self._sum(formula)
            case Apply(operator=operator, of=parts):
                return _apply(operator, [self.function(part) for part in parts])
            case Spelled(of=part, names=names):
                return _spell(self.function(part), names)
            case Truncated(of=part, bits=bits, signed=signed):
                wrap, function = wrapping(bits, signed=signed), self.function(part)
                return lambda row: wrap(whole(function(row)))
            case Joined(of=parts):
                functions = [self.label(part) for part in parts]
                return lambda row: "".join([function(row) for function in functions])

    def _address(self, formula: Address) -> Function:
        offset, mask = formula.offset, self._mask
        if formula.base == ABSOLUTE:
            return lambda _: offset & mask
        base = self._get(self._places.address(formula.base))
        return lambda row: _somewhere(base(row)) + offset & mask

    def _sum(self, formula: Sum) -> Function:
        wrap = wrapping(formula.bits, signed=formula.signed)
        plain = self.plain(formula.of)
        if plain and self._get is itemgetter:
            values = itemgetter(*plain)
            return lambda row: wrap(sum(values(row)))
        functions = [self.function(part) for part in formula.of]
        return lambda row: wrap(sum([function(row) for function in functions]))

    def plain(self, parts: Sequence[Formula]) -> Sequence[int]:
        """Where the parts are, if there are several and each is a value as it was read."""
        reads = [part.read for part in parts if isinstance(part, Value)]
        if len(reads) != len(parts) or len(parts) < 2:
            return ()
        if any(one.bits or _of_text(one) for one in map(self._places.reads.__getitem__, reads)):
            return ()
        return [self._places.read(number) for number in reads]

    def _is_text(self, formula: Formula) -> bool:
        match formula:
            case Constant(value=value):
                return isinstance(value, str)
            case Value(read=number):
                return _of_text(self._places.reads[number])
        return isinstance(formula, Spelled | Joined)


def _known(index: int) -> Function:
    def known(row: Row) -> Any:  # noqa: ANN401 - whatever was read
        if row[index] is None:
            raise Unread
        return row[index]

    return known


def _of_text(read: Read) -> bool:
    return read.code == TEXT or read.code.endswith("s")


def _value(read: Read, get: Function) -> Function:
    if _of_text(read):
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


def _spell(function: Function, names: Mapping[int, str]) -> Function:
    def spelled(row: Row) -> str:
        number = function(row)
        return names.get(number) or str(number)

    return spelled
