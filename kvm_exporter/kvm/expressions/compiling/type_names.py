"""Which type is written there?  ``struct proc *``, ``unsigned long``, ``char[16]`` as a Type.

C's own types and integers of a known size are there even where the kernel's type information does
not list them (a table of a few structs, none at all).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.expressions.language.syntax import ExpressionError
from kvm_exporter.kvm.expressions.language.tokens import words
from kvm_exporter.kvm.expressions.language.type_syntax import BASIC, TAGGED, TypeName, type_at
from kvm_exporter.kvm.objects.spelling import nearest
from kvm_exporter.kvm.types.model import (
    Array,
    Float,
    Integer,
    Named,
    Pointer,
    Ref,
    Type,
    Types,
    Void,
)

LONG = 0
"""A size: an address's, which is a ``long``'s on every machine of either system."""

INTEGERS: dict[str, tuple[int, bool]] = {
    "char": (1, True),
    "signed char": (1, True),
    "short": (2, True),
    "int": (4, True),
    "long": (LONG, True),
    "long long": (8, True),
    "unsigned char": (1, False),
    "unsigned short": (2, False),
    "unsigned int": (4, False),
    "unsigned long": (LONG, False),
    "unsigned long long": (8, False),
    "u_char": (1, False),
    "u_short": (2, False),
    "u_int": (4, False),
    "u_long": (LONG, False),
    "size_t": (LONG, False),
    "ssize_t": (LONG, True),
    "uintptr_t": (LONG, False),
    "intptr_t": (LONG, True),
} | {
    name.format(8 * size): (size, signed)
    for name, signed in (
        *(("int{}_t", True), ("uint{}_t", False), ("u_int{}_t", False)),
        *(("s{}", True), ("u{}", False), ("__s{}", True), ("__u{}", False)),
    )
    for size in (1, 2, 4, 8)
}
"""Bytes, and whether there is a sign; ``char`` has none on some machines, which their type
information tells."""

FLOATS = {"float": 4, "double": 8}

SPELLINGS: dict[str, tuple[str, ...]] = {
    "short": ("short int",),
    "unsigned short": ("short unsigned int", "unsigned short int"),
    "unsigned int": ("unsigned",),
    "long": ("long int",),
    "unsigned long": ("long unsigned int", "unsigned long int"),
    "long long": ("long long int",),
    "unsigned long long": ("long long unsigned int", "unsigned long long int"),
    "_Bool": ("bool",),
}
"""How compilers call them: clang and CTF as C's short form, gcc in its own order."""


def find_type(types: Types, abi: Abi, text: str) -> Type:
    """The type that ``text`` names.

    Errors: TypeMissing, with near names; ExpressionError where the text names no type of C.
    """
    name = type_name(text)
    base = _base(types, abi, name)
    if name.stars == 0 and not name.lengths:
        return base
    wrapped: Ref = partial(_itself, base)
    for _ in range(name.stars):
        wrapped = partial(Pointer, abi.pointer_size, wrapped)
    for length in reversed(name.lengths):
        wrapped = partial(Array, wrapped, length)
    return wrapped()


def type_name(text: str) -> TypeName:
    """What a text says, all of it.  Errors: ExpressionError."""
    tokens = words(text)
    found = type_at(tokens, 0)
    if found is None:
        raise ExpressionError(text, 1, "no type: struct NAME, unsigned long, NAME *, char[16], ...")
    name, end = found
    if tokens[end].kind != "end":
        raise ExpressionError(text, tokens[end].column, "the type's name goes on oddly")
    return name


def _itself(type_: Type) -> Type:
    return type_


def _base(types: Types, abi: Abi, name: TypeName) -> Type:
    first = name.base.split(" ", 1)[0]
    if first in BASIC:
        return _basic(types, abi, name.base)
    try:
        return types.find(name.base)
    except TypeMissing:
        known = None if first in TAGGED else _known(name.base, abi)
        if known is None:
            raise TypeMissing(_missing(types, name.base)) from None
        return known


def _basic(types: Types, abi: Abi, text: str) -> Type:
    """A type of C's own words, in whatever order they are."""
    plain = _plain(text.split())
    if plain == "void":
        return Void()
    for spelled in (plain, *SPELLINGS.get(plain, ())):
        try:
            return types.find(spelled)
        except TypeMissing:
            continue
    known = _known(plain, abi)
    if known is None:
        raise TypeMissing(f"{text} is no type that a kernel has")
    return known


def _plain(given: list[str]) -> str:
    """``long unsigned int`` as ``unsigned long``: the shortest form."""
    rest = sorted(word for word in given if word not in ("int", "signed", "unsigned"))
    size = " ".join(rest) or "int"
    if "unsigned" in given:
        return f"unsigned {size}"
    return "signed char" if size == "char" and "signed" in given else size


def _known(name: str, abi: Abi) -> Type | None:
    if name in FLOATS:
        return Float(name, FLOATS[name])
    if name in ("_Bool", "bool"):
        return Integer(name, 1, signed=False, kind="bool")
    if name == "counter_u64_t":  # sys/counter.h
        counter = Integer("uint64_t", 8, signed=False)
        return Named(name, partial(Pointer, abi.pointer_size, partial(_itself, counter)))
    if name not in INTEGERS:
        return None
    size, signed = INTEGERS[name]
    return Integer(
        name, size or abi.pointer_size, signed, "char" if name.endswith("char") else "int"
    )


def _missing(types: Types, name: str) -> str:
    tag, _, rest = name.rpartition(" ")
    near = nearest(rest, _alike(types, tag, rest))
    named = ", ".join(f"{tag} {one}".strip() for one in near)
    others = ", ".join(one for one in _tagged(types, tag, rest))
    offered = ", ".join(filter(None, (others, named)))
    what = f"this kernel's type information has no {name}"
    return f"{what}; near: {offered}" if offered else what


def _alike(types: Types, tag: str, rest: str) -> Iterator[str]:
    """The names of the same kind, without their tag."""
    for one in types.names():
        kind, _, name = one.rpartition(" ")
        if kind == tag and name != rest:
            yield name


def _tagged(types: Types, tag: str, rest: str) -> Iterator[str]:
    """The same name as another kind of type."""
    for one in chain((rest,), (f"{other} {rest}" for other in sorted(TAGGED))):
        if one == f"{tag} {rest}".strip():
            continue
        try:
            types.find(one)
        except TypeMissing:
            continue
        yield one
