"""How is a binary tree walked?  In order, from its leftmost node on.

A node that cannot be read is looked for again, as in a list (walking.py); then its subtree is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvm_exporter.kvm.expressions.program import Tree
from kvm_exporter.kvm.expressions.running.budgets import Ledger
from kvm_exporter.kvm.expressions.running.layouts import Column
from kvm_exporter.kvm.expressions.running.reading import Reading
from kvm_exporter.kvm.expressions.running.slots import Table
from kvm_exporter.kvm.expressions.running.walking import Elements, Firsts, Nodes

COLOUR = 3
"""Bits of a pointer that are none (sys/tree.h since FreeBSD 13; rb_node's are in its parent's)."""


class Trees:
    """A Walker of trees."""

    def __init__(self, shape: Tree, reading: Reading, table: Table) -> None:
        self._shape = shape
        self._mask = reading.mask
        self._nodes = Nodes(reading, table, shape.node, (shape.left, shape.right))
        self._firsts = Firsts(reading, shape.root)

    @property
    def slots(self) -> Sequence[int]:
        """As Walker.slots."""
        return self._nodes.chunk.slots

    def walk(self, heads: Sequence[int | None], ledger: Ledger) -> Elements:
        """As Walker.walk."""
        found = Elements()
        roots = self._firsts.read(heads, ledger)
        for row, (head, root) in enumerate(zip(heads, roots, strict=True)):
            if head and root is None:
                found.whole = False
            elif head and root:
                link = head + self._shape.root & self._mask
                _Walk(self._shape, self._nodes, found, self._mask, ledger).into(row, link, root)
        return found


class _Walk:
    """One tree's: the nodes that it came to."""

    def __init__(
        self, shape: Tree, nodes: Nodes, found: Elements, mask: int, ledger: Ledger
    ) -> None:
        self._shape = shape
        self._nodes = nodes
        self._found = found
        self._mask = mask
        self._ledger = ledger
        self._read = nodes.reader(ledger)
        self._seen: set[int] = set()

    def into(self, row: int, link: int, root: int) -> None:
        """Add the elements of the tree; ``link`` is where the pointer ``root`` lies."""
        left, right = self._nodes.links
        above: list[tuple[int, Column]] = []
        taken: list[int] = []
        pointer = root
        while True:
            while node := self._node(link, pointer):
                above.append(node)
                link, pointer = node[0] + self._shape.left & self._mask, node[1][left]
            if not above:
                break
            at, values = above.pop()
            taken.append(at)
            self._found.values += values
            link, pointer = at + self._shape.right & self._mask, values[right]
        self._found.add(row, self._nodes.elements(taken), range(len(taken)))

    def _node(self, link: int, pointer: int) -> tuple[int, Column] | None:
        """The node that a pointer leads to, and its values; None for none, or one that is lost."""
        now: int | None = pointer
        for _ in range(2):
            at = now and now & ~COLOUR
            if not at:
                break
            if at in self._seen or not self._ledger.element():
                self._ledger.torn += at in self._seen
                self._found.whole = False
                return None
            values = self._read(at)
            if values is not None:
                self._seen.add(at)
                return at, values
            now = self._nodes.reading.pointer(link, self._ledger)
        if at != 0:
            self._ledger.lost()
            self._found.whole = False
        return None
