"""Are FreeBSD's page queues and counters told in the right units?"""

from __future__ import annotations

import errno

import pytest
from forge import freebsd
from forge.sysctl import Answers as Tree
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.objects.freebsd import memory
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import Memory
from kvm_exporter.kvm.tally import Tally

PAGE = 16384


def read(tally: Tally | None = None, arch: str = "amd64", **counts: bytes | int) -> Memory:
    """The memory of a kernel with these counts in vm.stats.vm."""
    tree: Tree = {"hw.machine_arch": freebsd.machine(arch)}
    tree |= {f"vm.stats.vm.v_{name}": raw for name, raw in counts.items()}
    tree["hw.physmem"] = freebsd.number(2**35, 8, arch)
    return memory.from_numbers(Answers(ForgedSysctl(tree), tally or Tally()), PAGE)


@pytest.mark.parametrize("arch", ["amd64", "powerpc64"])
def test_queues_are_bytes(arch: str) -> None:
    """Pages of the machine's own size; user-wired pages, which count twice, are no queue."""
    found = read(
        arch=arch,
        active_count=freebsd.number(1, 4, arch),
        inactive_count=freebsd.number(2, 4, arch),
        laundry_count=freebsd.number(3, 4, arch),
        wire_count=freebsd.number(4, 4, arch),
        free_count=freebsd.number(5, 4, arch),
        user_wire_count=freebsd.number(6, 8, arch),
        nofree_count=freebsd.number(7, 4, arch),
    )
    assert found.queues == {
        "active": PAGE,
        "inactive": 2 * PAGE,
        "laundry": 3 * PAGE,
        "wired": 4 * PAGE,
        "free": 5 * PAGE,
    }
    assert found.fields == {"user_wire": 6 * PAGE, "nofree": 7 * PAGE}
    assert found.size_bytes == 2**35
    assert found.available_bytes is None


def test_events_and_levels_are_apart() -> None:
    """Counters of 64 bits as they are; thresholds, which rise and fall, are levels in pages."""
    found = read(vm_faults=freebsd.number(2**40, 8), free_target=freebsd.number(100))
    assert found.counters == {"vm_faults": 2**40}
    assert found.levels == {"free_target": 100}


def test_dummies_for_old_programs_are_not_told() -> None:
    """v_cache_count and v_tcached are always 0 since FreeBSD 12."""
    found = read(cache_count=freebsd.number(0), tcached=freebsd.number(0))
    assert found.queues == {}
    assert found.counters == {}


def test_what_is_refused_is_absent_and_counted() -> None:
    """Not zero, and the rest is there."""
    tally = Tally()
    found = read(tally, active_count=errno.EPERM, free_count=freebsd.number(1))
    assert found.queues == {"free": PAGE}
    assert tally.counts()["vm.stats.vm.v_active_count", "EPERM"] == 1
