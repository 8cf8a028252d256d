"""How is a debugging information entry (DIE) of DWARF encoded?  Abbreviations, forms and values.

DWARF versions 2 to 5, 32 and 64 bit (dwarfstd.org, section 7.5).  Only what describes C types is
understood; every form is known well enough to be passed over.

1. A DIE is a number (ULEB128) that names an abbreviation, then the values of its attributes.
2. An abbreviation has a tag, whether children follow, and (attribute, form) pairs.
3. Children end with a DIE of number 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from kvm_exporter.kvm.errors import FormatError

ULEB, BLOCK, BLOCK1, BLOCK2, BLOCK4, STRING, INDIRECT = -1, -2, -3, -4, -5, -6, -7
"""What a form is where it has no fixed size: a ULEB128, a block after its length, text …"""

ADDRESS, OFFSET, REFERENCE = -8, -9, -10
"""An address, an offset of the unit's DWARF format; a reference, an address in version 2."""

STRP, STRX, LINE_STRP, IMPLICIT, INLINE = 0x0E, 0x1A, 0x1F, 0x21, 0x08
SDATA, FLAG_PRESENT, EXPRLOC = 0x0D, 0x19, 0x18
STRX_FIXED = {0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4}
REFERENCES = frozenset((0x11, 0x12, 0x13, 0x14, 0x15))
REF_ADDR = 0x10
BLOCKS = frozenset((0x03, 0x04, 0x09, 0x0A, EXPRLOC))

FORMS = {
    0x01: ADDRESS, 0x03: BLOCK2, 0x04: BLOCK4, 0x05: 2, 0x06: 4, 0x07: 8, 0x08: STRING,
    0x09: BLOCK, 0x0A: BLOCK1, 0x0B: 1, 0x0C: 1, 0x0D: ULEB, 0x0E: OFFSET, 0x0F: ULEB,
    0x10: REFERENCE, 0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8, 0x15: ULEB, 0x16: INDIRECT, 0x17: OFFSET,
    0x18: BLOCK, 0x19: 0, 0x1A: ULEB, 0x1B: ULEB, 0x1C: 4, 0x1D: OFFSET, 0x1E: 16, 0x1F: OFFSET,
    0x20: 8, 0x21: 0, 0x22: ULEB, 0x23: ULEB, 0x24: 8, 0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4,
    0x29: 1, 0x2A: 2, 0x2B: 3, 0x2C: 4, 0x1F01: ULEB, 0x1F02: ULEB, 0x1F20: OFFSET, 0x1F21: OFFSET,
}  # fmt: skip
"""DW_FORM_* and the GNU ones: bytes, or one of the words above."""

MOST_ABBREVIATIONS = 1 << 16
MOST_ATTRIBUTES = 1 << 8
"""Of one table, of one abbreviation."""


class Attribute(NamedTuple):
    """``constant`` is the value itself where the form is DW_FORM_implicit_const."""

    name: int
    form: int
    constant: int


class Abbreviation(NamedTuple):
    """What DIEs of one number have in common."""

    tag: int
    children: bool
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of .debug_info: its bytes from its header at ``offset`` on; ``first`` DIE in them.

    ``address`` and ``width`` are the bytes of an address and of an offset.
    """

    offset: int
    first: int
    data: bytes = field(repr=False)
    version: int
    address: int
    width: int
    order: Literal["little", "big"]
    abbreviations: dict[int, Abbreviation] = field(repr=False)

    def size(self, form: int) -> int:
        """Bytes of a form's value, or ULEB, BLOCK …; FormatError for an unknown form."""
        size = FORMS.get(form)
        if size is None:
            raise FormatError(f"DWARF: form {form:#x} is unknown, in the unit at {self.offset:#x}")
        if size == ADDRESS or (size == REFERENCE and self.version == 2):
            return self.address
        return self.width if size in (OFFSET, REFERENCE) else size


