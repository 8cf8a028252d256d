"""Are a list's elements found, each once, and the numbers of each told under its labels?

Forged kernels of both word sizes and byte orders, with every kind of list that FreeBSD has.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fakes.counted import ask
from fakes.nodes import IDS, MACHINES, USED, asked, by_id, kernel_of, listed, nodes
from forge.counting import LISTS, RB_ENTRIES, Counting
from forge.world import Thing
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.expressions.wanted import List, Metric, Step


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    """Each machine's name."""
    return request.param


# the kinds of lists


@pytest.mark.parametrize("kind", [*LISTS, *RB_ENTRIES])
def test_each_kind_of_list(machine: str, kind: str) -> None:
    """By the head's type alone: the only member that fits links the elements."""
    kernel = kernel_of(machine, kind)
    listed(kernel, range(1, 12), kind)
    found = asked(kernel)
    assert not found.missing
    assert found["used"] == by_id(range(1, 12))
    assert found.collected.torn == 0
    assert found.collected.unreadable == 0


@pytest.mark.parametrize("kind", [*LISTS, *RB_ENTRIES])
def test_an_empty_list_has_no_series(machine: str, kind: str) -> None:
    """And is no failure."""
    kernel = kernel_of(machine, kind)
    listed(kernel, [], kind)
    found = asked(kernel)
    assert not found.missing
    assert found["used"] == {}
    assert found.collected.torn == found.collected.unreadable == 0


@pytest.mark.parametrize("kind", LISTS)
def test_an_element_may_be_in_two_lists(kind: str) -> None:
    """Then ``via`` says which; without it the reason names both."""
    kernel = Counting("amd64")
    entry, head = LISTS[kind].entry("node"), LISTS[kind].head("nodes", "node")
    kernel.declare(
        f"struct node {{ int n_id; {entry} n_one; u_int n_used; {entry} n_two; }}; {head}"
    )
    things = [kernel.new("struct node", n_id=at, n_used=10 * at) for at in range(6)]
    one = kernel.variable("struct nodes ones")
    two = kernel.variable("struct nodes twos")
    kernel.link_list(kind, one, things, "n_one")
    kernel.link_list(kind, two, things[::2], "n_two")
    assert asked(kernel, "ones", via="n_one")["used"] == by_id(range(6))
    assert asked(kernel, "twos", via="n_two")["used"] == by_id([0, 2, 4])
    reason = asked(kernel, "twos").missing["nodes"]
    assert "n_one" in reason
    assert "n_two" in reason


def test_a_head_may_be_anywhere(machine: str) -> None:
    """In a struct, behind a pointer, without a name of its own, by its address."""
    kernel = kernel_of(machine)
    kernel.declare(
        "struct pool { int p_x; struct nodes p_nodes; "
        "struct { struct node *tqh_first; struct node **tqh_last; } p_more; };"
    )
    pool = kernel.variable("struct pool pool")
    kernel.variable("struct pool *pools", pool)
    found = nodes(kernel, [1, 2, 3])
    for member, elements in (("p_nodes", found[:2]), ("p_more", found[2:])):
        head = Thing(kernel.world, "struct nodes", pool.at(member))
        kernel.link_list("TAILQ", head, elements, "n_link")
    for of in ("pool.p_nodes", "pools->p_nodes", "(*pools).p_nodes", "*&pool.p_nodes"):
        assert asked(kernel, of)["used"] == by_id([1, 2])
    assert asked(kernel, "pool.p_more")["used"] == by_id([3])


def test_a_head_of_another_type(machine: str) -> None:
    """``element`` says what the elements are, whatever the head's type says."""
    kernel = kernel_of(machine)
    kernel.declare(
        "struct big { long b_x; struct node b_node; };"
        "struct fakes { struct other *tqh_first; struct other **tqh_last; };"
    )
    found = nodes(kernel, [4, 5])
    head = kernel.variable("struct fakes fakes")
    kernel.link_list("TAILQ", Thing(kernel.world, "struct nodes", head.address), found, "n_link")
    assert asked(kernel, "fakes", element="struct node")["used"] == by_id([4, 5])


def test_a_chain_of_plain_pointers(machine: str) -> None:
    """A pointer to the first, in each a pointer to the next."""
    kernel = kernel_of(machine)
    subs = [kernel.new("struct sub", s_size=at) for at in (3, 2, 1)]
    for one, other in zip(subs, [*subs[1:], None], strict=True):
        one.put("s_next", other)
    kernel.variable("struct sub *subs", subs[0])
    kernel.variable("struct sub *none", None)
    metric = (Metric("size", ("s_size",)),)
    found = asked(kernel, "subs", via="s_next", labels={"at": "s_size"}, metrics=metric)
    assert found["size"] == {(("at", str(at)),): at for at in (3, 2, 1)}
    assert (
        asked(kernel, "none", via="s_next", labels={"at": "s_size"}, metrics=metric)["size"] == {}
    )


