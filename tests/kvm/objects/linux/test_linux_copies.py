"""Which variables has each CPU, and where are its copies?  Forged Linux kernels and modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from fakes.world import WorldSymbols, target
from forge import cdecl, linux_modules, linux_system_world
from forge.linux_paths import ring
from forge.linux_system import MODERN
from forge.linux_system_world import ONLINE, POSSIBLE, QUEUES
from forge.world import FUNC, World

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.wanted import Metric, Module
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.objects.copies import Variable
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.linux.copies import LinuxCopies
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.model import Type, Types

PERCPU = linux_modules.PERCPU
MODULE = f"struct module {{ struct list_head list; char name[56]; {PERCPU} }};"


class Listed(WorldSymbols):
    """Symbols that can be listed: functions are text, the others data."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._all = world.symbols

    def __iter__(self) -> Iterator[Symbol]:
        return (Symbol(s.name, s.address, 5 if s.type == FUNC else 7) for s in self._all)


class PerCpuTypes:
    """Types that tell of per-CPU variables only, as Linux's BTF does."""

    def __init__(self, types: Types, known: tuple[str, ...]) -> None:
        self.find = types.find
        self.names = types.names
        self.enums = types.enums
        self._known = known

    def variable(self, name: str) -> Type:
        if name in self._known:
            return self.find("u_long")
        raise TypeMissing(name)


def kernel(*, bounds: bool = True) -> tuple[World, int]:
    """A kernel with three CPUs; where its per-CPU variables begin."""
    world = World(MODERN + MODULE)
    start = linux_system_world.fill(world).start
    if bounds:
        bound(world, start)
    return world, start


def bound(world: World, start: int) -> None:
    """The symbols between which its per-CPU variables are."""
    world.symbol("__per_cpu_start", start)
    world.symbol("__per_cpu_end", start + linux_system_world.PAGE)


def counted_from_zero() -> tuple[World, int]:
    """One as of 4.18 on x86_64."""
    world = linux_system_world.old()
    bound(world, 0)
    return world, 0


def listed(world: World) -> Target:
    """The world with symbols that can be listed."""
    known = target(world)
    return Target(known.memory, Listed(world), known.types, known.abi, known.tally)


@pytest.mark.parametrize("make", [kernel, counted_from_zero])
def test_variables_of_the_kernel(make: Callable[[], tuple[World, int]]) -> None:
    """Those between the bounds are each CPU's, others are plain; what is no symbol is none."""
    world, at = make()
    copies = LinuxCopies(target(world))
    queues = copies.variable("runqueues")
    assert queues is not None
    assert (queues.kind, queues.type_name) == ("percpu", "runqueues")
    assert 0 <= queues.address - at < linux_system_world.PAGE
    forks = copies.variable("total_forks")
    assert forks is not None
    assert forks.kind == "plain"
    assert world.read(forks.address, 8) == world.number(1234, 8)
    assert copies.variable("nothing_like_it") is None


def test_copies() -> None:
    """Each possible CPU has its own, of a variable and of an allocation; another has none."""
    world, _ = kernel()
    known = target(world)
    copies = LinuxCopies(known)
    assert tuple(copies.cpus()) == POSSIBLE
    queues = copies.variable("runqueues")
    assert queues is not None
    for cpu in POSSIBLE:
        at = copies.of_cpu(queues.address, cpu)
        assert copies.of_allocation(queues.address, cpu) == at
        assert int(known.view(at, "struct rq")["nr_switches"]) == QUEUES[cpu][1]
    with pytest.raises(KvmError, match="CPU 2 is not there"):
        copies.of_cpu(queues.address, 2)


def test_cpus_that_run() -> None:
    """Those that are online now; who watches modules is told of CPUs, too."""
    world, _ = kernel()
    copies = LinuxCopies(target(world), lambda: 0)
    assert tuple(copies.running()) == ONLINE
    before = copies.generation()
    (mask,) = (one for one in world.symbols if one.name == "__cpu_online_mask")
    world.write(mask.address, world.number(0b11, 8))
    assert tuple(copies.running()) == (0, 1, 34)
    assert copies.generation() != before


