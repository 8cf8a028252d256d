"""Which elements does a Runner find on a list, whatever has become of it?"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from fakes.bare_memory import PAGE, Bare
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.expressions.program import (
    ABSOLUTE,
    ELEMENT,
    Address,
    Chain,
    Compiled,
    Constant,
    ListProgram,
    Position,
    Program,
    Read,
    Series,
    Strided,
    Sum,
    Tree,
    Value,
    Walk,
)
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.running.runner import Collected, Runner

ABIS = [Abi("<", 8), Abi(">", 8), Abi("<", 4), Abi(">", 4)]
NODE, ID, NUMBER = 24, 8, 64
"""Where the node, an id and a number lie in an element: the id before, the number behind it."""


@dataclass
class Kind:
    """A list as the C headers make it: how it is walked, and how it is linked."""

    shape: Callable[[int], Chain]
    link: Callable[[Bare, int, Sequence[int]], None]


def _ring(memory: Bare, head: int, elements: Sequence[int]) -> None:
    nodes = [head, *(element + NODE for element in elements)]
    for before, node, after in zip([nodes[-1], *nodes], nodes, [*nodes[1:], head], strict=False):
        memory.pointer(node, after, before)


def _tailq(memory: Bare, head: int, elements: Sequence[int]) -> None:
    places = [head, *(element + NODE for element in elements)]
    for place, element in zip(places, [*elements, 0], strict=True):
        memory.pointer(place, element)
    for place, element in zip(places, elements, strict=False):
        memory.pointer(element + NODE + memory.abi.pointer_size, place)


def _slist(memory: Bare, head: int, elements: Sequence[int]) -> None:
    for place, element in zip(
        [head, *(one + NODE for one in elements)], [*elements, 0], strict=True
    ):
        memory.pointer(place, element)


def _hlist(end: int) -> Callable[[Bare, int, Sequence[int]], None]:
    def link(memory: Bare, head: int, elements: Sequence[int]) -> None:
        places = [head, *(element + NODE for element in elements)]
        for place, node in zip(places, [*places[1:], end], strict=True):
            memory.pointer(place, node)
        for place, node in pairwise(places):
            memory.pointer(node + memory.abi.pointer_size, place)

    return link


KINDS = {
    "list_head": Kind(lambda size: Chain(0, 0, NODE, size, 0, circular=True), _ring),
    "TAILQ": Kind(lambda size: Chain(0, NODE, 0, NODE + size, NODE), _tailq),
    "SLIST": Kind(lambda size: Chain(0, NODE, 0), _slist),
    "hlist": Kind(lambda size: Chain(0, 0, NODE, size, 0), _hlist(0)),
    "hlist_nulls": Kind(lambda size: Chain(0, 0, NODE, size, 0, marked=True), _hlist(77)),
}
BOTH_WAYS = [name for name in KINDS if name != "SLIST"]


def places(memory: Bare, count: int, *, seed: int = 1) -> list[int]:
    """Addresses of elements, in no order; some lie across two pages."""
    found = [memory.base + 16 * PAGE + 120 * at for at in range(count)]
    random.Random(seed).shuffle(found)
    return found


def elements(memory: Bare, count: int) -> list[int]:
    """Elements, with ids from 0 on and numbers 1000 times as much."""
    found = places(memory, count)
    for number, at in enumerate(found):
        memory.put(at + ID, "I", number)
        memory.put(at + NUMBER, "q", 1000 * number)
    return found


READS = (Read(ELEMENT, ID, "I"), Read(ELEMENT, NUMBER, "q"))
SERIES = (Series(0, (Value(0),), Value(1)), Series(1, (), Constant(1)))


def listed(memory: Bare, *walks: Walk, reads: Sequence[Read] = READS, **more: object) -> Runner:
    """Of each element: metric 0, its number by its id; metric 1: how many there are."""
    program = Program(tuple(reads), more.pop("series", SERIES))
    compiled = Compiled(
        program=Program((), ()),
        lists=(ListProgram("l", walks, program, **more),),
        labels=(("id",), ()),
        missing=(),
    )
    return Runner(compiled, memory, memory.abi)


def chain(memory: Bare, kind: str, head: int | None = None) -> Walk:
    """The way along a list of that kind."""
    at = memory.base if head is None else head
    return Walk((), (Address(ABSOLUTE, at),), KINDS[kind].shape(memory.abi.pointer_size))


def ids(collected: Collected) -> list[int]:
    """Of the elements found, in their order; each with its own number."""
    found = [(int(labels[0]), value) for labels, value in collected.samples[0]]
    assert all(value == 1000 * number for number, value in found)
    return [number for number, _ in found]


def linked(kind: str, count: int, abi: Abi | None = None) -> tuple[Bare, list[int], Runner]:
    """A list, its elements, and who collects them."""
    memory = Bare(abi)
    found = elements(memory, count)
    KINDS[kind].link(memory, memory.base, found)
    return memory, found, listed(memory, chain(memory, kind))


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_list(kind: str, abi: Abi) -> None:
    """Every element is found, in order, with its values; each takes one read."""
    memory, _, runner = linked(kind, 50, abi)
    collected = runner.collect(Budget())
    assert ids(collected) == list(range(50))
    assert collected.samples[1] == [((), 50)]
    assert (collected.torn, collected.unreadable, collected.elements) == (0, 0, 50)
    assert len(memory.reads) == 51
    assert collected.bytes == sum(length for _, length in memory.reads)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_list(kind: str) -> None:
    """It has no element, and no sample of one; that it is empty is known: there are 0."""
    _, _, runner = linked(kind, 0)
    collected = runner.collect(Budget())
    assert collected.samples == [[], [((), 0)]]
    assert (collected.torn, collected.unreadable, collected.elements) == (0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_circle_ends(kind: str) -> None:
    """A list that comes back to an element of its own ends; what it has is told, but no sum."""
    memory, found, runner = linked(kind, 5)
    node = found[1] if KINDS[kind].shape(8).node == 0 else found[1] + NODE
    memory.pointer(found[4] + NODE, node)
    collected = runner.collect(Budget())
    assert ids(collected) == list(range(5))
    assert collected.samples[1] == []
    assert (collected.torn, collected.unreadable) == (1, 0)
    assert len(memory.reads) < 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wild", [0x18, 2**64 - 2, 0xDEAD_0000_0000_0100])
def test_a_wild_pointer_ends_a_list(kind: str, wild: int) -> None:
    """What came before it is told; that the rest could not be read is counted, once."""
    memory, found, runner = linked(kind, 5)
    memory.pointer(found[2] + NODE, wild)
    collected = runner.collect(Budget())
    assert ids(collected) == [0, 1, 2]
    assert collected.samples[1] == []
    assert (collected.torn, collected.unreadable) == (0, 1)


@pytest.mark.parametrize("kind", BOTH_WAYS)
def test_an_element_of_another_list(kind: str) -> None:
    """An element that does not point back is torn, and so is what lies behind it."""
    memory, found, runner = linked(kind, 5)
    memory.pointer(found[3] + NODE + 8, memory.base + 8 * PAGE)
    collected = runner.collect(Budget())
    assert ids(collected) == [0, 1, 2]
    assert (collected.torn, collected.unreadable) == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_no_memory_at_the_head(kind: str) -> None:
    """A head that cannot be read is counted; there is no sum of nothing."""
    memory = Bare()
    collected = listed(memory, chain(memory, kind)).collect(Budget())
    assert collected.samples == [[], []]
    assert (collected.torn, collected.unreadable) == (0, 1)


class Live:
    """A kernel that does something once an address is about to be read."""

    def __init__(self, memory: Bare, at: int, act: Callable[[], None], *, times: int = 1) -> None:
        self.done = 0

        def live(address: int, length: int) -> None:
            if address <= at < address + length and self.done < times:
                self.done += 1
                act()

        memory.live = live


@pytest.mark.parametrize("kind", BOTH_WAYS)
def test_an_element_is_removed_as_we_come_to_it(kind: str) -> None:
    """It is looked for again where the pointer to it was: the list goes on behind it."""
    memory, found, runner = linked(kind, 5)

    def remove() -> None:
        KINDS[kind].link(memory, memory.base, [*found[:2], *found[3:]])
        memory.put(found[2], "120s", b"\xde" * 120)

    live = Live(memory, found[2] + NODE, remove)
    collected = runner.collect(Budget())
    assert live.done
    assert ids(collected) == [0, 1, 3, 4]
    assert collected.samples[1] == [((), 4)]
    assert (collected.torn, collected.unreadable) == (0, 0)


@pytest.mark.parametrize("kind", BOTH_WAYS)
def test_the_last_element_is_removed_as_we_come_to_it(kind: str) -> None:
    """Then the list ends there, whole."""
    memory, found, runner = linked(kind, 3)

    def remove() -> None:
        KINDS[kind].link(memory, memory.base, found[:2])
        memory.put(found[2], "120s", b"\xde" * 120)

    Live(memory, found[2] + NODE, remove)
    collected = runner.collect(Budget())
    assert ids(collected) == [0, 1]
    assert collected.samples[1] == [((), 2)]


@pytest.mark.parametrize("kind", BOTH_WAYS)
def test_an_element_is_put_in_as_we_go(kind: str) -> None:
    """Then it is found, too."""
    memory, found, runner = linked(kind, 5)
    order = [found[0], found[4], *found[1:4]]
    KINDS[kind].link(memory, memory.base, found[:4])
    Live(memory, found[1] + NODE, lambda: KINDS[kind].link(memory, memory.base, order))
    collected = runner.collect(Budget())
    assert ids(collected) == [0, 4, 1, 2, 3]
    assert collected.torn == 0


@pytest.mark.parametrize("kind", BOTH_WAYS)
def test_the_element_at_hand_is_removed(kind: str) -> None:
    """Its pointers are no list's any more: the list is walked again from its head."""
    memory, found, runner = linked(kind, 5)

    def remove() -> None:
        KINDS[kind].link(memory, memory.base, [*found[:1], *found[2:]])

    Live(memory, found[2] + NODE, remove)
    collected = runner.collect(Budget())
    assert ids(collected) == [0, 2, 3, 4]
    assert collected.samples[1] == [((), 4)]
    assert (collected.torn, collected.unreadable) == (0, 0)


