"""Does a module follow a running kernel: jails that come and go, modules, lists that change?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.counted import PLENTY, Asked, answered
from fakes.counting import opened
from fakes.world import WorldMemory
from forge.counting import DYING, LISTS, PAGE, Counting
from forge.elf import GLOBAL, OBJECT, Sym
from forge.linker import Loaded
from forge.world import Thing, World

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.wanted import List, Metric, Module, Step
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies


class Running:
    """A forged kernel that goes on while it is read."""

    def __init__(self, kernel: Counting, module: Module, memory: WorldMemory | None = None) -> None:
        self._module = module
        target = opened(kernel, memory)
        self.plan = Plan(target, FreeBSDCopies(target, PAGE, changing=True), module)

    def ask(self) -> Asked:
        """Collect once."""
        metrics = [*self._module.metrics, *(m for one in self._module.lists for m in one.metrics)]
        return answered(self.plan, self.plan.collect(PLENTY), metrics)


class Changing(WorldMemory):
    """Memory in which something happens just before the read number ``when``."""

    def __init__(self, world: World, happens: Callable[[], object]) -> None:
        super().__init__(world)
        self._happens = happens
        self.when = -1

    def read(self, address: int, length: int) -> bytes:
        if self.read_counts == self.when:
            self._happens()
        return super().read(address, length)


PACKETS = Module([Metric("packets", ("packets",), vnet="all")], [])


def jails(found: Asked) -> dict[str, int | float]:
    """The packets of each jail."""
    return {labels[0][1]: number for labels, number in found["packets"].items()}


def test_a_module_is_compiled_again_when_jails_come_and_go() -> None:
    """And only then."""
    kernel = Counting("amd64", jails={"web": 3, "db": 9})
    kernel.modules([])
    kernel.vnet("u_int packets", {"": 1, "web": 2, "db": 3})
    running = Running(kernel, PACKETS)
    for _ in range(3):
        assert jails(running.ask()) == {"": 1, "web": 2, "db": 3}
    assert running.plan.compilations == 1
    kernel.prisons["web"].set(pr_state=DYING)
    assert jails(running.ask()) == {"": 1, "db": 3}
    assert running.plan.compilations == 2
    kernel.prisons["db"].set(pr_name=b"renamed")
    assert jails(running.ask()) == {"": 1, "renamed": 3}
    kernel.prisons["web"].set(pr_state=1)
    assert jails(running.ask()) == {"": 1, "renamed": 3, "web": 2}
    assert running.plan.compilations == 4


def test_numbers_are_read_anew_each_time() -> None:
    """What is compiled is where they are."""
    kernel = Counting("powerpc")
    kernel.modules([])
    thing = kernel.variable("int ticks", 5)
    running = Running(kernel, Module([Metric("ticks", ("ticks",))], []))
    assert running.ask()["ticks"] == {(): 5}
    kernel.world.write(thing.address, kernel.world.number(6, 4))
    assert running.ask()["ticks"] == {(): 6}


def test_what_a_kernel_module_brings_comes_and_goes_with_it() -> None:
    """A metric is missing until its kernel module is there, and once it is gone."""
    kernel = Counting("amd64")
    text = kernel.world.bytes(kernel.world.number(77, 4))
    symbols = [Sym("pf_limit", text, 4, OBJECT, GLOBAL, ".data")]
    loaded = Loaded("pf.ko", "/pf.ko", 0xC2000000, 0x1000, symbols, {".data": 3})
    [first, second] = kernel.modules([loaded])
    module = Module([Metric("limit", ("(int)pf_limit",)), Metric("one", ("1",))], [])
    target = opened(kernel)
    seen = {"pf_limit"}
    lookup = target.symbols.template

    def template(name: str) -> object:
        # as kldsym(2), which asks the modules that are there
        return lookup(name) if name != "pf_limit" or seen else None

    target.symbols.template = template
    plan = Plan(target, FreeBSDCopies(target, PAGE, changing=True), module)

    def ask() -> Asked:
        return answered(plan, plan.collect(PLENTY), module.metrics)

    assert ask()["limit"] == {(): 77}
    first.put("lf.link.tqe_next", None)
    seen.clear()
    found = ask()
    assert "pf_limit" in found.missing["limit"]
    assert found["one"] == {(): 1}
    seen.add("pf_limit")
    first.put("lf.link.tqe_next", second)
    assert ask()["limit"] == {(): 77}
    assert plan.compilations == 3


def test_what_changes_during_a_collection_is_collected_again() -> None:
    """A jail that goes meanwhile: its memory may be another's by then."""
    kernel = Counting("amd64", jails={"web": 3})
    kernel.modules([])
    kernel.vnet("u_int packets", {"": 1, "web": 2})
    memory = Changing(kernel.world, lambda: kernel.prisons["web"].set(pr_state=DYING))
    running = Running(kernel, PACKETS, memory)
    assert jails(running.ask()) == {"": 1, "web": 2}
    before = memory.read_counts
    assert jails(running.ask()) == {"": 1, "web": 2}
    reads = memory.read_counts - before
    counts = set()
    for at in range(reads):
        kernel.prisons["web"].set(pr_state=1)
        running = Running(kernel, PACKETS, memory)
        memory.when = -1
        running.ask()
        memory.when = memory.read_counts + at
        counts.add(frozenset(jails(running.ask())))
    assert counts <= {frozenset({"", "web"}), frozenset({""})}
    assert frozenset({""}) in counts


