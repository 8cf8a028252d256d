"""How does a FreeBSD kernel describe its types?  CTF, versions 2 and 3, from C declarations.

    c = Declarations("struct proc { int p_pid; }; struct proc *allproc;")
    section = Ctf(c, objects=["allproc", None]).data        # contents of .SUNW_ctf

Written from sys/sys/ctf.h, ctf(5) and what ctfconvert(1) and ctfmerge(1) put there:

1. A header of 36 bytes, then (zlib compressed or not) labels, data objects, functions, types,
   strings, each at the header's offset from the header's end.
2. A type's id is its number in the types section, from 1 on; of a module's section, whose other ids
   are its parent's, the highest bit is set as well.  Id 0 is nothing.
3. ``objects`` has an id for each data symbol that the symbol table has, in its order.
4. A bit-field's type is an integer of its own with the field's width, named like ``unsigned int
   bitfield``; an enum's bit-field is the enum itself, its width is lost.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from forge.cdecl import (
    Array,
    Base,
    Declarations,
    Enum,
    Field,
    Function,
    Pointer,
    Qualified,
    Struct,
    Type,
    Typedef,
    bare,
)

INTEGER, FLOAT, POINTER, ARRAY, FUNCTION, STRUCT, UNION, ENUM, FORWARD, TYPEDEF = range(1, 11)
QUALIFIERS = {"volatile": 11, "const": 12, "restrict": 13}
KINDS = {Pointer: POINTER, Typedef: TYPEDEF}
FLOATS = {"float": 1, "double": 2, "long double": 6}


@dataclass(frozen=True)
class Version:
    """Widths of one version's records; ``big`` is the size from which members are long."""

    number: int
    kind: int
    root: int
    child: int
    code: str
    sentinel: int
    big: int


VERSIONS = {
    2: Version(2, 11, 10, 0x8000, "H", 0xFFFF, 1 << 13),
    3: Version(3, 26, 25, 0x80000000, "I", 0xFFFFFFFF, 1 << 29),
}


@dataclass
class Strings:
    """Names, each once."""

    data: bytearray = field(default_factory=lambda: bytearray(1))
    known: dict[str, int] = field(default_factory=lambda: {"": 0})

    def at(self, name: str) -> int:
        if name not in self.known:
            self.known[name] = len(self.data)
            self.data += name.encode() + b"\0"
        return self.known[name]