def test_arrays_of_structs_and_of_pointers(machine: str) -> None:
    """All, a part, those of the CPUs; null pointers are no elements."""
    kernel = kernel_of(machine)
    rows = [{"n_id": at, "n_used": 10 * at} for at in range(6)]
    kernel.variable("struct node table[6]", rows)
    things = nodes(kernel, range(6))
    kernel.variable("struct node *pointers[6]", [*things[:2], None, *things[3:]])
    kernel.variable("struct node *start", kernel.array("struct node", rows)[0])
    kernel.variable("int count", 4)
    expected = {
        "table[*]": range(6),
        "table[2:4]": (2, 3),
        "table[cpu]": (0, 2, 5),
        "table[0:count]": range(4),
        "pointers[*]": (0, 1, 3, 4, 5),
        "pointers[cpu]": (0, 5),
        "pointers[1:4]": (1, 3),
        "start[0:count]": range(4),
        "(*pointers[3:5])": (3, 4),
    }
    del expected["(*pointers[3:5])"]
    for of, numbers in expected.items():
        assert asked(kernel, of)["used"] == by_id(numbers), of


# what is told of elements


def test_everything_that_an_element_has(machine: str) -> None:
    """Members, texts, counters, bit-fields, what it points at, symbols beside them, itself."""
    kernel = kernel_of(machine)
    found = listed(kernel, [1, 2, 3])
    kernel.variable("int scale", 4096)
    kernel.variable("u_int n_left", 99)
    for thing, peer in zip(found, [*found[1:], None], strict=True):
        at = thing.get("n_id")
        thing.put("n_peer", peer).put("n_count", kernel.counter([at, at, 2**64 - 1]))
        whole = kernel.c.pack("struct node", {"n_flags": at, "n_left": 1000 + at})
        place = kernel.c.place("struct node", "n_flags").offset // 4 * 4
        kernel.world.write(thing.address + place, whole[place : place + 4])
    metrics = [
        Metric("scaled", ("n_used * scale",)),
        Metric("peer", ("n_peer->n_id",)),
        Metric("count", ("n_count",)),
        Metric("flags", ("n_flags",)),
        Metric("left", ("n_left",)),  # the member, not the symbol
        Metric("it", ("it.n_used",)),
        Metric("size", ("sizeof(it)",)),
        Metric("back", ("n_peer->n_link.tqe_next->n_id",)),
    ]
    answer = asked(kernel, metrics=metrics, labels={"name": "n_name"})
    assert not answer.missing

    def by_name(numbers: Sequence[int]) -> dict[object, int]:
        return {(("name", f"n{at}"),): one for at, one in enumerate(numbers, 1)}

    assert answer["scaled"] == by_name([40960, 81920, 122880])
    assert answer["peer"] == by_name([2, 3])
    assert answer["count"] == by_name([1, 3, 5])
    assert answer["flags"] == by_name([1, 2, 3])
    assert answer["left"] == by_name([1001, 1002, 1003])
    assert answer["it"] == by_name([10, 20, 30])
    assert answer["size"] == by_name([kernel.c.size("struct node")] * 3)
    assert answer["back"] == by_name([3])


def test_elements_that_do_not_count(machine: str) -> None:
    """``where`` is 0, or cannot be read."""
    kernel = kernel_of(machine)
    found = listed(kernel, [1, 2, 3, 4])
    found[0].put("n_peer", found[2])
    found[2].put("n_peer", 0x10)
    found[3].put("n_peer", found[3])
    assert asked(kernel, where="n_id > 2")["used"] == by_id([3, 4])
    assert asked(kernel, where="n_id % 2 == 0 && n_used != 20")["used"] == by_id([4])
    assert asked(kernel, where="n_peer->n_id >= 3")["used"] == by_id([1, 4])
    assert asked(kernel, where="n_peer")["used"] == by_id([1, 3, 4])


def test_the_same_labels_are_one_series(machine: str) -> None:
    """Their numbers are added up."""
    kernel = kernel_of(machine)
    listed(kernel, [1, 2, 3, 4])
    assert asked(kernel, labels={"odd": "n_id % 2"})["used"] == {
        (("odd", "1"),): 40,
        (("odd", "0"),): 60,
    }
    assert asked(kernel, labels={})["used"] == {(): 100}


