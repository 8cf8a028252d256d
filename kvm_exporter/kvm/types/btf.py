"""Which types does BTF tell?  Those of a .BTF section, decoded on demand.

1. An id is a type's number, from 1 on; a module's section goes on where its base's ids and string
   offsets end.  Id 0 is void.
2. A forward declaration is the definition of that name wherever there is one; an enum's is an enum
   without values.
3. A member's offset is in bits.  A bit-field's width stands with it where the struct's flag is set;
   without the flag (until Linux 5.0) it is that of its integer, whose own first bit is added.
4. Tags of pointers' targets (``__percpu``, ``__rcu``, ``__user``) are kept as names; other tags say
   nothing about layout and are passed over.
5. Variables are those of sections (DATASEC).  Linux tells those of the per-CPU section only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice
from typing import Literal, NamedTuple

from kvm_exporter.kvm.errors import FormatError, TypeMissing
from kvm_exporter.kvm.types import btf_index as kinds
from kvm_exporter.kvm.types.btf_index import (
    COUNT_MASK,
    HEAD,
    Index,
    build_index,
    kind_of,
    spellings,
)
from kvm_exporter.kvm.types.btf_section import LONGEST_NAME, NAME, read_section
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
"""An integer's encoding (BTF_INT_*)."""

TAGS = {
    "struct": (kinds.STRUCT,),
    "union": (kinds.UNION,),
    "enum": (kinds.ENUM, kinds.ENUM64),
}
PLAIN = (kinds.TYPEDEF, kinds.INTEGER, kinds.FLOAT)
SPOKEN = {kind: f"{tag} " for tag, known in TAGS.items() for kind in known} | dict.fromkeys(
    PLAIN, ""
)
"""What stands before a type's name, by its kind."""

QUALIFIERS = {kinds.VOLATILE: "volatile", kinds.CONST: "const", kinds.RESTRICT: "restrict"}
SHOWN = {"percpu": "__percpu", "rcu": "__rcu", "user": "__user"}
"""Tags that say in which memory a pointer's target lies (include/linux/compiler_types.h)."""

NAMES = frozenset((kinds.TYPEDEF, kinds.TYPE_TAG, *QUALIFIERS))

LARGEST_STRUCT = 1 << 28
MOST_MEMBERS = 1 << 16
"""Bytes and members of a struct at most, values of an enum: many times what any kernel has."""

LONGS = ("long unsigned int", "long int", "unsigned long", "long")
"""What GCC and Clang call integers as wide as a pointer."""

MOST_ALIKE = 1 << 10
"""Types of one name that are looked at."""

COMPOSITES: Mapping[int, Literal["struct", "union"]] = {
    kinds.STRUCT: "struct",
    kinds.UNION: "union",
}


class Record(NamedTuple):
    """A type's record: ``last`` is its size or the type it is made of, ``body`` what follows."""

    name: int
    info: int
    last: int
    body: Sequence[int]

    @property
    def flag(self) -> bool:
        """The info word's: of a struct that its bit-fields tell their width, of an enum signs."""
        return bool(self.info >> 31)


NOTHING = Record(0, 0, 0, ())


