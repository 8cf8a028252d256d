"""Whatever a Linux dump holds, are there processes and files, or an error of the package's own?"""

from __future__ import annotations

from contextlib import suppress

import pytest
from fakes.damage import EXTREMES, bounded, damaged, retyped, shuffled, words
from fakes.world import UserMemory, WorldTypes
from forge import cdecl
from forge.linux_structs import MODERN, OLD
from forge.linux_tasks import PF_KTHREAD, PF_WQ_WORKER, Tasks
from forge.world import World
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.linux import taskfiles, tasks
from kvm_exporter.kvm.objects.linux.procs import Choice
from kvm_exporter.kvm.objects.linux.taskargs import Programs
from kvm_exporter.kvm.objects.model import ProcOp
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types import model


def population(kernel: str, abi: cdecl.Abi) -> Tasks:
    """Some processes with threads, a terminal, groups, memory, files and names."""
    people = Tasks(World(kernel, abi))
    world, files = people.world, people.files
    etc = files.directory(b"etc", files.top)
    file = files.file(files.mount, files.directory(b"passwd", etc))
    pipe = files.file(*files.nameless("pipefs_dname", inode=7))
    driver = world.new("struct tty_driver", major=4)
    tty = world.new("struct tty_struct", driver=driver)
    tty.put("ctrl.pgrp" if people.modern else "pgrp", people.pid(2))
    systemd = people.cgroups.hierarchy(b"systemd")
    group = people.cgroups.group(systemd, b"a", b"b")
    cgroups = people.cgroups.set_of(people.cgroups.default, group)
    pages = people.pages(1, 2, 3, 4)
    mm = world.new("struct mm_struct", pgd=1, arg_start=4096, arg_end=4100, exe_file=file, **pages)
    mm.set(env_start=4100, env_end=4200)
    shared = {"mm": mm, "files": files.table({0: file, 3: pipe}), "cgroups": cgroups}
    cred = people.credentials(groups=(1, 2, 3))
    for pid in range(1, 5):
        people.task(pid, group=2, session=2, cred=cred, members=shared, signal={"tty": tty})
        people.task(pid + 100, tgid=pid, group=2, session=2, cred=cred, members=shared)
    worker = world.new("struct worker", pool=driver, desc=b"events")
    kthread = world.new("struct kthread", data=worker)
    own = "worker_private" if people.modern else "set_child_tid"
    kernels = {own: kthread, "cgroups": cgroups}
    people.task(5, b"kworker", members={"flags": PF_KTHREAD | PF_WQ_WORKER, **kernels})
    people.task(6, b"kthread", members={"flags": PF_KTHREAD, **kernels}, inner=(1, 1))
    return people.finish()


def everything(dead: Target) -> None:
    """Ask whatever can be asked; errors other than the package's own are failures."""
    for question in (
        lambda: list(tasks.from_memory(dead, 4096, 1.0, Choice())),
        lambda: list(tasks.from_memory(dead, 4096, None, Choice(threads=True))),
        lambda: list(tasks.from_memory(dead, 4096, 1.0, Choice(op=ProcOp.PID, arg=3))),
        lambda: list(taskfiles.from_memory(dead, None)),
        lambda: Programs(dead, lambda _: UserMemory({}, 4096)).arguments(3),
        lambda: Programs(dead, lambda _: UserMemory({}, 4096)).environment(103),
        lambda: Programs(dead, None).executable(3),
    ):
        with suppress(KvmError):
            question()


WORLDS = {
    (name, order): population(kernel, abi)
    for name, kernel in (("modern", MODERN), ("old", OLD))
    for order, abi in (("<", cdecl.AMD64), (">", cdecl.POWERPC))
}


@pytest.mark.parametrize("key", WORLDS)
def test_an_undamaged_world_is_told(key: tuple[str, str]) -> None:
    """What is damaged below is whole here."""
    dead = bounded(WORLDS[key].world)
    assert len(list(tasks.from_memory(dead, 4096, 1.0, Choice(threads=True)))) == 10
    assert len(list(taskfiles.from_memory(dead, None))) == 8
    assert Programs(dead, None).executable(3) == "/etc/passwd"
    assert dead.tally.counts() == {}