def test_an_element_at_the_edge_of_memory() -> None:
    """Its list goes on as long as its pointers can be read; what is beyond the edge is unread."""
    memory = Bare()
    found = elements(memory, 3)
    edge = memory.base + 60 * PAGE - NUMBER
    memory.put(edge + ID, "I", 7)
    _tailq(memory, memory.base, [found[0], edge, found[1]])
    collected = listed(memory, chain(memory, "TAILQ")).collect(Budget())
    assert dict(collected.samples[0]) == {("0",): 0, ("1",): 1000}
    assert collected.samples[1] == [((), 3)]
    assert (collected.torn, collected.unreadable) == (0, 1)


def test_what_is_missing_elsewhere_is_no_matter() -> None:
    """A null head has no list, and costs no sum, though other programs' memory was missing."""
    memory = Bare()
    found = elements(memory, 2)
    memory.pointer(memory.base, 0)
    _slist(memory, memory.base + 64, found)
    shape = KINDS["SLIST"].shape(8)
    pointer = (Read(ABSOLUTE, memory.base, "Q"),)
    walk = Walk(pointer, (Address(0, 8), Address(ABSOLUTE, memory.base + 64)), shape)
    lost = Program((Read(ABSOLUTE, memory.base + 9 * PAGE, "Q"),), (Series(2, (), Value(0)),))
    program = ListProgram("l", (walk,), Program(READS, SERIES))
    compiled = Compiled(lost, (program,), (("id",), (), ()), ())
    collected = Runner(compiled, memory, memory.abi).collect(Budget())
    assert collected.unreadable == 1
    assert collected.samples[1] == [((), 2)]


