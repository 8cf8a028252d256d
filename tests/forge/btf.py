"""How does a Linux kernel describe its types?  BTF, from C declarations or record by record.

    r = Records("<")
    number = r.add(INT, "int", last=4, words=[1 << 24 | 32])
    r.data                                                  # contents of .BTF
    c = Declarations("struct task { int pid; }; struct task first;")
    Btf(c, variables={".data..percpu": {"first": 64}}).data

Written from Documentation/bpf/btf.rst and include/uapi/linux/btf.h:

1. A header (magic 0xeb9f, version 1, flags, its own length, then offset and length of types and of
   strings from its end); a newer kernel's may be longer.
2. A record: the name's offset, info (count, kind << 24, flag << 31), size or type; then what the
   kind needs.  Ids count from 1; a module's go on where its base's end, and so do string offsets.
3. A struct's flag says that members have their bit-fields' widths in the highest byte of their
   offset.  Without it, as until Linux 5.0, a bit-field's type is an integer of its own that says
   how many bits, and from which bit of it on.
4. An enum's flag says that its values have signs (Linux 6.0); one with wider values is an ENUM64.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

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
    size_of,
)

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT = range(1, 12)
FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(12, 20)
QUALIFIERS = {"volatile": VOLATILE, "const": CONST, "restrict": RESTRICT}
KINDS = {Pointer: PTR, Typedef: TYPEDEF}
HEADER_SIZE = 24


class Records:
    """A section, record by record; ``order`` is ``<`` or ``>``, ``base`` what it continues."""

    def __init__(self, order: str, base: Records | None = None) -> None:
        self.order = order
        self.first: int = base.end if base else 1
        self.first_string: int = base.strings_end if base else 0
        self._base = base
        self._strings = bytearray(0 if base else 1)
        self._known: dict[str, int] = dict(base._known) if base else {"": 0}
        self.records: list[bytes] = []

    @property
    def end(self) -> int:
        """The id after the last."""
        return self.first + len(self.records)

    @property
    def strings_end(self) -> int:
        """The string offset after the last."""
        return self.first_string + len(self._strings)

    def name(self, text: str) -> int:
        """The offset of a string; a base's, where that has it."""
        if text not in self._known:
            self._known[text] = self.strings_end
            self._strings += text.encode() + b"\0"
        return self._known[text]

    def record(
        self, kind: int, name: str = "", last: int = 0, words: Sequence[int] = (),
        count: int = 0, flag: bool = False,
    ) -> bytes:  # fmt: skip
        """The bytes of a record."""
        info = count | kind << 24 | flag << 31
        row = (self.name(name), info, last, *words)
        return struct.pack(f"{self.order}{len(row)}I", *(word & 0xFFFFFFFF for word in row))

    def add(self, *args: object, **more: object) -> int:
        """Put a record behind the others; its id."""
        self.records.append(self.record(*args, **more))
        return self.end - 1

    def section(self, header: bytes = b"", gap: bytes = b"") -> bytes:
        """The section; ``header`` is what a newer one has behind, ``gap`` is before the strings."""
        types = b"".join(self.records)
        rows = (0, len(types), len(types) + len(gap), len(self._strings))
        head = struct.pack(self.order + "HBBI4I", 0xEB9F, 1, 0, HEADER_SIZE + len(header), *rows)
        return head + header + types + gap + bytes(self._strings)

    @property
    def data(self) -> bytes:
        """The section."""
        return self.section()