def nodes(kind: str, count: int) -> tuple[Counting, Thing, list[Thing]]:
    """A kernel with a list of that kind, its head and its elements."""
    kernel = Counting("i386")
    kernel.modules([])
    names = LISTS[kind]
    kernel.declare(
        f"struct node {{ int n_id; {names.entry('node')} n_link; int n_used; }};"
        + names.head("nodes", "node")
    )
    found = [kernel.new("struct node", n_id=at, n_used=at) for at in range(count)]
    head = kernel.variable("struct nodes nodes")
    kernel.link_list(kind, head, found, "n_link")
    return kernel, head, found


USED = Module(
    [], [List("nodes", (Step(("nodes",)),), (Metric("used", ("n_used",)),), {"id": "n_id"})]
)


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("away", ["removed", "reused", "inserted", "emptied", "unmapped"])
def test_a_list_may_change_at_any_read(kind: str, away: str) -> None:
    """Whatever happens between two reads, what is told of an element is that element's."""
    kernel, head, found = nodes(kind, 8)
    others = kernel.variable("struct nodes others")
    fresh = kernel.new("struct node", n_id=100, n_used=100)
    unmapped: list[Thing] = []

    class Memory(Changing):
        def read(self, address: int, length: int) -> bytes:
            data = super().read(address, length)
            if any(one.address <= address < one.address + 16 for one in unmapped):
                raise Fault(address, "it was given back")
            return data

    def happen() -> None:
        left = {
            "removed": [one for one in found if one not in found[3:5]],
            "reused": [one for one in found if one not in found[3:5]],
            "inserted": [*found[:4], fresh, *found[4:]],
            "emptied": [],
            "unmapped": [one for one in found if one is not found[4]],
        }[away]
        kernel.link_list(kind, head, left, "n_link")
        if away == "reused":
            kernel.link_list(kind, others, found[3:5], "n_link")
        if away == "unmapped":
            unmapped.append(found[4])

    memory = Memory(kernel.world, happen)
    running = Running(kernel, USED, memory)
    assert len(running.ask()["used"]) == 8
    start = memory.read_counts
    running.ask()
    reads = memory.read_counts - start
    known = {(("id", str(at)),): at for at in (*range(8), 100)}
    for at in range(reads + 1):
        kernel.link_list(kind, others, [], "n_link")
        kernel.link_list(kind, head, found, "n_link")
        unmapped.clear()
        memory.when = memory.read_counts + at
        answer = running.ask()
        assert answer["used"].items() <= known.items()
        assert answer.collected.elements <= 16


def test_a_walk_that_is_led_astray_ends() -> None:
    """An element that is put back to the front again and again: each is told once."""
    kernel, head, found = nodes("SLIST", 6)

    class Turning(WorldMemory):
        def read(self, address: int, length: int) -> bytes:
            found.append(found.pop(0))
            kernel.link_list("SLIST", head, found, "n_link")
            return super().read(address, length)

    answer = Running(kernel, USED, Turning(kernel.world)).ask()
    assert set(answer["used"]) <= {(("id", str(at)),) for at in range(6)}