def test_the_longer_way_counts() -> None:
    """Of two walks that both end early, the longer one is told."""
    memory, found, runner = linked("TAILQ", 6)
    memory.pointer(found[4] + NODE, 0x20)
    Live(memory, 0x20, lambda: memory.pointer(found[1] + NODE, 0x30))
    collected = runner.collect(Budget())
    assert ids(collected) == [0, 1, 2, 3, 4]
    assert collected.unreadable == 1


def test_a_budget_of_elements() -> None:
    """No more elements are looked at; those that were are told, but no sum of them."""
    _, _, runner = linked("TAILQ", 10)
    for most in range(12):
        collected = runner.collect(Budget(elements=most))
        assert ids(collected) == list(range(min(most, 10)))
        assert collected.samples[1] == ([] if most < 10 else [((), 10)])
        assert collected.stopped == ("elements" if most < 10 else "")
        assert collected.elements == min(most, 10)
        assert (collected.torn, collected.unreadable) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_budgets_of_bytes_and_time(kind: str) -> None:
    """What was read completely by then is told, no sum, and nothing is called damaged."""
    memory, _, runner = linked(kind, 200)
    for most in (0, 8, 100, 5000):
        collected = runner.collect(Budget(bytes=most))
        assert ids(collected) == list(range(len(collected.samples[0])))
        assert collected.samples[1] == []
        assert (collected.stopped, collected.torn, collected.unreadable) == ("bytes", 0, 0)
        assert collected.bytes <= most
    memory.reads.clear()
    collected = runner.collect(Budget(expired=lambda: len(memory.reads) > 30))
    assert (collected.stopped, collected.torn, collected.unreadable) == ("time", 0, 0)
    assert 20 < len(ids(collected)) < 150


