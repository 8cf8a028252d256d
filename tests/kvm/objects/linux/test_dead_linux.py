"""Does a dead Linux's memory give what was put there, for every word size and byte order?

The worlds are forge/linux_system_world.py's: CPU numbers with gaps, one of them offline, struct
layouts of no kernel there ever was.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.world import target
from forge import cdecl, linux_system_world
from forge.linux_paths import MOUNTS
from forge.linux_system_world import (
    BOOKED,
    EVENTS,
    MESSAGES,
    NODE_PAGES,
    PAGE,
    SOFTIRQS,
    TIMES,
    UNAME,
    ZONE_NAMES,
    ZONE_PAGES,
)
from forge.world import World

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.objects.linux import machinememory, vmnames
from kvm_exporter.kvm.objects.linux.dead import LinuxDead
from kvm_exporter.kvm.objects.linux.meminfo import Meminfo
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.linux.told import Told
from kvm_exporter.kvm.objects.linux.zones import Zones
from kvm_exporter.kvm.objects.model import (
    CpuTimes,
    Interface,
    KernelCounters,
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
    "arm": cdecl.ARMV7,
    "powerpc64": cdecl.POWERPC64,
    "powerpc": cdecl.POWERPC,
}
KERNELS: dict[str, Callable[[cdecl.Abi], World]] = {
    "modern": linux_system_world.modern,
    "old": linux_system_world.old,
}
EVERY = [(kernel, abi) for kernel in KERNELS for abi in ABIS]


def dead(
    world: World, tally: Tally | None = None, told: Told | None = None, name: str = "amd64"
) -> LinuxDead:
    """The world as a dead kernel."""
    arch = Arch(name, name, (0, 0, 0), Abi(world.abi.order, world.abi.pointer), PAGE, {})
    return LinuxDead(target(world, tally), arch, told=told)


@pytest.fixture(params=EVERY, ids="-".join, scope="module")
def world(request: pytest.FixtureRequest) -> World:
    """Each kernel on each ABI; nobody changes it."""
    kernel, abi = request.param
    return KERNELS[kernel](ABIS[abi])


def is_modern(world: World) -> bool:
    """Which of the two kernels it is."""
    return "tk_data" in world.c.structs


def test_nothing_of_a_whole_kernel_fails(world: World) -> None:
    """No subject counts a failure."""
    tally = Tally()
    system = dead(world, tally)
    for subject in (system.memory, system.kernel, system.life, system.mounts, system.interfaces):
        subject()
    assert tally.counts() == {}


def test_the_load_average_is_rounded_as_the_kernel_does(world: World) -> None:
    """3072, 163 and 10 of 2048ths: 1.50, 0.08 and, as FIXED_1/200 is added, 0.00 or 0.01."""
    assert dead(world).load_average() == LoadAverage(1.5, 0.08, 0.0)


def test_the_name_is_that_of_the_first_namespace(world: World) -> None:
    """All five strings of init_uts_ns."""
    assert dead(world).uname() == Uname(*UNAME)


def test_a_tickless_cpu_s_idle_time_is_its_sleep_until_now(world: World) -> None:
    """CPU 0 sleeps since 10 s and waits for a disk, 34 since 5.25 s and does not."""
    first, last = dead(world).cpu_times_per_cpu()
    assert (first.cpu, first.idle, first.iowait) == (0, 70.0, 17.0)
    assert (last.cpu, last.idle, last.iowait) == (34, 85.25, 8.0)


def test_a_newer_kernel_counts_idle_time_with_the_rest_but_for_what_was_stolen() -> None:
    """CPU 0 waits, with two seconds stolen before; 34 does not, with a quarter of one."""
    tally = Tally()
    first, last = dead(linux_system_world.newest(), tally).cpu_times_per_cpu()
    assert (first.user, first.guest_nice) == (0.11, 0.06)
    assert (first.cpu, first.idle, first.iowait) == (0, 70.0, 15.0)
    assert (last.cpu, last.idle, last.iowait) == (34, 85.0, 8.0)
    total = dead(linux_system_world.newest()).cpu_times()
    assert (total.idle, total.iowait) == (70.0 + 6.0 + 85.0, 15.0 + 7.0 + 8.0)
    assert tally.counts() == {}


def test_cpu_times_are_hundredths_of_a_second_by_mode(world: World) -> None:
    """What was put in, with its names."""
    first = dead(world).cpu_times_per_cpu()[0]
    assert first == CpuTimes(
        0, 0.11, 0.01, 0.21, 70.0, iowait=17.0, irq=0.03, softirq=0.02, steal=0.04, guest=0.05,
        guest_nice=0.06,
    )  # fmt: skip


def test_the_sum_of_cpu_times_counts_cpus_that_are_offline(world: World) -> None:
    """CPU 1 is no more: its idle time is in kernel_cpustat."""
    total = dead(world).cpu_times()
    assert total.cpu is None
    assert total.user == sum(row[0] for row in TIMES.values()) / 100
    assert (total.idle, total.iowait) == (70.0 + 6.0 + 85.25, 17.0 + 7.0 + 8.0)


def test_cpus_that_a_panic_stopped_had_been_running(world: World) -> None:
    """They are offline, but still active."""
    mask = next(one.address for one in world.symbols if one.name == "__cpu_online_mask")
    before = world.read(mask, world.abi.pointer)
    last = next(one.address for one in world.symbols if one.name == "__cpu_active_mask")
    active = world.read(last, 16)
    world.write(mask, world.number(1, world.abi.pointer) + bytes(16 - world.abi.pointer))
    try:
        assert [times.cpu for times in dead(world).cpu_times_per_cpu()] == [0, 34]
    finally:
        world.write(mask, active)
    assert before == active[: len(before)]


def test_a_kernel_that_always_ticks_has_its_idle_time_with_the_others(world: World) -> None:
    """With tick_nohz_active 0."""
    tickless = next(one.address for one in world.symbols if one.name == "tick_nohz_active")
    before = world.read(tickless, world.abi.pointer)
    world.write(tickless, bytes(world.abi.pointer))
    try:
        assert dead(world).cpu_times().idle == sum(row[5] for row in TIMES.values()) / 100
    finally:
        world.write(tickless, before)


def test_a_kernel_for_one_cpu_has_its_variables_where_the_symbols_say() -> None:
    """No offsets, no masks."""
    (only,) = dead(linux_system_world.one_cpu()).cpu_times_per_cpu()
    assert (only.cpu, only.user, only.idle) == (0, 0.11, 10.0)


def test_swap_areas_are_told_as_proc_swaps_does(world: World) -> None:
    """Those in use, with their paths; the bit for a full area is no page."""
    assert dead(world).swap_devices() == (
        SwapDevice("/dev/zram0", 5000 * PAGE, 100 * PAGE, 5000 * PAGE, priority=-2),
        SwapDevice("/swap file", 1000 * PAGE, 40 * PAGE, 1000 * PAGE, priority=5),
    )


def test_swap_traffic_is_that_of_the_cpus_that_are_online(world: World) -> None:
    """In bytes."""
    pages_out = (1 + 2**31) % (1 << 8 * world.abi.pointer)
    assert dead(world).swap_activity() == SwapActivity(42 * PAGE, pages_out * PAGE)


def test_vmstat_has_every_name_with_its_number(world: World) -> None:
    """Negative counts are 0; sectors are told as KiB; huge pages as such; limits are worked out."""
    memory = dead(world).memory()
    found = memory.counters | memory.levels
    modern = is_modern(world)
    expected = dict(zip(ZONE_NAMES, ZONE_PAGES, strict=True)) | NODE_PAGES
    expected |= {"nr_mlock": 0, "nr_unstable": 0}
    expected |= {"numa_hit": 115, "numa_miss": 7} if modern else {"numa_hit": 100, "numa_miss": 2}
    expected |= {name: sum(pair) for name, pair in EVENTS.items()} | {"pgpgin": 20, "pgpgout": 4}
    if modern:
        huge = PAGE // 8
        expected |= {"nr_anon_transparent_hugepages": 1024 // huge} | BOOKED
        expected |= {"nr_dirty_threshold": 3949, "nr_dirty_background_threshold": 1972}
    else:
        del expected["nr_swapcached"], expected["nr_kernel_misc_reclaimable"]
        expected |= {"nr_dirty_threshold": 2049, "nr_dirty_background_threshold": 1024}
    pools = {name for name in found if name.startswith("HugePages_")}
    assert {name: found[name] for name in found.keys() - pools} == expected


def test_enums_tell_the_names_where_the_texts_are_not_to_be_found() -> None:
    """A kernel without vmstat_text among its symbols."""
    world = linux_system_world.modern()
    whole = dead(world).memory()
    world.symbols = [one for one in world.symbols if one.name != "vmstat_text"]
    tally = Tally()
    assert dead(world, tally).memory() == whole
    assert tally.counts() == {}


ENUM_NAMES = {
    "PGSCAN_SKIP_DMA32": "pgskip_dma32",
    "UNEVICTABLE_PGCULLED": "unevictable_pgs_culled",
    "KCOMPACTD_WAKE": "compact_daemon_wake",
    "PGSCAN_ZONE_RECLAIM_FAILED": "zone_reclaim_failed",
    "THP_FAULT_ALLOC": "thp_fault_alloc",
    "NR_SHMEM_THPS": "nr_shmem_hugepages",
}


@pytest.mark.parametrize("name", ENUM_NAMES)
def test_enums_names_are_told_in_vmstat_s_words(name: str) -> None:
    """By their beginning, as a whole, or in small letters."""
    assert vmnames._told(name.lower()) == ENUM_NAMES[name]


def test_events_rise_and_levels_can_fall(world: World) -> None:
    """As of a live kernel."""
    memory = dead(world).memory()
    assert {"pswpin", "numa_hit", "nr_dirtied"} <= memory.counters.keys()
    assert {"nr_free_pages", "nr_dirty_threshold"} <= memory.levels.keys()


def test_the_pool_of_huge_pages_is_the_default_one(world: World) -> None:
    """Numbers of huge pages; the bytes are of both."""
    memory = dead(world).memory()
    names = ("HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp")
    assert [memory.levels[name] for name in names] == [3, 2, 1, 0]
    assert memory.fields["Hugepagesize"] == 512 * PAGE
    assert memory.fields["Hugetlb"] == (3 * 512 + (1 << 18)) * PAGE


MEMINFO = {
    "MemTotal": 30000,
    "MemFree": 20000,
    "Buffers": 42,
    "Cached": 5500 - 12 - 42,
    "SwapCached": 12,
    "Active": 2600,
    "Inactive": 3400,
    "Shmem": 150,
    "Slab": 1700,
    "SReclaimable": 900,
    "PageTables": 110,
    "SwapTotal": 5040,
    "SwapFree": 4940,
    "Percpu": 120,
    "VmallocUsed": 1389,
    "CommitLimit": (30000 - 3 * 512 - (1 << 18)) * 50 // 100 + 5040,
    "Committed_AS": 6004,
    "NFS_Unstable": 0,
    "VmallocChunk": 0,
}
"""Pages of both kernels."""


def test_meminfo_is_worked_out_as_the_kernel_does(world: World) -> None:
    """In bytes; what only one of the kernels has is absent of the other."""
    fields = dead(world).memory().fields
    assert {name: fields[name] // PAGE for name in MEMINFO} == MEMINFO
    assert fields["KernelStack"] == 1168 * 1024
    if is_modern(world):
        assert fields["MemAvailable"] == 23040 * PAGE
        assert fields["KReclaimable"] == 1000 * PAGE
        assert fields["AnonHugePages"] == 1024 * PAGE
        high = ("HighTotal", "HighFree", "LowTotal", "LowFree")
        assert [fields[name] // PAGE for name in high] == [8000, 4000, 22000, 16000]
    else:
        assert fields["MemAvailable"] == 23200 * PAGE
        assert fields["AnonHugePages"] == 1024 * (PAGE // world.abi.pointer) * PAGE
        assert "HighTotal" not in fields


def test_meminfo_has_what_newer_kernels_count_in_vmstat() -> None:
    """VmallocUsed, which had a variable of its own, and the memory of GPUs."""
    world = World("typedef unsigned int u_int;", cdecl.AMD64)
    made = target(world)
    values = {"nr_vmalloc": 7, "nr_gpu_active": 2, "nr_gpu_reclaim": 1}
    fields = Meminfo(made, PerCpu(made), Zones(made), values, PAGE, 512).fields()
    wanted = {"VmallocUsed": 7 * PAGE, "GPUActive": 2 * PAGE, "GPUReclaim": PAGE}
    assert wanted.items() <= fields.items()


def test_the_queues_are_those_of_a_live_kernel(world: World) -> None:
    """Free pages and the LRU lists."""
    memory = dead(world).memory()
    assert memory.size_bytes == 30000 * PAGE
    assert memory.available_bytes == memory.fields["MemAvailable"]
    pages = {name: size // PAGE for name, size in memory.queues.items()}
    assert pages == {
        "free": 20000, "active_anon": 600, "inactive_anon": 400, "active_file": 2000,
        "inactive_file": 3000,
    }  # fmt: skip


DIRECT_MAPS = {
    "amd64": {"DirectMap4k": 400, "DirectMap2M": 40960, "DirectMap1G": 3 << 20},
    "i386": {"DirectMap4k": 400, "DirectMap2M": 40960},
    "powerpc64le": None,
    "aarch64": {},
}


@pytest.mark.parametrize("machine", ["amd64", "i386", "aarch64"])
def test_the_direct_map_is_counted_where_the_architecture_does(machine: str) -> None:
    """In KiB by size of page; entries of eight bytes map 2 MiB."""
    fields = dead(linux_system_world.modern(), name=machine).memory().fields
    found = {name: size // 1024 for name, size in fields.items() if name.startswith("Direct")}
    assert found == DIRECT_MAPS[machine]


RADIX = {"DirectMap4k": 0, "DirectMap64k": 128, "DirectMap2M": 14336, "DirectMap1G": 13 << 20}


@pytest.mark.parametrize(("features", "told"), [(0x40, RADIX), (0x10, {})])
def test_a_direct_map_of_powerpc_is_counted_where_it_has_radix_trees(
    features: int, told: dict[str, int]
) -> None:
    """With a hash table all of it has pages of one size, and /proc says nothing."""
    text = "typedef unsigned int u_int; typedef unsigned long u_long;"
    world = World(
        text + "struct cpu_spec { u_long cpu_features; u_int mmu_features; };", cdecl.POWERPC64
    )
    world.define("cur_cpu_spec", "pointer", world.new("struct cpu_spec", mmu_features=features))
    world.define("direct_pages_count", "u_long", list(range(14)))
    found = machinememory.direct_map(target(world), "powerpc64")
    assert {name: size >> 10 for name, size in found.items()} == told


def test_the_address_space_of_vmalloc_is_known_by_the_depth_of_page_tables() -> None:
    """What /proc/meminfo of x86_64 says with four and five levels, in KiB."""
    fields = dead(linux_system_world.modern()).memory().fields
    assert fields["VmallocTotal"] == 13743895347199 * 1024
    fields = dead(linux_system_world.old()).memory().fields
    assert fields["VmallocTotal"] == 34359738367 * 1024


def test_the_kernel_as_a_whole_is_counted(world: World) -> None:
    """Sums over CPUs that are online, or that could be, as /proc does."""
    modern = is_modern(world)
    own = sum(cpu + 1 for cpu in SOFTIRQS) + 300 + (3 * 4 + 3 if modern else 0)
    assert dead(world).kernel() == KernelCounters(
        context_switches=1200 + 2**40,
        interrupts=5670 + own,
        soft_interrupts=sum(map(sum, SOFTIRQS.values())),
        forks=1234,
        boot_time_seconds=1699999995.0,
        processes_running=3,
        processes_blocked=4,
        open_files=320 - 4 + 5,
        max_files=99999,
        vnodes=412,
        max_processes=4194304 if modern else 32768,
        max_threads=7777,
    )


def test_the_time_asleep_counts_and_who_lives_has_no_last_words(world: World) -> None:
    """Whole seconds of boot, hundredths since; of a dump from outside the time is when it was."""
    life = dead(world).life()
    assert (life.boot_time_seconds, life.uptime_seconds, life.panic) == (1699999995.0, 105.25, None)
    assert life.death_time_seconds == pytest.approx(1700000100.25, abs=1)


NAMELESS = """
typedef unsigned long long u64; typedef long long s64; typedef unsigned int u32;
typedef struct { u32 sequence; } seqcount_raw_spinlock_t;
struct tk_read_base { void *clock; u64 mask; u32 mult; u32 shift; u64 xtime_nsec; s64 base; };
struct timekeeper { struct tk_read_base tkr_mono; s64 offs_real; s64 offs_boot; };
struct around {
    seqcount_raw_spinlock_t seq; struct timekeeper timekeeper; struct timekeeper shadow;
};
"""


@pytest.mark.parametrize("abi", ABIS.values(), ids=ABIS)
def test_a_clock_in_a_struct_without_a_name_is_where_its_alignment_puts_it(
    abi: cdecl.Abi,
) -> None:
    """As from 6.13 on, until the struct got a name."""
    world = World(NAMELESS, abi)
    values = {"tkr_mono.mult": 0x7FFFFFFF, "tkr_mono.shift": 24, "tkr_mono.base": 7 * 10**9}
    values |= {"tkr_mono.xtime_nsec": 10**7 << 24, "offs_real": 10**18, "offs_boot": 10**9}
    inner = {f"timekeeper.{path}": value for path, value in values.items()}
    world.define("tk_core", "struct around", inner | {"seq.sequence": 4})
    assert dead(world).life() == Life(999999999.0, 8.01, 1000000007.01)


class Vmcoreinfo:
    """What a kernel says of itself, as far as it is asked here."""

    def __init__(self, **values: str) -> None:
        self.values = values

    def value(self, key: str) -> str | None:
        return self.values.get(key)

    def number(self, name: str) -> int | None:
        return None

    def offset(self, path: str) -> int | None:
        return None

    def size(self, name: str) -> int | None:
        return None


def test_a_kernel_that_dumped_itself_tells_when(world: World) -> None:
    """CRASHTIME is Unix time; what is no number tells nothing."""
    assert dead(world, told=Vmcoreinfo(CRASHTIME="1700000101")).life() == Life(
        1699999995.0, 105.25, 1700000101.0
    )
    soon = dead(world, told=Vmcoreinfo(CRASHTIME="soon")).life()
    assert soon == dead(world).life()


def test_the_message_buffer_is_told_as_dmesg_does(world: World) -> None:
    """A line a record with its time; what is not whole, or old, is left out."""
    assert dead(world).message_buffer() == (
        "[    0.000000] Linux version\n[    5.140900] a line\n[    6.000000] \n"
    )
    assert len(MESSAGES) == 3


def test_mounts_are_those_that_process_1_can_reach(world: World) -> None:
    """In the kernel's order, without what lies outside its root, and without cursors."""
    flags = (4096, 4096 | 2 | 4 | 8, 1 | 1024 | 2048)
    assert dead(world).mounts() == tuple(
        Mount(device, path, f"{kind}.{subtype}" if subtype else kind, flag)
        for (device, path, kind, subtype, _), flag in zip(MOUNTS, flags, strict=True)
    )


