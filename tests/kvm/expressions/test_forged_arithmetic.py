"""Do operators bind and count as C's do?  Random trees, written with no parenthesis too many.

The oracle computes the tree itself, before it is written; which parentheses C needs is from the
grammar of C11, 6.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest
from fakes.counted import PLENTY, ask
from fakes.counting import opened
from forge.counting import MACHINES, PAGE, Counting
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.wanted import Metric, Module
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies
from kvm_exporter.kvm.target import Target

VARIABLES = {"small": 3, "minus": -17, "large": 2**40 + 5, "zero": 0, "odd": 255}

Value = int | float


class Tree(NamedTuple):
    """An expression, what it is worth (None: nothing), and how tightly C binds it."""

    text: str
    value: Value | None
    level: int


def divided(left: Value, right: Value) -> Value:
    """A fraction, but where it comes out even."""
    if isinstance(left, int) and isinstance(right, int) and left == left // right * right:
        return left // right
    return left / right


def remaining(left: Value, right: Value) -> Value:
    """With the sign of what was divided."""
    if isinstance(left, int) and isinstance(right, int):
        found = abs(left) - abs(left) // abs(right) * abs(right)
        return found if left >= 0 else -found
    if not right:
        raise ZeroDivisionError
    return math.fmod(left, right)


def whole(function: Callable[[int, int], Value]) -> Callable[[Value, Value], Value]:
    """Of integers only."""

    def of(left: Value, right: Value) -> Value:
        if isinstance(left, int) and isinstance(right, int):
            return function(left, right)
        raise ArithmeticError

    return of


MOST = 1000
"""Bits of a number that is one."""


def shifted(left: int, right: int) -> Value:
    """Numbers have no width, but an end."""
    if not 0 <= right < MOST:
        raise ArithmeticError
    return bounded(left * 2**right)


def back(left: int, right: int) -> int:
    """Rounded down."""
    if not 0 <= right < MOST:
        raise ArithmeticError
    return left // 2**right


def bounded(value: Value) -> Value:
    """Nothing that no metric could show."""
    if abs(value) >= 2**MOST:
        raise ArithmeticError
    return value


OPERATORS: Mapping[str, tuple[int, Callable[[Value, Value], Value]]] = {
    "||": (1, lambda a, b: int(bool(a) or bool(b))),
    "&&": (2, lambda a, b: int(bool(a) and bool(b))),
    "|": (3, whole(lambda a, b: a | b)),
    "^": (4, whole(lambda a, b: a ^ b)),
    "&": (5, whole(lambda a, b: a & b)),
    "==": (6, lambda a, b: int(a == b)),
    "!=": (6, lambda a, b: int(a != b)),
    "<": (7, lambda a, b: int(a < b)),
    "<=": (7, lambda a, b: int(a <= b)),
    ">": (7, lambda a, b: int(a > b)),
    ">=": (7, lambda a, b: int(a >= b)),
    "<<": (8, whole(shifted)),
    ">>": (8, whole(back)),
    "+": (9, lambda a, b: a + b),
    "-": (9, lambda a, b: a - b),
    "*": (10, lambda a, b: bounded(a * b)),
    "/": (10, divided),
    "%": (10, remaining),
}
UNARY, PRIMARY = 11, 12


def binary(parts: tuple[Tree, str, Tree]) -> Tree:
    """From the left to the right: the right side needs parentheses at the same level."""
    left, operator, right = parts
    level, function = OPERATORS[operator]
    first = left.text if left.level >= level else f"({left.text})"
    second = right.text if right.level > level else f"({right.text})"
    return Tree(f"{first} {operator} {second}", _worth(operator, function, left, right), level)


def _worth(
    operator: str, function: Callable[[Value, Value], Value], left: Tree, right: Tree
) -> Value | None:
    if left.value is not None and (
        (operator == "&&" and not left.value) or (operator == "||" and left.value)
    ):
        return int(bool(left.value))  # the other side is not looked at
    if left.value is None or right.value is None:
        return None
    try:
        return function(left.value, right.value)
    except ArithmeticError:
        return None


def unary(parts: tuple[str, Tree]) -> Tree:
    """``-`` and ``!``: C's ``~`` depends on the width of its operand's type."""
    operator, inner = parts
    text = inner.text if inner.level >= UNARY else f"({inner.text})"
    value = inner.value
    if value is not None:
        value = -value if operator == "-" else int(not value)
    return Tree(operator + text, value, UNARY)


LEAVES = st.one_of(
    st.sampled_from([Tree(name, value, PRIMARY) for name, value in VARIABLES.items()]),
    st.integers(0, 70).map(lambda number: Tree(str(number), number, PRIMARY)),
    st.sampled_from(
        [Tree("0x1f", 31, PRIMARY), Tree("017", 15, PRIMARY), Tree("2.5", 2.5, PRIMARY)]
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(tuple(OPERATORS)), inner).map(binary),
        st.tuples(st.sampled_from("-!"), inner).map(unary),
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def target() -> Target:
    """A kernel with these variables."""
    kernel = Counting("amd64")
    for name, value in VARIABLES.items():
        kernel.variable(f"int64_t {name}", value)
    return opened(kernel)


@settings(max_examples=200, deadline=None)
@given(tree=TREES)
def test_an_expression_is_what_c_would_make_of_it(target: Target, tree: Tree) -> None:
    """Precedence, association, signs, fractions; no number where C has none."""
    module = Module([Metric("m", (tree.text,))], [])
    found = Plan(target, FreeBSDCopies(target, PAGE), module).collect(PLENTY)
    assert [value for _, value in found.samples[0]] == [tree.value] * (tree.value is not None)


COMPLEMENTS = {
    "u_char": (200, ~200),
    "int8_t": (-3, 2),
    "u_short": (1, ~1),
    "int": (-1, 0),
    "u_int": (1, 2**32 - 2),
    "int64_t": (5, -6),
    "uint64_t": (5, 2**64 - 6),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_a_complement_has_the_width_of_its_type(machine: str) -> None:
    """Narrow ones become an int first."""
    kernel = Counting(machine)
    for at, (type_, (value, _)) in enumerate(COMPLEMENTS.items()):
        kernel.variable(f"{type_} v{at}", value)
    kernel.variable("u_long word", 1)
    metrics = [Metric(f"m{at}", (f"~v{at}",)) for at in range(len(COMPLEMENTS))]
    found = ask(kernel, [*metrics, Metric("word", ("~word",))])
    for at, (_, expected) in enumerate(COMPLEMENTS.values()):
        assert found[f"m{at}"] == {(): expected}
    assert found["word"] == {(): 2 ** (8 * kernel.c.abi.pointer) - 2}
