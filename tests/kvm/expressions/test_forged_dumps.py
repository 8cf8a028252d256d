"""Do expressions read a dump as they read anything?  Files: a kernel with CTF, and its minidump."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.counted import PLENTY, answered
from forge.counting import LISTS, Counting
from forge.crashed import BASES, crash

from kvm_exporter import kvm
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.wanted import List, Metric, Module, Step

VERSIONS = {"amd64": 3, "aarch64": 2, "i386": 2, "armv7": 2, "powerpc64": 2}

MODULE = Module(
    metrics=(
        Metric("ticks", ("ticks",)),
        Metric("switches", ("switches",), cpu="each"),
        Metric("packets", ("tcpstat.tcps_out",), vnet="all"),
        Metric("share", ("v_faults / hz",)),
        Metric("nothing", ("nosuch",)),
    ),
    lists=(List("disks", (Step(("disks",)),), (Metric("ops", ("d_ops",)),), {"disk": "d_name"}),),
    types={"tcpstat": "struct tcpstat"},
)


@pytest.fixture(params=VERSIONS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[kvm.Kvm]:
    """A dump of each architecture's."""
    machine = request.param
    kernel = Counting(machine, cpus=(0, 3), jails={"web": 3}, base=BASES[machine])
    kernel.declare("struct tcpstat { uint64_t tcps_in, tcps_out; };")
    kernel.variable("long ticks", -7)
    kernel.variable("int hz", 100)
    kernel.variable("counter_u64_t v_faults", kernel.counter([150, 100]))
    kernel.percpu("u_int switches", {0: 5, 3: 8})
    stats = {jail: kernel.counters([[1, 1], [at, 2]]) for at, jail in enumerate(("", "web"), 40)}
    kernel.vnet("counter_u64_t tcpstat[2]", stats)
    names = LISTS["STAILQ"]
    kernel.declare(
        f"struct disk {{ {names.entry('disk')} d_link; char d_name[8]; u_long d_ops; }};"
        + names.head("disks", "disk")
    )
    disks = [kernel.new("struct disk", d_name=f"da{at}".encode(), d_ops=at) for at in range(3)]
    kernel.link_list("STAILQ", kernel.variable("struct disks disks"), disks, "d_link")
    kernel.modules([])
    file, core = crash(kernel.world, tmp_path, machine, version=VERSIONS[machine])
    with kvm.open(str(file), str(core)) as opened:
        yield opened


def test_a_dump_answers(opened: kvm.Kvm) -> None:
    """Numbers, CPUs, network stacks, lists; and what it does not have."""
    plan = Plan(opened.target, opened.copies, MODULE)
    metrics = [*MODULE.metrics, *MODULE.lists[0].metrics]
    found = answered(plan, plan.collect(PLENTY), metrics)
    assert list(found.missing) == ["nothing"]
    assert found["ticks"] == {(): -7}
    assert found["switches"] == {(("cpu", "0"),): 5, (("cpu", "3"),): 8}
    assert found["packets"] == {(("jail", ""),): 42, (("jail", "web"),): 43}
    assert found["share"] == {(): 2.5}
    assert found["ops"] == {(("disk", f"da{at}"),): at for at in range(3)}
    assert opened.refusals() == {}


def test_a_dead_kernel_is_compiled_once(opened: kvm.Kvm) -> None:
    """And says the same again."""
    plan = Plan(opened.target, opened.copies, MODULE)
    first, second = plan.collect(PLENTY), plan.collect(PLENTY)
    assert first == second
    assert plan.compilations == 1
