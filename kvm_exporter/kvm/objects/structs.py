"""How are structs of a dead kernel read by the thousand?  Chosen members, as tuples, once compiled.

1. A member is asked for as ``p_pid``; ``p_comm[]`` is an array of char.  ``nc_vp|n_un.nu_vp`` are
   names that it had in several releases, the newest first; it goes by the first.
2. A member that this kernel has not, or has as something else (an integer that is no integer), is
   left out of ``names``: that costs what needs it and nothing else.
3. Of a struct no more is read than from the first of these members to the last.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from kvm_exporter.kvm.errors import Fault, FormatError, KvmError, TypeMissing
from kvm_exporter.kvm.layout import Layout, Member
from kvm_exporter.kvm.target import Record, Target
from kvm_exporter.kvm.types.flatten import layout

Row = tuple[Any, ...]

LARGEST = 1 << 16
"""Bytes read of a struct at most: several times what any of those that are read here has."""

INTEGERS = frozenset("bBhHiIqQ")
"""Of the struct module's codes."""


class Struct:
    """A reader of the members of ``struct proc``; ``names`` are those that this kernel has.

    ``nothing`` is the row of a null pointer: zeros and empty texts.  Errors, of damaged types:
    FormatError for members too far apart, TypeMissing for members that lie on each other.
    """

    def __init__(self, target: Target, name: str, members: Sequence[str]) -> None:
        places: dict[str, Member] = {}
        for member in members:
            plain = member.removesuffix("[]")
            found = _first(target, name, plain.split("|"), text=plain != member)
            if found:
                places[plain.partition("|")[0]] = found
        self.names = tuple(places)
        self.nothing: Row = tuple(_empty(place) for place in places.values())
        self._name = name
        self._tally = target.tally
        self._mask = target.abi.address_mask
        self._start = min((place.offset for place in places.values()), default=0)
        self._record = _record(target, name, places, self._start) if places else None

    @classmethod
    def whole(cls, target: Target, name: str, members: Sequence[str]) -> Struct:
        """A reader of all of these; TypeMissing where this kernel has not every one."""
        found = cls(target, name, members)
        if len(found.names) != len(members):
            raise TypeMissing(f"{name} has not {', '.join(members)} in this kernel")
        return found

    def at(self, address: int) -> Row | None:
        """The members' values; None, and counted, where the struct cannot be read."""
        if not address:
            return self.nothing
        if self._record is None:
            return ()
        try:
            return self._record.at(address + self._start & self._mask)
        except KvmError:
            self._tally.add(self._name, None)
            return None

    def values(self, address: int) -> Values | None:
        """As ``at``, for what comes one by one: the values by name."""
        row = self.at(address)
        return None if row is None else Values(zip(self.names, row, strict=True))

    def needed(self, address: int) -> Values:
        """As ``values``; Fault where there is none, or it cannot be read."""
        found = self.values(address) if address > 0 else None
        if found is None:
            raise Fault(address, f"{self._name} cannot be read")
        return found


def read_numbers(target: Target, name: str, members: Sequence[str], address: int) -> Row:
    """Integers of the struct at ``address``; TypeMissing, or Fault, if it has not all of them."""
    row = Struct.whole(target, name, members).at(address) if address else None
    if row is None:
        raise Fault(address, f"{name} cannot be read")
    return row


class Values(dict[str, Any]):
    """A struct's values by name; what this kernel has not is 0."""

    def __missing__(self, name: str) -> int:
        return 0


def _first(target: Target, name: str, paths: Sequence[str], *, text: bool) -> Member | None:
    """The first of the members that is there, and text or an integer as it should be."""
    for path in paths:
        try:
            found = layout(target.types, target.abi, name, (path,)).members[path]
        except KvmError:
            continue
        if _is_text(found) if text else found.code in INTEGERS:
            return found
    return None


def _is_text(member: Member) -> bool:
    return member.code.endswith("s") and int(member.code[:-1]) <= LARGEST


def _empty(member: Member) -> object:
    return 0 if member.code in INTEGERS else b""


def _record(target: Target, name: str, places: Mapping[str, Member], start: int) -> Record:
    order = target.abi.order
    ends = (place.offset + struct.calcsize(order + place.code) for place in places.values())
    size = max(ends) - start
    if size > LARGEST:
        raise FormatError(f"{name}: members {size} bytes apart: the types are damaged")
    moved = {member: Member(place.offset - start, place.code) for member, place in places.items()}
    compiled = Layout(name, size, order, moved).compile(moved)
    return Record(target.memory, compiled, tuple(moved))
