"""What does a table of numbers hold?  The kernel's struct idr: a tree of nodes of 64 slots.

1. A pointer to a node is told from an entry by its lowest two bits: 2 since the tree is an xarray
   (4.20, f8d5d0cc145c), 1 in the radix tree before.  A tree without a node holds entry 0 alone.
2. A node says by how many bits its slots' numbers are shifted; those of its children are smaller,
   so no damaged tree is deeper than numbers are long.
3. A node that cannot be read costs what is below it, which is counted.

Sources: include/linux/idr.h, include/linux/xarray.h, lib/radix-tree.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kvm_exporter.kvm.objects.structs import Struct
from kvm_exporter.kvm.target import Target

MOST_NODES = 1 << 17
"""Twice what four million numbers take, the most that processes have (PID_MAX_LIMIT)."""

SLOT_BITS = 6
"""XA_CHUNK_SHIFT, but for kernels made as small as can be (CONFIG_BASE_SMALL: 4)."""


class Form(NamedTuple):
    """How a release builds its trees; ``tag`` are the lowest two bits of a pointer to a node."""

    node: str
    head: str
    tag: int


FORMS = (
    Form("struct xa_node", "idr_rt.xa_head", 2),
    Form("struct radix_tree_node", "idr_rt.rnode", 1),
)
"""The newest first."""


class Idr:
    """The table in the struct idr at an address.  Errors: TypeMissing, Fault."""

    def __init__(self, target: Target, address: int) -> None:
        self._target = target
        self._form = next((one for one in FORMS if target.has("struct idr", one.head)), FORMS[0])
        self._node = Struct.whole(target, self._form.node, ("shift", "slots[]"))
        head = target.pointer(address + target.offset("struct idr", self._form.head))
        self._head = head & target.abi.address_mask
        base = Struct(target, "struct idr", ("idr_base",)).values(address)
        self._base = base["idr_base"] if base else 0

    def entries(self) -> Iterator[tuple[int, int]]:
        """(number, entry) of each that there is, by rising number."""
        seen: set[int] = set()
        stack = [(self._head, 0, 1 << SLOT_BITS)]
        while stack:
            entry, number, above = stack.pop()
            if not self._is_node(entry):
                if entry and not entry & 3:
                    yield number + self._base, entry
                continue
            row = None if entry in seen or len(seen) >= MOST_NODES else self._read(entry)
            seen.add(entry)
            if row is None or row[0] >= above:
                self._target.tally.add("struct idr", None)
                continue
            shift, slots = row
            below = [(one, number + (at << shift), shift) for at, one in enumerate(slots) if one]
            stack.extend(reversed(below))

    def find(self, number: int) -> int:
        """The entry of that number; 0 where there is none."""
        number -= self._base
        entry, above = self._head, 1 << SLOT_BITS
        while self._is_node(entry):
            row = self._read(entry)
            if row is None or row[0] >= above:
                return 0
            above, slots = row
            at = number >> above
            if not 0 <= at < len(slots):
                return 0
            entry, number = slots[at], number & (1 << above) - 1
        return 0 if number or entry & 3 else entry

    def _is_node(self, entry: int) -> bool:
        return entry & 3 == self._form.tag

    def _read(self, entry: int) -> tuple[int, Sequence[int]] | None:
        """A node's shift, and its slots."""
        row = self._node.at(entry - self._form.tag)
        if row is None:
            return None
        shift, raw = row
        abi = self._target.abi
        count = len(raw) // abi.pointer_size
        return shift, struct.unpack_from(f"{abi.order}{count}{abi.pointer}", raw)
