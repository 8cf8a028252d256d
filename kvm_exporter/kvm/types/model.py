"""What is a C type?  The values that every reader of type information gives.

A type that another one mentions is a Ref, followed when it is needed: a kernel has 60,000 types,
and a question about struct proc is about fifty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Void:
    """``void``, and what nobody knows (an incomplete type)."""

    name: str = "void"


@dataclass(frozen=True, slots=True)
class Integer:
    """``size`` bytes; ``kind`` char is text, bool is a truth."""

    name: str
    size: int
    signed: bool
    kind: Literal["int", "char", "bool"] = "int"


@dataclass(frozen=True, slots=True)
class Float:
    """IEEE 754 of ``size`` bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """An address of ``size`` bytes; ``target`` Void for ``void *``."""

    size: int
    target: Ref


@dataclass(frozen=True, slots=True)
class Function:
    """Code; only pointers to it are met in data."""

    returns: Ref = Void
    arguments: tuple[Ref, ...] = ()
    variadic: bool = False


@dataclass(frozen=True, slots=True)
class Array:
    """``count`` elements; 0 for a flexible one."""

    element: Ref
    count: int


class Member(NamedTuple):
    """A member of a struct or union; ``name`` is empty for an anonymous struct or union.

    ``bit_offset`` from the start of the struct; ``bit_size`` None for what is no bit-field.  Bits
    are counted in memory order: within a byte from the least significant one on little endian, from
    the most significant one on big endian.
    """

    name: str
    type: Ref
    bit_offset: int
    bit_size: int | None = None


@dataclass(frozen=True, slots=True)
class Composite:
    """A struct or a union of ``size`` bytes."""

    kind: Literal["struct", "union"]
    name: str
    size: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Enum:
    """``values``: (name, value), in order."""

    name: str
    size: int
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A typedef, or a qualified type (``name`` is ``const``, ``volatile``, ``restrict``)."""

    name: str
    target: Ref


Type = Void | Integer | Float | Pointer | Function | Array | Composite | Enum | Named
Ref = Callable[[], Type]


class Types(Protocol):
    """One kernel's types."""

    def find(self, name: str) -> Type:
        """``struct proc``, ``union sigval``, ``enum x``, ``pid_t``, ``int``; or TypeMissing."""

    def variable(self, name: str) -> Type:
        """The type of a variable; TypeMissing where it is not told."""

    def names(self) -> Iterator[str]:
        """Every name that ``find`` knows."""

    def enums(self) -> Iterator[Enum]:
        """Every enum, those without a name too; of several alike perhaps one only."""


def resolve(type_: Type) -> Type:
    """What is behind typedefs and qualifiers."""
    for _ in range(MOST_NAMES):
        if not isinstance(type_, Named):
            return type_
        type_ = type_.target()
    return Void("a type that is defined by itself")


MOST_NAMES = 64
"""Typedefs of typedefs; damaged type information may go in circles."""
