"""What becomes of a metric's series?"""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.expressions.running.samples import Samples, told

A, B, C = ("a",), ("b",), ("c",)
LABELS = st.sampled_from([A, B, C])
ROWS = st.lists(st.tuples(LABELS, st.integers(-5, 5) | st.none()), max_size=8)


def added(samples: Samples, rows: list[tuple[tuple[str, ...], int | None]]) -> None:
    """Add rows of labels and values."""
    samples.add(told([labels for labels, _ in rows]), [value for _, value in rows])


@given(st.lists(ROWS, max_size=4))
def test_values_are_added_up(parts: list[list[tuple[tuple[str, ...], int | None]]]) -> None:
    """By labels, whichever list they come from; with an unread one among them there is no sum."""
    samples, expected = Samples(), defaultdict(list)
    for rows in parts:
        added(samples, rows)
        for labels, value in rows:
            expected[labels].append(value)
    found = samples.all()
    assert dict(found) == {one: sum(all_) for one, all_ in expected.items() if None not in all_}
    assert len(dict(found)) == len(found)


@given(ROWS)
def test_what_is_noted_is_not_added_up(rows: list[tuple[tuple[str, ...], int | None]]) -> None:
    """An info is 1 for each set of labels."""
    samples = Samples()
    for _ in range(2):
        samples.add(told([labels for labels, _ in rows]), [1] * len(rows), adds=False)
    assert dict(samples.all()) == {labels: 1 for labels, _ in rows}


def test_what_may_be_a_part() -> None:
    """Where elements are lacking, sums are, too, and what has no labels; single ones are not."""
    samples = Samples()
    added(samples, [(A, 1), (B, 2), (A, 3)])
    samples.lack_some()
    assert samples.all() == [(B, 2)]
    samples = Samples()
    added(samples, [((), 1)])
    samples.lack_some()
    assert samples.all() == []


def test_another_list_does_not_complete_it() -> None:
    """A sum that lacks some stays away when a second list brings more; what is whole stays."""
    samples = Samples()
    added(samples, [(A, 1), (A, 2), (B, 3)])
    samples.lack_some()
    added(samples, [(A, 4), (C, 5), (C, 6)])
    assert dict(samples.all()) == {B: 3, C: 11}
