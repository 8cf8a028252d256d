"""How is an explanation told?  The parts of an expression, what was read, and the numbers of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kvm_exporter.inspection.report import Json
from kvm_exporter.inspection.whereabouts import Whereabouts
from kvm_exporter.inspection.whose import Whose
from kvm_exporter.kvm import KvmError
from kvm_exporter.kvm.expressions.program import ABSOLUTE, ELEMENT
from kvm_exporter.kvm.memory import Place
from kvm_exporter.kvm.space import Step

Worth = int | float | str | None
"""A number, a text, or nothing where it cannot be read."""

SHOWN = 8
"""Values of a part, and reads, that people are shown; JSON has all."""
WALKED = 2
"""Reads of which people are shown the way through the tables."""
WIDTH = 10
LONGEST_BYTES = 32


class Item(NamedTuple):
    """One of a part's values: ``labels`` tell which, ``address`` where it lies."""

    labels: Mapping[str, str]
    address: int | None = None
    value: Worth = None


class Part(NamedTuple):
    """A part of the expression: its text and column, what is known of it, and its values."""

    text: str
    column: int
    facts: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]


class Fetch(NamedTuple):
    """A read; ``base`` as program.Read's, and ``whose`` copy of what it leads to.

    With ``is_pointer`` the value is an address.
    """

    number: int
    address: int | None
    base: int
    whose: Whose
    data: bytes | None
    value: Worth
    is_pointer: bool
    where: Whereabouts | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it; ``problem`` is what an expression that is none lacks."""

    expression: str
    parts: tuple[Part, ...]
    fetches: tuple[Fetch, ...]
    samples: tuple[Item, ...]
    problem: KvmError | None = None

    def lines(self) -> Iterator[str]:
        """For people."""
        for part in self.parts:
            yield from _part(part)
        for fetch in self.fetches[:SHOWN]:
            yield from _fetch(fetch)
        if len(self.fetches) > SHOWN:
            yield f"... and {len(self.fetches) - SHOWN} more reads"
        for item in self.samples:
            value = "unread" if item.value is None else item.value
            yield f"{self.expression} {_labels(item.labels)}= {value}"

    def document(self) -> dict[str, Json]:
        """For programs; addresses are hex strings."""
        return {
            "expression": self.expression,
            "parts": [_part_document(part) for part in self.parts],
            "reads": [_fetch_document(fetch) for fetch in self.fetches],
            "samples": [_item_document(item) for item in self.samples],
            "problem": None if self.problem is None else str(self.problem),
        }


def _fact(name: str, text: str) -> str:
    return f"    {name:<{WIDTH}} {text}"


def _part(part: Part) -> Iterator[str]:
    yield part.text
    for name, text in part.facts:
        yield _fact(name, text)
    for item in part.items[:SHOWN]:
        told = [f"{item.address:#x}"] if item.address is not None else []
        told += [] if item.value is None else [f"= {item.value}" if told else f"{item.value}"]
        name = "address" if item.address is not None else "number"
        yield _fact(
            name, _labels(item.labels) + (" ".join(told) or "not known: behind what cannot be read")
        )
    if len(part.items) > SHOWN:
        yield _fact("", f"... and {len(part.items) - SHOWN} more")


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{{{inside}}} " if inside else ""


def _fetch(fetch: Fetch) -> Iterator[str]:
    yield _head(fetch)
    if fetch.address is None:
        yield _fact("address", "none: a null pointer, or one that cannot be read")
        return
    yield _fact("address", f"{fetch.address:#x}")
    if fetch.where:
        yield from _way(fetch.where, walked=fetch.number < WALKED)
    if fetch.data is not None:
        more = " ..." if len(fetch.data) > LONGEST_BYTES else ""
        yield _fact("bytes", fetch.data[:LONGEST_BYTES].hex(" ") + more)
    if fetch.value is not None:
        yield _fact("value", str(_value(fetch)))


def _head(fetch: Fetch) -> str:
    if fetch.base == ABSOLUTE:
        return f"read {fetch.number}"
    cpu, offset = fetch.whose
    copy = "" if cpu is None else f"CPU {cpu}'s copy of "
    what = _element(fetch.base) if fetch.base < 0 else f"what read {fetch.base} points at"
    byte = f", byte {offset}" if offset else ""
    return f"read {fetch.number}: {copy}{what}{byte}"


def _element(base: int) -> str:
    """The list's, or that of the list around it, or around that."""
    return "the element" + " around" * (ELEMENT - base)


def _value(fetch: Fetch) -> Worth:
    """A pointer's as addresses are."""
    if fetch.is_pointer and isinstance(fetch.value, int):
        return f"{fetch.value:#x}"
    return fetch.value


def _way(where: Whereabouts, *, walked: bool) -> Iterator[str]:
    layers = f" (unwrapped: {', '.join(where.layers)})" if where.layers else ""
    for step in where.steps if walked else ():
        yield _fact("walk", _step(step))
    if where.physical is not None:
        yield _fact("physical", f"{where.physical:#x}")
    if where.place:
        yield _fact("file", _place(where.place) + layers)
    if where.packed:
        place, size = where.packed
        yield _fact("file", f"{_place(place)}: its page, packed in {size} bytes{layers}")
    if where.problem:
        yield _fact("problem", where.problem)


def _place(place: Place) -> str:
    """An off_t of /dev/kmem may be below zero; people know it as an address."""
    return f"{place.name} at {place.offset % (1 << 64):#x}"


def _step(step: Step) -> str:
    told = step.place if step.at is None else f"{step.place} at {step.at:#x}"
    if step.number is not None:
        told += f", entry {step.number}"
    return told if step.entry is None else f"{told}: {step.entry:#x}"


def _hex(value: int | None) -> str | None:
    return None if value is None else f"{value:#x}"


def _item_document(item: Item) -> dict[str, Json]:
    return {"labels": dict(item.labels), "address": _hex(item.address), "value": item.value}


def _part_document(part: Part) -> dict[str, Json]:
    return {
        "expression": part.text,
        "column": part.column,
        **dict(part.facts),
        "values": [_item_document(item) for item in part.items],
    }


def _fetch_document(fetch: Fetch) -> dict[str, Json]:
    return {
        "number": fetch.number,
        "pointer": fetch.base if fetch.base >= 0 else None,
        "element": ELEMENT - fetch.base if fetch.base <= ELEMENT else None,
        "cpu": fetch.whose.cpu,
        "offset": fetch.whose.offset,
        "address": _hex(fetch.address),
        "bytes": None if fetch.data is None else fetch.data.hex(),
        "value": _value(fetch),
        **(_way_document(fetch.where) if fetch.where else {}),
    }


def _way_document(where: Whereabouts) -> dict[str, Json]:
    place = where.packed[0] if where.packed else where.place
    return {
        "walk": [
            {"place": s.place, "at": _hex(s.at), "number": s.number, "entry": _hex(s.entry)}
            for s in where.steps
        ],
        "physical": _hex(where.physical),
        "file": place.name if place else None,
        "file_offset": _hex(place.offset) if place else None,
        "layers": where.layers,
        "packed_bytes": where.packed[1] if where.packed else None,
        "problem": where.problem,
    }
