"""From which of a kernel's structs is something told, and how does one come from the other?

1. A source is a struct that a pointer in another source leads to.  Its columns are named
   ``cred.cr_uid``.
2. A null pointer gives zeros and empty texts.  What cannot be read is None.
3. Credentials, groups, sessions and the like are shared: each address is read but once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.structs import Row, Struct
from kvm_exporter.kvm.target import Target

MOST_KNOWN = 1 << 16
"""Structs that are remembered of one source; then all are forgotten."""


class Source(NamedTuple):
    """``members`` of the structs that ``pointer``, a column, leads to; at ``inside`` of them."""

    struct: str
    pointer: str
    members: str
    inside: str = ""


class Shared:
    """A source's structs by address, each read once."""

    def __init__(self, target: Target, source: Source, members: Sequence[str]) -> None:
        self._struct = Struct(target, source.struct, members)
        self._inside = target.offset(source.struct, source.inside) if source.inside else 0
        self._mask = target.abi.address_mask
        self._known: dict[int, Row | None] = {0: self._struct.nothing}
        self.names = self._struct.names

    def rows(self, pointers: Sequence[int | None]) -> list[Row | None]:
        """The row that each pointer leads to; None for one that is not known, or leads nowhere."""
        return [None if one is None else self._at(one) for one in pointers]

    def _at(self, pointer: int) -> Row | None:
        known = self._known
        if pointer not in known:
            if len(known) > MOST_KNOWN:
                known.clear()
                known[0] = self._struct.nothing
            known[pointer] = self._struct.at(pointer - self._inside & self._mask)
        return known[pointer]


def open_sources(
    target: Target, sources: Mapping[str, Source], wanted: Collection[str] | None = None
) -> Mapping[str, Shared]:
    """Readers of every source whose struct this kernel's types tell.

    ``wanted`` columns (``cred.cr_uid``; None for all): other members are not read, and a source
    without one is left out.
    """
    found = {}
    for name, source in sources.items():
        members = source.members.split()
        if wanted is not None:
            members = [one for one in members if f"{name}.{column_of(one)}" in wanted]
            if not members:
                continue
        try:
            found[name] = Shared(target, source, members)
        except KvmError:
            target.tally.add(source.struct, None)
    return found


def column_of(member: str) -> str:
    """The name under which a struct's reader gives a member: ``comm`` for ``comm[]``."""
    return member.removesuffix("[]").partition("|")[0]