class BtfTypes:
    """Types (model.py's) of a section: of its bytes, or of its index (btf_index.py).

    ``base``: the types of the kernel, for a module.  ``pointer_size``, in bytes, is a ``long``'s
    unless it is given.  Errors: FormatError.
    """

    def __init__(
        self,
        section: bytes | Index,
        base: BtfTypes | None = None,
        pointer_size: Literal[4, 8] | None = None,
    ) -> None:
        if isinstance(section, Index):
            self._index = section
        else:
            self._index = build_index(read_section(section))
        self._base = base
        self._first: int = base.end if base else 1
        self._first_string: int = base.strings_end if base else 0
        # a module may have no value that needs a sign
        self.marks_signs: bool = self._index.marks_signs or bool(base and base.marks_signs)
        self._known: dict[int, Type] = {}
        self._places: dict[str, tuple[int, ...]] = {}
        self.pointer_size = pointer_size or self._size_of_long()

    def __len__(self) -> int:
        """Types in the section itself."""
        return len(self._index.starts)

    @property
    def end(self) -> int:
        """The id that follows the last one."""
        return self._first + len(self)

    @property
    def strings_end(self) -> int:
        """The offset that follows the last string."""
        return self._first_string + len(self._index.section.strings)

    def find(self, name: str) -> Type:
        """As Types.find; of several of one name the first with members or values."""
        found = islice(self.find_all(name), MOST_ALIKE)
        first = next(found, None)
        if first is None:
            raise TypeMissing(f"this kernel's BTF does not know {name}")
        if _is_complete(first):
            return first
        return next(filter(_is_complete, found), first)

    def find_all(self, name: str) -> Iterator[Type]:
        """Every type of that name, own ones first."""
        yield from self.find_own(name)
        if self._base:
            yield from self._base.find_all(name)

    def find_own(self, name: str) -> Iterator[Type]:
        """Every type of that name in the section itself."""
        tag, _, rest = name.partition(" ")
        known, text = (TAGS[tag], rest) if rest and tag in TAGS else (PLAIN, name)
        return map(self.type, self._numbers(known, text))

    def variable(self, name: str) -> Type:
        """As Types.variable."""
        number = self._variables.get(name)
        if number is not None:
            return self.type(self._record(number).last)
        if self._base:
            return self._base.variable(name)
        raise TypeMissing(f"this kernel's BTF does not tell the type of {name}")

    @cached_property
    def _variables(self) -> Mapping[str, int]:
        """The ids of own variables: a kernel tells some hundreds, and is asked for thousands that
        it does not tell, each of which would be looked for in all of the strings."""
        found: dict[str, int] = {}
        words = self._index.section.words
        for number, at in enumerate(self._index.starts, self._first):
            if kind_of(words[at + 1]) == kinds.VARIABLE:
                found.setdefault(self.string(words[at]), number)
        return found

    def names(self) -> Iterator[str]:
        """As Types.names; a module's own only."""
        return iter(dict.fromkeys(self._names()))

    def _names(self) -> Iterator[str]:
        words, starts = self._index.section.words, self._index.starts
        for key in self._index.keys:
            kind = kind_of(words[starts[key & 0xFFFFFFFF] + 1])
            name = self.string(key >> 32) if kind in SPOKEN else ""
            if name:
                yield SPOKEN[kind] + name

    def enums(self) -> Iterator[Enum]:
        """As Types.enums; a module's own only."""
        words = self._index.section.words
        for number, at in enumerate(self._index.starts, self._first):
            found = self.type(number) if kind_of(words[at + 1]) in TAGS["enum"] else None
            if isinstance(found, Enum):
                yield found

    def type(self, number: int) -> Type:
        """The type of an id; FormatError for one that there is not."""
        if not number:
            return Void()
        known = self._known.get(number)
        if known is None:
            if self._base and number < self._first:
                return self._base.type(number)
            known = self._known[number] = self._decode(self._record(number))
        return known

    def string(self, offset: int) -> str:
        """The text at an offset; empty where there is none."""
        if self._base and offset < self._first_string:
            return self._base.string(offset)
        at, strings = offset - self._first_string, self._index.section.strings
        if not 0 <= at < len(strings):
            return ""
        text = strings[at : at + LONGEST_NAME].partition(b"\0")[0]
        return text.decode("utf-8", "surrogateescape")

    def _numbers(self, known: Sequence[int], name: str) -> Iterator[int]:
        """The ids of own types of a name and of one of the kinds."""
        for offset in self._offsets(name):
            for kind, number in self._index.at(offset):
                if kind in known:
                    yield self._first + number

    def _offsets(self, name: str) -> Iterator[int]:
        if self._base:
            yield from self._base.places(name)
        own = spellings(self._index.section.strings, name)
        yield from (self._first_string + at for at in own)

    def places(self, name: str) -> tuple[int, ...]:
        """The offsets of a name; kept, for a hundred modules ask for the same."""
        if name not in self._places:
            self._places[name] = tuple(self._offsets(name))
        return self._places[name]

    def _size_of_long(self) -> Literal[4, 8]:
        """As libbpf has it (determine_ptr_size in tools/lib/bpf/btf.c)."""
        if self._base:
            return self._base.pointer_size
        for name in LONGS:
            match next(self.find_own(name), None):
                case Integer(size=4):
                    return 4
                case Integer(size=8):
                    return 8
        raise FormatError(f"{NAME}: it does not know long, whose size is that of a pointer")

    def _ref(self, number: int) -> Ref:
        return partial(self.type, number)

    def _record(self, number: int) -> Record:
        if self._base and number < self._first:
            return self._base._record(number)  # noqa: SLF001 — its own kind
        words, starts = self._index.section.words, self._index.starts
        own = number - self._first
        if not 0 <= own < len(starts):
            raise FormatError(f"{NAME}: no type {number}: there are {self.end - 1}")
        at = starts[own]
        end = starts[own + 1] if own + 1 < len(starts) else len(words)
        name, info, last = words[at : at + HEAD]
        if info & COUNT_MASK > MOST_MEMBERS:
            raise FormatError(f"{NAME}: a type of {info & COUNT_MASK} members")
        return Record(name, info, last, words[at + HEAD : end])

    def _decode(self, record: Record) -> Type:
        name = self.string(record.name)
        match kind_of(record.info):
            case kinds.INTEGER:
                return _integer(record, name)
            case kinds.FLOAT:
                return Float(name, record.last)
            case kinds.POINTER:
                return Pointer(self.pointer_size, self._ref(record.last))
            case kinds.ARRAY:
                element, _index, count = record.body
                return Array(self._ref(element), count)
        return self._decode_listed(record, name)

    def _decode_listed(self, record: Record, name: str) -> Type:
        match kind_of(record.info):
            case kinds.STRUCT | kinds.UNION as kind:
                return self._composite(record, COMPOSITES[kind], name)
            case kinds.ENUM | kinds.ENUM64 as kind:
                return self._enum(record, name, wide=kind == kinds.ENUM64)
            case kinds.PROTOTYPE:
                return self._function(record)
        return self._decode_bare(record, name)

    def _decode_bare(self, record: Record, name: str) -> Type:
        match kind_of(record.info):
            case kinds.TYPEDEF:
                return Named(name, self._ref(record.last))
            case kinds.FORWARD:
                return self._forward("union" if record.flag else "struct", name)
            case kinds.TYPE_TAG:
                return self._tagged(record, name)
            case kind if kind in QUALIFIERS:
                return Named(QUALIFIERS[kind], self._ref(record.last))
        return Void(name or "void")

    def _forward(self, tag: str, name: str) -> Type:
        try:
            return self.find(f"{tag} {name}")
        except TypeMissing:
            return Void(f"{tag} {name}")

    def _tagged(self, record: Record, name: str) -> Type:
        for _ in range(MOST_NAMES):
            if name in SHOWN:
                return Named(SHOWN[name], self._ref(record.last))
            if not record.last:
                break
            number, record = record.last, self._record(record.last)
            if kind_of(record.info) != kinds.TYPE_TAG:
                return self.type(number)
            name = self.string(record.name)
        return Void()

    def _function(self, record: Record) -> Function:
        ids = record.body[1::2]
        # a last argument of type 0 is "..."
        variadic = bool(ids) and not ids[-1]
        arguments = tuple(map(self._ref, ids[: len(ids) - variadic]))
        return Function(self._ref(record.last), arguments, variadic)

    def _enum(self, record: Record, name: str, *, wide: bool) -> Type:
        names = map(self.string, record.body[:: 3 if wide else 2])
        numbers = record.body[1 :: 3 if wide else 2]
        if wide:
            highs = record.body[2::3]
            numbers = [low | high << 32 for low, high in zip(numbers, highs, strict=True)]
        if record.flag or not self.marks_signs:
            sign = 1 << (63 if wide else 31)
            numbers = [(number ^ sign) - sign for number in numbers]
        return Enum(name, record.last, tuple(zip(names, numbers, strict=True)))

    def _composite(self, record: Record, kind: Literal["struct", "union"], name: str) -> Type:
        if record.last > LARGEST_STRUCT:
            raise FormatError(f"{NAME}: {kind} {name} of {record.last} bytes")
        read = self._flagged if record.flag else self._unflagged
        rows = zip(record.body[::3], record.body[1::3], record.body[2::3], strict=True)
        members = tuple(read(self.string(text), number, place) for text, number, place in rows)
        return Composite(kind, name, record.last, members)

    def _flagged(self, name: str, number: int, place: int) -> Member:
        bit, bits = place & 0xFFFFFF, place >> 24
        if not bits or bits % 8 or bit % 8 or bits != 8 * self._scalar(number).last:
            return Member(name, self._ref(number), bit, bits or None)
        # all the bits of its type, where a byte starts: no bit-field to whoever reads it
        return Member(name, self._ref(number), bit)

    def _unflagged(self, name: str, number: int, bit: int) -> Member:
        record = self._scalar(number)
        if kind_of(record.info) != kinds.INTEGER:
            return Member(name, self._ref(number), bit)
        first, bits = record.body[0] >> 16 & 0xFF, record.body[0] & 0xFF
        whole = bits == 8 * record.last and not first and not bit % 8
        return Member(name, self._ref(number), bit + first, None if whole else bits)

    def _scalar(self, number: int) -> Record:
        """The record of what is behind names; nothing is decoded."""
        for _ in range(MOST_NAMES):
            record = self._record(number) if number else NOTHING
            if kind_of(record.info) not in NAMES:
                return record
            number = record.last
        return NOTHING


def _integer(record: Record, name: str) -> Type:
    encoding = record.body[0] >> 24
    kind: Literal["int", "char", "bool"] = "int"
    if encoding & BOOL:
        kind = "bool"
    elif encoding & CHAR or (record.last == 1 and name.endswith("char")):
        # pahole(1) marks no integer as text
        kind = "char"
    return Integer(name, record.last, bool(encoding & SIGNED), kind)


def _is_complete(type_: Type) -> bool:
    match type_:
        case Composite(members=rows) | Enum(values=rows):
            return bool(rows)
    return True
