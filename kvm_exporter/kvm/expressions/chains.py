"""How is a linked list walked?  From node to node; each must point back (walking.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvm_exporter.kvm.expressions.budgets import Ledger
from kvm_exporter.kvm.expressions.program import Chain
from kvm_exporter.kvm.expressions.rounds import Column, Reading
from kvm_exporter.kvm.expressions.slots import Table
from kvm_exporter.kvm.expressions.walking import Elements, Firsts, Nodes


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
        for row, (head, first) in enumerate(zip(heads, firsts, strict=True)):
            if head and first is None:
                found.whole = False
            elif head and first:
                walk = _Walk(self._shape, self._nodes, head, self._mask, ledger)
                found.whole = walk.into(found, row, first) and found.whole
        return found


class _Walk:
    """One list's."""

    def __init__(self, shape: Chain, nodes: Nodes, head: int, mask: int, ledger: Ledger) -> None:
        self._shape = shape
        self._nodes = nodes
        self._mask = mask
        self._ledger = ledger
        self._start = head + shape.first & mask
        self._end = head if shape.circular else 0
        self._odd = int(shape.marked)

    def into(self, found: Elements, row: int, first: int) -> bool:
        """Add the list's elements; whether these are all."""
        taken: list[int] = []
        whole = self._follow(first, taken, found.values)
        found.add(row, self._nodes.elements(taken), range(len(taken)))
        return whole

    def _follow(self, first: int, taken: list[int], values: list[Any]) -> bool:
        """Follow the pointers; ``taken`` gets the nodes, ``values`` what was read there."""
        mask, end, odd, following = self._mask, self._end, self._odd, self._shape.next
        back, back_to = self._shape.back, self._shape.back_to
        ledger, read = self._ledger, self._nodes.reader(self._ledger)
        to_next, to_back = self._nodes.links[0], self._nodes.links[-1]
        seen: set[int] = set()
        at, torn = first, False
        link = behind = self._start
        while at != end and not at & odd:
            if at in seen or not ledger.element():
                ledger.torn += at in seen
                return False
            node = read(at)
            if node is None or (back is not None and node[to_back] != behind):
                at, node = self._again(link)
                if node is None:
                    return at == end or bool(at & odd)
            seen.add(at)
            if back is None or node[to_back] == behind:
                taken.append(at)
                values += node
                torn = False
            elif torn:
                return False
            else:
                torn = True
                ledger.torn += 1
            link, behind = at + following & mask, at + back_to & mask
            at = node[to_next]
        return True

    def _again(self, link: int) -> tuple[int, Column | None]:
        """The node as it is now, and its values: none at the list's end, or if it is lost."""
        now = self._nodes.pointer(link, self._ledger)
        if now is not None and (now == self._end or now & self._odd):
            return now, None
        node = None if now is None else self._nodes.reader(self._ledger)(now)
        if now is None or node is None:
            self._ledger.lost()
            return self._start, None
        return now, node