def test_sums_by_label_of_a_part_are_none() -> None:
    """Of a list that was not read to its end, what was added up is left out; the rest is told."""
    memory, found, runner = linked("SLIST", 6)
    for at in (found[1], found[4]):
        memory.put(at + ID, "I", 9)
    assert dict(runner.collect(Budget()).samples[0])[("9",)] == 5000
    told = dict(runner.collect(Budget(elements=5)).samples[0])
    assert told == {("0",): 0, ("2",): 2000, ("3",): 3000}
    told = dict(runner.collect(Budget(elements=4)).samples[0])
    assert told == {("0",): 0, ("9",): 1000, ("2",): 2000, ("3",): 3000}


def test_where() -> None:
    """Elements of which the condition is 0, or unread, do not count, nor is more read of them."""
    memory, found, _ = linked("TAILQ", 6)
    pointers = [0, PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE, 5 * PAGE]
    for at, pointer in zip(found, pointers, strict=True):
        memory.pointer(at + 72, pointer and memory.base + 900 * PAGE + pointer)
        memory.put(memory.base + 900 * PAGE + pointer, "QQ", 0, 0)
    memory.put(memory.base + 900 * PAGE + 2 * PAGE, "QQ", 7, memory.base + 950 * PAGE)
    memory.put(memory.base + 900 * PAGE + 5 * PAGE, "QQ", 7, memory.base + 951 * PAGE)
    memory.put(memory.base + 951 * PAGE, "I", 5)
    reads = (*READS, Read(ELEMENT, 72, "Q"), Read(2, 0, "Q"), Read(2, 8, "Q"), Read(4, 0, "I"))
    series = (*SERIES, Series(0, (Value(0),), Sum((Value(1), Value(5)), 64, False)))
    runner = listed(memory, chain(memory, "TAILQ"), reads=reads, where=Value(3), series=series[1:])
    memory.reads.clear()
    collected = runner.collect(Budget())
    assert collected.samples[0] == [(("5",), 5005)]
    assert collected.samples[1] == [((), 2)]
    assert collected.unreadable == 1
    beyond = [address for address, _ in memory.reads if address >= memory.base + 950 * PAGE]
    assert sorted(set(beyond)) == [memory.base + 950 * PAGE, memory.base + 951 * PAGE]


def test_where_that_could_not_be_read() -> None:
    """Of elements that may count or not there is no sum, though each by itself is told."""
    memory, found, _ = linked("SLIST", 3)
    memory.pointer(found[0] + 72, memory.base + 900 * PAGE)
    memory.pointer(found[1] + 72, memory.base + 901 * PAGE)
    memory.pointer(found[2] + 72, 0)
    memory.put(memory.base + 900 * PAGE, "I", 1)
    reads = (*READS, Read(ELEMENT, 72, "Q"), Read(2, 0, "I"))
    runner = listed(memory, chain(memory, "SLIST"), reads=reads, where=Value(3))
    collected = runner.collect(Budget())
    assert ids(collected) == [0]
    assert collected.samples[1] == []
    memory.put(memory.base + 901 * PAGE, "I", 0)
    assert runner.collect(Budget()).samples[1] == [((), 1)]


# trees


