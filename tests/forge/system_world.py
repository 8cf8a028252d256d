"""What would a whole FreeBSD kernel's memory hold?  Worlds with every subject but processes.

``modern`` and ``old`` make one of forge/system_structs.py's kernels; the facts that they put into
it are in this file's tables, for a test to compare with.  CPU 1 is absent, CPU 3 never was: the
numbers that are there are 0 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence

from forge import cdecl
from forge.system_structs import MODERN, OLD
from forge.world import Thing, World

PAGE = 4096
CPUS = (0, 2)
HIGHEST_CPU = 3

TICKS = {0: (1270, 127, 254, 12, 2540), 2: (127, 0, 381, 1, 5080)}
"""pc_cp_time: user, nice, system, interrupt, idle, of a clock of 127 ticks a second."""

COUNTERS = {
    "v_swtch": (1000, 234),
    "v_trap": (20, 1),
    "v_syscall": (2**40, 5),
    "v_intr": (7, 2**64 - 3),  # a counter's own copy may be below zero
    "v_soft": (0, 3),
    "v_vm_faults": (110, 11),
    "v_pdpages": (5, 6),
    "v_swapin": (2, 1),
    "v_swapout": (4, 4),
    "v_swappgsin": (30, 3),
    "v_swappgsout": (40, 4),
    "v_forks": (50, 36),
    "v_vforks": (40, 2),
    "v_rforks": (5, 1),
    "v_kthreads": (14, 0),
    "v_wire_count": (9000, 100),
    "v_nofree_count": (11, 1),
}
"""Each CPU's part of a counter(9), or of the numbers of an old kernel."""

LEVELS = {"v_page_size": PAGE, "v_page_count": 60000, "v_free_target": 1216, "v_free_min": 406}
DOMAINS = ((100, 20, 3, 4, 500), (10, 2, 1, 0, 50))
"""Pages that are inactive, active, laundry, unswappable and free, of each memory domain."""

INTEGERS = {
    "hz": ("int", 1000),
    "stathz": ("int", 127),
    "physmem": ("long", 55676),
    "openfiles": ("int", 47),
    "maxfiles": ("int", 6959),
    "maxproc": ("int", 1748),
    "maxthread": ("int", 1000000),
    "desiredvnodes": ("u_long", 14134),
    "numvnodes": ("u_long", 43),
    "vm_user_wire_count": ("u_long", 256),
    "nsw_cluster_max": ("int", 32),
    "vm_severe_waiters": ("int", 1),
    "vm_min_waiters": ("int", 2),
    "vm_pageproc_waiters": ("int", 4),
}

P_SYSTEM = 0x200
RUNQ, RUNNING, ASLEEP, LOCKED = (3, 0), (4, 0), (1, 2), (1, 8)
"""td_state and td_inhibitors."""

THREADS = (
    (P_SYSTEM, 1, [(*RUNNING, 40), (*ASLEEP, 41)]),
    (0, 0, [(*RUNQ, 60)]),
    (0, 1, [(*RUNNING, 200), (*RUNQ, 60), (*LOCKED, 41), (*ASLEEP, 45), (*ASLEEP, 46)]),
    (0x4000, 1, [(*ASLEEP, 100), (*ASLEEP, 101), (*RUNNING, 120)]),
)
"""p_flag, p_state and the threads' td_state, td_inhibitors and td_priority."""

HALF = 1 << 63
BOOT, UPTIME = (1795423767, HALF + (HALF >> 1)), (19, HALF)
"""Seconds and 2^-64ths: .75 and .5."""

PANIC = "page fault: supervisor read"
HOST = "lab.example.org"
VERSION = "FreeBSD 15.1 #0: now\n    root@build:/obj\n"

MESSAGES = b"---<<BOOT>>---\n<6>vtnet0: link state changed to UP\nUptime: 19s\n"
RING = 128

MOUNTS = (
    ("/dev/vtbd0", "/", "ufs", 0x1000, 2048, 100000, 90000, 80000, 5000, 4000),
    ("devfs", "/dev", "devfs", 0, 512, 2, 0, -1, 0, 0),
)
"""Device, path, kind, flags, bytes a block, blocks, free, available, files, free files."""

JAILS = (
    (3, "vnetjail", "jailed.example.org", "/jail", 0x10, 1),
    (7, "plain", "plain.example.org", "/plain", 0x0, 1),
    (9, "plain.nested", "nested.example.org", "/plain", 0x1, 1),
    (11, "gone", "gone.example.org", "/gone", 0x10, 2),
)
"""pr_id, pr_name, pr_hostname, pr_path, pr_flags, pr_state."""

SWAP = ((0x33, "vtbd4", 24576, 100), (2**64 - 1, None, 16, 5), (0x35, None, 1000, 0))
"""sw_dev, the device node's name, pages, pages used."""

ACROSS = tuple(10**9 + 100 * at for at in range(12))
"""if_counters of the host's em0: the other interfaces' are smaller."""


