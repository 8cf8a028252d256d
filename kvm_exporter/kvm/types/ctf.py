"""Which types does CTF tell?  Those of a .SUNW_ctf section (ctf(5)), decoded on demand.

1. An id is a type's number in its own section; a module's section sets the child bit in those of
   its own and means its parent's, the kernel's, without it.
2. A forward declaration is the definition of that name wherever there is one.  It does not say
   whether it is a struct (ctfconvert(1) writes none), so struct, union and enum are tried.
3. A bit-field's type is an integer with fewer bits than its size.  That of an enum has lost its
   width (ctfconvert(1), die_sou_resolve): it reaches up to the next member.
4. The data objects' types follow the order of the symbol table; what is counted there is the
   caller's ``objects``.  Where the counts differ nobody knows whose type is whose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Literal

from kvm_exporter.kvm.errors import FormatError, TypeMissing
from kvm_exporter.kvm.types import ctf_index as kinds
from kvm_exporter.kvm.types.ctf_index import Record, build_index, member_length, read_record
from kvm_exporter.kvm.types.ctf_section import NAME, read_section
from kvm_exporter.kvm.types.model import (
    MOST_NAMES,
    Array,
    Composite,
    Enum,
    Float,
    Function,
    Integer,
    Member,
    Named,
    Pointer,
    Ref,
    Type,
    Void,
)

SIGNED, CHAR, BOOL = 1, 2, 4
"""An integer's encoding (sys/sys/ctf.h, CTF_INT_*)."""

TAGS = {"struct": kinds.STRUCT, "union": kinds.UNION, "enum": kinds.ENUM}
PLAIN = {kinds.TYPEDEF: "", kinds.INTEGER: "", kinds.FLOAT: ""}
SPOKEN = PLAIN | {kind: f"{tag} " for tag, kind in TAGS.items()}
"""What stands before a type's name, by its kind."""

QUALIFIERS = {kinds.VOLATILE: "volatile", kinds.CONST: "const", kinds.RESTRICT: "restrict"}
NAMES = frozenset((kinds.TYPEDEF, *QUALIFIERS))
HOLE = Record(0, 0, 0, 0, 0)

LARGEST_STRUCT = 1 << 28
MOST_MEMBERS = 1 << 16
"""Bytes and members of a struct at most, values of an enum: many times what any kernel has."""

MOST_ALIKE = 1 << 10
"""Types of one name that are looked at: drivers have some hundred a ``struct softc``."""

COMPOSITES: Mapping[int, Literal["struct", "union"]] = {
    kinds.STRUCT: "struct",
    kinds.UNION: "union",
}


