"""Are a dead process's open files, and their names, those that /proc/PID/fd would have shown?"""

from __future__ import annotations

import pytest
from fakes.world import target
from forge import cdecl
from forge.linux_structs import MODERN, OLD
from forge.linux_tasks import Tasks
from forge.world import Thing, World

from kvm_exporter.kvm.errors import ProcessGone
from kvm_exporter.kvm.objects.linux import taskfiles
from kvm_exporter.kvm.objects.linux.dentries import Paths, Place
from kvm_exporter.kvm.objects.model import OpenFile

KERNELS = [
    pytest.param(MODERN, cdecl.AMD64, id="modern"),
    pytest.param(OLD, cdecl.POWERPC, id="old"),
    pytest.param(MODERN, cdecl.POWERPC64, id="big"),
]
CLOEXEC = 0o2000000


def kernel(text: str = MODERN, abi: cdecl.Abi = cdecl.AMD64) -> Tasks:
    """One with process 1."""
    people = Tasks(World(text, abi))
    people.task(1)
    return people


def listed(people: Tasks, pid: int | None = None) -> list[OpenFile]:
    """The open files, without their addresses."""
    found = taskfiles.from_memory(target(people.world), pid)
    return [file._replace(address=None) for file in found]


def name(people: Tasks, mount: Thing, dentry: Thing) -> str | None:
    """The path of a file."""
    place = Place(mount.at("mnt"), dentry.address)
    return Paths(target(people.finish().world)).of(place)


@pytest.mark.parametrize(("text", "abi"), KERNELS)
def test_every_descriptor_is_told(text: str, abi: cdecl.Abi) -> None:
    """Number, kind, flags, position and path, by rising pid; 200 is past the first word of bits."""
    people = kernel(text, abi)
    files = people.files
    hosts = files.directory(b"hosts", files.directory(b"etc", files.top))
    one = files.file(files.mount, hosts, flags=0o100002, pos=5)
    two = files.file(*files.nameless("pipefs_dname", inode=77), flags=0o1 | CLOEXEC, pos=-1)
    people.task(7, members={"files": files.table({0: one, 200: two}, closed=[200], size=256)})
    people.task(5, members={"files": files.table({3: two})})
    people.finish()
    pipe = OpenFile(5, 3, "pipe", flags=0o1, path="pipe:[77]")
    assert listed(people) == [
        pipe,
        OpenFile(7, 0, "vnode", flags=0o100002, offset=5, path="/etc/hosts"),
        pipe._replace(pid=7, fd=200, flags=0o1 | CLOEXEC),
    ]
    assert listed(people, 5) == [pipe]
    assert listed(people, 1) == []
    with pytest.raises(ProcessGone):
        taskfiles.from_memory(target(people.world), 6)


def test_a_zombie_has_no_descriptors() -> None:
    """task->files is null."""
    people = kernel()
    people.task(5, members={"files": 0})
    assert listed(people.finish(), 5) == []


@pytest.mark.parametrize(
    ("function", "own", "told", "kind"),
    [
        ("pipefs_dname", b"", "pipe:[4026531840]", "pipe"),
        ("sockfs_dname", b"UDP", "socket:[4026531840]", "socket"),
        ("anon_inodefs_dname", b"[eventfd]", "anon_inode:[eventfd]", "eventfd"),
        ("anon_inodefs_dname", b"inotify", "anon_inode:inotify", "inotify"),
        ("pidfs_dname", b"", "anon_inode:[pidfd]", "other"),
        ("simple_dname", b"memfd:x", "/memfd:x (deleted)", "shm"),
        ("dmabuffs_dname", b"", None, "other"),
    ],
)
def test_files_that_are_nowhere_have_names_of_their_own(
    function: str, own: bytes, told: str | None, kind: str
) -> None:
    """By the function that makes them; one that is not known makes none."""
    people = kernel()
    file = people.files.file(*people.files.nameless(function, own, 4026531840))
    people.task(5, members={"files": people.files.table({0: file})})
    (found,) = listed(people.finish())
    assert (found.path, found.kind) == (told, kind)