def test_an_info_of_each_element_is_1(machine: str) -> None:
    """Also where two elements have the same labels."""
    kernel = kernel_of(machine)
    listed(kernel, [1, 2, 3])
    metrics = [Metric("n", (), {"name": "n_name"}), Metric("o", (), {"odd": "n_id % 2"})]
    found = asked(kernel, metrics=metrics, labels={})
    assert found["n"] == {(("name", f"n{at}"),): 1 for at in (1, 2, 3)}
    assert found["o"] == {(("odd", "1"),): 1, (("odd", "0"),): 1}


def test_one_bad_metric_costs_only_itself(machine: str) -> None:
    """The list's others stay; a list whose head is not there is missing by its own name."""
    kernel = kernel_of(machine)
    listed(kernel, [1, 2])
    metrics = (USED, Metric("bad", ("n_nosuch",)), Metric("worse", ("n_link",)))
    found = asked(kernel, metrics=metrics)
    assert set(found.missing) == {"bad", "worse"}
    assert "n_nosuch" in found.missing["bad"]
    assert found["used"] == by_id([1, 2])
    absent = asked(kernel, "nosuch", metrics=metrics)
    assert "nosuch" in absent.missing["nodes"]
    assert absent["used"] == {}


@pytest.mark.parametrize("how", [{"where": "n_nosuch"}, {"labels": {"x": "n_nosuch"}}])
def test_a_list_that_cannot_be_told_apart_is_missing(how: dict[str, object]) -> None:
    """Its condition or its labels mean nothing here: no elements, rather than all of them."""
    kernel = kernel_of("amd64")
    listed(kernel, [1, 2])
    found = asked(kernel, **how)
    assert any("n_nosuch" in reason for reason in found.missing.values())
    assert found["used"] == {}


def test_alternatives_of_heads(machine: str) -> None:
    """The first that this kernel has."""
    kernel = kernel_of(machine)
    listed(kernel, [1, 2])
    one = List("nodes", (Step(("newest", "all_nodes")),), (USED,), IDS)
    assert ask(kernel, lists=[one])["used"] == by_id([1, 2])


def test_lists_of_each_network_stack() -> None:
    """The host's, a jail's, or all by their jails."""
    kernel = kernel_of("powerpc64", jails={"web": 3})
    heads = kernel.vnet("struct nodes mine", {})
    for jail, numbers in (("", [1, 2]), ("web", [2, 3])):
        kernel.link_list("TAILQ", heads[jail], nodes(kernel, numbers), "n_link")
    assert asked(kernel, "mine")["used"] == by_id([1, 2])
    assert asked(kernel, "mine", vnet="web")["used"] == by_id([2, 3])
    everyones = asked(kernel, "mine", vnet="all")["used"]
    assert {tuple(value for _, value in key): one for key, one in everyones.items()} == {
        ("1", ""): 10,
        ("2", ""): 20,
        ("2", "web"): 20,
        ("3", "web"): 30,
    }


def test_per_cpu_parts_of_an_element(machine: str) -> None:
    """``[cpu]`` in each element, summed or each."""
    kernel = Counting(machine)
    kernel.declare(
        "struct cache { u_int c_allocs; };"
        + LISTS["LIST"].head("zones", "zone")
        + f"struct zone {{ int z_id; {LISTS['LIST'].entry('zone')} z_link;"
        + "struct cache z_cpu[6]; };"
    )
    rows = {1: [1, 0, 2, 0, 0, 3], 2: [10, 9, 20, 9, 9, 30]}
    zones = [
        kernel.new("struct zone", z_id=at, z_cpu=[{"c_allocs": one} for one in row])
        for at, row in rows.items()
    ]
    kernel.link_list("LIST", kernel.variable("struct zones zones"), zones, "z_link")
    metrics = [
        Metric("all", ("z_cpu[cpu].c_allocs",)),
        Metric("each", ("z_cpu[cpu].c_allocs",), cpu="each"),
    ]
    found = asked(kernel, "zones", metrics=metrics, labels={"id": "z_id"})
    assert found["all"] == {(("id", "1"),): 6, (("id", "2"),): 60}
    assert found["each"] == {
        (("id", str(at)), ("cpu", str(cpu))): row[cpu]
        for at, row in rows.items()
        for cpu in (0, 2, 5)
    }


# lists in lists


