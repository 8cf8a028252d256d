"""Are the descriptors of a dead kernel's processes those that kern.file would have listed?"""

from __future__ import annotations

import pytest
from fakes.world import target
from forge import cdecl
from forge.kernel_structs import MODERN, OLD
from forge.population import ZOMBIE, Population
from forge.world import World

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd import files
from kvm_exporter.kvm.objects.model import OpenFile

ABIS = [cdecl.AMD64, cdecl.I386, cdecl.POWERPC64, cdecl.POWERPC]


def listed(people: Population, pid: int | None = None):
    """The descriptors."""
    return list(files.from_memory(target(people.finish()), pid))


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("kernel", [MODERN, OLD])
def test_files(kernel, abi):
    """Each open descriptor is told with its file, and a vnode with the path that is known."""
    people = Population(World(kernel, abi))
    world = people.world
    etc = people.directory(people.root(), b"etc")
    passwd = people.directory(etc, b"passwd")
    vnode = world.new(
        "struct file",
        f_type=1,
        f_flag=3,
        f_count=2,
        f_offset=2**40,
        f_data=passwd,
        f_vnode=passwd,
    )
    socket = world.new("struct file", f_type=2, f_flag=7, f_count=1, f_data=0x5000)
    strange = world.new("struct file", f_type=99)
    people.add(5, b"x", members={"p_ucred": people.credentials(uid=1001)})
    people.add(6, b"y")
    people.open(5, {0: vnode, 3: socket, 1500: strange}, size=2000)
    people.open(6, {1: vnode})
    same = {
        "kind": "vnode",
        "flags": 3,
        "references": 2,
        "offset": 2**40,
        "path": "/etc/passwd",
        "address": vnode.address,
        "data_address": passwd.address,
        "vnode_address": passwd.address,
    }
    assert listed(people) == [
        OpenFile(pid=6, fd=1, uid=0, **same),
        OpenFile(pid=5, fd=0, uid=1001, **same),
        OpenFile(
            pid=5,
            fd=3,
            kind="socket",
            uid=1001,
            flags=7,
            offset=0,
            references=1,
            address=socket.address,
            data_address=0x5000,
        ),
        OpenFile(
            pid=5,
            fd=1500,
            kind="other",
            uid=1001,
            flags=0,
            offset=0,
            references=0,
            address=strange.address,
        ),
    ]


def test_one_process():
    """Of one process only its own, and nothing of a process that is not there."""
    people = Population(World(MODERN))
    file = people.world.new("struct file")
    for pid in (5, 6):
        people.add(pid, b"x")
        people.open(pid, {pid: file})
    people.finish()
    dead = target(people.world)
    assert [(one.pid, one.fd) for one in files.from_memory(dead, 6)] == [(6, 6)]
    assert list(files.from_memory(dead, 7)) == []


def test_who_has_none():
    """Zombies, processes that are being made and closed tables have no descriptors."""
    people = Population(World(MODERN))
    file = people.world.new("struct file")
    people.add(5, b"x", state=ZOMBIE)
    people.add(6, b"x", state=0)
    people.add(7, b"x")
    people.add(8, b"x")
    for pid in (5, 6, 7):
        people.open(pid, {0: file})
    people.open(7, {0: file}).put("fd_refcnt", 0)
    assert listed(people) == []


@pytest.mark.parametrize("kind", ["u_int v_type;", "enum vtype { VNON } v_type:8; short v_irflag;"])
def test_device(kind):
    """A device, which no name cache has, is named below where its file system is mounted.

    Until 13 the vnode's type was a bit-field.
    """
    people = Population(World(MODERN.replace("u_int v_type;", f"{kind} struct cdev *v_rdev;")))
    world = people.world
    dev = people.mounted(people.directory(people.root(), b"dev"))
    null = world.new("struct cdev", si_name=b"null")
    vnode = world.new("struct vnode", v_rdev=null, v_mount=dev.get("v_mount"))
    world.write(vnode.address, b"\x04")
    people.add(5, b"x")
    people.open(5, {0: world.new("struct file", f_type=1, f_vnode=vnode)})
    (found,) = listed(people)
    assert found.path == "/dev/null"


