"""When did a kernel start and end?"""

from __future__ import annotations

import pytest
from fakes.world import target
from forge import cdecl, freebsd, system_world
from forge.sysctl import ForgedSysctl
from forge.system_structs import MODERN
from forge.world import World

from kvm_exporter.kvm.objects.freebsd import life
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import Life
from kvm_exporter.kvm.tally import Tally


def test_a_running_kernel_tells_its_boot() -> None:
    """And nothing of an end."""
    tree = {
        "hw.machine_arch": b"armv7\0",
        "kern.boottime": freebsd.timeval(1795410324, 199713, "armv7"),
    }
    found = life.from_live(Answers(ForgedSysctl(tree), Tally()))
    assert found == Life(boot_time_seconds=1795410324.199713)


@pytest.mark.parametrize(
    ("fraction", "microseconds"),
    [(0, 0), (2**64 - 1, 999999), (2**63, 500000), (18446744073710, 1), (18446744073709, 0)],
)
@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.I386, cdecl.POWERPC])
def test_fractions_are_cut_to_microseconds(
    fraction: int, microseconds: int, abi: cdecl.Abi
) -> None:
    """As bintime2timeval() does, so that live and dead say the same."""
    world = World(MODERN, abi)
    hands = world.new("struct timehands", th_boottime={"sec": 1000000, "frac": fraction})
    world.define("timehands", "pointer", hands)
    found = life.from_memory(target(world))
    assert found.boot_time_seconds == 1000000 + microseconds / 1e6


def test_a_panic_on_a_page_that_is_lost_is_the_headers() -> None:
    """It is read behind a pointer."""
    world = system_world.modern()
    lost = next(one for one in world.symbols if one.name == "panicstr")
    world.write(lost.address, world.pointer(0x10))
    found = life.from_memory(target(world), life.Header(panic="from the header"))
    assert found.panic == "from the header"
    assert found.uptime_seconds == 19.5


def test_without_a_clock_the_header_alone_knows() -> None:
    """A lost timehands costs boot and uptime."""
    world = system_world.modern()
    world.symbols = [one for one in world.symbols if one.name != "timehands"]
    found = life.from_memory(target(world), life.Header(death_time_seconds=12.5))
    assert found == Life(None, None, 12.5, system_world.PANIC)
