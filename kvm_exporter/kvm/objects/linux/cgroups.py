"""In which control group is a process?  Its struct css_set, and the names up to the root.

1. Each hierarchy (struct cgroup_root) has a tree of its own.  /proc/PID/cgroup has a line for each,
   version 2's only once that was mounted; which of them counts, pidfiles.cgroup() says.
2. A hierarchy of version 1 shows an ending process in its root.
3. In version 2 a group that was removed under a zombie has `` (deleted)`` behind its path.

Sources: proc_cgroup_show() in kernel/cgroup/cgroup.c, include/linux/cgroup-defs.h, kernfs.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.objects.linux.lists import ring
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.remembered import Remembered
from kvm_exporter.kvm.target import Target

CSS_ONLINE = 0x2
PF_EXITING = 0x4
"""include/linux/cgroup-defs.h, include/linux/sched.h"""

ROOT = "struct cgroup_root"
LINK = "struct cgrp_cset_link"
SYSTEMD = b"systemd"

DEEPEST = 2048
LONGEST_NAME = 256
"""Names in a path (of PATH_MAX bytes), bytes of one with its NUL: more than there are."""

MOST_KNOWN = 1 << 16
"""Paths that are remembered; then all are forgotten."""


class Root(NamedTuple):
    """A hierarchy: its struct cgroup_root, and its name where it has one."""

    address: int
    name: bytes


class Cgroups:
    """Control groups of ``target``.  Errors: SymbolMissing, TypeMissing, Fault."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._set = Struct(target, "struct css_set", ("dfl_cgrp",))
        self._group = Struct(target, "struct cgroup", ("kn", "self.flags", "root"))
        self._node = Struct(target, "struct kernfs_node", ("__parent|parent", "name"))
        self._default = target.address("cgrp_dfl_root")
        self._root = self._find_root()
        self._known: Remembered[int, str | None] = Remembered(MOST_KNOWN)

    def path(self, css_set: int, flags: int) -> str | None:
        """The path of a task with that ``css_set`` and these flags; None where it has none."""
        root = self._root
        if root is None or not css_set:
            return None
        if flags & PF_EXITING and root != self._default:
            return "/"
        return self._known.of(css_set, partial(self._read_path, root))

    def _read_path(self, root: int, css_set: int) -> str | None:
        try:
            group = self._group_of(css_set, root)
            names = list(self._names(group["kn"]))
        except KvmError:
            self._target.tally.add("struct css_set", None)
            return None
        path = "/" + b"/".join(reversed(names)).decode("utf-8", "surrogateescape")
        gone = root == self._default and not group.get("self.flags", CSS_ONLINE) & CSS_ONLINE
        return f"{path} (deleted)" if gone else path

    def _group_of(self, css_set: int, root: int) -> Values:
        """The struct cgroup that the set has in a hierarchy."""
        target = self._target
        if root == self._default:
            return self._group.needed(self._set.needed(css_set)["dfl_cgrp"])
        head = css_set + target.offset("struct css_set", "cgrp_links")
        group = target.offset(LINK, "cgrp")
        for link in ring(target, head, LINK, "cgrp_link"):
            found = self._group.needed(target.pointer(link + group))
            if found["root"] == root:
                return found
        raise FormatError(f"css_set {css_set:#x} is in no group of the hierarchy {root:#x}")

    def _names(self, node: int) -> Iterator[bytes]:
        """Of a struct kernfs_node and those above it, but for the root's."""
        for _ in range(DEEPEST):
            row = self._node.needed(node)
            if not row["__parent"]:
                return
            name = self._target.memory.read(row["name"], LONGEST_NAME)
            yield name.partition(b"\0")[0]
            node = row["__parent"]
        raise FormatError(f"the control groups go in circles at {node:#x}")

    def _find_root(self) -> int | None:
        """The hierarchy that counts: systemd's own, else version 2's, else the first (rule 1)."""
        roots = list(self._roots())
        named = [root.address for root in roots if root.name == SYSTEMD]
        default = [self._default] if self._is_visible() else []
        rest = [root.address for root in roots if root.address != self._default]
        return next(iter(named + default + rest), None)

    def _roots(self) -> Iterator[Root]:
        """Every hierarchy, the one made last first; none where the list has no symbol."""
        target = self._target
        (symbol,) = target.symbols.lookup(["cgroup_roots"])
        if symbol is None:
            return
        root = Struct(target, ROOT, ("name[]",))
        for address in ring(target, symbol.value, ROOT, "root_list"):
            name = root.needed(address).get("name", b"")
            yield Root(address, name.partition(b"\0")[0])

    def _is_visible(self) -> bool:
        """Whether version 2 was ever mounted; where that is not told, it was."""
        (symbol,) = self._target.symbols.lookup(["cgrp_dfl_visible"])
        return not symbol or bool(self._target.integer(symbol.value, 1))
