"""What does a Runner make of reads that have copies?  The sum of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from fakes.bare_memory import PAGE, Bare
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.expressions.program import (
    ABSOLUTE,
    ELEMENT,
    Address,
    Apply,
    Chain,
    Compiled,
    Constant,
    Formula,
    ListProgram,
    Position,
    Program,
    Read,
    Series,
    Sum,
    Value,
    Walk,
)
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.running.runner import Collected, Runner

ABIS = [Abi("<", 8), Abi(">", 8), Abi("<", 4), Abi(">", 4)]
FAR = (2 * PAGE, 5 * PAGE + 64)
"""Distances of two more copies; not all of them are whole pages."""
LIST = Program((), ())


def runner(memory: Bare, reads: Sequence[Read], *formulas: Formula) -> Runner:
    """Of one metric a value."""
    series = tuple(Series(number, (), one) for number, one in enumerate(formulas))
    compiled = Compiled(Program(tuple(reads), series), (), ((),) * len(series), ())
    return Runner(compiled, memory, memory.abi)


def values(collected: Collected) -> list[object]:
    """Of each metric, None for none."""
    return [samples[0][1] if samples else None for samples in collected.samples]


def collected(memory: Bare, reads: Sequence[Read], *formulas: Formula) -> Collected:
    """Once."""
    return runner(memory, reads, *formulas).collect(Budget())


@pytest.mark.parametrize("abi", ABIS)
def test_copies_are_added_up(abi: Abi) -> None:
    """Each in the kernel's byte order, of its own width and sign, as often as it is collected."""
    memory = Bare(abi)
    base = memory.base
    for place, level, count in zip((0, *FAR), (-5, 3, -2), (2**32 - 1, 7, 2), strict=True):
        memory.put(base + place, "iI", level, count)
    reads = [Read(ABSOLUTE, base, "i", copies=FAR), Read(ABSOLUTE, base + 4, "I", copies=FAR)]
    formulas = [
        Value(0),
        Value(1),
        Sum((Value(1),), 32, False),
        Sum((Value(0), Value(1)), 64, True),
    ]
    some = runner(memory, reads, *formulas)
    expected = [-4, 2**32 + 8, 8, 2**32 + 4]
    assert [values(some.collect(Budget())) for _ in range(2)] == [expected] * 2
    memory.put(base + FAR[1], "i", 10)
    assert values(some.collect(Budget()))[0] == 8


def test_one_read_of_memory_for_each_copy() -> None:
    """What lies near each other in the first copy is read at once in each of them."""
    memory = Bare()
    for place in (0, *FAR):
        memory.put(memory.base + place, "20I", *range(20))
    reads = [Read(ABSOLUTE, memory.base + 4 * at, "I", copies=FAR) for at in range(20)]
    found = collected(memory, reads, *map(Value, range(20)))
    assert values(found) == [3 * number for number in range(20)]
    assert memory.reads == [(memory.base + place, 80) for place in (0, *FAR)]
    assert found.bytes == 3 * 80


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_an_unread_copy_is_no_zero(lost: int) -> None:
    """A sum that lacks one copy is none, and costs no other value; the copy is counted."""
    memory = Bare()
    base = memory.base + PAGE - 12
    for place in (0, *FAR):
        memory.put(base + place, "Q", 1)
    edge = (0, 2 * PAGE, 5 * PAGE)
    for place in edge:
        memory.put(base + place, "QI", 1, 2)
        memory.put(base + place + 12, "I", 4)
    memory.forget(base + edge[lost] + 12)
    reads = [Read(ABSOLUTE, base + at, code, copies=edge[1:]) for at, code in ((0, "Q"), (12, "I"))]
    reads.append(Read(ABSOLUTE, base + 8, "I"))
    found = collected(memory, reads, Value(0), Value(1), Value(2), Sum((Value(1),), 64, False))
    assert values(found) == [3, None, 2, None]
    assert found.unreadable == 1


@pytest.mark.parametrize("abi", ABIS)
def test_a_pointer_to_copies(abi: Abi) -> None:
    """The first copy is at the pointer, the others from there; behind a null one there are none."""
    memory = Bare(abi)
    base, there = memory.base, memory.base + 9 * PAGE
    memory.pointer(base, there, 0)
    for number, place in enumerate((0, *FAR)):
        memory.put(there + 24 + place, "I", 10**number)
    reads = [Read(ABSOLUTE, base + at, abi.pointer) for at in (0, abi.pointer_size)]
    reads += [Read(number, 24, "I", copies=FAR) for number in (0, 1)]
    assert values(collected(memory, reads, Value(2), Value(3))) == [111, None]


