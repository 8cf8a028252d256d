"""Under which name does a dead kernel know a file?  Its path, as vn_fullpath(9) finds it.

1. A vnode's names are in its v_cache_dst list; each entry has the directory (nc_dvp) and the name
   there.  An entry for ``..`` is none of its own.
2. The root of a mounted file system has no name; what it was mounted on has.  The way ends at
   rootvnode.
3. Devices are not in the cache: theirs is si_name, below where their file system is mounted.
4. What nullfs shows has no names either: it goes by those of the file below, up to the directory
   that is shown, and on from where that is mounted.  Types of nullfs are its module's, so its two
   structs, whose pointers have kept their places, are known here.
5. Names fall out of the cache, so a path may not be known.

Sources: sys/kern/vfs_cache.c, sys/sys/vnode.h, sys/sys/conf.h, sys/fs/nullfs/null.h.
"""

from __future__ import annotations

from typing import NamedTuple

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.remembered import Remembered
from kvm_exporter.kvm.target import Target

VV_ROOT = 0x1
VCHR = 4
NCF_ISDOTDOT = 0x2
NCF_TS = 0x4

PATH_MAX = 1024
MOST_NAMES = 512
"""In a path: each takes two bytes of PATH_MAX."""
MOST_ENTRIES = 64
"""Names of one file that are looked at."""
MOST_KNOWN = 1 << 16
"""Paths that are remembered; then all are forgotten."""

VNODE = "v_type v_vflag v_mount v_data v_cache_dst.tqh_first v_rdev|v_un.vu_cdev"
MOUNT = "mnt_vnodecovered mnt_data mnt_stat.f_fstypename[]"
ENTRY = "nc_dvp nc_flag nc_nlen nc_dst.tqe_next"

NULLFS = b"nullfs"
NULL_NODE = 2, 3
NULL_MOUNT = 1
"""Pointers before null_lowervp and null_vnode of struct null_node, and before nullm_lowerrootvp of
struct null_mount."""


class Shown(NamedTuple):
    """A file that nullfs shows, the directory that all it shows is below, and what it covers."""

    file: int
    root: int
    covered: int


class Paths:
    """Paths of vnodes, by their addresses.  Errors: TypeMissing."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._vnode = Struct(target, "struct vnode", VNODE.split())
        self._entry = Struct(target, "struct namecache", ENTRY.split())
        self._mount = Struct(target, "struct mount", MOUNT.split())
        self._device = Struct(target, "struct cdev", ("si_name[]",))
        self._name = target.offset("struct namecache", "nc_name")
        self._timed = self._name
        if target.has("struct namecache_ts", "nc_name"):
            # until 12 a name that is kept with its time lay behind that
            self._timed = target.offset("struct namecache_ts", "nc_name")
        self._root = target.pointer(target.address("rootvnode"))
        self._known: Remembered[int, str | None] = Remembered(MOST_KNOWN)

    def of(self, vnode: int) -> str | None:
        """The path; None where the kernel knows none any more."""
        return self._known.of(vnode, self._path)

    def _path(self, vnode: int) -> str | None:
        try:
            return self._walk(vnode)
        except KvmError:
            self._target.tally.add("struct namecache", None)
            return None

    def _walk(self, vnode: int) -> str | None:
        names: list[bytes] = []
        shown: list[Shown] = []
        for _ in range(MOST_NAMES):
            if shown and vnode == shown[-1].root:
                vnode = shown.pop().covered
                continue
            if vnode == self._root:
                return "/" + b"/".join(reversed(names)).decode("utf-8", "surrogateescape")
            row = self._vnode.values(vnode) if vnode else None
            if row is None:
                break
            if row["v_vflag"] & VV_ROOT:
                vnode = self._covered(row)
                continue
            name, directory = self._named(row)
            if directory:
                names.append(name)
            elif found := self._shown(vnode, row):
                shown.append(found)
                directory = found.file
            vnode = directory
        return None

    def _shown(self, address: int, vnode: Values) -> Shown | None:
        """What a vnode of nullfs shows (rule 4); None for any other."""
        mount = self._mount.values(vnode["v_mount"])
        if mount is None or not mount["mnt_vnodecovered"]:
            return None
        if bytes(mount["mnt_stat.f_fstypename"]).partition(b"\0")[0] != NULLFS:
            return None
        pointer, size = self._target.pointer, self._target.abi.pointer_size
        file, itself = (pointer(vnode["v_data"] + at * size) for at in NULL_NODE)
        root = pointer(mount["mnt_data"] + NULL_MOUNT * size)
        return Shown(file, root, mount["mnt_vnodecovered"]) if itself == address else None

    def _covered(self, vnode: Values) -> int:
        """What the vnode's file system is mounted on; 0 for nothing."""
        mount = self._mount.values(vnode["v_mount"])
        return int(mount["mnt_vnodecovered"]) if mount else 0

    def _named(self, vnode: Values) -> tuple[bytes, int]:
        """A name and the directory that has it; of no directory (0) where there is none."""
        entry = vnode["v_cache_dst.tqh_first"]
        for _ in range(MOST_ENTRIES):
            row = self._entry.values(entry) if entry else None
            if row is None:
                break
            if not row["nc_flag"] & NCF_ISDOTDOT:
                at = entry + (self._timed if row["nc_flag"] & NCF_TS else self._name)
                return self._target.read(at, row["nc_nlen"] & 0xFF), row["nc_dvp"]
            entry = row["nc_dst.tqe_next"]
        if vnode["v_type"] == VCHR and vnode["v_rdev"]:
            device = self._device.values(vnode["v_rdev"])
            name = bytes(device["si_name"]).partition(b"\0")[0] if device else b""
            return name, self._covered(vnode) if name else 0
        return b"", 0