def tree(memory: Bare, seed: int, numbers: Sequence[int], places: Sequence[int]) -> int:
    """Links elements as a binary tree by their numbers; its root's node."""
    if not numbers:
        return 0
    middle = random.Random(seed).randrange(len(numbers))
    node = places[numbers[middle]] + NODE
    left = tree(memory, seed + 1, numbers[:middle], places)
    right = tree(memory, seed + 2, numbers[middle + 1 :], places)
    # a colour in some of the pointers
    memory.pointer(node, left | (seed & 3 if left else 0), right | (seed >> 1 & 3 if right else 0))
    return node


def tree_of(count: int, abi: Abi | None = None) -> tuple[Bare, list[int], Runner]:
    """A tree, its elements, and who collects them."""
    memory = Bare(abi)
    found = elements(memory, count)
    memory.pointer(memory.base + 16, tree(memory, 5, range(count), found))
    shape = Tree(16, 0, memory.abi.pointer_size, NODE)
    return memory, found, listed(memory, Walk((), (Address(ABSOLUTE, memory.base),), shape))


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("count", [0, 1, 2, 60])
def test_all_of_a_tree(count: int, abi: Abi) -> None:
    """Every element is found, in order; each takes one read."""
    memory, _, runner = tree_of(count, abi)
    collected = runner.collect(Budget())
    assert ids(collected) == list(range(count))
    assert (collected.torn, collected.unreadable) == (0, 0)
    assert len(memory.reads) == count + 1


def test_a_damaged_tree() -> None:
    """A circle and a wild pointer cost what lies there; the rest is told, but no sum."""
    memory = Bare()
    found = elements(memory, 7)

    def node(number: int, left: int, right: int) -> None:
        memory.pointer(found[number] + NODE, left, right)

    for number, left, right in ((3, 1, 5), (1, 0, 2)):
        node(number, found[left] + NODE, found[right] + NODE)
    node(0, 0, found[3] + NODE)
    node(2, 0, 0)
    node(5, found[4] + NODE, 0x40)
    node(4, 0, 0)
    memory.pointer(memory.base, found[3] + NODE)
    shape = Tree(0, 0, 8, NODE)
    walk = Walk((), (Address(ABSOLUTE, memory.base),), shape)
    collected = listed(memory, walk).collect(Budget())
    assert ids(collected) == [0, 1, 2, 3, 4, 5]
    assert collected.samples[1] == []
    assert (collected.torn, collected.unreadable) == (1, 1)


@pytest.mark.parametrize("gone", [False, True])
def test_a_node_is_removed_as_we_come_to_it(gone: bool) -> None:
    """It is looked for again where the pointer to it was."""
    memory = Bare()
    one, other = memory.base + 20 * PAGE, memory.base + 21 * PAGE
    for number, at in enumerate((one, other)):
        memory.put(at + ID, "I", number)
        memory.put(at + NUMBER, "q", 1000 * number)
        memory.pointer(at + NODE, 0, 0)
    memory.pointer(memory.base, memory.base + 22 * PAGE)
    live = Live(
        memory,
        memory.base + 22 * PAGE + NODE,
        lambda: memory.pointer(memory.base, 0 if gone else one + NODE),
    )
    walk = Walk((), (Address(ABSOLUTE, memory.base),), Tree(0, 0, 8, NODE))
    collected = listed(memory, walk).collect(Budget())
    assert live.done
    assert ids(collected) == ([] if gone else [0])
    assert (collected.torn, collected.unreadable) == (0, 0)


def test_a_tree_as_deep_as_it_has_elements() -> None:
    """Nothing is recursive: a tree that is a list is walked like one."""
    memory = Bare()
    found = elements(memory, 3000)
    for at, below in zip(found, [0, *found], strict=False):
        memory.pointer(at + NODE, below and below + NODE, 0)
    memory.pointer(memory.base, found[-1] + NODE)
    walk = Walk((), (Address(ABSOLUTE, memory.base),), Tree(0, 0, 8, NODE))
    assert ids(listed(memory, walk).collect(Budget())) == list(range(3000))


# arrays


