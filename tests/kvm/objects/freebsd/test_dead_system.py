"""Does a dead FreeBSD's memory give what was put there, for every word size and byte order?

The worlds are forge/system_world.py's: CPU numbers with gaps, two memory domains, two network
stacks, struct layouts of no kernel there ever was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from fakes.world import target
from forge import cdecl, system_world
from forge.system_world import BOOT, COUNTERS, DOMAINS, HOST, LEVELS, PAGE, PANIC, UPTIME
from forge.world import Thing, World

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.freebsd import jails
from kvm_exporter.kvm.objects.freebsd.dead import FreeBSDDead, Told
from kvm_exporter.kvm.objects.freebsd.life import Header
from kvm_exporter.kvm.objects.model import (
    CpuTimes,
    Jail,
    Life,
    LoadAverage,
    Mount,
    SwapActivity,
    SwapDevice,
    Uname,
)
from kvm_exporter.kvm.tally import Tally

ABIS = {
    "amd64": cdecl.AMD64,
    "i386": cdecl.I386,
    "armv7": cdecl.ARMV7,
    "powerpc64": cdecl.POWERPC64,
    "powerpc": cdecl.POWERPC,
}
KERNELS: dict[str, Callable[[cdecl.Abi], World]] = {
    "modern": system_world.modern,
    "distance": lambda abi: system_world.modern(abi, distance=True),
    "old": system_world.old,
}
EVERY = [(kernel, abi) for kernel in KERNELS for abi in ABIS]


def arch(abi: cdecl.Abi = cdecl.AMD64) -> Arch:
    """An architecture of which only names and page size matter."""
    return Arch("arch", "machine", (0, 0, 0), Abi(abi.order, abi.pointer), PAGE, {})


def dead(world: World, tally: Tally | None = None, told: Told | None = None) -> FreeBSDDead:
    """The world as a dead kernel."""
    return FreeBSDDead(target(world, tally), arch(world.abi), told=told)


@pytest.fixture(params=EVERY, ids="-".join, scope="module")
def world(request: pytest.FixtureRequest) -> World:
    """Each kernel on each ABI; nobody changes it."""
    kernel, abi = request.param
    return KERNELS[kernel](ABIS[abi])


def has(world: World, struct: str, member: str) -> bool:
    """Whether this kernel's struct has that member."""
    return member in world.c.layout(struct)


def test_the_load_average_has_its_scale(world: World) -> None:
    """1024, 512 and 256 of 2048."""
    assert dead(world).load_average() == LoadAverage(0.5, 0.25, 0.125)


def test_cpu_times_are_those_of_the_cpus_that_are_there(world: World) -> None:
    """Numbers 0 and 2, in seconds of 127 ticks, and their sum."""
    system = dead(world)
    assert system.cpu_times() == CpuTimes(None, 11.0, 1.0, 5.0, 60.0, 13 / 127)
    assert system.cpu_times_per_cpu() == (
        CpuTimes(0, 10.0, 1.0, 2.0, 20.0, 12 / 127),
        CpuTimes(2, 1.0, 0.0, 3.0, 40.0, 1 / 127),
    )


def test_swap_devices_are_as_a_live_kernel_names_them(world: World) -> None:
    """By the device node, as NFS, or by number; usable is 32 pages less, never below 0."""
    assert dead(world).swap_devices() == (
        SwapDevice("/dev/vtbd4", 24576 * PAGE, 100 * PAGE, 24544 * PAGE, 1, 0x33),
        SwapDevice("[NFS swap]", 16 * PAGE, 5 * PAGE, 0, 1, None),
        SwapDevice("#C:0x35", 1000 * PAGE, 0, 968 * PAGE, 1, 0x35),
    )


def test_swap_activity_is_counted_in_bytes_and_operations(world: World) -> None:
    """Sums over the CPUs; unknown where the kernel has no such counter."""
    activity = dead(world).swap_activity()
    if has(world, "struct vmmeter", "v_swapin"):
        assert activity == SwapActivity(33 * PAGE, 44 * PAGE, 3, 8)
    else:
        assert activity == SwapActivity()