def test_interfaces_are_counted_as_their_drivers_do(world: World) -> None:
    """Each way of counting; only the counters of a driver that is not known are absent."""
    lo, eth0, tun0, vnet0, odd0, vlan5, v0, v1 = dead(world).interfaces()
    nothing = dict.fromkeys(("rx_errors", "tx_errors", "rx_dropped", "tx_dropped"), 0)
    nothing |= {"multicast_received": 0, "collisions": 0}
    both = {"rx_packets": 4, "tx_packets": 4, "rx_bytes": 2**33 + 10, "tx_bytes": 2**33 + 10}
    assert lo == Interface("lo", 1, mtu=1501, **both | nothing)
    plain = {"rx_errors": 1, "tx_errors": 2, "multicast_received": 5, "collisions": 6}
    assert eth0 == Interface(
        "eth0", 2, mtu=1502, rx_packets=10, rx_bytes=1000, tx_packets=20, tx_bytes=2000,
        rx_dropped=110, tx_dropped=204, **plain,
    )  # fmt: skip
    assert tun0 == Interface(
        "tun0", 3, mtu=1503, rx_packets=17, rx_bytes=1070, tx_packets=30, tx_bytes=2100,
        rx_dropped=10, tx_dropped=4, **plain,
    )  # fmt: skip
    ways = {"rx_packets": 11, "rx_bytes": 1100, "tx_packets": 22, "tx_bytes": 2200}
    assert vnet0 == Interface(
        "vnet0", 4, mtu=1504, **nothing | ways | {"rx_dropped": 1, "tx_errors": 4}
    )
    assert odd0 == Interface("odd0", 5, mtu=1505)
    ways = {"rx_packets": 5, "rx_bytes": 50, "tx_packets": 7, "tx_bytes": 70, "rx_errors": 3}
    ways |= {"tx_dropped": 2**32 + 2, "multicast_received": 2}
    assert vlan5 == Interface("vlan5", 6, mtu=1506, **nothing | ways)
    until_6_7 = not is_modern(world)
    assert v0 == Interface(
        "v0", 7, mtu=1507, rx_packets=30 + 2, rx_bytes=3000 + 200, tx_packets=10 + 32,
        tx_bytes=1000 + 6400, rx_errors=0, tx_errors=0, multicast_received=0, collisions=0,
        rx_dropped=1 + 8 + 64 + 7 * until_6_7, tx_dropped=5 + 4 + 128,
    )  # fmt: skip
    assert (v1.rx_packets, v1.tx_packets) == (10 + 32, 30 + 2)
    assert (v1.rx_dropped, v1.tx_dropped) == (16 + 128 + 4 + 5 * until_6_7, 7 + 64 + 8)


def test_linux_has_no_jails(world: World) -> None:
    """Ever."""
    assert dead(world).jails() == ()
