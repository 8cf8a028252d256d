"""Which types does a release's shipped table tell?  The last resort: no CTF, no DWARF.

A table (types/releases/freebsd-15.1-amd64.txt) is text, a record a type, in no order:

1. ``struct proc 1376`` or ``union …``: kind, name and size, then a line a member: a space, its bit
   from the struct's start (and ``:width`` of a bit-field), its name (``-`` for none), its type.
2. ``enum uio_rw 4``, then a line a value: a space, the value, the name.
3. ``variable nprocs int``.
4. A type is ``int32``, ``uint8``, ``char8``, ``bool8``, ``float64`` (bits), ``void``, ``function``
   or ``struct proc``, then ``*`` for each pointer, ``[20]`` for each array, the outermost last.  A
   struct that has no name is called after its place (``proc.p_list``); one without a record is not
   known.

``render`` writes one from a kernel's own type information.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.types.model import (
    Array,
    Composite,
    Enum,
    Float,
    Function,
    Integer,
    Member,
    Pointer,
    Type,
    Types,
    Void,
    resolve,
)

SCALAR = re.compile(r"(int|uint|char|uchar|bool|float)(\d+)")
NAMES = {
    "int": "int",
    "uint": "unsigned int",
    "char": "char",
    "uchar": "unsigned char",
    "bool": "_Bool",
    "float": "float",
}
SHAPES: dict[str, Literal["char", "bool"]] = {"char": "char", "uchar": "char", "bool": "bool"}
SUFFIX = re.compile(r"(.*?) ?(\*|\[(\d+)\])$")
KINDS: dict[str, Literal["struct", "union"]] = {"struct": "struct", "union": "union"}


class Tables:
    """Types (model.py's) of a table's ``text``; ``pointer_size`` in bytes."""

    def __init__(self, text: str, pointer_size: int) -> None:
        self._pointer_size = pointer_size
        self._records: dict[str, list[str]] = {}
        self._variables: dict[str, str] = {}
        self._known: dict[str, Type] = {}
        lines: list[str] = []
        for line in text.splitlines():
            if line.startswith(" "):
                lines.append(line)
            elif line.startswith("variable "):
                _, name, type_ = line.split(" ", 2)
                self._variables[name] = type_
            elif line and not line.startswith("#"):
                name, _, size = line.rpartition(" ")
                lines = self._records[name] = [size]

    def find(self, name: str) -> Type:
        """As Types.find; only structs, unions and enums."""
        if name not in self._records:
            raise TypeMissing(f"the shipped table does not know {name}")
        if name not in self._known:
            self._known[name] = self._decode(name)
        return self._known[name]

    def variable(self, name: str) -> Type:
        """As Types.variable."""
        if name not in self._variables:
            raise TypeMissing(f"the shipped table does not tell the type of {name}")
        return self._type(self._variables[name])

    def names(self) -> Iterator[str]:
        """As Types.names."""
        return (name for name in self._records if "." not in name)

    def enums(self) -> Iterator[Enum]:
        """As Types.enums."""
        found = (self.find(name) for name in self._records if name.startswith("enum "))
        return (one for one in found if isinstance(one, Enum))

    def _decode(self, name: str) -> Type:
        size, *lines = self._records[name]
        kind, _, tag = name.partition(" ")
        tag = "" if "." in tag else tag
        if kind == "enum":
            rows = [line.split() for line in lines]
            return Enum(tag, int(size), tuple((word, int(value)) for value, word in rows))
        return Composite(KINDS[kind], tag, int(size), tuple(map(self._member, lines)))

    def _member(self, line: str) -> Member:
        place, name, type_ = line[1:].split(" ", 2)
        bit, _, width = place.partition(":")
        ref = partial(self._type, type_)
        return Member("" if name == "-" else name, ref, int(bit), int(width) if width else None)

    def _type(self, text: str) -> Type:
        if found := SUFFIX.fullmatch(text):
            inner = partial(self._type, found[1])
            if found[2] == "*":
                return Pointer(self._pointer_size, inner)
            return Array(inner, int(found[3]))
        if found := SCALAR.fullmatch(text):
            return _scalar(found[1], int(found[2]) // 8)
        if text == "function":
            return Function()
        return self.find(text) if text in self._records else Void(text)


def _scalar(kind: str, size: int) -> Type:
    if kind == "float":
        return Float(NAMES[kind], size)
    return Integer(NAMES[kind], size, kind in ("int", "char"), SHAPES.get(kind, "int"))


def render(types: Types, names: Iterable[str], variables: Sequence[str]) -> str:
    """A table of the types of ``names`` and of all that lie within them; of those variables."""
    writer = _Writer(types)
    told = [f"variable {name} {writer.spell(types.variable(name), name)}" for name in variables]
    for name in names:
        writer.spell(types.find(name), name)
    return "\n".join([*writer.records(), *told, ""])


class _Writer:
    def __init__(self, types: Types) -> None:
        self._types = types
        self._records: dict[str, list[str]] = {}

    def records(self) -> Iterator[str]:
        for name in sorted(self._records):
            yield from self._records[name]

    def spell(self, type_: Type, place: str, *, behind: bool = False) -> str:
        """A type's words; a struct that lies there whole (not ``behind`` a pointer) is told too."""
        type_ = resolve(type_)
        match type_:
            case Pointer():
                return f"{self.spell(type_.target(), place, behind=True)} *"
            case Array():
                return f"{self.spell(type_.element(), place, behind=behind)} [{type_.count}]"
            case Composite() | Enum():
                return self._named(type_, place, behind)
            case Integer() | Float():
                return _word(type_)
            case Function():
                return "function"
        # an incomplete struct has its name
        return type_.name if isinstance(type_, Void) and " " in type_.name else "void"

    def _named(self, type_: Composite | Enum, place: str, behind: bool) -> str:
        kind = type_.kind if isinstance(type_, Composite) else "enum"
        if behind and not type_.name:
            return "void"
        name = f"{kind} {type_.name or place}"
        if not behind and name not in self._records:
            self._records[name] = []
            self._records[name] = [f"{name} {type_.size}", *self._lines(type_, name)]
        return name

    def _lines(self, type_: Composite | Enum, name: str) -> Iterator[str]:
        if isinstance(type_, Enum):
            yield from (f" {value} {word}" for word, value in type_.values)
            return
        place = name.partition(" ")[2]
        for number, one in enumerate(type_.members):
            spelled = self.spell(one.type(), f"{place}.{one.name or number}")
            width = "" if one.bit_size is None else f":{one.bit_size}"
            yield f" {one.bit_offset}{width} {one.name or '-'} {spelled}"


def _word(type_: Integer | Float) -> str:
    if isinstance(type_, Float):
        return f"float{type_.size * 8}"
    sign = "u" if not type_.signed and type_.kind != "bool" else ""
    return f"{sign}{type_.kind}{type_.size * 8}"