def nested(kernel: Counting) -> None:
    """Three elements, with none, one and two plainly chained subs."""
    for thing, sizes in zip(listed(kernel, [1, 2, 3]), [[], [7], [8, 9]], strict=True):
        subs = [kernel.new("struct sub", s_size=size) for size in sizes]
        for one, other in zip(subs, [*subs[1:], None], strict=False):
            one.put("s_next", other)
        thing.put("n_subs", subs[0] if subs else None)


def test_lists_in_lists(machine: str) -> None:
    """The element around is ``outer``; its members can be asked for under that name."""
    kernel = kernel_of(machine)
    nested(kernel)
    steps = (Step(("all_nodes",)), Step(("n_subs",), "s_next"))
    metrics = (Metric("size", ("s_size",)), Metric("both", ("s_size * 100 + outer.n_id",)))
    one = List("subs", steps, metrics, {"name": "outer.n_name", "size": "it.s_size"})
    found = ask(kernel, lists=[one])
    assert not found.missing
    assert found["size"] == {
        (("name", "n2"), ("size", "7")): 7,
        (("name", "n3"), ("size", "8")): 8,
        (("name", "n3"), ("size", "9")): 9,
    }
    assert sorted(found["both"].values()) == [702, 803, 903]


@pytest.mark.parametrize("numbers", [[], [1]])
def test_lists_in_what_is_empty(numbers: list[int]) -> None:
    """No element around, or none within: no series, whatever is asked of either."""
    kernel = kernel_of("amd64")
    listed(kernel, numbers)
    kernel.percpu("u_int own", {0: 1})
    steps = (Step(("all_nodes",)), Step(("n_subs",), "s_next"))
    metrics = (Metric("a", ("s_size + outer.n_id",)), Metric("b", ("outer.n_used + own",)))
    labels = {"name": "outer.n_name", "at": "position", "size": "s_size"}
    found = ask(kernel, lists=[List("subs", steps, metrics, labels, where="outer.n_id >= 0")])
    assert not found.missing
    assert found["a"] == found["b"] == {}


def test_a_hash_table(machine: str) -> None:
    """An array of heads, as long as a variable says; each is a list of its own."""
    kernel = kernel_of(machine, "LIST")
    heads = kernel.array("struct nodes", [{}, {}, {}, {}, {}])
    for at, head in enumerate(heads):
        numbers = range(at * 10, at * 10 + at)
        kernel.link_list("LIST", head, nodes(kernel, numbers), "n_link")
    kernel.variable("struct nodes *table", heads[0])
    kernel.variable("u_long mask", 3)
    found = ask(kernel, lists=[List("nodes", (Step(("table[0:mask + 1]",)),), (USED,), IDS)])
    assert not found.missing
    assert found["used"] == by_id([10, 20, 21, 30, 31, 32])


def test_the_number_of_elements(machine: str) -> None:
    """A constant in each element, added up."""
    kernel = kernel_of(machine)
    nested(kernel)
    steps = (Step(("all_nodes",)), Step(("n_subs",), "s_next"))
    found = ask(
        kernel,
        lists=[
            List("nodes", (Step(("all_nodes",)),), (Metric("nodes", ("1",)),)),
            List("subs", steps, (Metric("subs", ("1",)),), {"name": "outer.n_name"}),
        ],
    )
    assert found["nodes"] == {(): 3}
    assert found["subs"] == {(("name", "n2"),): 1, (("name", "n3"),): 2}


ROWS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2**32 - 1)), max_size=12)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, nulls=st.sets(st.integers(0, 14)), kind=st.sampled_from(tuple(LISTS)))
def test_any_list_is_what_it_holds(rows: list[tuple[int, int]], nulls: set[int], kind: str) -> None:
    """Chosen, labelled and added up as a table would be; the same in an array of pointers."""
    kernel = kernel_of("powerpc", kind)
    things = [kernel.new("struct node", n_id=one, n_used=used) for one, used in rows]
    head = kernel.variable("struct nodes all_nodes")
    kernel.link_list(kind, head, things, "n_link")
    pointers: list[Thing | None] = list(things)
    for at in sorted(nulls):
        pointers.insert(at, None)
    kernel.variable(f"struct node *pointers[{len(pointers) + 1}]", [*pointers, None])
    expected: dict[object, int] = {}
    for one, used in rows:
        if one != 1 and used > 10:
            key = (("id", str(one)),)
            expected[key] = expected.get(key, 0) + used
    for of in ("all_nodes", "pointers[*]"):
        found = asked(kernel, of, where="n_id != 1 && n_used > 10")
        assert not found.missing
        assert found["used"] == expected
        assert found.collected.elements == len(rows)