def test_copies_behind_the_end_of_addresses() -> None:
    """Distances count modulo all addresses: a copy may lie before the first."""
    memory = Bare(Abi("<", 4))
    base = memory.base + 4 * PAGE
    memory.put(base, "I", 1)
    memory.put(base - 3 * PAGE, "I", 20)
    memory.put(base + 7 * PAGE, "I", 300)
    read = Read(ABSOLUTE, base, "I", copies=(2**32 - 3 * PAGE, 7 * PAGE))
    assert values(collected(memory, [read], Value(0))) == [321]
    assert memory.reads == [(base + place, 4) for place in (0, -3 * PAGE, 7 * PAGE)]


def test_a_copy_that_is_read_for_itself_too() -> None:
    """The first copy alone, and all of them, are two values of one place."""
    memory = Bare()
    for place in (0, *FAR):
        memory.put(memory.base + place, "Q", 7)
    reads = [Read(ABSOLUTE, memory.base, "Q", copies=copies) for copies in (FAR, (), FAR[:1])]
    assert values(collected(memory, reads, *map(Value, range(3)))) == [21, 7, 14]


def test_a_budget_ends_among_copies() -> None:
    """All copies are paid for; a sum of which only some are read is none."""
    memory = Bare()
    for place in (0, *FAR):
        memory.put(memory.base + place, "Q", 1)
    some = runner(memory, [Read(ABSOLUTE, memory.base, "Q", copies=FAR)], Value(0))
    found = some.collect(Budget(bytes=23))
    assert (values(found), found.stopped, found.unreadable) == ([None], "bytes", 0)
    found = some.collect(Budget(bytes=24))
    assert (values(found), found.stopped, found.bytes) == ([3], "", 24)


@pytest.mark.parametrize("abi", ABIS)
def test_elements_with_copies(abi: Abi) -> None:
    """Each element's own: at the element, and behind its pointer; a null one costs no other's."""
    memory = Bare(abi)
    base, width = memory.base, memory.abi.pointer_size
    elements = [base + PAGE * (1 + 20 * number) for number in range(4)]
    for place, after in zip([base, *elements], [*elements, 0], strict=True):
        memory.pointer(place, after)
    for number, element in enumerate(elements):
        cache = element + 10 * PAGE
        memory.pointer(element + width, cache if number != 2 else 0)
        for copy, distance in enumerate((0, *FAR)):
            memory.put(element + 32 + distance, "I", number + 10**copy)
            memory.put(cache + distance, "Q", 2**64 - 1 - number)
    reads = (
        Read(ELEMENT, 32, "I", copies=FAR),
        Read(ELEMENT, width, memory.abi.pointer),
        Read(1, 0, "Q", copies=FAR),
    )
    label = Apply("+", (Position(ELEMENT), Constant(0)))
    formulas = [Value(0), Sum((Value(2),), 64, False)]
    series = tuple(Series(number, (label,), one) for number, one in enumerate(formulas))
    walk = Walk((), (Address(ABSOLUTE, base),), Chain(0, 0, 0))
    of = ListProgram("l", (walk,), Program(reads, series))
    some = Runner(Compiled(LIST, (of,), ((), ()), ()), memory, memory.abi)
    for _ in range(2):
        own, behind = some.collect(Budget()).samples
        assert own == [((str(number),), 111 + 3 * number) for number in range(4)]
        wrapped = [((str(number),), -3 * (1 + number) % 2**64) for number in range(4)]
        assert behind == [one for one in wrapped if one[0] != ("2",)]


@given(st.data())
def test_together_as_apart(data: st.DataObject) -> None:
    """Whatever is there, a read with copies gives what reads of each copy give, added up."""
    memory = Bare(data.draw(st.sampled_from(ABIS)))
    base, mask = memory.base, memory.abi.address_mask
    for page in data.draw(st.sets(st.integers(0, 5))):
        memory.put(base + page * PAGE, f"{PAGE}B", *(at * 37 % 256 for at in range(PAGE)))
    distance = st.sampled_from([PAGE, 2 * PAGE, 3000, 1024, mask, mask - PAGE + 1, 2**31])
    copies = tuple(data.draw(st.lists(distance, min_size=1, max_size=3)))
    offsets = st.integers(PAGE - 40, PAGE + 2000) | st.integers(0, 4 * PAGE)
    codes = st.sampled_from("bHiIqQ")
    firsts = [
        Read(ABSOLUTE, base + data.draw(offsets), data.draw(codes), copies=copies)
        for _ in range(data.draw(st.integers(1, 8)))
    ]
    together = collected(
        memory, firsts, *(Sum((Value(at),), 64, True) for at in range(len(firsts)))
    )
    apart: list[Read] = []
    sums: list[Formula] = []
    for one in firsts:
        places = [one.offset, *(one.offset + more & mask for more in copies)]
        numbers = range(len(apart), len(apart) + len(places))
        apart += [replace(one, offset=place, copies=()) for place in places]
        sums.append(Sum(tuple(map(Value, numbers)), 64, True))
    expected = collected(memory, apart, *sums)
    assert together.samples == expected.samples
    assert (together.unreadable == 0) == (expected.unreadable == 0)
