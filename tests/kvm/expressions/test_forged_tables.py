"""Are the elements of arrays of lists found: of hash tables, plain chains, and rings?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from fakes.counted import ask
from fakes.nodes import IDS, MACHINES, USED, asked, by_id, kernel_of, listed, nodes
from forge.counting import Counting
from forge.world import Thing

from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.wanted import List, Metric, Step


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    """Each machine's name."""
    return request.param


def chained(things: Sequence[Thing]) -> Thing | None:
    """The first of a chain of n_peer."""
    for one, other in pairwise(things):
        one.put("n_peer", other)
    return things[0] if things else None


def table(kernel: Counting, *chains: Sequence[int]) -> None:
    """A hash table of plain pointers, with a chain in each bucket."""
    firsts = [chained(nodes(kernel, numbers)) for numbers in chains]
    kernel.variable(f"struct node *table[{len(chains)}]", firsts)


def test_a_hash_table_of_plain_chains(machine: str) -> None:
    """With ``via``, each pointer of an array begins a chain; without it, it is an element."""
    kernel = kernel_of(machine)
    table(kernel, [1, 11, 21], [], [3], [4, 14])
    found = asked(kernel, "table[*]", via="n_peer")
    assert not found.missing
    assert found["used"] == by_id([1, 11, 21, 3, 4, 14])
    assert asked(kernel, "table[1:3]", via="n_peer")["used"] == by_id([3])
    assert asked(kernel, "table", via="n_peer", element="struct node")["used"] == by_id(
        [1, 11, 21, 3, 4, 14]
    )
    assert asked(kernel, "table[*]")["used"] == by_id([1, 3, 4])


@pytest.mark.parametrize(
    ("of", "how", "what"),
    [
        ("table[*]", {"via": "n_id"}, "via: n_id is no pointer to the next element"),
        ("table[*]", {"via": "n_none"}, "struct node has no member n_none"),
        ("rows[*]", {"via": "n_peer"}, "a struct node is no head of a list"),
        ("subs[*]", {"element": "struct node"}, "a struct sub is no struct node"),
        ("subs", {"element": "struct node", "via": "n_link"}, "a struct sub is no head of a list"),
        ("numbers[*]", {"element": "struct node"}, "an int is no struct node"),
    ],
)
def test_an_array_of_something_else(of: str, how: dict[str, str], what: str) -> None:
    """Memory of one struct is never taken for another's: the list is missing, and says why."""
    kernel = kernel_of("amd64")
    table(kernel, [1], [2])
    kernel.variable("struct node rows[2]", [{}, {}])
    kernel.variable("struct sub subs[2]", [{}, {}])
    kernel.variable("int numbers[99]", [0] * 99)
    found = asked(kernel, of, **how)
    assert what in found.missing["nodes"]
    assert found["used"] == {}


def test_elements_that_pointers_do_not_tell(machine: str) -> None:
    """``element`` says what is behind pointers, as a cast of them; or what their type is anyway."""
    kernel = kernel_of(machine)
    things = nodes(kernel, [1, 2])
    kernel.declare("typedef struct node node_t;")
    kernel.variable("void *voids[3]", [things[0], None, things[1]])
    kernel.variable("struct sub *subs[2]", things)
    kernel.variable("struct node rows[2]", [{"n_id": 1, "n_used": 10}, {"n_id": 2, "n_used": 20}])
    for of in ("voids", "subs[*]", "rows[*]"):
        for element in ("struct node", "node_t"):
            assert asked(kernel, of, element=element)["used"] == by_id([1, 2]), of


BIT_LISTS = """
struct hlist_bl_node { struct hlist_bl_node *next, **pprev; };
struct hlist_bl_head { struct hlist_bl_node *first; };
struct entry { int n_id; struct hlist_bl_node hash; u_int n_used; };
"""


@pytest.mark.parametrize("locked", [0, 1])
def test_lists_that_are_locked_by_a_bit(machine: str, locked: int) -> None:
    """The lowest bit of an hlist_bl_head is a lock, and no part of the pointer (list_bl.h)."""
    kernel = Counting(machine)
    kernel.declare(BIT_LISTS)
    heads = kernel.array("struct hlist_bl_head", [{}, {}, {}])
    buckets = {0: [1, 2, 3], 1: [], 2: [4]}
    for at, numbers in buckets.items():
        before = heads[at].address
        for number in numbers:
            thing = kernel.new("struct entry", n_id=number, n_used=10 * number)
            place = Thing(kernel.world, "struct hlist_bl_node", thing.at("hash"))
            member = "first" if before == heads[at].address else "next"
            owner = "struct hlist_bl_head" if member == "first" else "struct hlist_bl_node"
            Thing(kernel.world, owner, before).put(member, place.address)
            place.put("pprev", before)
            before = place.address
        heads[at].put("first", heads[at].get("first") | locked)
    kernel.variable("struct hlist_bl_head *dentries", heads[0])
    found = asked(kernel, "dentries[0:3]", via="hash", element="struct entry")
    assert not found.missing
    assert found["used"] == by_id([1, 2, 3, 4])
    assert found.collected.torn == found.collected.unreadable == 0


