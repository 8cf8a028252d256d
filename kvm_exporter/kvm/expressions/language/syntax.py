"""What does an expression say?  Its parts, each with the column where it stands.

Columns count from 1, in characters.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvm_exporter.kvm.errors import KvmError


@dataclass(frozen=True, slots=True)
class Number:
    """A constant: ``1024``, ``0x10``, ``1e-9``."""

    value: int | float
    column: int


@dataclass(frozen=True, slots=True)
class Name:
    """A symbol, a constant of an enum, or in a list a member of the element."""

    text: str
    column: int


@dataclass(frozen=True, slots=True)
class Member:
    """``of.name``, or with ``arrow`` ``of->name``."""

    of: Node
    name: str
    arrow: bool
    column: int


@dataclass(frozen=True, slots=True)
class Members:
    """``of.*``: every member that is a number, by its name."""

    of: Node
    column: int


@dataclass(frozen=True, slots=True)
class Index:
    """``of[at]``; ``at`` is a number, a constant of an enum, or an expression of these."""

    of: Node
    at: Node
    column: int


@dataclass(frozen=True, slots=True)
class Every:
    """``of[*]``, or ``of[first:stop]`` without ``stop`` itself; None: the array's own end."""

    of: Node
    first: Node | None
    stop: Node | None
    column: int


@dataclass(frozen=True, slots=True)
class EveryCpu:
    """``of[cpu]``: an element for each CPU, by its number."""

    of: Node
    column: int


@dataclass(frozen=True, slots=True)
class Cast:
    """``(type)of``; ``type`` as C spells it, without a name: ``struct tcpstat``, ``char[16]``."""

    type: str
    of: Node
    column: int


@dataclass(frozen=True, slots=True)
class Unary:
    """``-of``, ``~of``, ``!of``, ``&of`` (its address), ``*of`` (what it points at)."""

    operator: str
    of: Node
    column: int


@dataclass(frozen=True, slots=True)
class Binary:
    """``left operator right``: + - * / % << >> & | ^ == != < <= > >= && ||."""

    operator: str
    left: Node
    right: Node
    column: int


@dataclass(frozen=True, slots=True)
class Call:
    """``sizeof(type or expression)``, ``percpu(pointer)``, ``sum(several)``, ``ntohs(number)``."""

    name: str
    argument: Node | str
    column: int


Node = Number | Name | Member | Members | Index | Every | EveryCpu | Cast | Unary | Binary | Call


class ExpressionError(KvmError):
    """An expression that is wrong, or means nothing in this kernel; points at the column."""

    def __init__(self, expression: str, column: int, what: str) -> None:
        super().__init__(f"{expression}: column {column}: {what}")
        self.expression = expression
        self.column = column
        self.what = what
