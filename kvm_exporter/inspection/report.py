"""How does an answer reach a person, or a program?  Rows become aligned text, or JSON.

1. Rows are written as they come, so a list of a million pages needs no memory.
2. An error before the first row leaves nothing written; one in the midst of rows ends the text
   where it is, and closes JSON's array first, so that what was written can be read.
3. Addresses are hex strings in JSON, too: 64 bits are more than JavaScript's numbers hold.
4. Bytes that are no UTF-8 become ``\\xNN`` in both; on a terminal so does all that could move it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

from kvm_exporter.kvm import KvmError
from kvm_exporter.outputs.readable import readable

Value = str | int | float | bool | tuple[str, ...] | None
Row = Sequence[Value]
Json: TypeAlias = "Value | Sequence[Json] | Mapping[str, Json]"
"""What an answer of a form of its own may hold."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of at least ``width`` characters; a ``kind`` other than text is to the right."""

    name: str
    width: int = 0
    kind: Literal["text", "number", "address"] = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values, one a column."""

    columns: Sequence[Column]
    rows: Iterable[Row]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they are; ``problems`` are what could not be had, and why."""

    facts: Sequence[tuple[str, Value]]
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A text of its own form; ``fields`` is what JSON says instead.

    ``problem`` is raised when all of it has been written: what was found before it is worth seeing.
    """

    lines: Iterable[str]
    fields: Mapping[str, Json]
    problem: KvmError | None = None


Report = Table | Facts | Text


def as_text(report: Report) -> Iterator[str]:
    """The report's lines, each with its newline.  Errors: KvmError, where reading a row fails."""
    match report:
        case Table(columns, rows):
            head = [column.name.upper() for column in columns]
            for row in chain([head], _begun(rows)):
                yield _line(columns, row)
        case Facts(facts, problems):
            width = max((len(name) for name, _ in facts), default=0) + 1
            for name, value in facts:
                yield f"{name + ':':<{width}} {_plain(value)}".rstrip() + "\n"
            for problem in problems:
                yield f"{printable(problem)}\n"
        case Text():
            yield from _lines(report)


def _lines(text: Text) -> Iterator[str]:
    for line in text.lines:
        yield f"{printable(line)}\n"
    if text.problem:
        raise text.problem


def as_json(report: Report) -> Iterator[str]:
    """An array of objects for a table, else one object; pieces to be joined.  Errors: KvmError."""
    match report:
        case Table(columns, rows):
            yield from _array(columns, _begun(rows))
        case Facts(facts, problems):
            named = {name.replace(" ", "_"): value for name, value in facts}
            yield _object(named | {"problems": tuple(problems)})
            yield "\n"
        case Text():
            yield _object(report.fields)
            yield "\n"
            if report.problem:
                raise report.problem


def _begun(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows, the first of them read: what is wrong from the start is told before a head."""
    remaining = iter(rows)
    first = list(next(remaining, ()))
    return chain([first] if first else [], remaining)


def _array(columns: Sequence[Column], rows: Iterator[Row]) -> Iterator[str]:
    start = "["
    try:
        for row in rows:
            named = ((c.name, _hex(c, value)) for c, value in zip(columns, row, strict=True))
            yield f"{start}\n{_object(dict(named))}"
            start = ","
    except KvmError:
        yield _end(start)
        raise
    yield _end(start)


def _end(start: str) -> str:
    return "[]\n" if start == "[" else "\n]\n"


def _object(fields: Mapping[str, Json]) -> str:
    return json.dumps(_whole(fields), ensure_ascii=True)


def _whole(value: Json) -> Json:
    """Without the surrogates that stand for undecodable bytes: many readers of JSON refuse them."""
    match value:
        case str():
            return readable(value)
        case Mapping():
            return {name: _whole(each) for name, each in value.items()}
        case Sequence():
            return [_whole(each) for each in value]
    return value


def _line(columns: Sequence[Column], row: Row) -> str:
    cells = (
        f"{_plain(_hex(c, value)):{'<' if c.kind == 'text' else '>'}{c.width}}"
        for c, value in zip(columns, row, strict=True)
    )
    return " ".join(cells).rstrip() + "\n"


def _hex(column: Column, value: Value) -> Value:
    return f"{value:#x}" if column.kind == "address" and isinstance(value, int) else value


def _plain(value: Value) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}"
    text = " ".join(value) if isinstance(value, tuple) else str(value)
    return printable(text).replace("\t", "\\t")


def printable(text: str) -> str:
    """A kernel's text for a person's terminal: but for tabs, nothing in it can move the cursor."""
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode()
        for char in readable(text)
    )
