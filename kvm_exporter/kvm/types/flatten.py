"""Where do a struct's members lie?  C types become layout.py's rows, for the wanted members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import calcsize
from typing import NamedTuple

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError, TypeMissing
from kvm_exporter.kvm.layout import Layout
from kvm_exporter.kvm.layout import Member as Row
from kvm_exporter.kvm.types.model import (
    Array,
    Composite,
    Enum,
    Float,
    Integer,
    Pointer,
    Type,
    Types,
    resolve,
)

INTEGER_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}
FLOAT_CODES = {4: "f", 8: "d"}
MOST_DIMENSIONS = 32
MOST_ANONYMOUS = 1 << 10
MOST_MEMBERS = 1 << 17
LARGEST = 1 << 26
"""Arrays of arrays, anonymous structs in a struct, members of all these, bytes of a read: more than
any kernel has."""


class Place(NamedTuple):
    """A member found: its type as declared, and where it starts in the outermost struct."""

    type: Type
    bit_offset: int
    bit_size: int | None


def composite(types: Types, name: str) -> Composite:
    """``struct proc`` or a typedef of one; TypeMissing where it is no struct or union."""
    found = resolve(types.find(name))
    if not isinstance(found, Composite):
        raise TypeMissing(f"{name} is no struct or union in this kernel's type information")
    return found


def constants(types: Types, name: str) -> Mapping[str, int]:
    """What ``enum pid_type`` numbers; TypeMissing where it is no enum."""
    found = resolve(types.find(name))
    if not isinstance(found, Enum):
        raise TypeMissing(f"{name} is no enum in this kernel's type information")
    return dict(found.values)


def member(struct: Composite, path: str) -> Place | None:
    """``p_stats.p_start``; members of anonymous structs and unions count as the struct's own."""
    at = 0
    place = None
    inner: Type = struct
    for name in path.split("."):
        if not isinstance(inner, Composite):
            return None
        place = _named(inner, name)
        if place is None:
            return None
        at += place.bit_offset
        inner = resolve(place.type)
    return Place(place.type, at, place.bit_size) if place else None


def _named(struct: Composite, name: str) -> Place | None:
    # a struct's own members first, then those of the anonymous ones in it, and so on
    within = [(struct, 0)]
    looked_at = 0
    for one, base in within:
        looked_at += len(one.members)
        for found in one.members:
            if found.name == name:
                return Place(found.type(), base + found.bit_offset, found.bit_size)
        anonymous = ((resolve(m.type()), base + m.bit_offset) for m in one.members if not m.name)
        within += [(inner, at) for inner, at in anonymous if isinstance(inner, Composite)]
        if len(within) > MOST_ANONYMOUS or looked_at > MOST_MEMBERS:
            raise FormatError(f"{struct.kind} {struct.name}: damaged type information")
    return None


def member_offset(types: Types, struct: str, path: str) -> int | None:
    """Bytes from the start; None where there is no such struct or member."""
    try:
        place = member(composite(types, struct), path)
    except TypeMissing:
        return None
    return place.bit_offset // 8 if place else None


def layout(types: Types, abi: Abi, struct: str, paths: Iterable[str]) -> Layout:
    """The rows of the wanted members; TypeMissing names those that the struct has not.

    A bit-field that does not fill bytes has no row of its own: it is read through a View.
    """
    found = composite(types, struct)
    if found.size > LARGEST:
        raise FormatError(f"{struct} of {found.size} bytes: damaged type information")
    places = {path: member(found, path) for path in paths}
    if missing := [path for path, place in places.items() if place is None]:
        raise TypeMissing(f"{struct} has no member {', '.join(missing)} in this kernel")
    rows = {path: _row(struct, found, path, place, abi) for path, place in places.items() if place}
    return Layout(struct, found.size, abi.order, rows)


def _row(struct: str, found: Composite, path: str, place: Place, abi: Abi) -> Row:
    code = _code_of_bits(place) if place.bit_size else type_code(place.type, abi)
    if code is None:
        raise TypeMissing(f"{struct}: {path} is a bit-field, or of a type that has no size")
    at = place.bit_offset // 8
    if at + calcsize(abi.order + code) > found.size:
        raise FormatError(f"{struct}: {path} lies at {at} of {found.size} bytes")
    return Row(at, code)


def _code_of_bits(place: Place) -> str | None:
    """Of a bit-field that fills bytes, as vnode's v_type did until 13; None for any other."""
    size, rest = divmod(place.bit_size or 0, 8)
    code = INTEGER_CODES.get(size) if not rest and not place.bit_offset % 8 else None
    return code if code is None or is_signed(resolve(place.type)) else code.upper()


def type_code(type_: Type, abi: Abi) -> str | None:
    """As the struct module has it; ``16s`` for anything of 16 bytes that is no number."""
    type_ = resolve(type_)
    match type_:
        case Integer() | Enum():
            code = INTEGER_CODES.get(type_.size)
            return code if code is None or is_signed(type_) else code.upper()
        case Pointer():
            return abi.pointer
        case Float():
            return FLOAT_CODES.get(type_.size)
    size = size_of(type_)
    return None if size is None or size > LARGEST else f"{size}s"


def is_signed(type_: Type) -> bool:
    """Whether its highest bit is a sign; of an enum: whether it names negative values."""
    match type_:
        case Integer(signed=signed):
            return signed
        case Enum(values=values):
            return any(value < 0 for _, value in values)
    return False


def size_of(type_: Type) -> int | None:
    """Bytes; None for what has no size (void, a function, an incomplete struct)."""
    count = 1
    type_ = resolve(type_)
    for _ in range(MOST_DIMENSIONS):
        if not isinstance(type_, Array):
            break
        count *= type_.count
        type_ = resolve(type_.element())
    match type_:
        case Integer() | Float() | Pointer() | Composite() | Enum():
            return count * type_.size
    return None