def test_memory_is_counted_by_queue_and_domain(world: World) -> None:
    """Every queue is the sum over domains, unswappable pages are laundry; wired is a counter."""
    inactive, active, laundry, unswappable, free = map(sum, zip(*DOMAINS, strict=True))
    wired = LEVELS.get("v_wire_count", 0) + sum(COUNTERS["v_wire_count"])
    memory = dead(world).memory()
    assert memory.size_bytes == 55676 * PAGE
    assert memory.queues == {
        "active": active * PAGE,
        "inactive": inactive * PAGE,
        "laundry": (laundry + unswappable) * PAGE,
        "wired": wired * PAGE,
        "free": free * PAGE,
    }
    assert memory.fields["user_wire"] == 256 * PAGE
    assert memory.levels["free_target"] == LEVELS["v_free_target"]


def test_memory_counters_are_sums_over_sparse_cpus(world: World) -> None:
    """What the kernel counts is summed, and what it does not have is left out."""
    counters = dead(world).memory().counters
    names = [name for name in COUNTERS if has(world, "struct vmmeter", name)]
    expected = {name[2:]: sum(COUNTERS[name]) for name in names} | {"pdpages": pages_scanned(world)}
    for name in ("swtch", "trap", "syscall", "intr", "soft", "wire_count", "nofree_count"):
        expected.pop(name, None)
    assert counters == expected


def pages_scanned(world: World) -> int:
    """v_pdpages: a counter and, since the queues count 64 bits, those of the queues."""
    own = sum(COUNTERS["v_pdpages"])
    if not has(world, "struct vmmeter", "v_nofree_count"):
        return own
    return own + sum(4 * (1000 * number + 7) for number in range(len(DOMAINS)))


def test_kernel_counters_and_tables(world: World) -> None:
    """Each from its own variable; a copy below zero takes away from the sum."""
    kernel = dead(world).kernel()
    wide = has(world, "struct vmmeter", "v_nofree_count")
    assert kernel.context_switches == 1234
    assert kernel.interrupts == 4
    assert kernel.soft_interrupts == 3
    assert kernel.traps == 21
    assert kernel.system_calls == (2**40 + 5 if wide else 5)
    assert kernel.forks == 86 + 42 + 6
    assert (kernel.open_files, kernel.max_files) == (47, 6959)
    assert (kernel.vnodes, kernel.max_vnodes) == (43, 14134)
    assert (kernel.max_processes, kernel.max_threads) == (1748, 1000000)
    assert kernel.boot_time_seconds == BOOT[0] + 0.75


def test_threads_are_counted_as_vmtotal_counts_them(world: World) -> None:
    """User processes' only: three run or could; asleep at PZERO or better, and 7 wait for a page.

    PZERO is 45 in the modern kernel, 100 in the old one, which counts the sleeper at 46 and 100.
    """
    kernel = dead(world).kernel()
    modern = has(world, "struct timehands", "th_boottime")
    assert kernel.processes_running == 3
    assert kernel.processes_blocked == 7 + (1 if modern else 3)


def test_uname_is_the_kernels_own(world: World) -> None:
    """Its texts, with the version on one line; the machine is the architecture's."""
    version = "FreeBSD 15.1 #0: now     root@build:/obj"
    assert dead(world).uname() == Uname("FreeBSD", HOST, "15.1-RELEASE", version, "machine")


def test_life_ends_when_the_clock_was_last_wound(world: World) -> None:
    """Boot and uptime from the timehands, the panic from panicstr."""
    now = BOOT[0] + 0.75 + UPTIME[0] + 0.5
    assert dead(world).life() == Life(BOOT[0] + 0.75, 19.5, now, PANIC)


def test_the_message_buffer_is_without_priorities(world: World) -> None:
    """Only what was written, and no <6>."""
    assert dead(world).message_buffer() == (
        "---<<BOOT>>---\nvtnet0: link state changed to UP\nUptime: 19s\n"
    )


def test_jails_are_those_that_live(world: World) -> None:
    """By number, with parents by name; the host and a dying jail are none."""
    assert jails.from_memory(target(world)) == (
        Jail(3, "vnetjail", "jailed.example.org", "/jail", 0, vnet=True),
        Jail(7, "plain", "plain.example.org", "/plain", 0, vnet=False),
        Jail(9, "plain.nested", "nested.example.org", "/plain", 7, vnet=False),
    )