def array_of(memory: Bare, count: int, head: int) -> None:
    """Elements one behind the other."""
    for number in range(count):
        memory.put(head + 120 * number + ID, "I", number)
        memory.put(head + 120 * number + NUMBER, "q", 1000 * number)


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("numbers", [None, (), (0,), (3, 1, 49), (1, 60, -1)])
def test_an_array(numbers: tuple[int, ...] | None, abi: Abi) -> None:
    """Its elements, or those that are meant, of those that there are; few reads get many."""
    memory = Bare(abi)
    array_of(memory, 50, memory.base + 40)
    shape = Strided(50, 120, numbers=numbers)
    walk = Walk((), (Address(ABSOLUTE, memory.base + 40),), shape)
    wanted = range(50) if numbers is None else sorted({*numbers} & {*range(50)})
    assert ids(listed(memory, walk).collect(Budget())) == list(wanted)
    assert len(memory.reads) <= 3


@pytest.mark.parametrize("abi", ABIS)
def test_an_array_of_pointers(abi: Abi) -> None:
    """Null pointers are no elements; positions stay those in the array."""
    memory = Bare(abi)
    head = memory.base + PAGE - 12 * abi.pointer_size
    found = elements(memory, 30)
    memory.pointer(head, *(0 if number % 3 else at for number, at in enumerate(found)))
    series = (Series(0, (Position(ELEMENT),), Value(1)), SERIES[1])
    for numbers in (None, (0, 3, 4, 29, 27)):
        shape = Strided(30, abi.pointer_size, pointers=True, numbers=numbers)
        walk = Walk((), (Address(ABSOLUTE, head),), shape)
        collected = listed(memory, walk, series=series).collect(Budget())
        assert ids(collected) == ([*range(0, 30, 3)] if numbers is None else [0, 3, 27])
        assert (collected.torn, collected.unreadable) == (0, 0)


def test_an_array_with_holes() -> None:
    """What lies on a page that is not there is left out and counted; there is no sum."""
    memory = Bare()
    array_of(memory, 100, memory.base)
    memory.forget(memory.base + PAGE)
    walk = Walk((), (Address(ABSOLUTE, memory.base),), Strided(100, 120))
    collected = listed(memory, walk).collect(Budget())
    lost = {
        at
        for at in range(100)
        for place in (ID, NUMBER, NUMBER + 7)
        if PAGE <= 120 * at + place < 2 * PAGE
    }
    assert set(ids(collected)) == set(range(100)) - lost
    assert collected.unreadable > len(lost)


def test_pointers_that_cannot_be_read() -> None:
    """They are counted; the others lead to their elements; there is no sum."""
    memory = Bare()
    found = elements(memory, 20)
    head = memory.base + PAGE - 80
    memory.pointer(head, *found)
    memory.forget(memory.base + PAGE)
    walk = Walk((), (Address(ABSOLUTE, head),), Strided(20, 8, pointers=True))
    collected = listed(memory, walk).collect(Budget())
    assert ids(collected) == list(range(10))
    assert collected.unreadable == 10
    assert collected.samples[1] == []


@pytest.mark.parametrize("pointers", [False, True])
def test_an_endless_array(pointers: bool) -> None:
    """Whatever count a damaged type has, budgets end it, of bytes where all pointers are null."""
    memory = Bare()
    memory.put(memory.base, f"{64 * PAGE}x")
    walk = Walk((), (Address(ABSOLUTE, memory.base),), Strided(2**40, 8, pointers=pointers))
    runner = listed(memory, walk, series=SERIES[1:])
    collected = runner.collect(Budget(bytes=100_000, elements=1000))
    assert collected.stopped == ("bytes" if pointers else "elements")
    assert collected.bytes <= 100_000
    assert collected.samples[1] == []


# lists in lists


