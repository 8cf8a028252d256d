"""Which sysctls has a Linux in memory?  The directories of its struct ctl_table_set.

1. A directory (struct ctl_dir) is a red-black tree of struct ctl_node.  A node knows the header of
   a table; its place among the header's nodes is that of its entry in the table
   (fs/proc/proc_sysctl.c).
2. A directory's own entry leads to a header that lies in its struct ctl_dir.  Links lead to the
   settings of a namespace, which have directories of their own: those of the first ones are read
   beside the kernel's.
3. A directory is entered once, and what cannot be read costs what hangs on it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import NamedTuple

from kvm_exporter.kvm.errors import KvmError, SymbolMissing, TypeMissing
from kvm_exporter.kvm.objects.linux.lists import tree
from kvm_exporter.kvm.target import Target

SOURCE = "sysctl tables"

ROOT = ("sysctl_table_root", "struct ctl_table_root", "default_set")
NAMESPACES = (
    ("init_net", "struct net", "sysctls"),
    ("init_ipc_ns", "struct ipc_namespace", "ipc_set"),
    ("init_ipc_ns", "struct ipc_namespace", "mq_set"),
    ("init_user_ns", "struct user_namespace", "set"),
)
"""Variables with a struct ctl_table_set: the kernel's, and those of the first namespaces."""

LONGEST = 256
DEEPEST = 12
MOST = 1 << 16
"""Bytes of a name, directories in directories, and settings."""


class Entry(NamedTuple):
    """A setting: its name, where its numbers are, and how they are shown."""

    parts: tuple[str, ...]
    data: int
    size: int
    handler: int


class Tables:
    """The tables of the kernel in ``target``.  Errors: KvmError where it tells neither
    types nor where they are."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._node = target.record("struct ctl_node", ("header",))
        self._header = target.record("struct ctl_table_header", ("ctl_table", "node"))
        self._entry = target.record(
            "struct ctl_table", ("procname", "data", "maxlen", "mode", "proc_handler")
        )
        self._root = target.offset("struct ctl_dir", "root")
        self._own = target.offset("struct ctl_dir", "header")
        self._seen: set[int] = set()

    def entries(self) -> Iterator[Entry]:
        """Every setting that may be read."""
        self._seen.clear()
        try:
            start = self._start(*ROOT)
        except SymbolMissing as e:
            hint = "a kernel without CONFIG_KALLSYMS_ALL does not tell; its vmlinux does"
            raise SymbolMissing(f"{e}; {hint}") from e
        yield from self._directory(start, ())
        for one in NAMESPACES:
            try:
                start = self._start(*one)
            except (SymbolMissing, TypeMissing):
                continue  # a kernel that was built without it
            yield from self._directory(start, ())

    def _start(self, variable: str, struct: str, member: str) -> int:
        """The topmost directory of a set."""
        return self._target.address(variable) + self._target.offset(struct, f"{member}.dir")

    def _directory(self, address: int, parts: tuple[str, ...]) -> Iterator[Entry]:
        if address in self._seen or len(parts) >= DEEPEST:
            return
        self._seen.add(address)
        for node in tree(self._target, address + self._root, "struct ctl_node", "node"):
            try:
                header, (name, data, size, mode, handler) = self._of(node)
                path = (*parts, self._target.string(name, LONGEST))
            except KvmError:
                self._target.tally.add(SOURCE, None)
                continue
            if stat.S_ISDIR(mode):
                yield from self._directory(header - self._own, path)
            elif mode & stat.S_IRUSR and not stat.S_ISLNK(mode) and len(self._seen) < MOST:
                self._seen.add(node)
                yield Entry(path, data, size, handler)

    def _of(self, node: int) -> tuple[int, tuple[int, ...]]:
        """The header of a node's table, and its entry there."""
        (header,) = self._node.at(node)
        table, nodes = self._header.at(header)
        number = (node - nodes) // self._node.size
        return header, self._entry.at(table + number * self._entry.size)
