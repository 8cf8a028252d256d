"""How does a C compiler lay out structs?  C types of an ABI, and the rules of their places.

1. A scalar lies at the next multiple of its alignment: its size, but 4 for the eight byte ones of
   i386.  A struct's size is a multiple of its widest member's alignment; ``__packed`` makes all
   alignments 1, ``__aligned(n)`` raises one.
2. A bit-field goes right behind the bits before it unless it would then touch one more storage unit
   of its declared type than it needs; then at that type's next boundary, as ``: 0`` also asks for.
3. Bits are counted in memory order: on little endian from the least significant bit of a byte, on
   big endian from the most significant one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Abi:
    """``wide`` is how 64 bit integers and doubles are aligned in structs (4 on i386)."""

    order: str = "<"
    pointer: int = 8
    wide: int = 8
    long_double: int = 16
    plain_char_signed: bool = True

    @property
    def byteorder(self) -> str:
        return "little" if self.order == "<" else "big"


AMD64 = Abi()
AARCH64 = RISCV64 = POWERPC64LE = Abi(plain_char_signed=False)
POWERPC64 = Abi(">", plain_char_signed=False)
I386 = Abi(pointer=4, wide=4, long_double=12)
ARMV7 = Abi(pointer=4, long_double=8, plain_char_signed=False)
POWERPC = Abi(">", pointer=4, plain_char_signed=False)


@dataclass(eq=False)
class Base:
    """An arithmetic type; ``kind`` is int, char, bool, float or void."""

    name: str
    size: int
    kind: str = "int"
    signed: bool = True
    align: int = 0


@dataclass(eq=False)
class Pointer:
    """An address."""

    to: Type
    size: int


@dataclass(eq=False)
class Array:
    """``count`` elements."""

    of: Type
    count: int


@dataclass(eq=False)
class Function:
    """Code; ``variadic`` after its ``arguments``."""

    returns: Type
    arguments: list[Type]
    variadic: bool = False


@dataclass(eq=False)
class Qualified:
    """``kind`` is const, volatile or restrict."""

    kind: str
    to: Type


@dataclass(eq=False)
class Typedef:
    """Another name."""

    name: str
    to: Type


@dataclass(eq=False)
class Enum:
    """Names of values."""

    tag: str
    values: list[tuple[str, int]]
    size: int = 4


@dataclass(eq=False)
class Struct:
    """A struct or union (``kind``); ``fields`` None until it is defined."""

    kind: str
    tag: str
    fields: list[Field] | None = field(default=None, repr=False)
    size: int = 0
    align: int = 1


@dataclass
class Field:
    """A member: ``bit`` from the struct's start, in memory order; ``width`` only of bit-fields."""

    name: str
    type: Type
    bit: int
    width: int | None = None
    size: int = 0

    @property
    def offset(self) -> int:
        return self.bit // 8


Type = Base | Pointer | Array | Function | Qualified | Typedef | Enum | Struct

VOID = Base("void", 0, "void")


def bare(type_: Type) -> Type:
    """What is behind typedefs and qualifiers."""
    while isinstance(type_, Typedef | Qualified):
        type_ = type_.to
    return type_


def size_of(type_: Type) -> int:
    """Bytes, as sizeof."""
    type_ = bare(type_)
    if isinstance(type_, Array):
        return type_.count * size_of(type_.of)
    assert not isinstance(type_, Function), "sizeof a function"
    assert not isinstance(type_, Struct) or type_.fields is not None, f"{type_.tag}: incomplete"
    return type_.size


def align_of(type_: Type) -> int:
    """_Alignof, as a struct's member."""
    type_ = bare(type_)
    if isinstance(type_, Array):
        return align_of(type_.of)
    if isinstance(type_, Base | Struct):
        return type_.align
    return size_of(type_)


def up(bit: int, to: int) -> int:
    """The next multiple."""
    return -(-bit // to) * to


def lay_out(
    struct: Struct,
    members: list[tuple[str, Type, int | None, int]],
    attributes: Mapping[str, int],
) -> None:
    """Fill in the struct's fields, size and alignment; the rules are at the head of this file."""
    packed = "packed" in attributes
    fields, bit, end, align = [], 0, 0, 1
    for name, type_, width, least in members:
        own = max(1 if packed else align_of(type_), least)
        size = size_of(type_)
        if struct.kind == "union":
            bit = 0
        if width is None:
            bit = up(bit, own * 8)
            fields.append(Field(name, type_, bit, None, size))
            bit += size * 8
        elif width == 0:
            bit = up(bit, align_of(type_) * 8)
        else:
            unit = own * 8
            if not packed and up(bit % unit + width, unit) > up(size * 8, unit):
                bit = up(bit, unit)
            if name:
                fields.append(Field(name, type_, bit, width, size))
            bit += width
        if width is None or name:
            align = max(align, own)
        end = max(end, bit)
    struct.align = max(align, attributes.get("aligned", 1))
    struct.fields = fields
    struct.size = up(up(end, 8) // 8, struct.align)
