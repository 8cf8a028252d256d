"""How do rows of structs become columns of derived values?  By rules, worked out on demand.

1. A rule is another column's name, or a function with the columns that it needs: ``proc.p_flag`` is
   a member of a source (sources.py), a name without a dot another rule's.
2. Only what somebody asks for is worked out: what no wanted column needs costs nothing, and no
   struct is read for it.
3. What a kernel has not (a member, a struct, a clock) is a column of None, and so is, in its row,
   what is worked out from a None.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from kvm_exporter.kvm.objects.structs import Row

Column = Sequence[Any]


class Rule(NamedTuple):
    """``function(machine, *row of the columns)``."""

    function: Callable[..., object]
    columns: tuple[str, ...]


Rules = Mapping[str, str | Rule]


def rule(function: Callable[..., object], columns: str) -> Rule:
    """A Rule whose columns are told as words."""
    return Rule(function, tuple(columns.split()))


class Columns(dict[str, Column]):
    """Columns by name; ``load`` gives those of a name without a rule, and its like.

    ``machine`` is what the rules' functions get first.
    """

    def __init__(
        self, rules: Rules, machine: object, load: Callable[[str], Mapping[str, Column]]
    ) -> None:
        super().__init__()
        self._rules = rules
        self._machine = machine
        self._load = load

    def __missing__(self, name: str) -> Column:
        found = self._rules.get(name)
        if found is None:
            self.update(self._load(name))
        elif isinstance(found, Rule):
            columns = [self[column] for column in found.columns]
            self[name] = around_gaps(partial(found.function, self._machine), columns)
        else:
            self[name] = self[found]
        return self[name]


def around_gaps(function: Callable[..., object], columns: Sequence[Column]) -> Column:
    """``function`` of each row, None for a row with a None in it."""
    if not any(None in column for column in columns):
        return list(map(function, *columns))
    rows = zip(*columns, strict=True)
    return [None if None in row else function(*row) for row in rows]


def table(source: str, names: Sequence[str], rows: Iterable[Row | None]) -> dict[str, Column]:
    """Rows turned into columns; a missing row's values are None."""
    empty = (None,) * len(names)
    columns = list(zip(*(empty if row is None else row for row in rows), strict=True))
    return {f"{source}.{name}": columns[at] if columns else () for at, name in enumerate(names)}


def needs(rules: Rules, names: Collection[str], source: str) -> set[str]:
    """Those of the names that depend on columns called ``source`` …, by whatever rules between."""
    known: dict[str, bool] = {}

    def depends(name: str) -> bool:
        if name not in known:
            rule = rules.get(name)
            columns = rule.columns if isinstance(rule, Rule) else filter(None, [rule])
            known[name] = name.startswith(source) or any(map(depends, columns))
        return known[name]

    return {name for name in names if depends(name)}
