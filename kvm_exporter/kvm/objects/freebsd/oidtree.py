"""Which sysctls has a FreeBSD kernel in memory?  Its tree of struct sysctl_oid.

1. sysctl__children is the root's list of children.  Since 14 lists are red-black trees by the
   nodes' numbers, singly linked lists in the same order before.  Until 9 a node's children hung on
   its oid_arg1.
2. What CTL_SYSCTL_NEXT leaves out is left out here: nodes that are CTLFLAG_SKIP or CTLFLAG_DORMANT,
   with all that lies below, and CTL_SYSCTL, where it never begins.  A node with a handler wants
   arguments: it is no value, and nothing lies below it (sysctl_sysctl_next_node()).
3. A node that cannot be read costs what hangs on it.  No node is visited twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from kvm_exporter.kvm.errors import FormatError, KvmError, TypeMissing
from kvm_exporter.kvm.objects.freebsd.sysctlkinds import NODE, SKIPPED, TYPE_MASK
from kvm_exporter.kvm.objects.freebsd.sysctlwalk import MOST
from kvm_exporter.kvm.target import INTEGERS, Target
from kvm_exporter.kvm.types.flatten import layout

OID = "struct sysctl_oid"
SOURCE = "sysctl tree"

DEEPEST = 24
"""CTL_MAXNAME: parts of a name."""

LONGEST = 1024
"""Bytes of a text of the tree."""

LOW_BITS = ~3
"""The two lowest bits of a red-black tree's pointers are no part of the address (sys/tree.h)."""

ROOT = "sysctl__children"

PLAIN = (
    *("oid_kind", "oid_arg1", "oid_arg2", "oid_handler"),
    *("oid_name", "oid_fmt", "oid_descr", "oid_number"),
)
LABEL = "oid_label"
"""Since 12."""

CHILDREN = ("oid_children.rbh_root", "oid_children.slh_first")
LINKS = (
    ("oid_link.rbe_link",),
    ("oid_link.rbe_left", "oid_link.rbe_right"),
    ("oid_link.sle_next",),
)
"""Where children begin and how siblings hang together, the newest first (rule 1)."""


class Oid(NamedTuple):
    """A leaf: how its value comes about, and what is told of it."""

    kind: int
    arg1: int
    arg2: int
    handler: int
    parts: tuple[str, ...]
    labels: tuple[str, ...]
    format: str
    description: str


class Node(NamedTuple):
    """A struct sysctl_oid; ``before`` and ``after`` lead to siblings, ``children`` to the first or
    topmost of them, each 0 for none."""

    kind: int
    arg1: int
    arg2: int
    handler: int
    name: int
    format: int
    description: int
    number: int
    label: int
    children: int
    before: int
    after: int


class OidTree:
    """The tree in ``target``.  Errors: KvmError where the kernel has none, or tells no types."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._nodes = Nodes(target)
        self._texts: dict[int, str] = {0: ""}

    def leaves(self) -> Iterator[Oid]:
        """Every leaf, in the order in which sysctl(8) has them."""
        self._nodes.seen.clear()
        root = self._target.pointer(self._target.address(ROOT))
        for node in self._nodes.siblings(root):
            if node.number > 0:
                yield from self._below(node, (), ())

    def _below(self, node: Node, parts: tuple[str, ...], labels: tuple[str, ...]) -> Iterator[Oid]:
        if node.kind & SKIPPED or len(parts) >= DEEPEST:
            return
        parts = (*parts, self._text(node.name))
        labels = (*labels, self._text(node.label))
        if node.kind & TYPE_MASK != NODE:
            form, description = self._text(node.format), self._text(node.description)
            yield Oid(*node[:4], parts, labels, form, description)
        elif not node.handler:
            for child in self._nodes.siblings(node.children):
                yield from self._below(child, parts, labels)

    def _text(self, address: int) -> str:
        """A C string of the kernel; "" for one that is not there."""
        if address not in self._texts:
            try:
                self._texts[address] = self._target.string(address, LONGEST)
            except KvmError:
                self._target.tally.add(SOURCE, None)
                self._texts[address] = ""
        return self._texts[address]


class Nodes:
    """The nodes in ``target``, each once (rule 3); ``seen`` are those that were visited."""

    def __init__(self, target: Target) -> None:
        self._target = target
        has = partial(target.has, OID)
        self._children = next(filter(has, CHILDREN), "")
        self._links = next((links for links in LINKS if has(links[0])), ())
        optional = [one for one in (LABEL, self._children) if one and has(one)]
        wanted = (*PLAIN, *optional, *self._links)
        found = layout(target.types, target.abi, OID, wanted)
        arrays = () if len(self._links) > 1 else self._links  # rbe_link
        for name in set(wanted).difference(arrays):
            if found.members[name].code not in INTEGERS:
                raise TypeMissing(f"{OID}: {name} is no integer here")
        compiled = found.compile(wanted)
        self._decoder, self._names = compiled.decoder, compiled.names
        self.seen: set[int] = set()

    def siblings(self, first: int) -> Iterator[Node]:
        """A list of children in its order, from its first or topmost on (rule 1)."""
        waiting: list[Node] = []
        at = first
        while at or waiting:
            node = self._visited(at) if at else None
            while node is not None:
                waiting.append(node)
                node = self._visited(node.before) if node.before else None
            if not waiting:
                return
            node = waiting.pop()
            yield node
            at = node.after

    def _visited(self, address: int) -> Node | None:
        """The node at an address; None, and counted, for one that is none, or was one already."""
        try:
            if address in self.seen or len(self.seen) >= MOST:
                raise FormatError(f"sysctl tree: it goes in circles at {address:#x}")
            self.seen.add(address)
            return self._node(address)
        except KvmError:
            self._target.tally.add(SOURCE, None)
            return None

    def _node(self, address: int) -> Node:
        raw = self._target.read(address, self._decoder.size)
        found = dict(zip(self._names, self._decoder.unpack(raw), strict=True))
        before, after = self._siblings(found)
        children = found.get(self._children, 0)
        if not self._children and found["oid_arg1"] and found["oid_kind"] & TYPE_MASK == NODE:
            children = self._target.pointer(found["oid_arg1"])
        plain = [found[name] for name in PLAIN]
        return Node._make((*plain, found.get(LABEL, 0), children, before, after))

    def _siblings(self, found: Mapping[str, Any]) -> tuple[int, int]:
        links = [found[name] for name in self._links]
        if links and isinstance(links[0], bytes):  # the parent, where it is among them, left, right
            abi = self._target.abi
            count = len(links[0]) // abi.pointer_size
            links = [*struct.unpack_from(f"{abi.order}{count}{abi.pointer}", links[0])]
        before, after = [0, 0, *(link & LOW_BITS for link in links)][-2:]
        return before, after
