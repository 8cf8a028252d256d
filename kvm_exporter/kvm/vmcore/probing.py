"""What do tables map, asked here and there?  So a damaged dump's tables are not all visited."""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.paging import ADDRESSES, PageTables, Paging

MOST_STEPS = 1 << 13
"""Entries looked at: those of a few tables."""


def maps(tables: PageTables, virtual: int, physical: int) -> bool | None:
    """Whether tables map an address to that; None where a table is lost that would tell."""
    try:
        return tables.translate(virtual, 1).address == physical
    except Fault as error:
        return None if is_lost(error) else False


def is_lost(error: Fault) -> bool:
    """Whether tables cannot tell because one of them is not in the dump."""
    # PageTables' Fault has then another as its cause, of physical memory
    return isinstance(error.__cause__, Fault)


def samples(tables: PageTables, paging: Paging, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(virtual, physical) of the first page below each of the top table's entries.

    Of addresses from ``start`` to ``end``, as far as the steps last.
    """
    shifts = [level.shift for level in reversed(paging.levels)]
    at = max(start, ADDRESSES - paging.span // 2 if paging.signed else paging.base)
    for _ in range(MOST_STEPS):
        if at >= end:
            return
        shift = shifts[-1]
        try:
            yield at, tables.translate(at, 1).address
        except Fault as error:
            # nothing below that entry: on to the next one of its table
            shift = shifts[error.level - 1] if error.level else shift
        at = (at >> shift) + 1 << shift