@pytest.mark.parametrize("key", WORLDS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_damaged_words(key: tuple[str, str], data: st.DataObject) -> None:
    """Words replaced by extremes or by other addresses give rows or a KvmError, and it ends."""
    world = WORLDS[key].world
    places = words(world)
    chosen = data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=12))
    values = st.sampled_from(EXTREMES) | st.sampled_from(places) | st.integers(0, 2**64 - 1)
    everything(damaged(world, {at: data.draw(values) for at in chosen}))


@pytest.mark.parametrize("key", WORLDS)
@pytest.mark.parametrize("seed", range(4))
def test_shuffled_pointers(key: tuple[str, str], seed: int) -> None:
    """With half of all words replaced by addresses of others there are rows or a KvmError."""
    everything(shuffled(WORLDS[key].world, seed))


KINDS = {
    "int": "int",
    "u_int": "int",
    "u32": "int",
    "pid_t": "int",
    "u64": "long",
    "u_long": "long",
}


@pytest.mark.parametrize("kernel", [MODERN, OLD])
@pytest.mark.parametrize("seed", range(8))
def test_members_of_other_types(kernel: str, seed: int) -> None:
    """Members that are no integers, where they should be, give rows or a KvmError."""
    dead = bounded(population(kernel, cdecl.AMD64).world)
    dead.types._c = cdecl.Declarations(retyped(kernel, KINDS, {"pid", "tgid"}, seed))
    everything(dead)


class Without(WorldTypes):
    """Types of which no struct has a member of that name."""

    def __init__(self, declarations: cdecl.Declarations, member: str) -> None:
        super().__init__(declarations)
        self._member = member

    def _composite(self, type_: cdecl.Struct) -> model.Type:
        found = super()._composite(type_)
        if not isinstance(found, model.Composite):
            return found
        kept = tuple(one for one in found.members if one.name != self._member)
        return model.Composite(found.kind, found.name, found.size, kept)


MEMBERS = sorted(
    {
        one.name
        for made in WORLDS["modern", "<"].world.c.structs.values()
        for one in made.fields or ()
    }
)


def test_kernels_without_some_member() -> None:
    """Whichever a kernel has not, there are rows or a KvmError, whatever is asked for."""
    people = WORLDS["modern", "<"]
    for member in MEMBERS:
        dead = bounded(people.world)
        dead.types = Without(people.world.c, member)
        for fields in (None, ("namespaces", "read_bytes"), ("user_seconds",)):
            with suppress(KvmError):
                list(tasks.from_memory(dead, 4096, 1.0, Choice(fields)))
        with suppress(KvmError):
            list(taskfiles.from_memory(dead, 3))


@pytest.mark.parametrize("size", ["[70000]", "[9999999999]", "[99999999999999999999]"])
@pytest.mark.parametrize(
    "member", ["nr_threads", "umask", "mnt_id", "cgroup", "d_flags", "exit_state"]
)
def test_structs_of_absurd_sizes(member: str, size: str) -> None:
    """Structs larger than any memory give rows or a KvmError, without so much being read."""
    dead = bounded(population(MODERN, cdecl.AMD64).world)
    dead.types._c = cdecl.Declarations(MODERN.replace(f"{member};", f"{member}; char pad{size};"))
    everything(dead)


@pytest.mark.parametrize("text", ["PIDTYPE_PGID = 4000000000", "PIDTYPE_PGID = -7"])
def test_absurd_constants(text: str) -> None:
    """An enum that says that a process's group lies far away."""
    dead = bounded(population(MODERN, cdecl.AMD64).world)
    dead.types._c = cdecl.Declarations(MODERN.replace("PIDTYPE_PGID", text, 1))
    found = list(tasks.from_memory(dead, 4096, 1.0, Choice(("pgid",))))
    assert {one.pgid for one in found} == {None}
