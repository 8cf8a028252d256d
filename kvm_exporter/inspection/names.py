"""Which name is where?  ``inspect nlist NAME…`` and ``inspect symbols [PATTERN]``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from kvm_exporter.inspection.report import Column, Report, Table, Value
from kvm_exporter.kvm import Kvm, Symbol

COLUMNS = (
    Column("address", 18, "address"),
    Column("type", 4, "number"),
    Column("size", 8, "number"),
    Column("name"),
)


def nlist(kvm: Kvm, names: Sequence[str]) -> Report:
    """Each name's symbol (kvm_nlist(3)); a name that is missing has neither address nor type."""
    found = zip(names, kvm.nlist(names), strict=True)
    rows = [(None, None, None, name) if one is None else _row(one, name) for name, one in found]
    return Table(COLUMNS, rows)


def symbols(kvm: Kvm, pattern: str | None) -> Report:
    """Symbols whose names match a shell pattern (``*swap*``), all without one; and modules'."""
    return Table(COLUMNS, _matching(kvm, pattern))


def _matching(kvm: Kvm, pattern: str | None) -> Iterator[tuple[Value, ...]]:
    for symbol in kvm.symbols:
        if pattern is None or fnmatchcase(symbol.name, pattern):
            yield _row(symbol, symbol.name)


def _row(symbol: Symbol, name: str) -> tuple[Value, ...]:
    return (symbol.value, symbol.type, symbol.size, name)
