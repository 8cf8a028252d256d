"""What would a whole Linux kernel's memory hold?  Worlds with every subject but processes.

``modern`` and ``old`` make one of forge/linux_system.py's kernels; the facts that they put into it
are in this file's tables, for a test to compare with.  There could be three CPUs, 0, 1 and 34, so
that a mask takes two words; 1 is offline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forge import cdecl, linux_log, linux_network, linux_paths
from forge.linux_paths import ring
from forge.linux_system import MODERN, OLD
from forge.world import Thing, World

PAGE = 4096
POSSIBLE, ONLINE = (0, 1, 34), (0, 34)
NR_CPU_IDS = 35
SECOND = 1_000_000_000

UNAME = ("Linux", "lab.example.org", "6.18.0-test", "#1 SMP now", "x86_64")

MODES = ("user", "nice", "system", "softirq", "irq", "idle", "iowait", "steal", "guest")
MODES += ("guest_nice",)
TIMES = {
    0: (11, 1, 21, 2, 3, 1000, 2000, 4, 5, 6),
    1: (1, 2, 3, 4, 5, 600, 700, 8, 9, 10),
    34: (100, 0, 50, 0, 0, 3000, 4000, 0, 0, 0),
}
"""kernel_cpustat, in hundredths of a second: of 0 and 34 the idle times are elsewhere."""

KERNEL_CPUSTAT = """
struct kernel_cpustat {
    signed char idle_dyntick; signed char idle_elapse; u32 idle_sleeptime_seq; u64 idle_entrytime;
    u64 idle_stealtime[2]; u64 cpustat[10];
};
"""

ASLEEP = {0: (70, 7, 90.25), 1: (1, 1, 1), 34: (80, 8, 95.0)}
"""Seconds without a tick, idle and waiting, and when it fell asleep; 1 and 34 do not wait."""

STOLEN = (SECOND // 4, 2 * SECOND)
"""Nanoseconds of the sleep before that a hypervisor took, idle and waiting."""

MONOTONIC, SUSPENDED, REAL = (100, 250_000_000), 5, 1_700_000_000_600_000_000
"""The clock: seconds and nanoseconds, seconds, nanoseconds of Unix time at its zero."""

QUEUES = {0: (2, 1000, 3), 1: (0, 200, 1), 34: (1, 2**40, 0)}
"""nr_running, nr_switches and nr_iowait of each CPU's run queue."""

INTERRUPTS = {0: 5000, 1: 600, 34: 70}
SOFTIRQS = {cpu: [cpu + at for at in range(10)] for cpu in POSSIBLE}
INODES = {0: 500, 1: -90, 34: 2}

ZONE_NAMES = ("nr_free_pages", "nr_zone_inactive_file", "nr_zone_active_file", "nr_mlock")
ZONE_PAGES = (20000, 3000, 2000, -5)
NUMA_NAMES, NUMA = ("numa_hit", "numa_miss"), (100, 2)
NUMA_OF_CPUS = {0: (10, 1), 1: (0, 0), 34: (5, 4)}
NODE_PAGES = {
    "nr_inactive_anon": 400,
    "nr_active_anon": 600,
    "nr_inactive_file": 3000,
    "nr_active_file": 2000,
    "nr_slab_reclaimable": 900,
    "nr_slab_unreclaimable": 800,
    "nr_file_pages": 5500,
    "nr_shmem": 150,
    "nr_anon_transparent_hugepages": 1024,
    "nr_kernel_misc_reclaimable": 100,
    "nr_kernel_stack": 1168,
    "nr_page_table_pages": 110,
    "nr_swapcached": 12,
    "nr_dirtied": 77,
}
LIMITS = ("nr_dirty_threshold", "nr_dirty_background_threshold")
BOOKED = {"nr_memmap_pages": 640, "nr_memmap_boot_pages": 512}
EVENTS = {"pgpgin": (30, 11), "pgpgout": (7, 2), "pswpin": (20, 22), "pswpout": (1, 2**31)}
"""Of CPU 0 and 34; 1, which went offline, has left none of its own."""

