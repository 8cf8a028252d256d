"""What comes of types as damaged type information may tell them?  Series or reasons, soon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from fakes.compiling import Forged, forged
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.expressions.compiling import modules as compiling
from kvm_exporter.kvm.expressions.program import Compiled
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.running.runner import Runner
from kvm_exporter.kvm.expressions.wanted import List, Metric, Module, Step
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types import model


class Types:
    """Types as they are told, by name and by variable."""

    def __init__(self, types: dict[str, model.Type], variables: dict[str, model.Type]) -> None:
        self._types = types
        self._variables = variables

    def find(self, name: str) -> model.Type:
        if name not in self._types:
            raise TypeMissing(name)
        return self._types[name]

    def variable(self, name: str) -> model.Type:
        if name not in self._variables:
            raise TypeMissing(name)
        return self._variables[name]

    def names(self) -> Iterator[str]:
        return iter(self._types)

    def enums(self) -> Iterator[model.Enum]:
        return (one for one in self._types.values() if isinstance(one, model.Enum))


def target(of: Forged, types: Types) -> Target:
    """A kernel of such types."""
    return Target(of, of, types, Abi("<", 8), Tally())


def compiled(types: Types, module: Module) -> Compiled:
    """For a kernel of one variable, at 0x1000."""
    some = forged("", x=0x1000)
    return compiling.compile_module(target(some, types), some, module)


def missing(type_: model.Type, *expressions: str) -> list[str]:
    """Why what is of a type is missing; each is."""
    module = Module([Metric(one, (one,)) for one in expressions], [])
    found = compiled(Types({"struct t": type_}, {"x": type_}), module)
    assert len(found.missing) == len(expressions)
    return [one.reason for one in found.missing]


def circular(name: str, *members: str, size: int = 8) -> model.Composite:
    """A struct whose members are all of its own type."""
    made: list[model.Composite] = []
    refs = tuple(model.Member(one, lambda: made[0], 0) for one in members)
    made.append(model.Composite("struct", name, size, refs))
    return made[0]


@pytest.mark.parametrize(
    "members", [("only",), ("tv_sec", "tv_usec"), ("sec", "frac"), ("count", "counters"), ("",)]
)
def test_types_in_circles(members: tuple[str, ...]) -> None:
    """A struct that is its own member is no number, and nothing is asked for ever."""
    for name in ("t", "percpu_counter"):
        assert missing(circular(name, *members), "x", "x.*", "sum(x)", "((struct t)x).only.only")


def test_arrays_without_bounds() -> None:
    """An array of any size is refused before it is walked."""
    integer = model.Integer("int", 4, signed=True)
    huge = model.Array(lambda: integer, 1 << 60)
    grid = model.Array(lambda: model.Array(lambda: integer, 1 << 12), 1 << 12)
    assert "more than" in missing(huge, "x[*]")[0]
    assert "more than" in missing(grid, "x[*][*]")[0]


def test_numbers_of_no_width() -> None:
    """Integers and bit-fields of sizes that no machine has are refused."""
    odd = model.Integer("odd", 3, signed=False)
    wide = model.Float("__float128", 16)
    long_ = model.Integer("long", 8, signed=True)
    bits = model.Composite("struct", "b", 16, (model.Member("m", lambda: long_, 7, 64),))
    none = model.Composite("struct", "n", 16, (model.Member("m", lambda: long_, 7, 0),))
    for type_ in (odd, wide):
        missing(type_, "x")
    for type_ in (bits, none):
        missing(type_, "x.m")


def test_elements_of_no_size() -> None:
    """Elements of a size that nobody tells are at no place."""
    array = model.Array(lambda: model.Void("struct hidden"), 4)
    pointer = model.Pointer(8, partial(model.Void, "struct hidden"))
    assert "size" in missing(array, "x[1]")[0]
    missing(pointer, "x[1]", "*x", "x->y", "x[0:2].y")


NAMES = ("", "a", "b", "tv_sec", "tv_usec", "count", "counters", "tqh_first", "tqe_next", "le_next")
TAGS = ("", "percpu_counter", "list_head", "rb_root", "list_head", "timeval")
TYPEDEFS = ("t", "counter_u64_t", "u64_stats_t", "__percpu", "const")
WIDTHS = st.sampled_from((0, 1, 3, 4, 8, 16, 1 << 40))
COUNTS = st.sampled_from((0, 1, 2, 5, 1 << 16, 1 << 62))
Pool = list[model.Type]
Made = Callable[[Pool], model.Type]


def one_of(pool: Pool, number: int) -> model.Type:
    """One of the types, which may not be made yet."""
    return pool[number % len(pool)]


@st.composite
def types(draw: st.DrawFn) -> Pool:
    """Types that mention each other, and themselves, in any way."""
    pool: Pool = []
    for _ in range(draw(st.integers(1, 8))):
        pool.append(draw(one_type(pool)))
    return pool


@st.composite
def one_type(draw: st.DrawFn, pool: Pool) -> model.Type:
    """A type of any kind."""
    other = partial(one_of, pool, draw(st.integers(0, 7)))
    size = draw(WIDTHS)
    enum = model.Enum("e", size, (("A", 1), ("B", -1), ("C", 1 << 70)))
    kinds = (
        model.Integer("int", size, draw(st.booleans()), draw(st.sampled_from(KINDS))),
        model.Pointer(8, other),
        model.Array(other, draw(COUNTS)),
        model.Named(draw(st.sampled_from(TYPEDEFS)), other),
        draw(st.sampled_from((enum, model.Float("double", size), model.Function()))),
        model.Composite("struct", draw(st.sampled_from(TAGS)), size, draw(members(pool))),
        model.Composite("union", "", size, draw(members(pool))),
    )
    return draw(st.sampled_from(kinds))


KINDS = ("int", "char", "bool")


@st.composite
def members(draw: st.DrawFn, pool: Pool) -> tuple[model.Member, ...]:
    """Members of any types, anywhere."""
    rows = st.tuples(
        st.sampled_from(NAMES),
        st.integers(0, 7),
        st.sampled_from((0, 8, 13, 64, 1 << 45)),
        st.sampled_from((None, None, 0, 1, 40, 64, 1 << 30)),
    )
    found = draw(st.lists(rows, max_size=4))
    return tuple(
        model.Member(name, partial(one_of, pool, number), bit, width)
        for name, number, bit, width in found
    )


EXPRESSIONS = (
    "x", "x.*", "x[*]", "*x", "x[1]", "x[cpu]", "x.a", "x->a.b", "x.tv_sec", "sum(x[*].a)", "&x",
    "(struct t)x", "(struct t *)x", "(long)x", "x == 0", "-x + x", "~x", "!x", "sizeof(x)", "x[A]",
    "percpu(x)->a", "**x", "x[0:3][1]", "x.a[*][*]", "(counter_u64_t)x", "(enum e)x", "A + x",
    "x.count",
)  # fmt: skip


class Everywhere:
    """Memory that has the same byte wherever one reads."""

    def __init__(self, byte: int) -> None:
        self._byte = byte

    def read(self, address: int, length: int) -> bytes:
        assert 0 <= address < 1 << 64
        return bytes((self._byte,)) * length

    def write(self, address: int, data: bytes) -> int:
        raise AssertionError

    def close(self) -> None:
        pass


@given(types(), st.sampled_from(EXPRESSIONS), st.sampled_from((0, 1, 0xFF)))
@settings(max_examples=120, deadline=None)
def test_any_types(pool: Pool, expression: str, byte: int) -> None:
    """Whatever types say, there are series or a reason, and series can be read."""
    known = Types({"struct t": pool[-1], "enum e": pool[0]}, {"x": pool[0]})
    metrics = [
        Metric("m", (expression,), {"l": expression}, cpu="each", names="enum e"),
        Metric("n", (expression,), states=True, names="x"),
    ]
    inside = (Metric("o", ("it.a",)), Metric("p", ("a[*]",)))
    steps = (Step((expression,), "a"),), (Step((expression,)), Step(("a",), "", "struct t"))
    lists = [List("l", one, inside, {"l": "b"}, "it") for one in steps]
    found = compiled(known, Module(metrics, lists))
    assert len(found.labels) == 6
    assert len(found.program.series) + len(found.missing) > 0
    collected = Runner(found, Everywhere(byte), Abi("<", 8)).collect(Budget(1 << 16, 1 << 8))
    assert len(collected.samples) == 6