@pytest.mark.parametrize(("text", "abi"), KERNELS)
def test_a_namespace_is_told_by_its_kind_and_number(text: str, abi: cdecl.Abi) -> None:
    """Which struct leads to its kind changed in 6.9."""
    people = kernel(text, abi)
    made = people.world
    operations = made.new("struct proc_ns_operations", name=made.text("net"))
    if people.modern:
        common = made.new("struct ns_common", ops=operations)
        mount, dentry = people.files.nameless("ns_dname", inode=4026531840, d_fsdata=common)
        Thing(made, "struct inode", dentry.get("d_inode")).set(i_private=common)
    else:
        mount, dentry = people.files.nameless("ns_dname", inode=4026531840, d_fsdata=operations)
    assert name(people, mount, dentry) == "net:[4026531840]"


@pytest.mark.parametrize(("text", "abi"), KERNELS)
def test_paths_lead_through_mounts(text: str, abi: cdecl.Abi) -> None:
    """From a file up to the root of its file system, on from where that is mounted, to the root."""
    people = kernel(text, abi)
    files = people.files
    assert name(people, files.mount, files.top) == "/"
    mnt = files.directory(b"mnt", files.top)
    inner = files.directory(b"/", None)
    mounted = files.mounted(inner, on=files.mount, at=mnt)
    deep = files.directory(b"\xff", files.directory(b"a b", inner))
    assert name(people, mounted, deep) == "/mnt/a b/\udcff"
    assert name(people, mounted, inner) == "/mnt"
    gone = files.directory(b"x", mnt, gone=True)
    assert name(people, files.mount, gone) == "/mnt/x (deleted)"


def test_the_root_is_that_of_process_1() -> None:
    """After switch_root(8): what lies below its root does not show what is above."""
    people = kernel()
    files = people.files
    new = files.directory(b"/", None)
    mounted = files.mounted(new, on=files.mount, at=files.directory(b"root", files.top))
    fs = people.world.new("struct fs_struct", root=files.path(mounted, new))
    people.tasks[1].set(fs=fs)
    assert name(people, mounted, files.directory(b"etc", new)) == "/etc"
    assert name(people, mounted, new) == "/"
    # what that root does not lead to is told from its own mount's root on
    assert name(people, files.mount, files.directory(b"old", files.top)) == "/old"


def test_a_kernel_without_process_1_has_paths() -> None:
    """They are told up to the outermost root."""
    people = Tasks(World(MODERN))
    people.task(9)
    etc = people.files.directory(b"etc", people.files.top)
    assert name(people, people.files.mount, etc) == "/etc"


def test_directories_in_circles_have_no_path() -> None:
    """Nor have those that lie nowhere; both are counted."""
    people = kernel()
    files = people.files
    one = files.directory(b"one", files.top)
    two = files.directory(b"two", one)
    one.put("d_parent", two)
    assert name(people, files.mount, two) is None
    one.put("d_parent", 0x10)
    dead = target(people.world)
    assert Paths(dead).of(Place(files.mount.at("mnt"), two.address)) is None
    assert Paths(dead).of(Place(5, two.address)) is None
    assert Paths(dead).of(Place(0, 0)) is None
    assert dead.tally.counts()["struct dentry", "unknown"] >= 3


def test_a_damaged_table_costs_its_own_process() -> None:
    """More rows than any kernel has, or rows that lie nowhere."""
    people = kernel()
    files = people.files
    file = files.file(files.mount, files.top)
    whole = files.table({1: file})
    for pid, damage in ((5, {"max_fds": 2**32 - 1}), (6, {"fd": 0x10}), (7, {})):
        table = files.table({0: file})
        Thing(people.world, "struct fdtable", table.get("fdt")).set(**damage)
        people.task(pid, members={"files": table})
    people.task(8, members={"files": 0x10})
    people.task(9, members={"files": whole})
    dead = target(people.finish().world)
    assert [(one.pid, one.fd) for one in taskfiles.from_memory(dead, None)] == [(7, 0), (9, 1)]
    assert dead.tally.counts()["struct fdtable", "unknown"] == 3
