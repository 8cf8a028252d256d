"""Which file systems did a dead Linux have mounted?  What process 1 would see in its mountinfo.

1. A mount namespace has its mounts in a tree since 6.8 (2eea9ce4310d), on a list before, cursors of
   those who read it among them.
2. What cannot be reached from the process's root is not told, as the kernel skips it
   (show_mountinfo() in fs/proc_namespace.c).
3. A file system that names its device itself (s_op->show_devname, of btrfs and NFS) may tell it in
   other words there.

Sizes are None: file systems work them out when they are asked.  Source: fs/mount.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.objects.linux import lists
from kvm_exporter.kvm.objects.linux.dentries import MOUNT, Paths, Place
from kvm_exporter.kvm.objects.linux.tasklist import TASK, TaskList
from kvm_exporter.kvm.objects.model import Mount
from kvm_exporter.kvm.objects.structs import Struct, Values, read_numbers
from kvm_exporter.kvm.target import Target

NAMESPACE = "struct mnt_namespace"
MEMBERS = (*("mnt_parent", "mnt_devname", "mnt.mnt_root", "mnt.mnt_sb", "mnt.mnt_flags"),)
SUPER = ("s_type", "s_subtype")

FLAGS = {0x40: 1, 0x1: 2, 0x2: 4, 0x4: 8, 0x8: 1024, 0x10: 2048, 0x20: 4096}
"""MNT_* (include/linux/mount.h) → the ST_* of the word that mountinfo has for it."""

CURSOR = 0x10000000
"""MNT_CURSOR, 5.8 to 6.7."""

MOST_MOUNTS = 1 << 17
"""More than fs.mount-max allows by default (100000)."""

LONGEST = 4096


def from_memory(target: Target) -> tuple[Mount, ...]:
    """Those of process 1, in the kernel's order.  Errors: KvmError where it cannot be found."""
    namespace, root = _process(target)
    reader = Struct(target, MOUNT, MEMBERS)
    found = {at: reader.values(at) for at in islice(_addresses(target, namespace), MOST_MOUNTS)}
    known = {at: row for at, row in found.items() if row and row["mnt.mnt_root"]}
    telling = _Telling(target)
    mounts = (
        telling.mount(at, row)
        for at, row in known.items()
        if not row["mnt.mnt_flags"] & CURSOR and _is_below(at, root - telling.within, known)
    )
    return tuple(mount for mount in mounts if mount)


def _process(target: Target) -> tuple[int, int]:
    """The mount namespace of process 1, and the struct vfsmount of its root."""
    try:
        return _of_task(target, TaskList(target).find(1).address)
    except KvmError:
        return _of_task(target, target.address("init_task"))


def _of_task(target: Target, task: int) -> tuple[int, int]:
    proxy, fs = read_numbers(target, TASK, ("nsproxy", "fs"), task)
    (namespace,) = read_numbers(target, "struct nsproxy", ("mnt_ns",), proxy)
    (root,) = read_numbers(target, "struct fs_struct", ("root.mnt",), fs)
    return namespace, root


def _addresses(target: Target, namespace: int) -> Iterator[int]:
    """Every struct mount of a namespace (rule 1)."""
    if target.has(NAMESPACE, "mounts.rb_node"):
        head = namespace + target.offset(NAMESPACE, "mounts")
        return lists.tree(target, head, MOUNT, "mnt_node")
    head = namespace + target.offset(NAMESPACE, "list")
    return lists.ring(target, head, MOUNT, "mnt_list")


def _is_below(mount: int, root: int, known: dict[int, Values]) -> bool:
    """Whether the way up leads to the root's mount (rule 2)."""
    for _ in range(len(known) + 1):
        if mount == root:
            return True
        above = known[mount]["mnt_parent"] if mount in known else mount
        if above == mount:
            break
        mount = above
    return False


class _Telling:
    def __init__(self, target: Target) -> None:
        self.within = target.offset(MOUNT, "mnt")
        self._target = target
        self._paths = Paths(target)
        self._super = Struct(target, "struct super_block", SUPER)
        self._kind = Struct(target, "struct file_system_type", ("name",))
        if "s_type" not in self._super.names:
            raise TypeMissing("struct super_block has no s_type in this kernel")

    def mount(self, at: int, row: Values) -> Mount | None:
        """The mount at ``at``; None, and counted, where it cannot be read."""
        path = self._paths.of(Place(at + self.within, row["mnt.mnt_root"]))
        try:
            device = self._text(row["mnt_devname"]) if row["mnt_devname"] else "none"
            kind = self._type(row["mnt.mnt_sb"])
        except KvmError:
            self._target.tally.add(MOUNT, None)
            return None
        flags = sum(told for mine, told in FLAGS.items() if row["mnt.mnt_flags"] & mine)
        return None if path is None else Mount(device, path, kind, flags)

    def _type(self, at: int) -> str:
        """``ext4``, ``fuse.sshfs``."""
        block = self._super.values(at) or Values()
        kind = self._kind.values(block["s_type"]) or Values()
        name = self._text(kind["name"])
        subtype = self._text(block["s_subtype"]) if block["s_subtype"] else ""
        return f"{name}.{subtype}" if subtype else name

    def _text(self, at: int) -> str:
        return self._target.string(at, LONGEST)