class Ctf:
    """Types (model.py's) of the section in ``data``; ``pointer_size`` in bytes.

    ``parent``: the types of the kernel, for a module.  ``objects``: gives the names of the data
    objects of the symbol table, in its order.  ``signed_char``: whether the architecture's plain
    ``char`` is.  Errors: FormatError.
    """

    def __init__(
        self,
        data: bytes,
        pointer_size: int,
        parent: Ctf | None = None,
        objects: Callable[[], Iterable[str]] | None = None,
        *,
        signed_char: bool = True,
    ) -> None:
        self._section = read_section(data)
        if self._section.parent and parent is None:
            raise FormatError(f"{NAME}: is for the types of {self._section.parent}, not given")
        self._index = build_index(self._section)
        self._pointer_size = pointer_size
        self._parent = parent
        self._objects = objects
        self._signed_char = signed_char
        self._variables: Mapping[str, int] | None = None
        self._known: dict[int, Type] = {}

    def __len__(self) -> int:
        """Types in the section itself."""
        return len(self._index.starts)

    def of_module(self, data: bytes, objects: Callable[[], Iterable[str]] | None = None) -> Ctf:
        """The types of a module's section, of this kernel; ``objects`` as above."""
        return Ctf(data, self._pointer_size, self, objects, signed_char=self._signed_char)

    def find(self, name: str) -> Type:
        """As Types.find; of several structs the first with members."""
        return self._chosen(name, self.find_all(name))

    def find_own(self, name: str) -> Type:
        """As ``find``, without the parent's."""
        return self._chosen(name, self._named(name))

    def _chosen(self, name: str, alike: Iterator[Type]) -> Type:
        found = islice(alike, MOST_ALIKE)
        first = next(found, None)
        if first is None:
            raise TypeMissing(f"this kernel's CTF does not know {name}")
        if isinstance(first, Composite) and not first.members:
            return next((one for one in found if isinstance(one, Composite) and one.members), first)
        return first

    def find_all(self, name: str) -> Iterator[Type]:
        """Every type of that name (each driver may have a ``struct softc``), own ones first."""
        yield from self._named(name)
        if self._parent:
            yield from self._parent.find_all(name)

    def _named(self, name: str) -> Iterator[Type]:
        tag, _, rest = name.partition(" ")
        known = (TAGS[tag],) if rest and tag in TAGS else PLAIN
        for kind in known:
            for number in self._index.find(kind, rest if kind not in PLAIN else name):
                yield self._type(number)

    def variable(self, name: str) -> Type:
        """As Types.variable."""
        if self._variables is None:
            self._variables = self._read_variables()
        number = self._variables.get(name, 0)
        if number:
            return self.type(number)
        if self._parent:
            return self._parent.variable(name)
        raise TypeMissing(f"this kernel's CTF does not tell the type of {name}")

    def _read_variables(self) -> Mapping[str, int]:
        numbers = self._section.objects
        names = tuple(self._objects()) if self._objects else ()
        # of several of one name the last: the table has local symbols before global ones
        return dict(zip(names, numbers, strict=True)) if len(names) == len(numbers) else {}

    def names(self) -> Iterator[str]:
        """As Types.names; a module's own only."""
        for kind, name in self._index.named():
            if kind in SPOKEN:
                yield SPOKEN[kind] + name

    def enums(self) -> Iterator[Enum]:
        """As Types.enums; a module's own only."""
        for number in range(1, len(self) + 1):
            found = self._type(number) if self._record(number).kind == kinds.ENUM else None
            if isinstance(found, Enum):
                yield found

    def type(self, number: int) -> Type:
        """The type of an id; FormatError for one that there is not."""
        owner = self._owner(number)
        return owner._type(owner._own(number))  # noqa: SLF001 — itself, or its parent

    def _owner(self, number: int) -> Ctf:
        mine = not self._section.parent or number & self._section.version.child
        return self if mine or self._parent is None else self._parent

    def _own(self, number: int) -> int:
        return number & ~self._section.version.child if self._section.parent else number

    def _type(self, number: int) -> Type:
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = self._decode(number) if number else Void()
        return known

    def _ref(self, number: int) -> Ref:
        return partial(self.type, number)

    def _record(self, number: int) -> Record:
        starts = self._index.starts
        if not 0 < number <= len(starts):
            raise FormatError(f"{NAME}: no type {number:#x}: there are {len(starts)}")
        return read_record(self._section, starts[number - 1])

    def _decode(self, number: int) -> Type:
        record = self._record(number)
        name = self._section.string(record.name)
        match record.kind:
            case kinds.INTEGER:
                return self._integer(record, name)
            case kinds.FLOAT:
                return Float(name, record.last)
            case kinds.ARRAY:
                return self._array(record)
            case kinds.STRUCT | kinds.UNION:
                kind = COMPOSITES[record.kind]
                return Composite(kind, name, record.last, self._members(record))
            case kinds.ENUM:
                return Enum(name, record.last, self._values(record))
        return self._decode_bare(record, name)

    def _decode_bare(self, record: Record, name: str) -> Type:
        match record.kind:
            case kinds.POINTER:
                return Pointer(self._pointer_size, self._ref(record.last))
            case kinds.TYPEDEF:
                return Named(name, self._ref(record.last))
            case kinds.FUNCTION:
                return self._function(record)
            case kinds.FORWARD:
                return self._forward(name)
            case kind if kind in QUALIFIERS:
                return Named(QUALIFIERS[kind], self._ref(record.last))
        return Void()

    def _forward(self, name: str) -> Type:
        for tag in TAGS:
            found = next(self.find_all(f"{tag} {name}"), None)
            if found is not None:
                return found
        return Void(f"struct {name}")

    def _integer(self, record: Record, name: str) -> Type:
        encoding = self._encoding(record)
        if not encoding & 0xFFFF:
            return Void(name)
        # ctfconvert(1) calls _Bool signed, one bit of it would be -1; and char, whatever it is
        signed = encoding >> 24 & (SIGNED | BOOL) == SIGNED
        if name == "char":
            signed = self._signed_char
        return Integer(name.removesuffix(" bitfield"), record.last, signed, _kind(encoding >> 24))

    def _function(self, record: Record) -> Function:
        ids = self._section.units[record.body : record.body + _bounded(record.length)]
        # a last argument of type 0 is "..."
        variadic = bool(ids) and not ids[-1]
        arguments = tuple(map(self._ref, ids[: len(ids) - variadic]))
        return Function(self._ref(record.last), arguments, variadic)

    def _encoding(self, record: Record) -> int:
        return self._section.words[record.body // self._section.version.per_word]

    def _array(self, record: Record) -> Array:
        # contents, index, count: the count is a word in both versions
        word = (record.body + 2) // self._section.version.per_word
        return Array(self._ref(self._section.units[record.body]), self._section.words[word])

    def _values(self, record: Record) -> tuple[tuple[str, int], ...]:
        word = record.body // self._section.version.per_word
        words = self._section.words[word : word + 2 * _bounded(record.length)]
        names = map(self._section.string, words[::2])
        return tuple(zip(names, ((w ^ 1 << 31) - (1 << 31) for w in words[1::2]), strict=True))

    def _members(self, record: Record) -> tuple[Member, ...]:
        if record.last > LARGEST_STRUCT:
            raise FormatError(f"{NAME}: a struct of {record.last} bytes")
        step = member_length(self._section, record)
        ends = record.body + _bounded(record.length) * step
        places = [self._place(at, step) for at in range(record.body, ends, step)]
        following = [*[bit for _, _, bit in places][1:], record.last * 8]
        return tuple(
            Member(name, self._ref(number), bit, self._bits(number, bit, after - bit))
            for (name, number, bit), after in zip(places, following, strict=False)
        )

    def _place(self, at: int, step: int) -> tuple[str, int, int]:
        version, words = self._section.version, self._section.words
        word, unit = at // version.per_word, at + version.per_word
        bit = self._section.units[unit + 1]
        if step == version.long_member:
            bit = words[word + 2] << 32 | words[word + 3]
        return self._section.string(words[word]), self._section.units[unit], bit

    def _bits(self, number: int, bit: int, gap: int) -> int | None:
        """The width of a bit-field; None for what is none.  ``gap``: bits to the next member."""
        kind, width, size = self._scalar(number)
        if kind == kinds.INTEGER:
            return width if width < size * 8 or bit % 8 else None
        return gap if kind == kinds.ENUM and 0 < gap < size * 8 else None

    def _scalar(self, number: int) -> tuple[int, int, int]:
        """Kind, bits (of an integer) and size of what is behind typedefs; nothing is decoded."""
        for _ in range(MOST_NAMES):
            owner = self._owner(number)
            record = owner._record(owner._own(number)) if number else HOLE  # noqa: SLF001
            if record.kind not in NAMES:
                break
            number = record.last
        width = owner._encoding(record) & 0xFFFF if record.kind == kinds.INTEGER else 0  # noqa: SLF001
        return record.kind, width, record.last


def _kind(flags: int) -> Literal["int", "char", "bool"]:
    if flags & BOOL:
        return "bool"
    return "char" if flags & CHAR else "int"


def _bounded(count: int) -> int:
    """``count``, FormatError for more than any type has."""
    if count > MOST_MEMBERS:
        raise FormatError(f"{NAME}: a type of {count} members")
    return count
