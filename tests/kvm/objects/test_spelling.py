"""Names that are spelled nearly alike, out of very many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.objects.spelling import LONGEST, NEAR, nearest, nearest_line

KNOWN = [f"symbol_{number:05}" for number in range(20_000)]
NAMES = [*KNOWN, "tcp_hashinfo", "vm_event_states", "mem_sleep_states", "runqueues", "vm_stat_lock"]
WRONG = {
    "tcp_hashinf": "tcp_hashinfo",
    "tcp_hash_info": "tcp_hashinfo",
    "vm_even_states": "vm_event_states",
    "vm_event_sattes": "vm_event_states",
    "runqueue": "runqueues",
    "rnuqueues": "runqueues",
    "vm_stat": "vm_stat_lock",
}


@pytest.mark.parametrize(("wrong", "right"), WRONG.items())
def test_the_nearest_is_first(wrong: str, right: str) -> None:
    """A letter too few, too many, wrong or swapped; or the beginning only."""
    assert nearest(wrong, NAMES)[0] == right
    assert nearest_line(wrong, "\n".join(NAMES))[0] == right


def test_nothing_is_near() -> None:
    """The name itself, something else altogether, and what is no name are none."""
    assert nearest("runqueues", ["runqueues"]) == ()
    assert nearest("zfs_arc_max", NAMES) == ()
    assert nearest("", NAMES) == nearest("x" * (LONGEST + 1), NAMES) == ()
    assert nearest_line("", "a\nb") == nearest_line("nothing", "") == ()


def test_a_few_are_enough() -> None:
    """However many are alike."""
    assert len(nearest("symbol_0000", NAMES)) == NEAR


@given(st.text(max_size=40), st.lists(st.text(alphabet=st.characters(exclude_characters="\n"))))
def test_lines_are_as_names(name: str, names: list[str]) -> None:
    """Any text gives a few of the names, and of the lines the same ones."""
    found = nearest(name, names)
    assert len(found) <= NEAR
    assert set(found) <= set(names) - {name}
    assert set(nearest_line(name, "\n".join(names))) <= set(names) - {name}
