"""Does a damaged list end, with what was found until then, and does a budget bound what is read?"""

from __future__ import annotations

import pytest
from fakes.counted import values
from fakes.nodes import MACHINES, asked, by_id, kernel_of, listed, nodes
from forge.counting import LISTS, RB_ENTRIES

from kvm_exporter.kvm.expressions.running.budgets import Budget


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    """Each machine's name."""
    return request.param


@pytest.mark.parametrize("kind", LISTS)
def test_a_circle_ends(machine: str, kind: str) -> None:
    """No element counts twice, whatever it is linked to."""
    kernel = kernel_of(machine, kind)
    found = listed(kernel, [1, 2, 3, 4], kind)
    found[3].put(f"n_link.{LISTS[kind].after}", found[1])
    answer = asked(kernel)
    assert answer["used"] == by_id([1, 2, 3, 4])
    assert answer.collected.elements <= 8
    assert answer.collected.torn > 0


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_ends_where_memory_does(machine: str, kind: str) -> None:
    """What came before it stays; what could not be read is counted."""
    kernel = kernel_of(machine, kind)
    found = listed(kernel, [1, 2, 3, 4], kind)
    found[1].put(f"n_link.{LISTS[kind].after}", 0x18)
    answer = asked(kernel)
    assert answer["used"] == by_id([1, 2])
    assert answer.collected.torn + answer.collected.unreadable > 0


@pytest.mark.parametrize("kind", [kind for kind, names in LISTS.items() if names.before])
def test_an_element_that_was_moved_meanwhile_is_torn(machine: str, kind: str) -> None:
    """It does not lead back to where we came from: it, and what is behind it, is another list's."""
    kernel = kernel_of(machine, kind)
    found = listed(kernel, [1, 2, 3, 4], kind)
    other = kernel.variable("struct nodes others")
    kernel.link_list(kind, other, [found[2], found[3]], "n_link")
    found[1].put(f"n_link.{LISTS[kind].after}", found[2])
    answer = asked(kernel)
    assert answer["used"] == by_id([1, 2])
    assert answer.collected.torn > 0


@pytest.mark.parametrize("kind", RB_ENTRIES)
def test_damaged_trees_end(machine: str, kind: str) -> None:
    """A circle, an element twice, a branch to nowhere."""
    side = "rbe_link[{}]" if kind == "since 13" else "rbe_{}"
    left, right = (side.format(one) for one in ((1, 2) if "[" in side else ("left", "right")))
    kernel = kernel_of(machine, kind)
    found = listed(kernel, range(7), kind)
    found[0].put(f"n_link.{left}", found[3])  # a circle: 3 is the root
    found[6].put(f"n_link.{right}", 0x20)
    answer = asked(kernel)
    assert answer["used"] == by_id(range(7))
    assert answer.collected.torn + answer.collected.unreadable > 0


@pytest.mark.parametrize("kind", RB_ENTRIES)
def test_a_tree_may_be_as_deep_as_it_has_elements(kind: str) -> None:
    """Damaged, or not balanced yet: no RecursionError."""
    kernel = kernel_of("amd64", kind)
    right = "rbe_link[2]" if kind == "since 13" else "rbe_right"
    found = nodes(kernel, range(3000))
    for one, other in zip(found, [*found[1:], None], strict=True):
        one.put(f"n_link.{right}", other)
    kernel.variable("struct nodes all_nodes", {"rbh_root": found[0]})
    assert asked(kernel)["used"] == by_id(range(3000))


def test_budgets_bound_what_is_read() -> None:
    """Of elements, bytes and time: what was collected until then stays, and it is said."""
    kernel = kernel_of("amd64")
    listed(kernel, range(1, 201))
    everything = asked(kernel)
    assert everything.collected.stopped == ""
    assert everything.collected.elements == 200
    few = asked(kernel, budget=Budget(1 << 24, 50, lambda: False))
    assert few.collected.stopped == "elements"
    assert few.collected.elements <= 50
    assert len(few["used"]) <= 50
    small = asked(kernel, budget=Budget(1000, 1 << 17, lambda: False))
    assert small.collected.stopped == "bytes"
    assert small.collected.bytes <= 1000
    late = asked(kernel, budget=Budget(1 << 24, 1 << 17, lambda: True))
    assert late.collected.stopped == "time"
    assert len(late["used"]) < 200


def test_no_budget_is_needed_for_numbers_that_are_not_there() -> None:
    """A list of nothing, and expressions of nothing but constants."""
    kernel = kernel_of("amd64")
    listed(kernel, [])
    none = Budget(0, 0, lambda: False)
    assert values(kernel, ["5"], budget=none) == {"5": 5}
