"""Where are the DIEs of a kernel.debug?  Its DWARF sections, units and strings.

.debug_info has 50 MB and more: it is read a unit at a time.  A section that is compressed can only
be had whole.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.errors import FormatError, TypeMissing, Unsupported
from kvm_exporter.kvm.source import Source, exactly
from kvm_exporter.kvm.types.dwarf_die import (
    INLINE,
    LINE_STRP,
    STRP,
    STRX,
    STRX_FIXED,
    Abbreviation,
    Unit,
    Value,
    read_abbreviations,
    read_die,
)

COMPILE, PARTIAL = 1, 3
"""Types of units that are looked at (DW_UT_*); others describe no C of this file."""

STR_OFFSETS_BASE = 0x72
LONGEST_NAME = 512
MOST_UNITS = 1 << 17
KEPT_UNITS = 16


class Head(NamedTuple):
    """A unit's header: where it is in .debug_info, and what it says."""

    offset: int
    end: int
    first: int
    version: int
    address: int
    width: int
    abbreviations: int


class DwarfFile:
    """The DWARF of an ELF file; TypeMissing where it has none, Unsupported for a .o or .ko."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._header = elf.read_header(source)
        if self._header.type == elf.ET_REL:
            raise Unsupported(f"{source.name}: DWARF of a file that is not linked is not read")
        sections = elf.sections(source, self._header)
        self._sections = {one.name: one for one in sections if one.type != elf.SHT_NOBITS}
        if not self._sections.keys() >= {".debug_info", ".debug_abbrev"}:
            raise TypeMissing(f"{source.name} has no DWARF")
        self.order = self._header.abi.byteorder
        self._info, self.size = self._open_info()
        self._units: dict[int, Unit] = {}
        self._tables: dict[int, dict[int, Abbreviation]] = {}
        self._bases: dict[int, int] = {}

    @cached_property
    def identity(self) -> str:
        """What no other kernel has: its build id in hex, else a digest of its abbreviations."""
        found = elf.build_id(self._source, self._header)
        return found.hex() if found else hashlib.sha256(self._abbreviations).hexdigest()

    def _open_info(self) -> tuple[Callable[[int, int], bytes], int]:
        section = self._sections[".debug_info"]
        if section.flags & elf.SHF_COMPRESSED:
            whole = elf.contents(self._source, self._header, section)
            return (lambda at, length: whole[at : at + length]), len(whole)
        exactly(self._source, section.offset + section.size - 1, 1, ".debug_info")
        return (
            lambda at, length: self._source.read(
                section.offset + at, min(length, section.size - at)
            )
        ), section.size

    def _contents(self, name: str) -> bytes:
        section = self._sections.get(name)
        return elf.contents(self._source, self._header, section) if section else b""

    @cached_property
    def _abbreviations(self) -> bytes:
        return self._contents(".debug_abbrev")

    @cached_property
    def _strings(self) -> bytes:
        return self._contents(".debug_str")

    @cached_property
    def _line_strings(self) -> bytes:
        return self._contents(".debug_line_str")

    @cached_property
    def _string_offsets(self) -> bytes:
        return self._contents(".debug_str_offsets")

    @cached_property
    def heads(self) -> list[Head]:
        """The compile units, as they come."""
        found: list[Head] = []
        at = 0
        for _ in range(MOST_UNITS):
            if at >= self.size:
                return found
            kind, head = self._head(at)
            if kind in (COMPILE, PARTIAL):
                found.append(head)
            at = head.end
        raise FormatError(f"{self._source.name}: DWARF of more than {MOST_UNITS} units")

    def _head(self, at: int) -> tuple[int, Head]:
        data = self._info(at, 24).ljust(24, b"\0")
        width, start = 4, 4
        length = self._number(data, 0, 4)
        if length == 0xFFFFFFFF:
            width, start = 8, 12
            length = self._number(data, 4, 8)
        end = at + start + length
        version = self._number(data, start, 2)
        if end > self.size or not 2 <= version <= 5:
            raise FormatError(
                f"{self._source.name}: no unit of DWARF at {at:#x} of .debug_info: version "
                f"{version}, {length} bytes"
            )
        start += 2
        kind = COMPILE
        if version == 5:
            kind, address, start = data[start], data[start + 1], start + 2
            table, start = self._number(data, start, width), start + width
        else:
            table, start = self._number(data, start, width), start + width
            address, start = data[start], start + 1
        return kind, Head(at, end, start, version, address, width, table)

    def _number(self, data: bytes, at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], self.order)

    def unit(self, head: Head) -> Unit:
        """A unit's bytes and abbreviations; the last few are remembered."""
        known = self._units.get(head.offset)
        if known is None:
            if len(self._units) >= KEPT_UNITS:
                self._units.clear()
            known = self._units[head.offset] = Unit(
                head.offset,
                head.first,
                self._info(head.offset, head.end - head.offset),
                head.version,
                head.address,
                head.width,
                self.order,
                self._table(head.abbreviations),
            )
        return known

    def _table(self, at: int) -> dict[int, Abbreviation]:
        # units that follow each other often share one
        if at not in self._tables:
            if len(self._tables) >= KEPT_UNITS:
                self._tables.clear()
            self._tables[at] = read_abbreviations(self._abbreviations, at)
        return self._tables[at]

    def unit_at(self, offset: int) -> Unit:
        """The unit that byte ``offset`` of .debug_info is in; FormatError for none."""
        number = bisect_right(self.heads, offset, key=lambda head: head.offset) - 1
        if number < 0 or offset >= self.heads[number].end:
            raise FormatError(f"{self._source.name}: no unit of DWARF at {offset:#x}")
        return self.unit(self.heads[number])

    def text(self, unit: Unit, value: Value | None) -> str:
        """What a value of a string form says; empty for none."""
        if value is None:
            return ""
        if value.form == INLINE:
            return value.data[:LONGEST_NAME].decode("utf-8", "replace")
        strings = self._line_strings if value.form == LINE_STRP else self._strings
        at = self.string_offset(unit, value.form, value.number)
        name = strings[at : at + LONGEST_NAME].partition(b"\0")[0]
        return name.decode("utf-8", "replace")

    def string_offset(self, unit: Unit, form: int, number: int) -> int:
        """Where a string is in its section."""
        if form in (STRP, LINE_STRP):
            return number
        if form == STRX or form in STRX_FIXED:
            at = self._base(unit) + number * unit.width
            return self._number(self._string_offsets, at, unit.width)
        return len(self._strings)

    def _base(self, unit: Unit) -> int:
        if unit.offset not in self._bases:
            root = read_die(unit, unit.first)
            base = root.number(STR_OFFSETS_BASE) if root else None
            # without the attribute: right behind the first table's header
            self._bases[unit.offset] = 2 * unit.width if base is None else base
        return self._bases[unit.offset]
