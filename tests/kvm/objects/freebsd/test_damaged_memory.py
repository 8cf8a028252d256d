"""Whatever a dump holds, do its processes and files come out, or an error of the package's own?"""

from __future__ import annotations

from contextlib import suppress

import pytest
from fakes.damage import EXTREMES, bounded, damaged, retyped, shuffled, words
from fakes.world import UserMemory
from forge import cdecl
from forge.kernel_structs import MODERN, OLD
from forge.population import Population
from forge.world import World
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd import args, files, procs
from kvm_exporter.kvm.objects.model import Process, ProcOp


def population(kernel: str, abi: cdecl.Abi) -> Population:
    """Some processes with threads, a session, a terminal, files and names."""
    people = Population(World(kernel, abi))
    world = people.world
    session = people.session(1, b"root")
    session.put("s_ttyp", people.terminal(77, session, people.group(2, session)))
    group = people.group(1, session)
    cred = people.credentials(uid=1001, groups=(1, 2, 3))
    etc = people.directory(people.root(), b"etc")
    file = world.new("struct file", f_type=1, f_vnode=people.directory(etc, b"passwd"))
    for pid in range(1, 6):
        people.add(
            pid,
            b"x",
            parent=1,
            threads=({"td_wmesg": world.text("wait")},) * pid,
            members={"p_ucred": cred, "p_pgrp": group, "p_flag": 2, "p_textvp": etc},
        )
        people.open(pid, {0: file, 3: file})
    people.finish()
    return people


def everything(dead) -> None:
    """Ask whatever can be asked; errors other than the package's own are failures."""
    for question in (
        lambda: list(procs.from_memory(dead, 4096, Process._fields, ProcOp.PROC, 0, False)),
        lambda: list(procs.from_memory(dead, 4096, None, ProcOp.ALL, 0, True)),
        lambda: list(procs.from_memory(dead, 4096, None, ProcOp.PID, 3, False)),
        lambda: list(procs.from_memory(dead, 4096, None, ProcOp.PID, 100030, True)),
        lambda: list(files.from_memory(dead, None)),
        lambda: args.arguments_from_memory(dead, lambda _: UserMemory({}, 4096), 3),
        lambda: args.environment_from_memory(dead, lambda _: UserMemory({}, 4096), 3),
        lambda: args.executable_from_memory(dead, 3),
    ):
        with suppress(KvmError):
            question()


WORLDS = {
    (name, order): population(kernel, abi)
    for name, kernel in (("modern", MODERN), ("old", OLD))
    for order, abi in (("<", cdecl.AMD64), (">", cdecl.POWERPC))
}


@pytest.mark.parametrize("key", WORLDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_words(key, data):
    """Words replaced by extremes or by other addresses give rows or a KvmError, and it ends."""
    people = WORLDS[key]
    places = words(people.world)
    chosen = data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=12))
    values = st.sampled_from(EXTREMES) | st.sampled_from(places) | st.integers(0, 2**64 - 1)
    everything(damaged(people.world, {at: data.draw(values) for at in chosen}))


@pytest.mark.parametrize("key", WORLDS)
@pytest.mark.parametrize("seed", range(6))
def test_shuffled_pointers(key, seed):
    """With half of all words replaced by addresses of others there are rows or a KvmError."""
    everything(shuffled(WORLDS[key].world, seed))


KINDS = {"int": "int", "u_int": "int", "gid_t": "int", "uid_t": "int", "pid_t": "int"}
KINDS |= {"uint64_t": "long", "u_long": "long", "segsz_t": "long", "u_char": "u_char"}


@pytest.mark.parametrize("kernel", [MODERN, OLD])
@pytest.mark.parametrize("seed", range(24))
def test_members_of_other_types(kernel, seed):
    """Members that are no integers, where they should be, give rows or a KvmError."""
    dead = bounded(population(kernel, cdecl.AMD64).world)
    dead.types._c = cdecl.Declarations(retyped(kernel, KINDS, {"p_pid", "p_state"}, seed))
    everything(dead)


@pytest.mark.parametrize("size", ["[70000]", "[9999999999]", "[99999999999999999999]"])
@pytest.mark.parametrize("member", ["p_flag", "td_flags", "cr_flags", "pg_flags", "fdt_nfiles"])
def test_structs_of_absurd_sizes(member, size):
    """Structs larger than any memory give rows or a KvmError, without so much being read."""
    dead = bounded(population(MODERN, cdecl.AMD64).world)
    dead.types._c = cdecl.Declarations(MODERN.replace(f"{member};", f"{member}; char pad{size};"))
    everything(dead)
