"""What has a Linux kernel that has a path?  Mounts, swap areas, and the process that sees them.

Process 1 has the first mount as its root; ``hidden`` is not to be reached from there, and on an old
kernel's list is somebody's cursor, too.  Written from fs/mount.h, include/linux/dcache.h,
include/linux/swap.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from forge.world import Thing, World

SWAP = (
    ("/dev/zram0", 3, 5000, 100, -2),
    ("/gone", 0, 700, 70, 0),
    ("/swap file", 1, 1000, 40, 5),
)
"""Path, flags, pages, pages in use, priority: in use, not in use, being emptied."""

MOUNTS = (
    ("rootfs", "/", "rootfs", None, 0x20),
    ("proc", "/proc", "proc", None, 0x20 | 0x7),
    ("host:/data", "/mnt/a b", "fuse", "sshfs", 0x40 | 0x8 | 0x10),
)
"""Device, path, type, subtype, MNT_* flags."""


def ring(head: int, elements: Sequence[Thing], member: str) -> None:
    """A list of struct list_head."""
    world = elements[0].world
    nodes = [head, *(element.at(member) for element in elements), head]
    for before, after in pairwise(nodes):
        width = world.abi.pointer
        world.write(before, world.pointer(after))
        world.write(after + width, world.pointer(before))


def build(world: World) -> None:
    """Process 1, what is mounted, and swap areas."""
    root = _dentry(world, "/", None)
    mounts = [_mount(world, root, row) for row in MOUNTS]
    for mount in mounts:
        mount.set(mnt_parent=mounts[0])
    mounts[0].set(mnt_mountpoint=root)
    hidden = _mount(world, _dentry(world, "/", None), ("hidden", "/", "tmpfs", None, 0))
    hidden.set(mnt_parent=hidden, mnt_mountpoint=hidden.get("mnt.mnt_root"))
    namespace = world.new("struct mnt_namespace")
    every = [*mounts, hidden]
    if "mnt_node" in world.c.layout("struct mount"):
        first, second, third, last = every
        second.set(**{"mnt_node.rb_left": first.at("mnt_node")})
        second.set(**{"mnt_node.rb_right": third.at("mnt_node")})
        third.set(**{"mnt_node.rb_right": last.at("mnt_node")})
        namespace.put("mounts.rb_node", second.at("mnt_node"))
    else:
        cursor = world.new("struct mount")
        cursor.put("mnt.mnt_flags", 0x10000000)
        ring(namespace.at("list"), [every[0], cursor, *every[1:]], "mnt_list")
    fs = world.new("struct fs_struct")
    fs.put("root.mnt", mounts[0].at("mnt"))
    fs.put("root.dentry", root)
    proxy = world.new("struct nsproxy", mnt_ns=namespace)
    _tasks(world, fs, proxy)
    _swap(world, mounts[0], root)


def _tasks(world: World, fs: Thing, proxy: Thing) -> None:
    idle = world.define("init_task", "struct task_struct", {})
    signal = world.new("struct signal_struct", nr_threads=1)
    init = world.new("struct task_struct", pid=1, tgid=1, signal=signal, fs=fs, nsproxy=proxy)
    ring(idle.at("tasks"), [init], "tasks")
    ring(signal.at("thread_head"), [init], "thread_node")


def _dentry(world: World, name: str, parent: Thing | None) -> Thing:
    dentry = world.new("struct dentry", d_inode=world.allocate(64))
    dentry.put("d_parent", parent or dentry)
    dentry.put("d_name.name", world.text(name))
    dentry.put("d_hash.pprev", dentry)
    return dentry


def _directory(world: World, root: Thing, path: str) -> Thing:
    for name in path.split("/")[1:] if path != "/" else ():
        root = _dentry(world, name, root)
    return root


def _mount(world: World, root: Thing, row: tuple[str, str, str, str | None, int]) -> Thing:
    device, path, kind, subtype, flags = row
    type_ = world.new("struct file_system_type", name=world.text(kind))
    block = world.new("struct super_block", s_type=type_)
    block.set(s_subtype=world.text(subtype) if subtype else None)
    mount = world.new("struct mount", mnt_devname=world.text(device))
    mount.put("mnt_mountpoint", _directory(world, root, path))
    mount.put("mnt.mnt_root", root if path == "/" else _dentry(world, "/", None))
    mount.put("mnt.mnt_sb", block)
    mount.put("mnt.mnt_flags", flags)
    return mount


def _swap(world: World, mount: Thing, root: Thing) -> None:
    areas = []
    for path, flags, pages, used, priority in SWAP:
        file = world.new("struct file")
        file.put("f_path.mnt", mount.at("mnt"))
        file.put("f_path.dentry", _directory(world, root, path))
        area = world.new("struct swap_info_struct", flags=flags, pages=pages, prio=priority)
        area.set(swap_file=file)
        if "inuse_pages.counter" in world.c.layout("struct swap_info_struct"):
            # of an int's bits, or of a long's
            full = 30 if world.abi.order == ">" else 8 * world.abi.pointer - 2
            area.put("inuse_pages.counter", used | (1 << full if used == 40 else 0))
        else:
            area.set(inuse_pages=used)
        areas.append(area)
    world.define("swap_info", "pointer", [*areas, None])
    world.define("nr_swapfiles", "u_int", 4)
