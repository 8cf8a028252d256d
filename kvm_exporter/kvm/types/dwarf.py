"""Which types does DWARF tell?  Types of a kernel.debug, for kernels without CTF.

1. Names come from an index (dwarf_scan.py, kept by dwarf_cache.py); a type's DIE is read when it is
   asked for.
2. A declaration (``struct vnode;``) is the definition of that name wherever there is one.
3. A bit-field's place: DW_AT_data_bit_offset counts in memory order from the struct's start; the
   older DW_AT_bit_offset from the most significant bit of a storage unit of DW_AT_byte_size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Literal

from kvm_exporter.kvm.errors import FormatError, TypeMissing
from kvm_exporter.kvm.types.dwarf_die import (
    REF_ADDR,
    REFERENCES,
    Die,
    read_children,
    read_die,
    uleb,
)
from kvm_exporter.kvm.types.dwarf_file import DwarfFile
from kvm_exporter.kvm.types.dwarf_scan import NAME, PREFIXES, Names
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

BYTE_SIZE, BIT_OFFSET, BIT_SIZE, CONST_VALUE = 0x0B, 0x0C, 0x0D, 0x1C
UPPER_BOUND, COUNT, MEMBER_LOCATION, DECLARATION = 0x2F, 0x37, 0x38, 0x3C
ENCODING, TYPE, DATA_BIT_OFFSET = 0x3E, 0x49, 0x6B
"""DW_AT_*."""

ARRAY, ENUMERATION, PARAMETER, MEMBER, POINTER = 0x01, 0x04, 0x05, 0x0D, 0x0F
STRUCTURE, UNSPECIFIED = 0x13, 0x18
SUBROUTINE, TYPEDEF, UNION, SUBRANGE, BASE = 0x15, 0x16, 0x17, 0x21, 0x24
CONST, ENUMERATOR, VOLATILE, RESTRICT, ATOMIC = 0x26, 0x28, 0x35, 0x37, 0x47
"""DW_TAG_*."""

QUALIFIERS = {CONST: "const", VOLATILE: "volatile", RESTRICT: "restrict", ATOMIC: "_Atomic"}
COMPOSITES: dict[int, Literal["struct", "union"]] = {STRUCTURE: "struct", UNION: "union"}

BOOLEAN, FLOAT, SIGNED, SIGNED_CHAR, UNSIGNED, UNSIGNED_CHAR, UTF = 2, 4, 5, 6, 7, 8, 16
KINDS: dict[int, Literal["int", "char", "bool"]] = {
    BOOLEAN: "bool",
    SIGNED_CHAR: "char",
    UNSIGNED_CHAR: "char",
}
"""DW_ATE_*."""

PLUS_CONSTANT = 0x23
"""DW_OP_plus_uconst: how DWARF 2 tells a member's place."""

LARGEST_STRUCT = 1 << 28
MOST_MEMBERS = 1 << 16
MOST_DIMENSIONS = 16


