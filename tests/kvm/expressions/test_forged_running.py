"""Does a running FreeBSD say what its dump will say?  One forged kernel, opened both ways.

Live: kldsym(2) finds names, /dev/kmem is its memory, types are from the file that kern.bootfile
names.  The kernel is of this machine's own word size and byte order, as a running one is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from fakes.counted import PLENTY, answered
from fakes.counting import opened
from fakes.world import WorldMemory
from forge import cdecl, freebsd
from forge.counting import LISTS, PAGE, Counting
from forge.ctf import Ctf
from forge.elf import GLOBAL, OBJECT, Section, Sym, write_elf
from forge.linker import Loaded
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.errors import AccessDenied, KvmError, Unsupported
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.wanted import List, Metric, Module, Step
from kvm_exporter.kvm.handle import Kvm
from kvm_exporter.kvm.live.kldsym import Found
from kvm_exporter.kvm.objects import freebsd as package
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies

OWN = {"little": "amd64", "big": "powerpc64"}[sys.byteorder]
START = 0xC2000000

MODULE = Module(
    metrics=(
        Metric("ticks", ("ticks",)),
        Metric("switches", ("switches",), cpu="each"),
        Metric("packets", ("packets",), vnet="all"),
        Metric("faults", ("faults",)),
        Metric("limit", ("pf_limits.l_states",)),
    ),
    lists=(List("disks", (Step(("disks",)),), (Metric("ops", ("d_ops",)),), {"disk": "d_name"}),),
)
METRICS = [*MODULE.metrics, *MODULE.lists[0].metrics]


class Machine:
    """A forged kernel and its files: its own, and that of a module with types of its own."""

    def __init__(self, folder: Path) -> None:
        self.kernel = kernel = Counting(OWN, jails={"web": 3})
        kernel.variable("long ticks", -7)
        kernel.variable("int _hidden", 1)
        kernel.variable("counter_u64_t faults", kernel.counter([1, 2, 3]))
        kernel.percpu("u_int switches", {0: 5, 2: 6, 5: 7})
        kernel.vnet("u_int packets", {"": 40, "web": 2})
        names = LISTS["TAILQ"]
        kernel.declare(
            f"struct disk {{ {names.entry('disk')} d_link; char d_name[8]; u_long d_ops; }};"
            + names.head("disks", "disk")
        )
        disks = [kernel.new("struct disk", d_name=b"da0", d_ops=9)]
        kernel.link_list("TAILQ", kernel.variable("struct disks disks"), disks, "d_link")
        limits = kernel.world.bytes(kernel.world.number(100, 4) + kernel.world.number(200, 4))
        self.symbols = [Sym("pf_limits", limits, 8, OBJECT, GLOBAL, ".data")]
        path = str(folder / "pf.ko")
        self.files = kernel.modules(
            [Loaded("pf.ko", path, START, 0x1000, self.symbols, {".data": 3})]
        )
        text = "struct limits { u_int l_rules, l_states; }; struct limits pf_limits;"
        ctf = Ctf(cdecl.Declarations(text, kernel.c.abi), objects=["pf_limits"]).data
        Path(path).write_bytes(write_elf(OWN, symbols=[], sections={".SUNW_ctf": Section(ctf)}))
        self.file = folder / "kernel"
        self.file.write_bytes(kernel.file())
        self.loaded = True

    def find(self, name: bytes) -> Found | None:
        """Exact names, of the kernel and of the modules that are there: kldsym(2)."""
        for one in self.kernel.world.symbols:
            if one.name.encode() == name:
                return Found(one.address, one.size)
        for symbol in self.symbols if self.loaded else ():
            if symbol.name.encode() == name:
                return Found(symbol.value, symbol.size)
        return None

    def unload(self) -> None:
        """Unload the module."""
        self.files[0].put("lf.link.tqe_next", None)
        self.loaded = False


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A forged machine in the place of this one."""
    machine = Machine(tmp_path)
    tree = {
        "hw.machine_arch": freebsd.machine(OWN),
        "hw.pagesize": freebsd.number(PAGE),
        "kern.base_address": freebsd.longs(0x200000, arch=OWN),
        "kern.relbase_address": freebsd.longs(0x200000, arch=OWN),
        "kern.bootfile": os.fsencode(machine.file) + b"\0",
    }
    monkeypatch.setattr(package, "LibcSysctl", lambda: ForgedSysctl(tree))
    monkeypatch.setattr(package, "LibcDeviceNames", lambda: str)
    monkeypatch.setattr(package, "LibcFileSystems", lambda: lambda size: [])
    monkeypatch.setattr(package, "LibcKldsym", lambda: machine.find)
    memory = WorldMemory(machine.kernel.world)
    monkeypatch.setattr(package, "DeviceMemory", lambda path, *, writable: memory)
    return machine


