"""Are answers worked out once, and never kept without bound?"""

from __future__ import annotations

import pytest

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.remembered import Remembered


def test_an_answer_is_worked_out_once() -> None:
    """None is an answer, too."""
    asked: list[str] = []
    known: Remembered[str, None] = Remembered(2)
    for _ in range(3):
        known.of("a", asked.append)
    assert asked == ["a"]


def test_no_more_are_kept_than_wanted() -> None:
    """All are forgotten when there is no room for one more, and worked out again."""
    asked: list[int] = []
    known: Remembered[int, None] = Remembered(2)
    for key in (1, 2, 3, 3, 1):
        known.of(key, asked.append)
        assert len(known) <= 2
    assert asked == [1, 2, 3, 1]


def test_a_failure_is_no_answer() -> None:
    """What failed is tried again."""
    known: Remembered[int, int] = Remembered(2)

    def fail(address: int) -> int:
        raise Fault(address, "not there")

    with pytest.raises(Fault):
        known.of(8, fail)
    assert known.of(8, abs) == 8