class Dwarf:
    """Types (model.py's) of ``file``, whose names are ``names``.  Errors: FormatError."""

    def __init__(self, file: DwarfFile, names: Names) -> None:
        self._file = file
        self._names = names
        self._known: dict[int, Type] = {}

    def find(self, name: str) -> Type:
        """As Types.find."""
        offset = self._names.types.get(name)
        if offset is None:
            raise TypeMissing(f"this kernel's DWARF does not know {name}")
        return self._type(offset)

    def variable(self, name: str) -> Type:
        """As Types.variable."""
        offset = self._names.variables.get(name)
        if offset is None:
            raise TypeMissing(f"this kernel's DWARF does not tell the type of {name}")
        return self._ref(self._die(offset))()

    def names(self) -> Iterator[str]:
        """As Types.names."""
        return iter(self._names.types)

    def enums(self) -> Iterator[Enum]:
        """As Types.enums; of those without a name one for each first constant."""
        named = (at for name, at in self._names.types.items() if name.startswith("enum "))
        for offset in chain(named, self._names.bare.values()):
            found = self._type(offset)
            if isinstance(found, Enum):
                yield found

    def _die(self, offset: int) -> Die:
        unit = self._file.unit_at(offset)
        die = read_die(unit, offset - unit.offset)
        if die is None:
            raise FormatError(f"DWARF: no DIE at {offset:#x}")
        return die

    def _ref(self, die: Die) -> Ref:
        offset = _reference(die)
        return Void if offset is None else partial(self._type, offset)

    def _type(self, offset: int) -> Type:
        known = self._known.get(offset)
        if known is None:
            known = self._known[offset] = self._decode(self._die(offset))
        return known

    def _name(self, die: Die) -> str:
        return self._file.text(die.unit, die.values.get(NAME))

    def _decode(self, die: Die) -> Type:
        name = self._name(die)
        size = die.number(BYTE_SIZE) or 0
        if DECLARATION in die.values:
            return self._definition(die, name)
        match die.tag:
            case 0x24:
                return self._base(die, name, size)
            case 0x13 | 0x17:
                if size > LARGEST_STRUCT:
                    raise FormatError(f"DWARF: struct {name} of {size} bytes")
                return Composite(COMPOSITES[die.tag], name, size, self._members(die))
            case 0x04:
                return Enum(name, size, self._values(die))
            case 0x01:
                return self._array(self._ref(die), self._counts(die))
        return self._decode_bare(die, name, size)

    def _decode_bare(self, die: Die, name: str, size: int) -> Type:
        match die.tag:
            case 0x0F:
                return Pointer(size or die.unit.address, self._ref(die))
            case 0x16:
                return Named(name, self._ref(die))
            case 0x15:
                return self._function(die)
            case tag if tag in QUALIFIERS:
                return Named(QUALIFIERS[tag], self._ref(die))
        return Void(name or "void")

    def _function(self, die: Die) -> Function:
        arguments = map(self._ref, self._children(die, PARAMETER))
        variadic = bool(self._children(die, UNSPECIFIED))
        return Function(self._ref(die), tuple(arguments), variadic)

    def _definition(self, die: Die, name: str) -> Type:
        spoken = PREFIXES.get(die.tag, "") + name
        offset = self._names.types.get(spoken)
        if offset is None or offset == die.unit.offset + die.at:
            return Void(spoken)
        return self._type(offset)

    def _base(self, die: Die, name: str, size: int) -> Type:
        encoding = die.number(ENCODING) or 0
        if encoding == FLOAT:
            return Float(name, size)
        signed = encoding in (SIGNED, SIGNED_CHAR)
        return Integer(name, size, signed, KINDS.get(encoding, "int"))

    def _children(self, die: Die, tag: int) -> list[Die]:
        found: list[Die] = []
        for child in read_children(die):
            if child.tag == tag:
                found.append(child)
            if len(found) > MOST_MEMBERS:
                raise FormatError(f"DWARF: a type of more than {MOST_MEMBERS} members")
        return found

    def _values(self, die: Die) -> tuple[tuple[str, int], ...]:
        return tuple(
            (self._name(one), one.number(CONST_VALUE) or 0)
            for one in self._children(die, ENUMERATOR)
        )

    def _counts(self, die: Die) -> list[int]:
        found = [_count(one) for one in self._children(die, SUBRANGE)]
        if len(found) > MOST_DIMENSIONS:
            raise FormatError(f"DWARF: an array of {len(found)} dimensions")
        return found or [0]

    def _array(self, element: Ref, counts: Sequence[int]) -> Array:
        first, *rest = counts
        return Array(partial(self._array, element, rest) if rest else element, first)

    def _members(self, die: Die) -> tuple[Member, ...]:
        return tuple(self._member(one) for one in self._children(die, MEMBER))

    def _member(self, die: Die) -> Member:
        name, ref, bits = self._name(die), self._ref(die), die.number(BIT_SIZE)
        bit = 8 * _location(die)
        if bits is None:
            return Member(name, ref, bit)
        width = 8 * self._scalar_size(die)
        bit += _first_bit(die, bits, width)
        # all the bits of its type, where a byte starts: no bit-field to whoever reads it
        return Member(name, ref, bit, None if bits == width and not bit % 8 else bits)

    def _scalar_size(self, die: Die) -> int:
        """Bytes of the integer or enum that a DIE's type is; 0 for others.  Nothing is decoded."""
        for _ in range(MOST_NAMES):
            offset = _reference(die)
            if offset is None:
                break
            die = self._die(offset)
            if die.tag in (BASE, ENUMERATION):
                return die.number(BYTE_SIZE) or 0
            if die.tag not in (TYPEDEF, *QUALIFIERS):
                break
        return 0


def _reference(die: Die) -> int | None:
    """Where in .debug_info a DIE's type is; None for none, and for one in another file."""
    value = die.values.get(TYPE)
    if value is None or value.form not in (*REFERENCES, REF_ADDR):
        return None
    return value.number + (die.unit.offset if value.form in REFERENCES else 0)


def _first_bit(die: Die, bits: int, width: int) -> int:
    first = die.number(DATA_BIT_OFFSET)
    if first is not None:
        return first
    first = die.number(BIT_OFFSET)
    if first is None or die.unit.order == "big":
        return first or 0
    storage = die.number(BYTE_SIZE)
    return (width if storage is None else 8 * storage) - first - bits


def _location(die: Die) -> int:
    value = die.values.get(MEMBER_LOCATION)
    if value is None:
        return 0
    if value.data[:1] == bytes([PLUS_CONSTANT]):
        try:
            return uleb(value.data, 1)[0]
        except IndexError as e:
            raise FormatError("DWARF: a member's place is cut off") from e
    return value.number


def _count(die: Die) -> int:
    count = die.number(COUNT)
    if count is not None:
        return count
    upper = die.number(UPPER_BOUND)
    # [0] is written as -1 by some compilers, of whatever width
    return 0 if upper is None or upper < 0 or upper in (0xFFFFFFFF, 2**64 - 1) else upper + 1
