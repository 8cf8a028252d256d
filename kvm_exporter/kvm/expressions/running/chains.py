"""How is a linked list walked?  From node to node; each must point back (walking.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kvm_exporter.kvm.expressions.program import Chain
from kvm_exporter.kvm.expressions.running.budgets import Ledger
from kvm_exporter.kvm.expressions.running.reading import Reading
from kvm_exporter.kvm.expressions.running.slots import Table
from kvm_exporter.kvm.expressions.running.walking import Elements, Firsts, Nodes


class Chains:
    """A Walker of chains."""

    def __init__(self, shape: Chain, reading: Reading, table: Table) -> None:
        self._shape = shape
        self._mask = reading.mask
        pointers = [shape.next] if shape.back is None else [shape.next, shape.back]
        self._nodes = Nodes(reading, table, shape.node, pointers)
        self._firsts = Firsts(reading, shape.first)

    @property
    def slots(self) -> Sequence[int]:
        """As Walker.slots."""
        return self._nodes.chunk.slots

    def walk(self, heads: Sequence[int | None], ledger: Ledger) -> Elements:
        """As Walker.walk."""
        found = Elements()
        firsts = self._firsts.read(heads, ledger)
        walk = _Walk(self._shape, self._nodes, ledger)
        for row, (head, first) in enumerate(zip(heads, firsts, strict=True)):
            if head and first is None:
                found.whole = False
            elif head and not walk.ends(first, head):
                self._add(found, row, walk.best(head, first), ledger)
        return found

    def _add(self, found: Elements, row: int, way: _Way, ledger: Ledger) -> None:
        found.add(row, self._nodes.elements(way.nodes), range(len(way.nodes)))
        found.values += way.values
        found.whole = found.whole and way.whole
        ledger.torn += way.torn
        if way.lost:
            ledger.lost()
        if way.full:
            ledger.full()


@dataclass(slots=True)
class _Way:
    """One way along a list: its nodes, what was read there, and what ended it before its end."""

    nodes: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    whole: bool = False
    torn: bool = False
    lost: bool = False
    full: bool = False


class _Walk:
    """Walks along lists, in one collection."""

    def __init__(self, shape: Chain, nodes: Nodes, ledger: Ledger) -> None:
        self._shape = shape
        self._circular = shape.circular
        self._odd = int(shape.marked)
        self._pointer = ~int(shape.locked)
        self._links = nodes.links
        self._read = nodes.reader(ledger)
        self._reading = nodes.reading
        self._ledger = ledger

    def ends(self, pointer: int, head: int) -> bool:
        """Whether a pointer is a list's last."""
        at = pointer & self._pointer
        return at in (0, head if self._circular else 0) or bool(at & self._odd)

    def best(self, head: int, first: int) -> _Way:
        """The way along a list, or the longer one of two if its rest is lost (rule 4)."""
        way = self._follow(head, first)
        again = None
        if way.torn or way.lost:
            start = head + self._shape.first & self._reading.mask
            again = self._reading.pointer(start, self._ledger)
        if again is None:
            return way
        return max(way, self._follow(head, again), key=lambda one: (one.whole, len(one.nodes)))

    def _again(self, link: int) -> int | None:
        """The pointer that lies there now."""
        pointer = self._reading.pointer(link, self._ledger)
        # only a head's has a lock's bit; nodes are aligned, so that no other's has one
        return pointer and pointer & self._pointer

    def _follow(self, head: int, first: int) -> _Way:
        mask, end, odd = self._reading.mask, head if self._circular else 0, self._odd
        following, back, back_to = self._shape.next, self._shape.back, self._shape.back_to
        to_next, to_back = self._links[0], self._links[-1]
        read, room = self._read, self._ledger.room
        way, seen = _Way(), set[int]()
        # where the pointer lies that led to the node, and to where the node points back
        link = behind = head + self._shape.first & mask
        at: int | None = first & self._pointer
        retried = False
        while at is not None and at != end and not at & odd:
            if at in seen or len(seen) >= room:
                way.full = at not in seen
                way.whole = not way.full and self._shape.ring and at == way.nodes[0]
                way.torn = not (way.full or way.whole)
                break
            node = read(at)
            if node is not None and (back is None or node[to_back] == behind):
                seen.add(at)
                way.nodes.append(at)
                way.values += node
                link, behind = at + following & mask, at + back_to & mask
                at, retried = node[to_next], False
            elif retried:
                way.torn, way.lost = node is not None, node is None
                break
            else:
                at, retried = self._again(link), True
        else:
            way.whole, way.lost = at is not None, at is None
        self._ledger.elements += len(seen)
        return way
