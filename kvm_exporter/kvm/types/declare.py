"""How would C declare a type?  Text for people: members with their offsets and sizes, as pahole(1).

    struct timespec {
            time_t tv_sec;                                   /*     0     8 */
            long tv_nsec;                                    /*     8     8 */
    };                                                       /* 16 bytes */

Offsets are from the outermost struct's start; of a bit-field ``4:3`` is bit 3 of byte 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from kvm_exporter.kvm.types.flatten import size_of
from kvm_exporter.kvm.types.model import (
    Array,
    Composite,
    Enum,
    Float,
    Function,
    Integer,
    Member,
    Named,
    Pointer,
    Type,
    Void,
)

DEEPEST = 32
"""Types of types; damaged type information may go in circles."""

MOST_ARGUMENTS = 24
LONGEST = 1 << 16
LONGEST_NAME = 2048
"""Arguments of a function that are shown, lines of one declaration, letters of a part of one."""

AN_ARGUMENT, A_RESULT = 12, 8
"""How much deeper functions' own types lie: damaged ones branch at each."""

QUALIFIERS = frozenset(("const", "volatile", "restrict", "_Atomic", "__percpu", "__rcu", "__user"))
"""C's own, and Linux's words for the memory in which a pointer's target lies."""
COLUMN = 56


def spell(type_: Type, name: str = "", depth: int = 0) -> str:
    """C's declaration of ``name`` (of nothing, if empty) as a type: ``struct proc *p_list[2]``."""
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]} ..."
    if depth > DEEPEST:
        return f"... {name}".rstrip()
    match type_:
        case Named() if type_.name in QUALIFIERS:
            return _qualified(type_, name, depth)
        case Pointer():
            target = type_.target()
            inner = f"(*{name})" if isinstance(target, Array | Function) else f"*{name}"
            return spell(target, inner, depth + 1)
        case Array():
            return spell(type_.element(), f"{name}[{type_.count or ''}]", depth + 1)
        case Function():
            shown = type_.arguments[:MOST_ARGUMENTS]
            arguments = [spell(one(), "", depth + AN_ARGUMENT) for one in shown]
            listed = ", ".join(arguments + ["..."] * type_.variadic) or "void"
            return spell(type_.returns(), f"{name}({listed})", depth + A_RESULT)
    return f"{spoken(type_)} {name}".rstrip()


def spoken(type_: Type) -> str:
    """What C calls a type: ``struct proc``, ``pid_t``; ``struct {...}`` for one without a name."""
    match type_:
        case Composite():
            return f"{type_.kind} {type_.name or '{...}'}"
        case Enum():
            return f"enum {type_.name or '{...}'}"
        case Integer() | Float() | Named() | Void():
            return type_.name
    return spell(type_)


def _qualified(type_: Named, name: str, depth: int) -> str:
    target = type_.target()
    if isinstance(target, Pointer):
        # the pointer itself is const, which C writes behind its star
        inner = target.target()
        return spell(inner, f"*{type_.name} {name}".rstrip(), depth + 1)
    return f"{type_.name} {spell(target, name, depth + 1)}"


def declare(type_: Type) -> str:
    """The declaration of a type, a line a member."""
    return "\n".join(islice(_declaration(type_), LONGEST))


def _declaration(type_: Type) -> Iterator[str]:
    match type_:
        case Composite():
            yield f"{spoken(type_)} {{"
            yield from _members(type_, 0, 1)
            yield _noted("};", f"{type_.size} bytes")
        case Enum():
            yield f"{spoken(type_)} {{"
            yield from (f"        {name} = {value}," for name, value in type_.values)
            yield _noted("};", f"{type_.size} bytes")
        case Named():
            yield _noted(f"typedef {spell(type_.target(), type_.name)};", _size(type_))
        case _:
            yield _noted(f"{spell(type_)};", _size(type_))


def _size(type_: Type) -> str:
    size = size_of(type_)
    return "of unknown size" if size is None else f"{size} bytes"


def _members(struct: Composite, base: int, depth: int) -> Iterator[str]:
    end = 0
    for one in struct.members:
        gap = one.bit_offset - end
        if struct.kind == "struct" and gap >= 8:
            yield f"{_indent(depth)}/* {gap // 8} bytes unused */"
        yield from _member(one, base + one.bit_offset, depth)
        end = one.bit_offset + _bits(one)


def _bits(one: Member) -> int:
    return (size_of(one.type()) or 0) * 8 if one.bit_size is None else one.bit_size


def _member(one: Member, bit: int, depth: int) -> Iterator[str]:
    inner = one.type()
    place = f"{bit // 8:5} {size_of(inner) or 0:5}"
    if isinstance(inner, Composite) and not inner.name and depth < DEEPEST:
        yield f"{_indent(depth)}{inner.kind} {{"
        yield from _members(inner, bit, depth + 1)
        yield _noted(f"{_indent(depth)}}} {one.name}".rstrip() + ";", place)
    elif one.bit_size is None:
        yield _noted(f"{_indent(depth)}{spell(inner, one.name)};", place)
    else:
        text = f"{_indent(depth)}{spell(inner, one.name)}:{one.bit_size};"
        yield _noted(text, f"{bit // 8:5}:{bit % 8}")


def _indent(depth: int) -> str:
    return "        " * depth


def _noted(text: str, note: str) -> str:
    return f"{text:<{COLUMN}} /* {note} */"