class Cpus:
    """The CPUs of a world, and memory of which each has a copy.

    ``distance``: addresses of such memory are kept as amd64 keeps them.
    """

    def __init__(self, world: World, *, distance: bool = False) -> None:
        self.world = world
        self.area = world.allocate(PAGE * (HIGHEST_CPU + 1))
        self.base = 0 if distance else self.area
        self.used = 64
        first = self.area if distance else 0
        self.pcpu: dict[int, Thing] = {}
        modern = "pc_zpcpu_offset" in world.c.layout("struct pcpu")
        for cpu in CPUS:
            self.pcpu[cpu] = world.new("struct pcpu", pc_cpuid=cpu, pc_cp_time=list(TICKS[cpu]))
            if modern:
                self.pcpu[cpu].set(pc_zpcpu_offset=first + PAGE * cpu)
        world.define("mp_maxid", "int", HIGHEST_CPU)
        world.define("cpuid_to_pcpu", "pointer", [self.pcpu.get(at) for at in range(4)])

    def counter(self, values: Sequence[int]) -> int:
        """A new counter of which each CPU has its value, as the kernel points to it."""
        at = self.used
        self.used += 8
        for cpu, value in zip(CPUS, values, strict=True):
            raw = (value % 2**64).to_bytes(8, self.world.byteorder)
            self.world.write(self.area + PAGE * cpu + at, raw)
        return self.base + at


def modern(
    abi: cdecl.Abi = cdecl.AMD64, *, distance: bool = False, base: int | None = None
) -> World:
    """A kernel as of 15; ``base`` as World has it."""
    world = World(MODERN, abi, base=base)
    cpus = Cpus(world, distance=distance)
    pointers = {name: cpus.counter(parts) for name, parts in COUNTERS.items()}
    world.define("vm_cnt", "struct vmmeter", pointers | LEVELS)
    integers(world)
    domains(world)
    hands = world.new(
        "struct timehands",
        th_boottime={"sec": BOOT[0], "frac": BOOT[1]},
        th_offset={"sec": UPTIME[0], "frac": UPTIME[1]},
    )
    world.define("timehands", "pointer", hands)
    common(world)
    network(world, cpus)
    threads(world, kernel_priority=41)
    return world


def old(abi: cdecl.Abi = cdecl.AMD64) -> World:
    """A kernel as of 11, without network stacks of jails."""
    world = World(OLD, abi)
    cpus = Cpus(world)
    held = world.c.layout("struct vmmeter")
    parts = {name: both for name, both in COUNTERS.items() if name in held}
    for at, cpu in enumerate(CPUS):
        cpus.pcpu[cpu].set(pc_cnt={name: both[at] for name, both in parts.items()})
    pages = [sum(column) for column in zip(*DOMAINS, strict=True)]
    counts = dict(zip(("v_inactive_count", "v_active_count"), pages, strict=False))
    counts |= {"v_laundry_count": pages[2] + pages[3], "v_free_count": pages[4]}
    levels = {name: value for name, value in LEVELS.items() if name in held}
    world.define("vm_cnt", "struct vmmeter", counts | levels)
    older = {"nsw_cluster_max": ("dmmax", "int"), "desiredvnodes": ("desiredvnodes", "int")}
    integers(world, older)
    hands = world.new("struct timehands", th_offset={"sec": UPTIME[0], "frac": UPTIME[1]})
    world.define("timehands", "pointer", hands)
    world.define("boottime", "struct timeval", {"tv_sec": BOOT[0], "tv_usec": 750000})
    common(world)
    head = world.define("ifnet", "struct ifnethead", {})
    world.tailq(head, [interface(world, cpus, "em0", 1, ACROSS)], "if_link")
    threads(world, kernel_priority=84)
    return world


def threads(world: World, kernel_priority: int) -> None:
    """Processes with the threads of THREADS; proc0's thread has ``kernel_priority``."""
    world.define("thread0_st", "struct thread", {"td_base_pri": kernel_priority})
    found = []
    for flags, state, rows in THREADS:
        process = world.new("struct proc", p_flag=flags, p_state=state)
        each = [
            world.new("struct thread", td_state=kind, td_inhibitors=why, td_priority=priority)
            for kind, why, priority in rows
        ]
        world.tailq(process, each, "td_plist", "p_threads")
        found.append(process)
    world.list(world.define("allproc", "struct proclist", {}), found, "p_list")


def integers(world: World, changed: dict[str, tuple[str, str]] | None = None) -> None:
    """The plain variables; some have another name and type."""
    for known, (kind, value) in INTEGERS.items():
        name, type_ = (changed or {}).get(known, (known, kind))
        world.define(name, type_, value)


def domains(world: World) -> None:
    """Two memory domains."""
    found = world.array("struct vm_domain", len(DOMAINS))
    for number, (domain, pages) in enumerate(zip(found, DOMAINS, strict=True)):
        queues = [{"pq_cnt": count, "pq_pdpages": 1000 * number + 7} for count in pages[:4]]
        domain.set(vmd_free_count=pages[4], vmd_pagequeues=queues)
    world.symbol("vm_dom", found[0].address, len(found) * world.c.size("struct vm_domain"))
    world.define("vm_ndomains", "int", len(DOMAINS))