@pytest.mark.parametrize("abi", ABIS)
def test_a_list_in_a_list(abi: Abi) -> None:
    """Inner elements are told with what their outer one has: values, number, what it points at."""
    memory = Bare(abi)
    size, base = abi.pointer_size, memory.base
    outers, inners = [base + PAGE * (2 + at) for at in range(4)], elements(memory, 9)
    shares = [inners[:4], [], inners[4:5], inners[5:]]
    _tailq(memory, base, outers)
    for number, (outer, share) in enumerate(zip(outers, shares, strict=True)):
        memory.put(outer + 40, "H", 100 + number)
        memory.pointer(outer + 48, outer + 200)
        memory.put(outer + 200, "8s", b"outer%d" % number)
        _ring(memory, outer + 64, share)
    memory.put(base + 300, "I", 7)
    walks = (
        Walk((), (Address(ABSOLUTE, base),), KINDS["TAILQ"].shape(size)),
        Walk((), (Address(ELEMENT, 64),), KINDS["list_head"].shape(size)),
    )
    reads = (
        *READS,
        Read(ELEMENT - 1, 40, "H"),
        Read(ELEMENT - 1, 48, abi.pointer),
        Read(3, 0, "8s"),
        Read(ABSOLUTE, base + 300, "I"),
    )
    labels = (Value(0), Value(2), Value(4), Position(ELEMENT - 1), Position(ELEMENT), Value(5))
    series = (Series(0, labels, Value(1)), Series(1, (Value(2),), Constant(1)))
    collected = listed(memory, *walks, reads=reads, series=series).collect(Budget())
    assert ids(collected) == list(range(9))
    expected = [
        (str(inners.index(at)), str(100 + number), f"outer{number}", str(number), str(place), "7")
        for number, share in enumerate(shares)
        for place, at in enumerate(share)
    ]
    assert [labels for labels, _ in collected.samples[0]] == expected
    assert dict(collected.samples[1]) == {("100",): 4, ("102",): 1, ("103",): 4}
    assert collected.elements == 13


def test_heads_of_a_hash() -> None:
    """Buckets are an array of heads; those that lie together are read together."""
    memory = Bare()
    table, found = memory.base + PAGE, elements(memory, 300)
    memory.pointer(memory.base, table)
    for bucket in range(512):
        KINDS["hlist_nulls"].link(memory, table + 8 * bucket, found[bucket::512])
    reads = (Read(ABSOLUTE, memory.base, "Q"),)
    walks = (
        Walk(reads, (Value(0),), Strided(512, 8)),
        Walk((), (Address(ELEMENT, 0),), KINDS["hlist_nulls"].shape(8)),
    )
    collected = listed(memory, *walks).collect(Budget())
    assert sorted(ids(collected)) == list(range(300))
    assert len(memory.reads) <= 303


def test_several_heads() -> None:
    """Lists of several heads are one; a null head has no list; one that is unread is missed."""
    memory = Bare()
    found = elements(memory, 6)
    heads = [memory.base + 64 * at for at in range(1, 4)]
    for number, head in enumerate(heads[:2]):
        _slist(memory, head, found[3 * number : 3 * number + 3])
    memory.pointer(memory.base, 0)
    reads = (Read(ABSOLUTE, memory.base, "Q"), Read(ABSOLUTE, memory.base + 5 * PAGE, "Q"))
    shape = KINDS["SLIST"].shape(8)
    formulas = (*(Address(ABSOLUTE, head) for head in heads[:2]), Address(0, 8))
    collected = listed(memory, Walk(reads[:1], formulas, shape)).collect(Budget())
    assert ids(collected) == list(range(6))
    assert collected.samples[1] == [((), 6)]
    collected = listed(memory, Walk(reads, (*formulas, Address(1, 8)), shape)).collect(Budget())
    assert ids(collected) == list(range(6))
    assert collected.samples[1] == []
    assert collected.unreadable == 1


@given(st.data())
def test_any_memory(data: st.DataObject) -> None:
    """Whatever the pointers are, every walk ends, within its budgets."""
    kind = data.draw(st.sampled_from([*KINDS, "tree"]))
    if kind == "tree":
        memory, found, runner = tree_of(12)
    else:
        memory, found, runner = linked(kind, 12)
    offsets = st.sampled_from([0, 1, 8, NODE, NODE + 1, NODE + 8])
    wild = st.sampled_from([0, 1, 2**64 - 1, memory.base])
    targets = wild | st.builds(int.__add__, st.sampled_from(found), offsets)
    for at in data.draw(st.lists(st.sampled_from(found), max_size=6)):
        memory.pointer(at + NODE + 8 * data.draw(st.integers(0, 1)), data.draw(targets))
    budget = Budget(elements=data.draw(st.integers(0, 60)), bytes=data.draw(st.integers(0, 9999)))
    memory.reads.clear()
    collected = runner.collect(budget)
    assert collected.elements <= budget.elements
    assert collected.bytes == sum(length for _, length in memory.reads) <= budget.bytes
    counted = sum(value for _, value in collected.samples[1])
    assert not counted or len(collected.samples[0]) <= counted <= collected.elements