def test_heads_are_no_elements(machine: str) -> None:
    """What a hash table is of costs bytes, not elements."""
    kernel = kernel_of(machine, "LIST")
    heads = kernel.array("struct nodes", [{}] * 300)
    kernel.link_list("LIST", heads[299], nodes(kernel, [1, 2]), "n_link")
    kernel.variable("struct nodes *table", heads[0])
    found = asked(kernel, "table[0:300]", budget=Budget(1 << 20, 2))
    assert found["used"] == by_id([1, 2])
    assert found.collected.elements == 2
    assert found.collected.stopped == ""
    lists = [
        List("few", (Step(("table[0:300]",)),), (Metric("few", ("1",)),)),
        List("more", (Step(("table[299:300]",)),), (Metric("more", ("1",)),)),
    ]
    assert ask(kernel, lists=lists, budget=Budget(1 << 20, 4))["more"] == {(): 2}


@pytest.mark.parametrize("many", [1, 2, 5])
def test_a_ring_of_plain_pointers(machine: str, many: int) -> None:
    """What comes back to its first element is whole: the timehands, a root that is its parent."""
    kernel = kernel_of(machine)
    things = nodes(kernel, range(1, many + 1))
    chained(things)
    things[-1].put("n_peer", things[0])
    kernel.variable("struct node *ring", things[0])
    metrics = (USED, Metric("many", ("1",)))
    found = asked(kernel, "ring", via="n_peer", metrics=metrics)
    assert found["used"] == by_id(range(1, many + 1))
    assert found.collected.torn == 0
    alone = asked(kernel, "ring", via="n_peer", metrics=metrics[1:], labels={})
    assert alone["many"] == {(): many}


def test_a_chain_into_a_ring_is_torn() -> None:
    """One that comes back to any other element goes in circles."""
    kernel = kernel_of("amd64")
    things = nodes(kernel, [1, 2, 3])
    chained(things)
    things[-1].put("n_peer", things[1])
    kernel.variable("struct node *ring", things[0])
    assert asked(kernel, "ring", via="n_peer").collected.torn == 1


def test_a_total_of_no_elements_is_0(machine: str) -> None:
    """An empty list was read, and so is known: what has no label of an element is 0."""
    kernel = kernel_of(machine)
    listed(kernel, [])
    listed(kernel, [1, 2], name="others")
    metrics = (Metric("many", ("1",)), USED, Metric("info", (), {"x": "=x"}))
    empty = asked(kernel, labels={"kind": "=empty"}, metrics=metrics)
    assert empty["many"] == empty["used"] == {(("kind", "empty"),): 0}
    assert empty["info"] == {}
    assert asked(kernel, "others", labels={}, where="n_id > 2", metrics=metrics)["many"] == {(): 0}
    assert asked(kernel, labels=IDS, metrics=metrics)["many"] == {}
    steps = (Step(("all_nodes",)), Step(("n_subs",), "s_next"))
    within = List("subs", steps, (Metric("size", ("s_size",)),))
    assert ask(kernel, lists=[within])["size"] == {(): 0}


def test_no_total_of_what_is_not_there() -> None:
    """A head behind a null pointer, or where no memory is, is no empty list."""
    kernel = kernel_of("amd64")
    kernel.variable("struct nodes *nowhere", None)
    kernel.variable("struct nodes *wild", 0x10)
    metrics = (Metric("many", ("1",)),)
    for of in ("nowhere", "wild"):
        found = asked(kernel, of, labels={}, metrics=metrics)
        assert not found.missing
        assert found["many"] == {}, of


def test_totals_of_each_network_stack() -> None:
    """Those of stacks whose list is empty are 0."""
    kernel = kernel_of("powerpc64", jails={"web": 3})
    heads = kernel.vnet("struct nodes mine", {})
    kernel.link_list("TAILQ", heads["web"], nodes(kernel, [1, 2]), "n_link")
    kernel.link_list("TAILQ", heads[""], [], "n_link")
    metrics = (Metric("many", ("1",)),)
    found = asked(kernel, "mine", labels={}, metrics=metrics, vnet="all")
    assert found["many"] == {(("jail", ""),): 0, (("jail", "web"),): 2}
