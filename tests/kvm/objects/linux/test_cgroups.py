"""Is a dead process's control group the one that /proc/PID/cgroup would have led to?"""

from __future__ import annotations

import pytest
from fakes.world import target
from forge import cdecl
from forge.linux_structs import MODERN, OLD
from forge.linux_tasks import PF_EXITING, Cgroups
from forge.world import Thing, World

from kvm_exporter.kvm.errors import SymbolMissing
from kvm_exporter.kvm.objects.linux import cgroups

KERNELS = [
    pytest.param(MODERN, cdecl.AMD64, id="modern"),
    pytest.param(OLD, cdecl.POWERPC, id="old"),
]


def path(made: Cgroups, css_set: Thing, flags: int = 0) -> str | None:
    """Of a task in that set."""
    return cgroups.Cgroups(target(made.world)).path(css_set.address, flags)


@pytest.mark.parametrize(("kernel", "abi"), KERNELS)
def test_version_2(kernel: str, abi: cdecl.Abi) -> None:
    """The names up to the root, which has none; bytes that are no UTF-8 as surrogates."""
    made = Cgroups(World(kernel, abi))
    assert path(made, made.set_of(made.default)) == "/"
    deep = made.group(made.root, b"a.slice", b"b c", b"\xff")
    assert path(made, made.set_of(deep)) == "/a.slice/b c/\udcff"


def test_a_zombies_group_may_be_gone() -> None:
    """Version 2 keeps it, and says so."""
    made = Cgroups(World(MODERN))
    gone = made.group(made.root, b"gone", online=False)
    assert path(made, made.set_of(gone), PF_EXITING) == "/gone (deleted)"


def test_version_2_that_nobody_mounted_is_not_told() -> None:
    """As on a system that uses version 1 alone, or none: then there is no line for it."""
    made = Cgroups(World(MODERN), visible=False)
    assert path(made, made.set_of(made.default)) is None
    first = made.hierarchy(b"")
    other = made.group(first, b"batch")
    assert path(made, made.set_of(made.default, other)) == "/batch"


@pytest.mark.parametrize(("kernel", "abi"), KERNELS)
def test_systemds_own_hierarchy_counts(kernel: str, abi: cdecl.Abi) -> None:
    """Before version 2's, and before those of controllers, wherever it is in the list."""
    made = Cgroups(World(kernel, abi))
    roots = [made.hierarchy(name) for name in (b"", b"systemd", b"elogind")]
    groups = [made.group(root, b"of-%d" % at) for at, root in enumerate(roots)]
    css_set = made.set_of(made.default, *groups)
    assert path(made, css_set) == "/of-1"
    assert path(made, css_set, PF_EXITING) == "/"


def test_a_hierarchy_that_the_set_is_not_in_is_unknown() -> None:
    """The list of its groups goes round, and ends."""
    made = Cgroups(World(MODERN))
    made.hierarchy(b"systemd")
    other = made.group(made.root, b"x")
    dead = target(made.world)
    assert cgroups.Cgroups(dead).path(made.set_of(made.default, other).address, 0) is None
    assert dead.tally.counts()["struct css_set", "unknown"] == 1


def test_damaged_names_are_unknown() -> None:
    """A group below itself, and one that lies nowhere."""
    made = Cgroups(World(MODERN))
    group = made.group(made.root, b"a")
    node = Thing(made.world, "struct kernfs_node", group.get("kn"))
    node.put("__parent", node)
    assert path(made, made.set_of(group)) is None
    group.put("kn", 0x10)
    assert path(made, made.set_of(group)) is None
    assert path(made, Thing(made.world, "struct css_set", 0)) is None


def test_without_a_list_of_hierarchies_version_2_counts() -> None:
    """Kernels that tell the symbols of functions, and of what is exported, alone."""
    made = Cgroups(World(MODERN))
    made.world.symbols[:] = [one for one in made.world.symbols if one.name == "cgrp_dfl_root"]
    group = made.group(made.root, b"a")
    assert path(made, made.set_of(group)) == "/a"
    made.world.symbols.clear()
    with pytest.raises(SymbolMissing, match="cgrp_dfl_root"):
        cgroups.Cgroups(target(made.world))
