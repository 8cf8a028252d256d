"""Is a thread's time divided as kernel/sched/cputime.c divides it?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.objects.linux.tasktime import Times, adjusted
from kvm_exporter.kvm.objects.linux.ticks import seconds

NANOSECONDS = st.integers(0, 2**63)


@pytest.mark.parametrize(
    ("counted", "run", "told", "expected"),
    [
        ((0, 0), 0, (0, 0), (0, 0)),
        ((3, 1), 100, (0, 0), (75, 25)),
        ((1, 2), 100, (0, 0), (34, 66)),
        ((0, 5), 100, (0, 0), (0, 100)),
        ((5, 0), 100, (0, 0), (100, 0)),
        ((0, 0), 100, (0, 0), (100, 0)),
        ((3, 1), 100, (60, 41), (60, 41)),  # told more already: the clock is behind
        ((3, 1), 100, (10, 40), (60, 40)),  # the system's never goes back
        ((1, 3), 100, (50, 10), (50, 50)),  # nor the user's
        ((1, 0), 100, (0, 30), (70, 30)),
        ((2**62, 2**62), 2**63, (0, 0), (2**62, 2**62)),
    ],
)
def test_times_by_hand(
    counted: tuple[int, int], run: int, told: tuple[int, int], expected: tuple[int, int]
) -> None:
    """Ticks say in which proportion; what was told before stays."""
    assert adjusted(Times(*counted), run, Times(*told)) == Times(*expected)


@given(NANOSECONDS, NANOSECONDS, NANOSECONDS, NANOSECONDS, NANOSECONDS)
def test_times_add_up_and_never_fall(
    user: int, system: int, run: int, told_user: int, told_system: int
) -> None:
    """Together they are the running time, or what was told if that is more."""
    told = Times(told_user, told_system)
    found = adjusted(Times(user, system), run, told)
    assert sum(found) == max(run, sum(told))
    assert found.user >= told.user
    assert found.system >= told.system


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [(0, 0.0), (9_999_999, 0.0), (10_000_000, 0.01), (1_239_999_999, 1.23)],
)
def test_seconds_are_whole_ticks(nanoseconds: int, expected: float) -> None:
    """Of a hundredth of a second, cut off: as /proc/PID/stat has them."""
    assert seconds(nanoseconds) == expected
