"""What are a running FreeBSD's sysctls now?

1. Names, formats and descriptions are asked for once, when a leaf is first seen.  After that a
   collection asks for the values, and of one leaf in ROUNDS whether the one behind it is still the
   same: so a new one is found within ROUNDS collections, and one that is gone at once, by ENOENT.
   Of one that is still there then, ENOENT is its handler's answer: the tree is not walked again.
2. A value's buffer has the size of its type, as a C program's would: the kernel chooses the width
   of some answers by it (sysctl_handle_bool(), vm.stats).  An array does not fit, which is
   remembered: then the whole answer is asked for.  What says a struct and is a list is not asked
   for again.
3. A value that the kernel refuses is left out, and counted by its errno (source ``sysctl``).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterator
from typing import Literal

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.live.sysctl import Sysctl as Asking
from kvm_exporter.kvm.objects.freebsd.layouts import abi_of
from kvm_exporter.kvm.objects.freebsd.refusals import refused
from kvm_exporter.kvm.objects.freebsd.sysctlkinds import (
    NAMES,
    TYPE_MASK,
    Number,
    Text,
)
from kvm_exporter.kvm.objects.freebsd.sysctlstructs import Reader, Record, Structs
from kvm_exporter.kvm.objects.freebsd.sysctlwalk import Mib, Told, Walk, inside
from kvm_exporter.kvm.objects.sysctls import Setting, Sysctl, Value, below
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.types.model import Types

ROUNDS = 8
"""Collections in which every leaf's successor is looked at once (rule 1)."""

SOURCE = "sysctl"

NAMELESS = Sysctl((), ())
"""A leaf of which the kernel does not tell how it is read."""


class Leaf:
    """A leaf, and how it is read; ``reader`` None: not at all.

    ``absent``: the kernel said ENOENT when it was read last, which a handler may say as well.
    """

    __slots__ = ("absent", "mib", "reader", "size", "sysctl", "text")

    def __init__(self, mib: Mib, sysctl: Sysctl, reader: Reader | None) -> None:
        self.mib = mib
        self.sysctl = sysctl
        self.reader = reader
        self.size = reader.size if reader else None
        self.text = isinstance(reader, Text)
        self.absent = False

    def widen(self) -> None:
        """Remember that the answer is longer than a value of its type (rule 2)."""
        self.size = None
        if not isinstance(self.reader, Number):
            self.reader = None


class Tree:
    """The leaves below ``root``, in the order of their numbers; ``round`` counts collections."""

    def __init__(self, root: Mib) -> None:
        self.root = root
        self.leaves: list[Leaf] = []
        self.round = 0
        self.stale = True


class LiveSysctls:
    """The tree of the kernel that ``asking`` reaches (objects/sysctls.py's Sysctls).

    ``machine`` is its hw.machine_arch; ``types`` are asked for when an opaque sysctl is met that
    needs them.  Errors: Unsupported for an architecture whose words are not known.
    """

    def __init__(
        self, asking: Asking, machine: str, types: Callable[[], Types], tally: Tally
    ) -> None:
        self._asking = asking
        abi = _abi(machine)
        self._tally = tally
        self._walk = Walk(asking, abi.order)
        self._structs = Structs(machine, abi, types)
        self._trees: dict[str, Tree] = {}
        self._named: dict[str, Leaf] = {}

    def read(
        self, prefixes: Collection[str], without: Collection[str] = (), *, texts: bool = False
    ) -> Iterator[Setting]:
        """As Sysctls.read; a tree that is not there has nothing.

        Errors: AccessDenied where the kernel does not let its tree be walked.
        """
        seen: set[Mib] = set()
        others = [tuple(one.split(".")) for one in without]
        for tree in filter(None, map(self._tree, prefixes)):
            for leaf in tree.leaves:
                wanted = leaf.reader is not None and (texts or not leaf.text)
                if not wanted or leaf.mib in seen or below(leaf.sysctl.parts, others):
                    continue
                seen.add(leaf.mib)
                absent = leaf.absent
                value, leaf.absent = self._value(leaf)
                tree.stale |= leaf.absent and not absent
                if value is not None:
                    yield Setting(leaf.sysctl, value)

    def one(self, name: str) -> Setting | None:
        """As Sysctls.one."""
        leaf = self._named.get(name)
        if leaf is None:
            try:
                leaf = self._leaf(self._walk.told(self._walk.root(name), None))
            except OSError as e:
                if e.errno != errno.ENOENT:
                    self._tally.add(SOURCE, e.errno)
                return None
            self._named[name] = leaf
        value, gone = self._value(leaf)
        if gone:
            del self._named[name]
        return None if value is None else Setting(leaf.sysctl, value)

    def _tree(self, prefix: str) -> Tree | None:
        """A tree, walked again where it has changed (rule 1); None where there is none."""
        try:
            tree = self._trees.get(prefix) or Tree(self._walk.root(prefix))
            if tree.stale or self._changed(tree):
                tree.leaves = list(self._walked(tree))
                tree.stale = False
        except OSError as e:
            self._trees.pop(prefix, None)
            if e.errno == errno.ENOENT:
                return None
            self._tally.add(SOURCE, e.errno)
            raise refused(e, f"sysctl {prefix}: its tree") from e
        self._trees[prefix] = tree
        return tree

    def _changed(self, tree: Tree) -> bool:
        """Whether one of the successors looked at in this round is another than it was."""
        tree.round += 1
        mibs = [tree.root, *(leaf.mib for leaf in tree.leaves if leaf.mib != tree.root)]
        for at in range(tree.round % ROUNDS, len(mibs), ROUNDS):
            found = self._walk.next(mibs[at])
            following = found if found and inside(found, tree.root) else None
            if following != (mibs[at + 1] if at + 1 < len(mibs) else None):
                return True
        return False

    def _walked(self, tree: Tree) -> Iterator[Leaf]:
        known = {leaf.mib: leaf for leaf in tree.leaves}
        before: Told | None = None
        for mib in self._walk.leaves(tree.root):
            leaf = known.get(mib)
            if leaf is None:
                try:
                    before = self._walk.told(mib, before)
                    leaf = self._leaf(before)
                except OSError as e:
                    if e.errno != errno.ENOENT:  # gone again, or without a format
                        self._tally.add(SOURCE, e.errno)
                    leaf = Leaf(mib, NAMELESS, None)
            yield leaf

    def _leaf(self, told: Told) -> Leaf:
        kind = NAMES.get(told.kind & TYPE_MASK, "")
        sysctl = Sysctl(told.parts, told.labels, kind, told.format, told.description)
        return Leaf(told.mib, sysctl, self._structs.reader(told.kind, sysctl))

    def _value(self, leaf: Leaf) -> tuple[Value | None, bool]:
        """The value now, None for none; and whether the leaf is gone."""
        reader = leaf.reader
        if reader is None:
            return None, False
        try:
            raw = self._asking.by_mib(leaf.mib, leaf.size)
        except OSError as e:
            if e.errno == errno.ENOMEM and leaf.size is not None:
                leaf.widen()
                return self._value(leaf)
            if e.errno != errno.ENOENT:
                self._tally.add(SOURCE, e.errno)
            return None, e.errno == errno.ENOENT
        value = reader.value(raw)
        if value is None and isinstance(reader, Record):
            leaf.reader = None
        return value, False


def _abi(machine: str) -> Abi:
    """That of a C program of ``machine``."""
    known = abi_of(machine)
    pointer_size: Literal[4, 8] = 8 if known.pointer == "Q" else 4
    return Abi(">" if known.order == ">" else "<", pointer_size)