BLOCK_DEVICES = (25, 0, 17)
"""Pages that each block device's inode has."""

COMMITTED = (6000, {0: 7, 1: 0, 34: -3})
FILES = (320, {0: -4, 1: 0, 34: 5})
"""vm_committed_as, nr_files: what was handed in, and what each CPU has."""

POOLS = ((9, 3, 2, 1, 0), (18, 1, 0, 0, 0))
"""Order, pages in the pool, free, reserved, surplus."""

MESSAGES = ((0, b"Linux version"), (5_140_900_000, b"a line"), (6_000_000_123, b""))


class Cpus:
    """The CPUs of a world.  Symbols of per-CPU variables start at ``start``."""

    def __init__(self, world: World, start: int, *, several: bool = True) -> None:
        self.world = world
        self.start = start
        self.used = 64
        self.numbers = POSSIBLE if several else (0,)
        self.areas = {cpu: world.allocate(PAGE) for cpu in self.numbers}
        if several:
            offsets = [self.areas.get(cpu, 0xDEAD0000 + start) - start for cpu in range(NR_CPU_IDS)]
            world.define("__per_cpu_offset", "u_long", offsets)
            world.define("nr_cpu_ids", "u_int", NR_CPU_IDS)
            for name, cpus in (("possible", POSSIBLE), ("online", ONLINE), ("active", ONLINE)):
                mask = sum(1 << cpu for cpu in cpus)
                width = 8 * world.abi.pointer
                words = [mask >> at & (1 << width) - 1 for at in range(0, 128, width)]
                world.define(f"__cpu_{name}_mask", "u_long", words)

    def reserve(self, size: int) -> int:
        """The address, of no CPU's copy, of per-CPU memory."""
        at = self.used
        self.used += -(-size // 16) * 16
        assert self.used <= PAGE
        return self.start + at

    def variable(self, name: str, type_: str) -> dict[int, Thing]:
        """Each CPU's copy of a variable with a name."""
        base = self.reserve(self.world.c.size(type_))
        self.world.symbol(
            name, base if len(self.numbers) > 1 else base - self.start + self.areas[0]
        )
        return self.copies(base, type_)

    def copies(self, base: int, type_: str) -> dict[int, Thing]:
        """Each CPU's copy of what is at ``base``."""
        return {
            cpu: Thing(self.world, type_, base - self.start + area)
            for cpu, area in self.areas.items()
        }

    def numbers_of(self, name: str, type_: str, values: Mapping[int, int]) -> None:
        """A per-CPU variable that is a number."""
        size = self.world.c.size(type_)
        for cpu, copy in self.variable(name, type_).items():
            self.world.write(copy.address, self.world.number(values[cpu], size))


def modern(abi: cdecl.Abi = cdecl.AMD64) -> World:
    """A kernel as of 6.18."""
    world = World(MODERN, abi)
    fill(world)
    return world


def newest(abi: cdecl.Abi = cdecl.AMD64) -> World:
    """As modern, but kernel_cpustat has the times of sleeping CPUs as well (7.2)."""
    world = World(MODERN + KERNEL_CPUSTAT, abi)
    fill(world)
    return world


def fill(world: World, messages: Sequence[linux_log.Message] = MESSAGES) -> Cpus:
    """All of that kernel, into a world of at least MODERN's declarations; its CPUs."""
    cpus = Cpus(world, world.allocate(16))
    _common(world, cpus)
    _modern_clock(world)
    _modern_sleep(cpus)
    _modern_zones(world, cpus)
    for name, value in BOOKED.items():
        world.define(name, "long", value)
    _variables(
        world,
        int_=("vm_highmem_is_dirtyable", "vm_dirty_ratio", "dirty_background_ratio"),
        values=(0, 20, 10),
    )
    world.define("vm_dirty_bytes", "u_long", 0)
    world.define("init_pid_ns", "struct pid_namespace", {"pid_max": 4194304})
    stat = cpus.variable("irq_stat", "irq_cpustat_t")
    for cpu in POSSIBLE:
        stat[cpu].set(apic_timer_irqs=cpu + 1, irq_call_count=100, irq_tlb_count=99)
    cpus.numbers_of("mce_poll_count", "u_int", dict.fromkeys(POSSIBLE, 4))
    world.define("irq_err_count", "int", 3)
    world.define("direct_pages_count", "u_long", [0, 100, 20, 3, 0])
    world.define("direct_gbpages", "int", 1)
    world.define("__pgtable_l5_enabled", "u_int", 1)
    linux_network.modern(cpus)
    linux_log.modern(world, messages)
    return cpus


def old(abi: cdecl.Abi = cdecl.AMD64) -> World:
    """A kernel as of 4.18: symbols of per-CPU variables count from zero."""
    world = World(OLD, abi)
    cpus = Cpus(world, 0)
    _common(world, cpus)
    _clock(world.define("shadow_timekeeper", "struct timekeeper", {}))
    for cpu, sched in cpus.variable("tick_cpu_sched", "struct tick_sched").items():
        _sleep(cpu, sched)
        bits = world.place("struct tick_sched", "idle_active")
        raw = bytearray(world.read(sched.address, world.c.size("struct tick_sched")))
        word = 0b0100 if world.abi.order == "<" else 0b0010_0000
        raw[bits.bit // 8] = word if cpu != 1 else 0
        world.write(sched.address, bytes(raw))
    _old_zones(world)
    _spaces(world)
    _variables(world, int_=("vm_dirty_ratio", "dirty_background_ratio"), values=(20, 10))
    world.define("vm_dirty_bytes", "u_long", (8 << 20) + 1)
    world.define("pid_max", "int", 32768)
    stat = cpus.variable("irq_stat", "irq_cpustat_t")
    for cpu in POSSIBLE:
        stat[cpu].set(timer_irqs_event=cpu + 1, spurious_irqs=100)
    linux_network.old(cpus)
    linux_log.old(world, MESSAGES)
    return world


def one_cpu() -> World:
    """What a kernel without CONFIG_SMP has of its CPU."""
    world = World(OLD, cdecl.I386)
    cpus = Cpus(world, 0x1000, several=False)
    _times(cpus)
    return world


def _common(world: World, cpus: Cpus) -> None:
    world.define("avenrun", "u_long", [2048 + 1024, 163, 10])
    names = ("sysname", "nodename", "release", "version", "machine")
    uts = {f"name.{name}": text for name, text in zip(names, UNAME, strict=True)}
    world.define("init_uts_ns", "struct uts_namespace", uts)
    _times(cpus)
    _counters(world, cpus)
    _memory(world, cpus)
    linux_paths.build(world)
    world.define("tick_nohz_active", "u_long", 1)
    world.define("panic_cpu", "int", -1)


def _times(cpus: Cpus) -> None:
    if "kernel_cpustat" in cpus.world.c.structs:
        _counted_times(cpus)
        return
    base = cpus.reserve(8 * len(MODES))
    cpus.world.symbol(
        "kernel_cpustat", base if len(cpus.numbers) > 1 else base - cpus.start + cpus.areas[0]
    )
    for cpu, copy in cpus.copies(base, "u64").items():
        raw = b"".join(cpus.world.number(ticks * SECOND // 100 + 1, 8) for ticks in TIMES[cpu])
        cpus.world.write(copy.address, raw)


def _counted_times(cpus: Cpus) -> None:
    for cpu, stat in cpus.variable("kernel_cpustat", "struct kernel_cpustat").items():
        times = [ticks * SECOND // 100 + 1 for ticks in TIMES[cpu]]
        idle, waiting, since = ASLEEP[cpu]
        if cpu != 1:
            times[MODES.index("idle")] = idle * SECOND
            times[MODES.index("iowait")] = waiting * SECOND
        stat.set(cpustat=times, idle_elapse=int(cpu != 1), idle_entrytime=int(since * SECOND))
        stat.set(idle_stealtime=list(STOLEN))


def _clock(keeper: Thing) -> None:
    seconds, nanoseconds = MONOTONIC
    keeper.put("tkr_mono.base", seconds * SECOND)
    keeper.put("tkr_mono.shift", 8)
    keeper.put("tkr_mono.xtime_nsec", (nanoseconds << 8) + 77)
    keeper.put("offs_real", REAL)
    keeper.put("offs_boot", SUSPENDED * SECOND)


def _modern_clock(world: World) -> None:
    core = world.define("tk_core", "struct tk_data", {})
    at = core.at("timekeeper")
    _clock(Thing(world, "struct timekeeper", at))


def _sleep(cpu: int, sched: Thing) -> None:
    idle, waiting, since = ASLEEP[cpu]
    sched.set(
        idle_sleeptime=idle * SECOND + 999,
        iowait_sleeptime=waiting * SECOND,
        idle_entrytime=int(since * SECOND),
    )


def _modern_sleep(cpus: Cpus) -> None:
    for cpu, sched in cpus.variable("tick_cpu_sched", "struct tick_sched").items():
        _sleep(cpu, sched)
        sched.set(flags=0b100110 if cpu != 1 else 0b100010)


def _counters(world: World, cpus: Cpus) -> None:
    for cpu, queue in cpus.variable("runqueues", "struct rq").items():
        running, switches, waiting = QUEUES[cpu]
        queue.set(nr_running=running, nr_switches=switches)
        queue.put("nr_iowait.counter", waiting)
    for cpu, stat in cpus.variable("kstat", "struct kernel_stat").items():
        stat.set(irqs_sum=INTERRUPTS[cpu], softirqs=SOFTIRQS[cpu])
    cpus.numbers_of("nr_inodes", "long", INODES)
    world.define("total_forks", "u_long", 1234)
    world.define("files_stat", "struct files_stat_struct", {"max_files": 99999})
    _counter(world, cpus, "nr_files", FILES)
    world.define("max_threads", "int", 7777)


def _counter(world: World, cpus: Cpus, name: str, value: tuple[int, Mapping[int, int]]) -> None:
    """A counter: what was handed in, and what each CPU has."""
    handed_in, own = value
    copies = cpus.reserve(4)
    for cpu, copy in cpus.copies(copies, "s32").items():
        world.write(copy.address, world.number(own[cpu], 4))
    world.define(name, "struct percpu_counter", {"count": handed_in, "counters": copies})


def _memory(world: World, cpus: Cpus) -> None:
    _counter(world, cpus, "vm_committed_as", COMMITTED)
    states = cpus.variable("vm_event_states", "struct vm_event_state")
    for cpu, state in states.items():
        state.set(event=[{0: pair[0], 1: 0, 34: pair[1]}[cpu] for pair in EVENTS.values()])
    _variables(world, int_=("sysctl_overcommit_ratio", "pcpu_nr_units"), values=(50, 3))
    numbers = {
        "totalreserve_pages": 1500,
        "sysctl_overcommit_kbytes": 0,
        "dirty_background_bytes": 0,
        "nr_vmalloc_pages": 1389,
        "transparent_hugepage_flags": 2,
        "total_swap_pages": 5000,
        "nr_swap_pages": 4900,
    }
    for name, value in numbers.items():
        world.define(name, "u_long", value)
    world.define("pcpu_nr_populated", "u_long", 40)
    _pools(world)
    _block_devices(world)


def _pools(world: World) -> None:
    members = ("order", "nr_huge_pages", "free_huge_pages", "resv_huge_pages", "surplus_huge_pages")
    pools = [dict(zip(members, pool, strict=True)) for pool in reversed(POOLS)]
    world.define("hstates", "struct hstate", pools)
    _variables(world, int_=("hugetlb_max_hstate", "default_hstate_idx"), values=(2, 1))


def _block_devices(world: World) -> None:
    block = world.new("struct super_block")
    world.define("blockdev_superblock", "pointer", block)
    inodes = []
    for count in BLOCK_DEVICES:
        mapping = world.new("struct address_space", nrpages=count)
        inodes.append(world.new("struct inode", i_mapping=mapping))
    ring(block.at("s_inodes"), inodes, "i_sb_list")


def _texts(world: World, names: Sequence[str]) -> None:
    world.define("vmstat_text", "pointer", [world.text(name) for name in names])


def _modern_zones(world: World, cpus: Cpus) -> None:
    base = cpus.reserve(world.c.size("struct per_cpu_zonestat"))
    for cpu, copy in cpus.copies(base, "struct per_cpu_zonestat").items():
        copy.set(vm_numa_event=list(NUMA_OF_CPUS[cpu]))
    node, empty = world.new("struct pglist_data"), world.new("struct pglist_data")
    zones = (
        ("DMA", 50, 60, 10, 100, base),
        ("Normal", 700, 800, 0, 30000, 0),
        ("HighMem", 200, 300, 0, 8000, 0),
    )
    for at, (name, low, high, boost, present, stats) in enumerate(zones):
        zone = f"node_zones[{at}]."
        node.put(zone + "name", world.text(name))
        node.put(zone + "_watermark", [1, low, high, high])
        node.put(zone + "watermark_boost", boost)
        node.put(zone + "present_pages", present)
        node.put(zone + "per_cpu_zonestats", stats or cpus.reserve(64))
    for item, count in enumerate((4000, 20, 30, 0)):
        node.put(f"node_zones[2].vm_stat[{item}].counter", count)
    world.define("node_data", "pointer", [node, None, empty])
    world.define("nr_node_ids", "u_int", 3)
    world.define("vm_zone_stat", "long", list(ZONE_PAGES))
    world.define("vm_numa_event", "long", list(NUMA))
    world.define("vm_node_stat", "long", list(NODE_PAGES.values()))
    _texts(world, [*ZONE_NAMES, *NUMA_NAMES, *NODE_PAGES, *LIMITS, *BOOKED, *EVENTS])
    world.define("_totalram_pages", "long", 30000)
    world.define("_totalhigh_pages", "long", 8000)


def _old_zones(world: World) -> None:
    node = world.define("contig_page_data", "struct pglist_data", {})
    for at, (name, low, present) in enumerate((("DMA", 50, 100), ("Normal", 700, 30000))):
        zone = f"node_zones[{at}]."
        node.put(zone + "name", world.text(name))
        node.put(zone + "watermark", [1, low, low + 100])
        node.put(zone + "present_pages", present)
    pages = {name: count for name, count in NODE_PAGES.items() if name != "nr_swapcached"}
    world.define("vm_zone_stat", "long", list(ZONE_PAGES))
    world.define("vm_numa_stat", "long", list(NUMA))
    world.define("vm_node_stat", "long", list(pages.values()))
    names = ["" if name == "nr_kernel_misc_reclaimable" else name for name in pages]
    _texts(world, [*ZONE_NAMES, *NUMA_NAMES, *names, *LIMITS, *EVENTS])
    world.define("totalram_pages", "u_long", 30000)


def _spaces(world: World) -> None:
    """The swap cache of an old kernel: 12 pages in two of the first area's address spaces."""
    spaces = world.array("struct address_space", 2)
    for space, count in zip(spaces, (5, 7), strict=True):
        space.set(nrpages=count)
    world.define("swapper_spaces", "pointer", [spaces[0], None, None, None])
    world.define("nr_swapper_spaces", "u_int", [2, 0, 0, 0])


def _variables(world: World, int_: Sequence[str], values: Sequence[int]) -> None:
    for name, value in zip(int_, values, strict=True):
        world.define(name, "int", value)