def test_mounts_have_their_sizes_in_bytes(world: World) -> None:
    """Blocks times their size; available can be below zero."""
    assert dead(world).mounts() == (
        Mount("/dev/vtbd0", "/", "ufs", 0x1000, 204800000, 184320000, 163840000, 5000, 4000),
        Mount("devfs", "/dev", "devfs", 0, 1024, 0, -512, 0, 0),
    )


def test_interfaces_of_every_network_stack(world: World) -> None:
    """The host's first, then those of the jail with a stack of its own; sums over the CPUs."""
    found = dead(world).interfaces()
    names = [(one.jail, one.name, one.index) for one in found]
    if has(world, "struct ifnet", "if_link.cstqe_next"):
        assert names == [(0, "em0", 1), (0, "lo0", 2), (3, "lo0", 5)]
        assert found[2].rx_packets == 2
    else:
        assert names == [(0, "em0", 1)]
    em0 = dataclasses.asdict(found[0])
    order = "rx_packets rx_errors tx_packets tx_errors collisions rx_bytes tx_bytes"
    first = 10**9 + 1
    assert [em0[name] for name in order.split()] == [first + 100 * at for at in range(7)]
    assert em0["multicast_received"] == first + 700
    assert (em0["rx_dropped"], em0["tx_dropped"]) == (first + 900, first + 1000)
    assert (em0["flags"], em0["mtu"]) == (0x8043, 1500)


def replaced(name: str, type_: str, value: object) -> World:
    """A modern kernel one of whose variables is another."""
    world = system_world.modern()
    world.symbols = [one for one in world.symbols if one.name != name]
    world.define(name, type_, value)
    return world


def test_a_cpu_that_never_ticked_is_left_out() -> None:
    """As kern.cp_times' rows of zeros are."""
    world = system_world.modern()
    (pointers,) = [one for one in world.symbols if one.name == "cpuid_to_pcpu"]
    idle = world.new("struct pcpu", pc_cpuid=1)
    world.write(pointers.address + 8, world.pointer(idle.address))
    assert [times.cpu for times in dead(world).cpu_times_per_cpu()] == [0, 2]


def test_a_machine_with_one_clock_counts_with_it() -> None:
    """Where stathz is 0 it is hz."""
    assert dead(replaced("stathz", "int", 0)).cpu_times().user == 1.397


@pytest.mark.parametrize("rate", [-1, -(2**31)])
def test_a_clock_that_goes_backwards_is_told(rate: int) -> None:
    """No time can be made of its ticks."""
    with pytest.raises(FormatError, match=r"kern\.clockrate"):
        dead(replaced("stathz", "int", rate)).cpu_times()


@pytest.mark.parametrize("scale", [0, -2048])
def test_a_load_without_a_scale_is_told(scale: int) -> None:
    """No division by zero."""
    world = replaced("averunnable", "struct loadavg", {"ldavg": [1, 2, 3], "fscale": scale})
    with pytest.raises(FormatError, match="fscale"):
        dead(world).load_average()


def test_a_kernel_says_how_large_its_pages_are() -> None:
    """arm64's may have 16 KB; what cannot be is the architecture's."""
    world = system_world.modern()
    (meter,) = [one for one in world.symbols if one.name == "vm_cnt"]
    meter = Thing(world, "struct vmmeter", meter.address)
    for told, believed in ((16384, 16384), (0, 4096), (12345, 4096), (2**32 - 1, 4096)):
        meter.set(v_page_size=told)
        assert dead(world).page_size == believed


def test_what_the_dump_tells_comes_first_or_last() -> None:
    """Its time of death is exact; its panic and host name serve where the memory's are missing."""
    world = system_world.modern()
    lost = {"panicstr", "prison0"}
    world.symbols = [one for one in world.symbols if one.name not in lost]
    tally = Tally()
    system = dead(world, tally, Told(Header(1795423790.0, "from the header"), "box.example"))
    life = system.life()
    assert (life.death_time_seconds, life.panic) == (1795423790.0, "from the header")
    assert system.uname().nodename == "box.example"
    assert {source for source, _ in tally.counts()} == lost


def test_a_live_dump_has_no_panic() -> None:
    """Panicstr is NULL."""
    world = system_world.modern()
    world.symbols = [one for one in world.symbols if one.name != "panicstr"]
    world.define("panicstr", "pointer", 0)
    assert dead(world).life().panic is None