def uleb(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 at ``at``, and where it ends; IndexError at the data's end."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise FormatError("DWARF: a number of more than 64 bits")


def sleb(data: bytes, at: int) -> tuple[int, int]:
    """A signed LEB128."""
    value, end = uleb(data, at)
    bits = 7 * (end - at)
    return (value - (1 << bits) if value >> (bits - 1) & 1 else value), end


def read_abbreviations(data: bytes, at: int) -> dict[int, Abbreviation]:
    """The table at ``at`` of .debug_abbrev, by number; FormatError where it is damaged."""
    found: dict[int, Abbreviation] = {}
    try:
        for _ in range(MOST_ABBREVIATIONS):
            number, at = uleb(data, at)
            if not number:
                return found
            tag, at = uleb(data, at)
            attributes, at_end = _attributes(data, at + 1)
            found[number] = Abbreviation(tag, bool(data[at]), attributes)
            at = at_end
    except IndexError as e:
        raise FormatError(f"DWARF: .debug_abbrev ends within a table, at {at:#x}") from e
    raise FormatError(f"DWARF: more than {MOST_ABBREVIATIONS} abbreviations in a table")


def _attributes(data: bytes, at: int) -> tuple[tuple[Attribute, ...], int]:
    found: list[Attribute] = []
    for _ in range(MOST_ATTRIBUTES):
        name, at = uleb(data, at)
        form, at = uleb(data, at)
        if not name and not form:
            return tuple(found), at
        constant = 0
        if form == IMPLICIT:
            constant, at = sleb(data, at)
        found.append(Attribute(name, form, constant))
    raise FormatError(f"DWARF: an abbreviation of more than {MOST_ATTRIBUTES} attributes")


def skip(unit: Unit, at: int, size: int) -> int:
    """Where a value of ``size`` (bytes, or ULEB, BLOCK …) that starts at ``at`` ends."""
    data = unit.data
    if size >= 0:
        return at + size
    match size:
        case -1:
            while data[at] >= 0x80:
                at += 1
            return at + 1
        case -6:
            end = data.find(b"\0", at)
            if end < 0:
                raise IndexError
            return end + 1
        case -7:
            form, at = uleb(data, at)
            if FORMS.get(form) == INDIRECT:
                raise FormatError("DWARF: an indirect form of an indirect form")
            return skip(unit, at, unit.size(form))
    start, length = block(unit, at, size)
    return start + length


def block(unit: Unit, at: int, size: int) -> tuple[int, int]:
    """Where a block's contents start, and how long they are."""
    data = unit.data
    if size == BLOCK:
        length, at = uleb(data, at)
        return at, length
    width = {BLOCK1: 1, BLOCK2: 2, BLOCK4: 4}[size]
    return at + width, int.from_bytes(data[at : at + width], unit.order)


class Value(NamedTuple):
    """An attribute's: a number (an offset, an index), or bytes (text, a block)."""

    form: int
    number: int
    data: bytes


class Die(NamedTuple):
    """One entry: ``at`` and ``end`` of its own values in the unit; ``values`` by attribute."""

    unit: Unit
    at: int
    end: int
    tag: int
    children: bool
    values: Mapping[int, Value]

    def number(self, attribute: int) -> int | None:
        """A constant, offset or index; None where it has no such attribute, or a block."""
        value = self.values.get(attribute)
        return None if value is None or value.form in BLOCKS else value.number


def read_die(unit: Unit, at: int) -> Die | None:
    """The entry at ``at``; None for the end of a list of children.  Errors: FormatError."""
    try:
        number, end = uleb(unit.data, at)
        if not number:
            return None
        form = unit.abbreviations.get(number)
        if form is None:
            raise FormatError(f"DWARF: the DIE at {unit.offset + at:#x} has no abbreviation")
        values = {}
        for attribute in form.attributes:
            values[attribute.name], end = read_value(unit, end, attribute)
    except IndexError as e:
        raise FormatError(f"DWARF: the unit at {unit.offset:#x} ends within a DIE") from e
    return Die(unit, at, end, form.tag, form.children, values)


def read_children(die: Die) -> Iterator[Die]:
    """The entries right below one; what lies below those is passed over."""
    if not die.children:
        return
    at, depth = die.end, 1
    while depth:
        child = read_die(die.unit, at)
        if child is None:
            depth -= 1
            at += 1
            continue
        if depth == 1:
            yield child
        depth += child.children
        at = child.end


def read_value(unit: Unit, at: int, attribute: Attribute) -> tuple[Value, int]:
    """The value at ``at``, and where it ends; IndexError where the unit ends before."""
    form = attribute.form
    if unit.size(form) == INDIRECT:
        form, at = uleb(unit.data, at)
    size = unit.size(form)
    end = skip(unit, at, size)
    if end > len(unit.data):
        raise IndexError
    raw = unit.data[at:end]
    if form == IMPLICIT:
        return Value(form, attribute.constant, b""), end
    if size == ULEB:
        return Value(form, (sleb if form == SDATA else uleb)(raw, 0)[0], b""), end
    if size == STRING:
        return Value(form, 0, raw[:-1]), end
    if form in BLOCKS:
        start, length = block(unit, at, size)
        return Value(form, 0, unit.data[start : start + length]), end
    return Value(form, int.from_bytes(raw, unit.order) if size else 1, b""), end
