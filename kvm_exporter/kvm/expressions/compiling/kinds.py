"""What does a type mean in an expression?  Questions about C types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvm_exporter.kvm.types.model import (
    MOST_NAMES,
    Array,
    Composite,
    Integer,
    Member,
    Named,
    Pointer,
    Type,
    resolve,
)

COUNTER = "counter_u64_t"
"""A pointer to the 64 bits that each CPU counts in (sys/sys/counter.h)."""

PERCPU = "__percpu"
"""Linux's word for a pointer that leads to a copy for each CPU."""

COUNTERS = "counters"
"""A pointer's target: counter_u64_t for each 8 bytes of the type that is named so."""

BYTES = frozenset(("uint8_t", "int8_t", "u_int8_t", "u8", "s8", "__u8", "__s8"))
"""Typedefs of C's char that are no text: hardware addresses, keys."""


class Target(NamedTuple):
    """What a pointer points at; ``percpu``: a copy for each CPU; ``counters`` as a Place's."""

    type: Type
    percpu: bool
    counters: bool


def names(type_: Type) -> Iterator[str]:
    """The typedefs and qualifiers that a type goes by, the outermost first."""
    for _ in range(MOST_NAMES):
        if not isinstance(type_, Named):
            return
        yield type_.name
        type_ = type_.target()


def is_counter(type_: Type) -> bool:
    """Whether it is a counter_u64_t."""
    return COUNTER in names(type_)


def is_counters(type_: Type) -> bool:
    """Whether it is an array of counter_u64_t."""
    array = resolve(type_)
    return isinstance(array, Array) and is_counter(array.element())


def target(pointer: Pointer) -> Target:
    """What it points at."""
    type_ = pointer.target()
    marks = frozenset(names(type_))
    return Target(type_, PERCPU in marks, COUNTERS in marks)


def is_text(type_: Type) -> bool:
    """Whether an array or pointer of it is a text: char and u_char, not uint8_t."""
    known = resolve(type_)
    if not isinstance(known, Integer) or known.kind != "char" or known.size != 1:
        return False
    return BYTES.isdisjoint(names(type_))


def only_member(type_: Composite) -> Member | None:
    """A struct's one and only member; None of a struct of several."""
    return type_.members[0] if len(type_.members) == 1 else None