def common(world: World) -> None:
    """What both kernels have: load, names, messages, panic, swap, mounts, jails."""
    world.define("averunnable", "struct loadavg", {"ldavg": [1024, 512, 256], "fscale": 2048})
    for name, text in (("ostype", "FreeBSD"), ("osrelease", "15.1-RELEASE"), ("version", VERSION)):
        world.define(name, "char", text.encode() + b"\0")
    world.define("panicstr", "pointer", world.text(PANIC))
    messages(world, MESSAGES)
    swap(world)
    mounts(world)
    jails(world)


def messages(world: World, written: bytes, size: int = RING) -> Thing:
    """A message buffer of ``size`` bytes into which ``written`` went; its struct."""
    ring = bytearray(size)
    for at, byte in enumerate(written):
        ring[at % size] = byte
    found = world.new(
        "struct msgbuf",
        msg_magic=0x063062,
        msg_ptr=world.bytes(bytes(ring)),
        msg_size=size,
        msg_wseq=len(written) % (16 * size),
    )
    world.define("msgbufp", "pointer", found)
    return found


def swap(world: World) -> None:
    """The swap devices."""
    found = []
    for device, name, pages, used in SWAP:
        one = world.new("struct swdevt", sw_dev=device, sw_nblks=pages, sw_used=used, sw_flags=1)
        if name:
            node = world.new("struct cdev", si_name=name.encode())
            modern_vnode = "v_rdev" in world.c.layout("struct vnode")
            path = "v_rdev" if modern_vnode else "v_un.vu_cdev"
            one.set(sw_vp=world.new("struct vnode").put(path, node))
        found.append(one)
    world.tailq(world.define("swtailq", "struct swdevs", {}), found, "sw_list")


def mounts(world: World) -> None:
    """The mounted file systems."""
    found = []
    for device, path, kind, flags, block, blocks, free, available, files, free_files in MOUNTS:
        stat = {
            "f_mntfromname": device,
            "f_mntonname": path,
            "f_fstypename": kind,
            "f_flags": flags,
            "f_bsize": block,
            "f_blocks": blocks,
            "f_bfree": free,
            "f_bavail": available,
            "f_files": files,
            "f_ffree": free_files,
        }
        found.append(world.new("struct mount", mnt_stat=stat, mnt_flag=0xFFFF))
    world.tailq(world.define("mountlist", "struct mntlist", {}), found, "mnt_list")


def jails(world: World) -> None:
    """The jails, each with an address in pr_vnet that nothing is at, and the host."""
    world.define("prison0", "struct prison", {"pr_name": "0", "pr_path": "/", "pr_hostname": HOST})
    found = []
    for jid, name, hostname, path, flags, state in JAILS:
        one = world.new("struct prison", pr_id=jid, pr_name=name.encode(), pr_flags=flags)
        one.set(pr_hostname=hostname.encode(), pr_path=path.encode())
        if "pr_state" in world.c.layout("struct prison"):
            one.set(pr_state=state)
        else:
            one.set(pr_uref=int(state == 1))
        found.append(one)
    world.tailq(world.define("allprison", "struct prisonlist", {}), found, "pr_list")
    world.prisons = {one.get("pr_id"): one for one in found}


def network(world: World, cpus: Cpus) -> None:
    """Two network stacks: the host's em0 and lo0, and lo0 of the jail with one of its own."""
    default = world.bytes(b"\x90" * 16)
    world.symbol("if_get_counter_default", default, 16, 2)
    template = world.define("vnet_entry_ifnet", "struct ifnethead", {})
    stacks = []
    for interfaces in (
        [
            interface(world, cpus, "lo0", 2, range(12), default),
            interface(world, cpus, "em0", 1, ACROSS, default),
        ],
        [interface(world, cpus, "lo0", 5, [1] * 12, default)],
    ):
        head = world.new("struct ifnethead")
        following = head.at("cstqh_first")
        for one in interfaces:
            world.write(following, world.pointer(one.address))
            following = one.at("if_link.cstqe_next")
        stack = world.new("struct vnet", vnet_magic_n=0x5E4A6F28)
        stack.set(vnet_data_base=head.address - template.address)
        stacks.append(stack)
    world.prisons[3].set(pr_vnet=stacks[1])
    world.list(world.define("vnet_head", "struct proclist", {}), stacks[::-1], "vnet_le")


def interface(
    world: World, cpus: Cpus, name: str, index: int, counts: Sequence[int], asked: int = 0
) -> Thing:
    """A network interface; its counters are ``counts`` on CPU 0, and 1 more on CPU 2."""
    if not asked:
        asked = world.bytes(b"\x90" * 16)
        world.symbol("if_get_counter_default", asked, 16, 2)
    pointers = [cpus.counter((count, 1)) for count in counts]
    return world.new(
        "struct ifnet",
        if_xname=name.encode(),
        if_index=index,
        if_flags=0x8043,
        if_drv_flags=0x40,
        if_mtu=1500,
        if_get_counter=asked,
        if_counters=pointers,
    )
