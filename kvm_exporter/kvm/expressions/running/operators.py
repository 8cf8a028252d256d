"""What do operators make of numbers?  C's meaning, as far as numbers without a width have it.

Nothing comes of a division by zero, of a shift by more than there are bits, of bits of a fraction,
and of numbers that no metric could show: ArithmeticError.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping

Number = int | float

MOST_BITS = 1000
"""Of a number; those of a float end at 1024."""


class FractionError(ArithmeticError):
    """A fraction has no bits."""


def divide(left: Number, right: Number) -> Number:
    """``/``: an int where it comes out even."""
    if isinstance(left, int) and isinstance(right, int) and not left % right:
        return left // right
    return left / right


def remainder(left: Number, right: Number) -> Number:
    """``%``: its sign is the first one's, as in C."""
    if not isinstance(left, int) or not isinstance(right, int):
        return _fraction(left, right)
    found = abs(left) % abs(right)
    return -found if left < 0 else found


def _fraction(left: Number, right: Number) -> float:
    if not right or math.isinf(left):
        raise ZeroDivisionError
    return math.fmod(left, right)


def multiply(left: Number, right: Number) -> Number:
    """``*``."""
    return bounded(left * right)


def bounded(number: Number) -> Number:
    """The number itself, if it is not too large to be shown."""
    if isinstance(number, int) and number.bit_length() > MOST_BITS:
        raise OverflowError
    return number


def whole(number: Number) -> int:
    """A number as an integer, cut towards zero."""
    if isinstance(number, float) and not math.isfinite(number):
        raise OverflowError
    return int(number)


def wrapping(bits: int, *, signed: bool) -> Callable[[int], int]:
    """What an integer is in ``bits`` bits."""
    mask = (1 << bits) - 1
    half = 1 << bits - 1
    if signed:
        return lambda number: (number + half & mask) - half
    return lambda number: number & mask


def _of_bits(function: Callable[[int, int], int]) -> Callable[[Number, Number], Number]:
    def bits(left: Number, right: Number) -> int:
        if not isinstance(left, int) or not isinstance(right, int):
            raise FractionError
        return function(left, right)

    return bits


def _shift(function: Callable[[int, int], int]) -> Callable[[Number, Number], Number]:
    def shift(left: int, right: int) -> int:
        if not 0 <= right < MOST_BITS:
            raise OverflowError
        return int(bounded(function(left, right)))

    return _of_bits(shift)


def _truth(function: Callable[[Number, Number], bool]) -> Callable[[Number, Number], Number]:
    return lambda left, right: 1 if function(left, right) else 0


def _invert(number: Number) -> int:
    if not isinstance(number, int):
        raise FractionError
    return ~number


BINARY: Mapping[str, Callable[[Number, Number], Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "<<": _shift(operator.lshift),
    ">>": _shift(operator.rshift),
    "&": _of_bits(operator.and_),
    "|": _of_bits(operator.or_),
    "^": _of_bits(operator.xor),
    "==": _truth(operator.eq),
    "!=": _truth(operator.ne),
    "<": _truth(operator.lt),
    "<=": _truth(operator.le),
    ">": _truth(operator.gt),
    ">=": _truth(operator.ge),
    "clamp": max,
}

UNARY: Mapping[str, Callable[[Number], Number]] = {
    "-": operator.neg,
    "+": operator.pos,
    "~": _invert,
    "!": lambda number: int(not number),
}