class Btf:
    """The types of ``declarations``: ``records`` and their bytes, ``data``.

    ``variables``: by section the offset of each.  ``flagged`` and ``signed`` are the flags of
    structs and enums; without the second, values are written as 32 bits, whatever they are.
    ``base`` is the kernel's, for a module.
    """

    def __init__(
        self,
        declarations: Declarations,
        *,
        base: Btf | None = None,
        variables: Mapping[str, Mapping[str, int]] | None = None,
        flagged: bool = True,
        signed: bool = True,
    ) -> None:
        self.declarations = declarations
        self.base = base
        self._flagged = flagged
        self._signed = signed
        self.records = Records(declarations.abi.order, base.records if base else None)
        self.ids: dict[str, int] = {}
        self._numbers: dict[object, int] = {}
        self._kept: list[Type] = []
        if base is None:
            self.id(declarations.type("unsigned long"))
        for type_ in self._all():
            self.id(type_)
        for name, type_ in declarations.functions.items():
            self.records.add(FUNC, name, self.id(type_), count=1)
        for section, places in (variables or {}).items():
            self._datasec(section, places)

    @property
    def data(self) -> bytes:
        """The section."""
        return self.records.data

    def _all(self) -> Iterator[Type]:
        yield from self.declarations.structs.values()
        yield from self.declarations.enums.values()
        yield from self.declarations.typedefs.values()
        yield from self.declarations.variables.values()

    def _datasec(self, section: str, places: Mapping[str, int]) -> None:
        rows: list[int] = []
        for name, offset in places.items():
            type_ = self.declarations.variables[name]
            number = self.records.add(VAR, name, self.id(type_), [1])
            rows += [number, offset, size_of(type_)]
        self.records.add(DATASEC, section, 0, rows, count=len(places))

    def id(self, type_: Type) -> int:
        """A type's id; it gets a record where it has none yet, here or in the base."""
        if isinstance(type_, Base) and type_.kind == "void":
            return 0
        name = spoken(type_)
        if self.base and name in self.base.ids:
            return self.base.ids[name]
        if id(type_) not in self._numbers:
            # keep it: a number belongs to an object's identity
            self._kept.append(type_)
            self._put(id(type_), type_)
            if name:
                self.ids.setdefault(name, self._numbers[id(type_)])
        return self._numbers[id(type_)]

    def _put(self, key: object, type_: Type) -> None:
        # its number comes before the types that it is made of: those may lead back to it
        self.records.records.append(b"")
        number = self._numbers[key] = self.records.end - 1
        self.records.records[number - self.records.first] = self._record(type_)

    def _record(self, type_: Type) -> bytes:
        record = self.records.record
        match type_:
            case Base():
                return self._base(type_, type_.name, 0, type_.size * 8)
            case Array():
                index = self.id(self.declarations.type("unsigned int"))
                return record(ARRAY, words=(self.id(type_.of), index, type_.count))
            case Function():
                return self._function(type_)
            case Enum():
                return self._enum(type_)
            case Struct():
                return self._struct(type_)
        assert isinstance(type_, Typedef | Qualified | Pointer)
        kind = QUALIFIERS[type_.kind] if isinstance(type_, Qualified) else KINDS[type(type_)]
        return record(kind, type_.name if kind == TYPEDEF else "", self.id(type_.to))

    def _base(self, type_: Base, name: str, first: int, bits: int) -> bytes:
        if type_.kind == "float":
            return self.records.record(FLOAT, name, type_.size)
        # pahole marks truths and signs, but no text
        encoding = 4 if type_.kind == "bool" else type_.signed
        return self.records.record(INT, name, type_.size, [encoding << 24 | first << 16 | bits])

    def _function(self, type_: Function) -> bytes:
        ids = [self.id(one) for one in type_.arguments]
        names = [self.records.name(f"argument{n}") for n in range(len(ids))]
        rows = [word for row in zip(names, ids, strict=True) for word in row]
        rows += [0, 0] * type_.variadic
        returns = self.id(type_.returns)
        return self.records.record(FUNC_PROTO, "", returns, rows, count=len(rows) // 2)

    def _enum(self, type_: Enum) -> bytes:
        wide = type_.size == 8
        flag = self._signed and any(value < 0 for _, value in type_.values)
        rows: list[int] = []
        for name, value in type_.values:
            rows += [self.records.name(name), value, *([value >> 32] if wide else [])]
        kind = ENUM64 if wide else ENUM
        count = len(type_.values)
        return self.records.record(kind, type_.tag, type_.size, rows, count=count, flag=flag)

    def _struct(self, type_: Struct) -> bytes:
        record = self.records.record
        if type_.fields is None:
            return record(FWD, type_.tag, flag=type_.kind == "union")
        rows: list[int] = []
        for one in type_.fields:
            rows += [self.records.name(one.name), *self._member(one)]
        kind = STRUCT if type_.kind == "struct" else UNION
        bits = any(one.width is not None for one in type_.fields)
        flag = self._flagged and bits
        return record(kind, type_.tag, type_.size, rows, count=len(type_.fields), flag=flag)

    def _member(self, one: Field) -> tuple[int, int]:
        """Its type's id, and where it lies."""
        if self._flagged or one.width is None:
            return self.id(one.type), (one.width or 0) << 24 | one.bit
        base = bare(one.type)
        assert isinstance(base, Base), "an enum's bit-field cannot be told without the flag"
        # the integer starts where its own bytes would, the field at a bit of it
        first = one.bit % 8
        key = ("bits", base.name, first, one.width)
        if key not in self._numbers:
            self._numbers[key] = self.records.end
            self.records.records.append(self._base(base, base.name, first, one.width))
        return self._numbers[key], one.bit - first


def spoken(type_: Type) -> str:
    """What C code calls a type: ``struct proc``, ``pid_t``, ``int``; empty where it has no name."""
    match type_:
        case Struct() if type_.fields is not None:
            return f"{type_.kind} {type_.tag}" if type_.tag else ""
        case Enum():
            return f"enum {type_.tag}" if type_.tag else ""
        case Base() | Typedef():
            return type_.name
    return ""