class Ctf:
    """A section: ``data`` are its bytes, ``ids`` the named types' ids by ``struct proc``, ``int``.

    ``objects`` and ``functions`` are variables and functions in symbol table order, None for one of
    which nothing is known.  ``more`` are declarations of other files, whose types come after all
    others, even of the same name.  ``parent`` is the kernel's section for a module's.
    """

    def __init__(
        self,
        declarations: Declarations,
        version: int = 3,
        *,
        compress: bool = True,
        objects: Sequence[str | None] = (),
        functions: Sequence[str | None] = (),
        labels: Sequence[str] = ("FreeBSD 15.1",),
        more: Sequence[Declarations] = (),
        parent: Ctf | None = None,
        parent_name: str = "kernel",
    ) -> None:
        self.v = VERSIONS[version]
        self.order = declarations.abi.order
        self.parent = parent
        self.strings = Strings()
        self.ids: dict[str, int] = {}
        self._numbers: dict[object, int] = {}
        self._records: list[bytes] = []
        self._kept: list[Type] = []
        self._declarations = declarations
        for one in (declarations, *more):
            self._declarations = one
            for type_ in self._all(one):
                self.id(type_)
        self._declarations = declarations
        objt = b"".join(
            self._pack(self.v.code, self.id(declarations.variables[name]) if name else 0)
            for name in objects
        )
        func = b"".join(self._function(name) for name in functions)
        lbl = b"".join(
            self._pack("II", self.strings.at(label), len(self._records)) for label in labels
        )
        self.types = b"".join(self._records)
        self.data = self._assemble(lbl, objt, func, compress, parent_name if parent else "")

    def _assemble(self, lbl: bytes, objt: bytes, func: bytes, compress: bool, parent: str) -> bytes:
        label = self.strings.at("FreeBSD 15.1") if parent else 0
        name = self.strings.at(parent)
        func += bytes(-(len(objt) + len(func)) % 4)
        ends = [0, len(lbl), len(lbl + objt), len(lbl + objt + func)]
        ends.append(ends[-1] + len(self.types))
        header = self._pack(
            "HBB8I", 0xCFF1, self.v.number, compress, label, name, *ends, len(self.strings.data)
        )
        body = lbl + objt + func + self.types
        if not compress:
            return header + body + self.strings.data
        squeeze = zlib.compressobj(9)
        body = squeeze.compress(body) + squeeze.flush(zlib.Z_FULL_FLUSH)
        return header + body + squeeze.compress(bytes(self.strings.data)) + squeeze.flush()

    def _pack(self, code: str, *values: int) -> bytes:
        return struct.pack(self.order + code, *values)

    @staticmethod
    def _all(declarations: Declarations) -> Iterator[Type]:
        yield from declarations.structs.values()
        yield from declarations.enums.values()
        yield from declarations.typedefs.values()
        yield from declarations.variables.values()
        yield from declarations.functions.values()

    def id(self, type_: Type) -> int:
        """A type's id; it gets a record where it has none yet, here or in the parent."""
        key: object = id(type_)
        name = spoken(type_)
        if self.parent and name and name in self.parent.ids:
            return self.parent.ids[name]
        if key not in self._numbers:
            self._number(key)
            if name:
                self.ids.setdefault(name, self._numbers[key])
            # keep it: a number belongs to an object's identity
            self._kept.append(type_)
            self._records[self._index(key)] = self._record(type_)
        return self._numbers[key]

    def _number(self, key: object) -> None:
        self._records.append(b"")
        self._numbers[key] = len(self._records) | (self.v.child if self.parent else 0)

    def _index(self, key: object) -> int:
        return (self._numbers[key] & ~self.v.child) - 1

    def _head(self, kind: int, name: str, vlen: int, last: int) -> bytes:
        info = kind << self.v.kind | 1 << self.v.root | vlen
        return self._pack("I" + 2 * self.v.code, self.strings.at(name), info, last)

    def _sized(self, kind: int, name: str, vlen: int, size: int) -> bytes:
        if size < self.v.sentinel:
            return self._head(kind, name, vlen, size)
        long = self._pack("II", size >> 32, size & 0xFFFFFFFF)
        return self._head(kind, name, vlen, self.v.sentinel) + long

    def _record(self, type_: Type) -> bytes:
        match type_:
            case Base():
                return self._base(type_, type_.name, type_.size * 8)
            case Array():
                index = self.id(self._declarations.type("long"))
                code = 2 * self.v.code + "I"
                body = self._pack(code, self.id(type_.of), index, type_.count)
                return self._sized(ARRAY, "", 1, 0) + body
            case Function():
                ids = [self.id(one) for one in type_.arguments] + [0] * type_.variadic
                body = self._pack(f"{len(ids)}{self.v.code}", *ids)
                head = self._head(FUNCTION, "", len(ids), self.id(type_.returns))
                return head + body + bytes(-len(body) % 4)
            case Enum():
                values = [
                    self._pack("II", self.strings.at(n), v & 0xFFFFFFFF) for n, v in type_.values
                ]
                return self._sized(ENUM, type_.tag, len(values), type_.size) + b"".join(values)
            case Struct():
                return self._struct(type_)
        name = type_.name if isinstance(type_, Typedef) else ""
        kind = QUALIFIERS[type_.kind] if isinstance(type_, Qualified) else KINDS[type(type_)]
        return self._head(kind, name, 0, self.id(type_.to))

    def _base(self, type_: Base, name: str, bits: int) -> bytes:
        if type_.kind == "float":
            return self._sized(FLOAT, name, 1, type_.size) + self._pack(
                "I", FLOATS[type_.name] << 24 | bits
            )
        # ctfconvert calls plain char signed on every architecture
        encoding = (type_.signed or type_.name == "char" or type_.kind == "void") | {
            "char": 2,
            "bool": 4,
        }.get(type_.kind, 0)
        return self._sized(INTEGER, name, 1, type_.size) + self._pack("I", encoding << 24 | bits)

    def _struct(self, type_: Struct) -> bytes:
        if type_.fields is None:
            return self._head(FORWARD, type_.tag, 0, 0)
        kind = STRUCT if type_.kind == "struct" else UNION
        members = [self._member(one, type_.size >= self.v.big) for one in type_.fields]
        return self._sized(kind, type_.tag, len(members), type_.size) + b"".join(members)

    def _member(self, one: Field, long: bool) -> bytes:
        name, type_ = self.strings.at(one.name), self._member_type(one)
        if not long:
            return self._pack("I" + 2 * self.v.code, name, type_, one.bit)
        pad = "xx" if self.v.code == "H" else ""
        return self._pack(
            f"I{self.v.code}{pad}II", name, type_, one.bit >> 32, one.bit & 0xFFFFFFFF
        )

    def _member_type(self, one: Field) -> int:
        base = bare(one.type)
        if one.width is None or not isinstance(base, Base) or one.width == base.size * 8:
            return self.id(one.type)
        key = ("bits", base.name, one.width)
        if key not in self._numbers:
            self._number(key)
            self._records[self._index(key)] = self._base(base, f"{base.name} bitfield", one.width)
        return self._numbers[key]

    def _function(self, name: str | None) -> bytes:
        if name is None:
            return self._pack(self.v.code, 0)
        type_ = self._declarations.functions[name]
        ids = [self.id(one) for one in type_.arguments] + [0] * type_.variadic
        info = FUNCTION << self.v.kind | 1 << self.v.root | len(ids)
        body = self._pack(f"{2 + len(ids)}{self.v.code}", info, self.id(type_.returns), *ids)
        return body + bytes(-len(body) % 4)


def spoken(type_: Type) -> str:
    """What C code calls a type: ``struct proc``, ``pid_t``, ``int``; empty where it has no name."""
    match type_:
        case Struct():
            return f"{type_.kind} {type_.tag}" if type_.tag else ""
        case Enum():
            return f"enum {type_.tag}" if type_.tag else ""
        case Base() | Typedef():
            return type_.name
    return ""