def test_a_running_kernel_answers_as_a_dead_one(machine: Machine) -> None:
    """The same numbers, of its CPUs, its network stacks, its lists and its modules."""
    with Kvm(package.open_live(None, write=False)) as live:
        plan = Plan(live.target, live.copies, MODULE)
        running = answered(plan, plan.collect(PLENTY), METRICS)
        assert live.refusals() == {}
    assert not running.missing
    assert running["limit"] == {(): 200}
    assert running["packets"] == {(("jail", ""),): 40, (("jail", "web"),): 2}
    target = opened(machine.kernel)
    plan = Plan(target, FreeBSDCopies(target, PAGE), MODULE)
    dead = answered(plan, plan.collect(PLENTY), METRICS)
    # the dead one's modules have no file, and so no types
    assert list(dead.missing) == ["limit"]
    dead.samples["limit"] = running["limit"]
    assert dead.samples == running.samples


def test_a_name_is_no_other_with_an_underscore(machine: Machine) -> None:
    """nlist(3) takes one away, and finds copies by bare names."""
    with Kvm(package.open_live(None, write=False)) as live:
        found = {name: live.copies.variable(name) for name in ("_hidden", "hidden", "_ticks")}
        assert [name for name, one in found.items() if one] == ["_hidden"]
        kinds = [live.copies.variable(name).kind for name in ("ticks", "switches", "packets")]
        assert kinds == ["plain", "percpu", "vnet"]


def test_a_module_that_is_unloaded_is_missing(machine: Machine) -> None:
    """The others stay; once it is loaded again it is back."""
    with Kvm(package.open_live(None, write=False)) as live:
        plan = Plan(live.target, live.copies, MODULE)
        assert not answered(plan, plan.collect(PLENTY), METRICS).missing
        machine.unload()
        found = answered(plan, plan.collect(PLENTY), METRICS)
        assert list(found.missing) == ["limit"]
        assert found["ticks"] == {(): -7}
        machine.loaded = True
        machine.files[0].put("lf.link.tqe_next", machine.files[1])
        assert not answered(plan, plan.collect(PLENTY), METRICS).missing
        assert plan.compilations == 3


def test_near_names_are_of_the_kernels_file(machine: Machine) -> None:
    """kldsym(2) lists none."""
    with Kvm(package.open_live(None, write=False)) as live:
        assert live.copies.names_like("swiches") == ("switches",)


@pytest.mark.parametrize("core", [None, "/dev/null"])
def test_without_memory_nothing_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, core: str | None
) -> None:
    """Unprivileged, or with no memory wanted: an error that says so, and no number."""

    class Locked(WorldMemory):
        def read(self, address: int, length: int) -> bytes:
            raise AccessDenied("/dev/kmem") from PermissionError(13, "refused")

    memory = Locked(machine.kernel.world)
    monkeypatch.setattr(package, "DeviceMemory", lambda path, *, writable: memory)
    with Kvm(package.open_live(core, write=False)) as live:
        plan = Plan(live.target, live.copies, MODULE)
        with pytest.raises(KvmError) as caught:
            plan.collect(PLENTY)
        assert caught.type in {AccessDenied, Unsupported}
