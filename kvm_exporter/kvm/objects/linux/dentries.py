"""Under which name does a dead Linux know a file?  Its path, as d_path() in fs/d_path.c tells it.

1. A dentry has its name and its parent; the root of a mounted file system has a name where it is
   mounted, which the mount around its vfsmount tells.  The way ends at the root of process 1, or of
   another mount namespace.
2. Files that are nowhere mounted have names of their own (dnames.py).
3. A file that was removed has `` (deleted)`` at its end.

Sources: fs/d_path.c, include/linux/dcache.h, fs/mount.h.
"""

from __future__ import annotations

from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.objects.linux.dnames import Dnames
from kvm_exporter.kvm.objects.linux.tasklist import TASK, TaskList
from kvm_exporter.kvm.objects.structs import Struct, Values, read_numbers
from kvm_exporter.kvm.target import Target

DENTRY = "struct dentry"
MOUNT = "struct mount"

LONGEST_NAME = 256
MOST_STEPS = 4096
"""Bytes of a name with its NUL; directories and mounts on the way: more than PATH_MAX has room for.
"""

MOST_KNOWN = 1 << 16
"""Files and directories whose paths are remembered; then all are forgotten."""

DELETED = b" (deleted)"


class Place(NamedTuple):
    """A struct path: a dentry of a mounted file system, whose struct mount is around ``mnt``."""

    mnt: int
    dentry: int


class Paths:
    """Paths of ``target``'s files.  Errors: SymbolMissing, TypeMissing, Fault."""

    def __init__(self, target: Target) -> None:
        self._target = target
        members = ("d_parent", "d_name.name", "d_inode", "d_op", "d_hash.pprev", "d_fsdata")
        self._dentry = Struct(target, DENTRY, members)
        self._mount = Struct(target, MOUNT, ("mnt_parent", "mnt_mountpoint", "mnt.mnt_root"))
        self._file = Struct.whole(target, "struct file", ("f_path.mnt", "f_path.dentry"))
        self._within = target.offset(MOUNT, "mnt")
        self._dnames = Dnames(target)
        self._root = _root(target)
        self._known: dict[Place, bytes] = {self._root: b""}

    def of_file(self, file: int) -> str | None:
        """Of a struct file; None, and counted, where that cannot be read."""
        row = self._file.at(file) if file else None
        return self.of(Place(*row)) if row else None

    def of(self, place: Place) -> str | None:
        """Of a struct path; None, and counted, where it cannot be read."""
        try:
            return self._path(place).decode("utf-8", "surrogateescape")
        except KvmError:
            self._target.tally.add(DENTRY, None)
            return None

    def _path(self, place: Place) -> bytes:
        dentry = self._dentry.needed(place.dentry)
        is_root = dentry["d_parent"] == place.dentry
        if dentry["d_op"] and not (is_root and self._is_mounted(place)):
            own = self._dnames.of(dentry, self._name(dentry))
            if own is not None:
                return own
        gone = not dentry["d_hash.pprev"] and not is_root
        return (self._walk(place) or b"/") + (DELETED if gone else b"")

    def _walk(self, place: Place) -> bytes:
        """The path, empty for the root; it is remembered, and those of the directories above it."""
        way: list[tuple[Place, bytes]] = []
        while place not in self._known:
            if len(way) >= MOST_STEPS:
                raise FormatError(f"the directories go in circles at {place.dentry:#x}")
            above, name = self._above(place)
            way.append((place, name))
            if above is None:
                path = b""
                break
            place = above
        else:
            path = self._known[place]
        if len(self._known) > MOST_KNOWN:
            self._known = {self._root: b""}
        for one, name in reversed(way):
            path += name
            self._known[one] = path
        return path

    def _above(self, place: Place) -> tuple[Place | None, bytes]:
        """Where the way goes on, and the name there; None where it ends."""
        mount = self._around(place)
        if mount["mnt.mnt_root"] == place.dentry:
            above = mount["mnt_parent"] + self._within
            return None if above == place.mnt else Place(above, mount["mnt_mountpoint"]), b""
        dentry = self._dentry.needed(place.dentry)
        if dentry["d_parent"] == place.dentry:
            return None, b""
        return place._replace(dentry=dentry["d_parent"]), b"/" + self._name(dentry)

    def _is_mounted(self, place: Place) -> bool:
        return bool(place.dentry == self._around(place)["mnt.mnt_root"])

    def _around(self, place: Place) -> Values:
        """The struct mount of a place."""
        return self._mount.needed(place.mnt - self._within)

    def _name(self, dentry: Values) -> bytes:
        return self._target.memory.read(dentry["d_name.name"], LONGEST_NAME).partition(b"\0")[0]


def _root(target: Target) -> Place:
    """The root directory of process 1; nowhere, and counted, where that cannot be read."""
    try:
        process = TaskList(target).find(1)
        (fs,) = read_numbers(target, TASK, ("fs",), process.address)
        return Place(*read_numbers(target, "struct fs_struct", ("root.mnt", "root.dentry"), fs))
    except KvmError:
        target.tally.add("struct fs_struct", None)
        return Place(0, 0)
