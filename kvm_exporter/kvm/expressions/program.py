"""What is there to be read, and what is made of it?  A program: compiled expressions, as data.

1. ``reads`` are numbered; a read's ``base`` is ABSOLUTE (``offset`` is an address), an element of
   a list (ELEMENT is the innermost, ELEMENT - 1 the one around it, ...), or the number of a read
   before it, which is a pointer.  A null or unread pointer leads nowhere: what hangs on it is
   unread.
2. A read may have copies elsewhere, a CPU's each: then its value is the sum of all of them, as a
   whole number of any size.
3. A formula makes one value of the reads.  What uses an unread value is unread itself: a sum of
   all CPUs is never a part of it.
4. A series is a metric's label values with its value; one with an unread label or value is left
   out.  A label behind a null pointer is an empty text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kvm_exporter.kvm.expressions.wanted import Missing

ABSOLUTE, ELEMENT = -1, -2
TEXT = ""
"""The code of a C string, to its NUL."""


@dataclass(frozen=True, slots=True)
class Read:
    """One value of memory at ``base`` plus ``offset``.

    ``code`` is the struct module's, without byte order: an integer, pointer or float (``I``, ``q``,
    ``d``), ``16s`` for an array of char, TEXT for a string of unknown length.  Of a bit-field,
    ``bits`` of the integer count from ``shift`` on, counted from its least significant bit;
    ``signed`` says that their highest is a sign.  Of an integer that is none, ``copies`` are the
    distances of others from the first, which lies at ``base`` plus ``offset``; the value is the sum
    of all, and unread if one of them is.
    """

    base: int
    offset: int
    code: str
    shift: int = 0
    bits: int = 0
    signed: bool = False
    copies: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a read: a number, or a text for a label."""

    read: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, or a text."""

    value: float | str


@dataclass(frozen=True, slots=True)
class Address:
    """``base`` (as a read's) plus ``offset``, which is not read: where something lies."""

    base: int
    offset: int


@dataclass(frozen=True, slots=True)
class Position:
    """The number of a list's element, from 0; ``base`` as ELEMENT."""

    base: int


@dataclass(frozen=True, slots=True)
class Sum:
    """Parts together, in an integer of ``bits`` bits as C would: modulo 2^bits."""

    of: tuple[Formula, ...]
    bits: int
    signed: bool


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator of syntax.py on one or two numbers.

    ``/`` gives an int where it comes out even, else a float; by zero gives nothing.
    ``clamp`` is max(first, second).
    """

    operator: str
    of: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Spelled:
    """The name of a number, the number's own digits where it has none."""

    of: Formula
    names: Mapping[int, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Truncated:
    """A number as an integer of ``bits`` bits, as C converts it."""

    of: Formula
    bits: int
    signed: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """Texts and numbers as one text, with nothing between them (``da`` and 0: ``da0``)."""

    of: tuple[Formula, ...]


Formula = Value | Constant | Address | Position | Sum | Apply | Spelled | Truncated | Joined


@dataclass(frozen=True, slots=True)
class Series:
    """One sample to be: ``metric`` is the number of what was wanted, ``labels`` in its order.

    Of samples with the same labels the values are added up, unless ``adds`` is False: then one of
    them counts (an info is 1, however many there are).
    """

    metric: int
    labels: tuple[Formula, ...]
    value: Formula
    adds: bool = True


@dataclass(frozen=True, slots=True)
class Program:
    """Reads in an order in which no base comes after what hangs on it, and what they give."""

    reads: tuple[Read, ...]
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A linked list, from its head on; offsets in bytes.

    ``first`` in the head: the pointer to the first node.  In a node: ``next``, the pointer to the
    next; ``back``, a pointer that leads to ``back_to`` in the node before (or to ``first`` in the
    head), None where there is none.  A node lies at ``node`` in its element.  A ``circular`` list
    ends at its head; others at a null pointer, or with ``marked`` at an odd one (hlist_nulls), or a
    ``ring`` where it comes back to its first node.  ``locked``: the lowest bit of the pointer in
    the head is none of it (hlist_bl).
    """

    first: int
    next: int
    node: int
    back: int | None = None
    back_to: int = 0
    circular: bool = False
    marked: bool = False
    ring: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """A binary tree: ``root`` in the head; ``left``, ``right`` in a node; a node in its element.

    The two lowest bits of a pointer may be a colour's.
    """

    root: int
    left: int
    right: int
    node: int


@dataclass(frozen=True, slots=True)
class Strided:
    """An array: ``count`` elements of ``size`` bytes, or with ``pointers`` such to them (nulls are
    no elements).  ``numbers`` are the positions that are meant, None for all (``[cpu]``).
    ``heads``: the elements are but the heads of lists, and cost no budget's elements."""

    count: int
    size: int
    pointers: bool = False
    numbers: tuple[int, ...] | None = None
    heads: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """How a list's elements are found: from each of ``heads``, by its ``shape``.

    ``reads`` are what ``heads`` need; their ELEMENT is the element of the list around this one.
    """

    reads: tuple[Read, ...]
    heads: tuple[Formula, ...]
    shape: Chain | Tree | Strided


@dataclass(frozen=True, slots=True)
class ListProgram:
    """Lists in lists, the outermost first, and what is made of each innermost element.

    ``where``: elements of which it is 0, or unread, do not count; over the program's own reads.
    """

    name: str
    walks: tuple[Walk, ...]
    program: Program
    where: Formula | None = None


Stopped = Literal["", "bytes", "elements", "time"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A module as programs.

    Metrics are numbered: the module's own first, then those of its lists, in order; ``labels`` are
    the label names of each, empty too for those that are ``missing``.
    """

    program: Program
    lists: tuple[ListProgram, ...]
    labels: tuple[tuple[str, ...], ...]
    missing: tuple[Missing, ...]