def test_series_of_cpus_that_run() -> None:
    """A series each is told of the CPUs that run; the sum is over all that there could be."""
    world, _ = kernel()
    known = target(world)
    symbol = ("runqueues.nr_switches",)
    module = Module(
        [Metric("each", symbol, cpu="each"), Metric("sum", symbol)], [], {"runqueues": "struct rq"}
    )
    plan = Plan(known, LinuxCopies(known), module)
    each, total = plan.collect(Budget(1 << 20, 1000, lambda: False)).samples
    assert dict(each) == {(str(cpu),): QUEUES[cpu][1] for cpu in ONLINE}
    assert dict(total) == {(): sum(QUEUES[cpu][1] for cpu in POSSIBLE)}


def test_no_network_stacks() -> None:
    """Linux's are structs, not copies of variables."""
    world, _ = kernel()
    copies = LinuxCopies(target(world))
    assert copies.vnets() == ()


def test_without_bounds_types_tell() -> None:
    """Without CONFIG_KALLSYMS_ALL: what BTF knows is each CPU's."""
    world, _ = kernel(bounds=False)
    known = target(world)
    types = PerCpuTypes(known.types, ("runqueues",))
    copies = LinuxCopies(Target(known.memory, known.symbols, types, known.abi, known.tally))
    kinds = {name: kind(copies.variable(name)) for name in ("runqueues", "kstat", "total_forks")}
    assert kinds == {"runqueues": "percpu", "kstat": "plain", "total_forks": "plain"}


def kind(found: Variable | None) -> str:
    """What a variable is."""
    assert found is not None
    return found.kind


def test_one_cpu() -> None:
    """A kernel for one CPU has no copies: the variable is itself CPU 0's."""
    world = linux_system_world.one_cpu()
    copies = LinuxCopies(target(world))
    found = copies.variable("kernel_cpustat")
    assert found is not None
    assert (found.kind, tuple(copies.cpus())) == ("plain", (0,))
    assert copies.of_allocation(found.address, 0) == found.address


def test_variables_of_modules() -> None:
    """Those in a module's own area are each CPU's; the byte behind it is not."""
    world, start = kernel()
    area = start + (1 << 20)
    world.symbol("own", area + 8)
    world.symbol("behind", area + 64)
    head = world.define("modules", "struct list_head", {})
    bare, thing = world.new("struct module"), world.new("struct module")
    thing.set(percpu=area, percpu_size=64)
    ring(head.address, [bare, thing], "list")
    copies = LinuxCopies(target(world))
    assert kind(copies.variable("own")) == "percpu"
    assert kind(copies.variable("behind")) == "plain"


def test_modules_that_come_are_seen() -> None:
    """Areas and names are looked for again once other modules are loaded, and only then."""
    world, start = kernel()
    area = start + (1 << 20)
    world.symbol("own", area)
    head = world.define("modules", "struct list_head", {})
    head.set(next=head, prev=head)
    state = [0]
    known = listed(world)
    copies = LinuxCopies(known, lambda: state[0])
    assert kind(copies.variable("own")) == "plain"
    assert copies.names_like("late_variabel") == ()
    thing = world.new("struct module", percpu=area, percpu_size=64)
    ring(head.address, [thing], "list")
    world.symbol("late_variable", area + 8)
    assert kind(copies.variable("own")) == "plain"
    before, state[0] = copies.generation(), 1
    assert copies.generation() != before
    assert kind(copies.variable("own")) == "percpu"
    again = LinuxCopies(listed(world), count().__next__)
    assert again.names_like("late_variabel") == ("late_variable",)


def test_a_dump_stays_as_it_is() -> None:
    """Nothing changes the generation of who was not told how modules change."""
    world, _ = kernel()
    copies = LinuxCopies(target(world))
    assert copies.generation() == copies.generation()


def test_near_names_are_variables() -> None:
    """Functions are none."""
    world, _ = kernel()
    world.symbol("total_fork", world.allocate(8), type_=FUNC)
    assert LinuxCopies(listed(world)).names_like("total_frks") == ("total_forks",)


def test_what_is_not_told() -> None:
    """Kernels whose kallsyms have functions only say so; others have nothing to add."""
    world, _ = kernel()
    assert LinuxCopies(target(world)).untold() == ""
    bare = World(MODERN, cdecl.AMD64)
    assert "CONFIG_KALLSYMS_ALL" in LinuxCopies(target(bare)).untold()


def test_what_is_not_told_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of many unknown names is not searched again for each of them."""
    looked = []
    monkeypatch.setattr(variables, "has", lambda _, *names: looked.append(names))
    copies = LinuxCopies(target(World(MODERN, cdecl.AMD64)))
    looked.clear()
    assert copies.untold() == copies.untold() != ""
    assert len(looked) == 1
