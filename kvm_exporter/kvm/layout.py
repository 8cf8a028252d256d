"""How do C structs become tuples?  Rows of data, compiled to one struct.Struct per wanted set.

Unwanted bytes become padding, so nothing is made for a member that nobody asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kvm_exporter.kvm.errors import TypeMissing


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member lies: ``offset`` in bytes, ``code`` as in the struct module (``16s``)."""

    offset: int
    code: str


@dataclass(frozen=True, slots=True)
class Layout:
    """One C struct of one architecture.  ``order`` is ``<`` or ``>``."""

    name: str
    size: int
    order: str
    members: Mapping[str, Member] = field(repr=False)

    def compile(self, wanted: Iterable[str]) -> Compiled:
        """A decoder of the wanted members; TypeMissing for one that the struct does not have."""
        chosen = tuple(wanted)
        missing = [name for name in chosen if name not in self.members]
        if missing:
            raise TypeMissing(f"struct {self.name} has no member {', '.join(missing)}")
        names = sorted(chosen, key=lambda name: self.members[name].offset)
        try:
            return Compiled(struct.Struct(self._code(names)), tuple(names))
        except struct.error as e:
            # sizes that no struct has, of damaged type information
            raise TypeMissing(f"struct {self.name}, {self.size} bytes, is no struct: {e}") from e

    def _code(self, names: Iterable[str]) -> str:
        """As the struct module wants it."""
        code, at = [self.order], 0
        for name in names:
            member = self.members[name]
            if member.offset < at:
                raise TypeMissing(f"struct {self.name}: {name} overlaps the member before it")
            code.append(f"{member.offset - at}x{member.code}")
            at = member.offset + struct.calcsize(self.order + member.code)
        if at > self.size:
            raise TypeMissing(f"struct {self.name} of {self.size} bytes has members past its end")
        code.append(f"{self.size - at}x")
        return "".join(code)


@dataclass(frozen=True, slots=True)
class Compiled:
    """``decoder`` gives a tuple in the order of ``names`` (that of the offsets)."""

    decoder: struct.Struct
    names: Sequence[str]
