"""How are many values of memory read at once?"""

from __future__ import annotations

import pytest
from fakes.bare_memory import PAGE, Bare

from kvm_exporter.kvm.expressions.running import rounds as module
from kvm_exporter.kvm.expressions.running.budgets import Budget, Ledger
from kvm_exporter.kvm.expressions.running.chunks import Field
from kvm_exporter.kvm.expressions.running.reading import Reading
from kvm_exporter.kvm.expressions.running.rounds import Numbers


def filled(memory: Bare, bases: list[int | None], ledger: Ledger) -> list[tuple[object, ...]]:
    """Two columns of values, at each base and far behind it."""
    fields = [Field(0, 0, "I", 1), Field(0, 1024, "H", 2)]
    columns: list[tuple[object, ...]] = [tuple(bases), (), ()]
    Numbers(Reading(memory, memory.abi), fields, absolute=False).fill(columns, ledger)
    return columns[1:]


def rows_of(memory: Bare, count: int) -> list[int]:
    """Bases, in no order, of which some are twice; the values tell which it is."""
    for number in range(count):
        memory.put(memory.base + 2048 * number, "I", number)
        memory.put(memory.base + 2048 * number + 1024, "H", 2 * number)
    return [memory.base + 2048 * (number * 7 % count) for number in range(count + 3)]


@pytest.mark.parametrize("at_once", [1, 2, 7, 8, 1000])
def test_however_many_at_once(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Rows are placed some at a time: the columns are the same; nulls and gaps stay in place."""
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    memory = Bare()
    bases: list[int | None] = [*rows_of(memory, 10), None, 0, memory.base + 99 * PAGE]
    ledger = Ledger(Budget())
    first = [number * 7 % 10 for number in range(13)]
    assert filled(memory, bases, ledger) == [
        (*first, None, None, None),
        (*(2 * number for number in first), None, None, None),
    ]
    assert (ledger.gaps, ledger.unreadable) == (True, 2)


@pytest.mark.parametrize("at_once", [4, 1000])
def test_a_budget_ends_rows(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Those behind its end are unread, and nobody is blamed; no more is read."""
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    memory = Bare()
    bases: list[int | None] = list(rows_of(memory, 10))
    ledger = Ledger(Budget(bytes=20))
    one, other = filled(memory, bases, ledger)
    assert len(one) == len(other) == 13
    assert 0 < len([value for value in (*one, *other) if value is not None]) <= 2 * 7
    assert (ledger.stopped, ledger.unreadable, ledger.gaps) == ("bytes", 0, True)
    assert sum(length for _, length in memory.reads) <= 20


def test_no_rows() -> None:
    """Of no rows nothing is read."""
    memory = Bare()
    assert filled(memory, [], Ledger(Budget())) == [(), ()]
    assert memory.reads == []