NULLFS = """
struct null_mount { struct mount *nullm_vfs; struct vnode *nullm_lowerrootvp; };
struct null_node {
    struct { struct null_node *le_next; struct null_node **le_prev; } null_hash;
    struct vnode *null_lowervp; struct vnode *null_vnode; u_int null_flags;
};
struct mount { void *mnt_data; struct { long f_pad; char f_fstypename[16]; } mnt_stat;
"""


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("kind", [b"nullfs", b"unionfs"])
@pytest.mark.parametrize("itself", [True, False])
def test_nullfs(abi, kind, itself):
    """What a jail has from another directory has its path there; damaged, or of others, none."""
    kernel = MODERN.replace("struct mount {", NULLFS, 1)
    people = Population(World(kernel.replace("u_int v_type;", "void *v_data; u_int v_type;"), abi))
    world, root = people.world, people.root()
    base = people.directory(people.directory(root, b"usr"), b"base")
    below = people.directory(people.directory(base, b"bin"), b"sh")
    jail = people.directory(people.directory(root, b"jails"), b"www")
    mount = world.new(
        "struct mount",
        mnt_vnodecovered=jail,
        mnt_data=world.new("struct null_mount", nullm_lowerrootvp=base),
    )
    mount.put("mnt_stat.f_fstypename", kind)
    node = world.new("struct null_node", null_lowervp=below)
    vnode = world.new("struct vnode", v_type=1, v_data=node, v_mount=mount)
    node.put("null_vnode", vnode if itself else below)
    people.add(5, b"x")
    people.open(5, {0: world.new("struct file", f_type=1, f_vnode=vnode)})
    (found,) = listed(people)
    assert found.path == ("/jails/www/bin/sh" if kind == b"nullfs" and itself else None)


@pytest.mark.parametrize("count", [-1, 2**31 - 1, 2**20 + 1, 2**20])
def test_damaged_count(count):
    """A count of descriptors that cannot be costs that process's only, and is counted."""
    people = Population(World(MODERN))
    file = people.world.new("struct file")
    for pid in (5, 6):
        people.add(pid, b"x")
        people.open(pid, {0: file})
    people.finish()
    filedesc = people.processes[5].get("p_fd")
    table = people.world.read(filedesc, 64)
    offset = people.world.c.offset("struct filedesc", "fd_files")
    at = int.from_bytes(table[offset : offset + 8], "little")
    at += people.world.c.offset("struct fdescenttbl", "fdt_nfiles")
    people.world.write(at, people.world.number(count, 4))
    dead = target(people.world)
    found = [one for one in files.from_memory(dead, None) if one.pid == 6]
    assert [(one.pid, one.fd) for one in found] == [(6, 0)]
    assert dead.tally.counts()["struct filedesc", "unknown"] == 1
    assert files.counts_from_memory(dead) == {6: 1, 5: None}


def test_dangling_file():
    """A descriptor whose file cannot be read is left out, and counted."""
    people = Population(World(MODERN))
    file = people.world.new("struct file")
    people.add(5, b"x")
    people.open(5, {0: file._replace(address=0x10), 1: file})
    people.finish()
    dead = target(people.world)
    assert [one.fd for one in files.from_memory(dead, None)] == [1]
    assert dead.tally.counts()["struct file", "unknown"] == 1


def test_unknown_names():
    """A kernel without a name cache that we know still has its descriptors."""
    people = Population(World(MODERN.replace("struct namecache {", "struct other_cache {")))
    people.add(5, b"x")
    vnode = people.world.new("struct vnode")
    people.open(5, {0: people.world.new("struct file", f_type=1, f_vnode=vnode)})
    (found,) = listed(people)
    assert (found.kind, found.path, found.vnode_address) == ("vnode", None, vnode.address)


def test_no_descriptor_types():
    """A kernel that does not tell what a descriptor is is an error of the package's own."""
    people = Population(World(MODERN))
    people.add(5, b"x")
    dead = target(people.finish())
    dead.types._c = cdecl.Declarations(MODERN.replace("struct file *fde_file", "char fde_file[7]"))
    with pytest.raises(KvmError, match="filedescent"):
        files.from_memory(dead, None)
