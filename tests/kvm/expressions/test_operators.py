"""What do operators make of numbers?"""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.expressions.running.operators import BINARY, UNARY, whole, wrapping

INTEGERS = st.integers(-(2**64), 2**64)
NUMBERS = INTEGERS | st.floats()


@pytest.mark.parametrize(
    ("left", "operator", "right", "result"),
    [
        (7, "/", 2, 3.5),
        (8, "/", 2, 4),
        (2**63 + 2, "/", 2, 2**62 + 1),
        (1.0, "/", 4, 0.25),
        (7, "%", 3, 1),
        (-7, "%", 3, -1),
        (7, "%", -3, 1),
        (5.5, "%", 2, 1.5),
        (1, "<<", 40, 2**40),
        (-8, ">>", 1, -4),
        (6, "&", 3, 2),
        (6, "|", 3, 7),
        (6, "^", 3, 5),
        (2, "==", 2.0, 1),
        (2, "!=", 2, 0),
        (2, "<", 3, 1),
        (3, "<=", 3, 1),
        (2, ">", 3, 0),
        (3, ">=", 4, 0),
        (-5, "clamp", 0, 0),
        (5, "clamp", 0, 5),
    ],
)
def test_c(left: float, operator: str, right: float, result: float) -> None:
    """Operators are C's, but for division, which is a fraction where it does not come out even."""
    found = BINARY[operator](left, right)
    assert (found, type(found)) == (result, type(result))


@pytest.mark.parametrize(
    ("operator", "number", "result"), [("-", 5, -5), ("~", 5, -6), ("!", 5, 0), ("!", 0.0, 1)]
)
def test_operators_of_one(operator: str, number: float, result: int) -> None:
    """Signs, bits and truth."""
    assert UNARY[operator](number) == result


@pytest.mark.parametrize(
    ("left", "operator", "right"),
    [
        (1, "/", 0),
        (1.0, "/", 0),
        (1, "%", 0),
        (1.5, "%", 0),
        (math.inf, "%", 2),
        (1, "<<", -1),
        (1, ">>", -1),
        (1, "<<", 10**9),
        (2**999, "*", 2**999),
        (1.5, "&", 1),
        (1, "|", 1.0),
        (1.0, "<<", 1),
        (10**400, "/", 3),
    ],
)
def test_there_is_no_such_number(left: float, operator: str, right: float) -> None:
    """What has no number is an ArithmeticError, at once and whatever the numbers."""
    with pytest.raises(ArithmeticError):
        BINARY[operator](left, right)


@given(st.sampled_from(sorted(BINARY)), NUMBERS, NUMBERS)
def test_any_two_numbers(operator: str, left: float, right: float) -> None:
    """Any numbers give a number or an ArithmeticError."""
    with contextlib.suppress(ArithmeticError):
        assert isinstance(BINARY[operator](left, right), int | float)


@given(st.sampled_from(sorted(UNARY)), NUMBERS)
def test_any_number(operator: str, number: float) -> None:
    """Any number gives a number or an ArithmeticError."""
    with contextlib.suppress(ArithmeticError):
        assert isinstance(UNARY[operator](number), int | float)


@given(INTEGERS, st.sampled_from([1, 8, 16, 32, 64]), st.booleans())
def test_wrapping(number: int, bits: int, signed: bool) -> None:
    """An integer in so many bits is that of its lowest bytes in two's complement."""
    low = number % 2**bits
    expected = low - 2**bits if signed and low >= 2 ** (bits - 1) else low
    assert wrapping(bits, signed=signed)(number) == expected


@pytest.mark.parametrize(("number", "result"), [(2.9, 2), (-2.9, -2), (5, 5)])
def test_whole(number: float, result: int) -> None:
    """A fraction is cut towards zero."""
    assert whole(number) == result


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_nothing_whole(number: float) -> None:
    """What is no number has no whole part."""
    with pytest.raises(ArithmeticError):
        whole(number)
