"""Promises of kvm/objects/freebsd/deadsysctls.py: a dead kernel's tree, and its handlers' work.

The values are what each handler's source says that it copies out (sys/kern/kern_sysctl.c and so
on), worked out by hand.
"""

from __future__ import annotations

import random

import pytest
from fakes.counting import opened
from forge.counting import MACHINES, Counting
from forge.oids import SHAPES, Oids
from forge.world import Thing

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies
from kvm_exporter.kvm.objects.freebsd.deadsysctls import DeadSysctls
from kvm_exporter.kvm.objects.freebsd.oidhandlers import HANDLERS
from kvm_exporter.kvm.objects.freebsd.oidkernel import Kernel
from kvm_exporter.kvm.objects.freebsd.percpu import PerCpu

INT, STRING, S64, OPAQUE, UINT, LONG, ULONG, U64 = range(2, 10)
U8, U16, S8, S16, S32, U32 = range(10, 16)
RD, SKIP, DORMANT, VNET = 0x80000000, 0x01000000, 0x20000000, 0x00020000

NUMBERS = {"hz": 250, "vm.stats.vm.v_page_size": 4096, "vm.stats.vm.v_free_count": 77}


class Dead:
    """A kernel that was forged, and its tree."""

    def __init__(self, machine="amd64", shape="tree", **how):
        self.kernel = Counting(machine, **how)
        self.oids = Oids(self.kernel, shape)
        self.machine = machine

    def sysctls(self):
        """What reads it."""
        self.oids.link()
        self.target = opened(self.kernel)

        def number(name):
            if name not in NUMBERS:
                raise KvmError(name)
            return NUMBERS[name]

        cpus = PerCpu(self.target, 4096)
        kernel = Kernel(self.target, cpus, number, lambda: FreeBSDCopies(self.target, 4096))
        return DeadSysctls(kernel, self.machine)

    def values(self, *prefixes, **how):
        """Name → value."""
        found = self.sysctls().read(prefixes or ("",), **how)
        return {one.sysctl.name: one.value for one in found}

    def failures(self):
        """Reads of the tree and of values that failed."""
        counts = self.target.tally.counts()
        return sum(count for (source, _), count in counts.items() if "sysctl" in source)


@pytest.fixture(params=MACHINES)
def dead(request):
    """Both word sizes, both byte orders."""
    return Dead(request.param)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_tree_is_walked(machine, shape):
    """As every release links it, in the order of the numbers; nothing of it twice."""
    dead = Dead(machine, shape)
    number = dead.kernel.variable("int shown", -7)
    names = ["vm.stats.a", "vm.stats.b", "kern.c", "vm.stats.vm.d", "hw.e", "vm.f", "kern.g.h.i"]
    for name in names:
        dead.oids.leaf(name, INT, "sysctl_handle_int", number, "I")
    assert dead.values() == dict.fromkeys(names, -7)
    tops = [one.sysctl.parts[0] for one in dead.sysctls().read(("",))]
    assert tops == sorted(tops, key=["kern", "vm", "hw"].index)
    assert dead.failures() == 0


@pytest.mark.parametrize("shape", ["tree", "list"])
def test_a_leaf_is_told_as_the_kernel_tells_it(shape):
    """Name, labels, kind, format and description."""
    dead = Dead(shape=shape)
    number = dead.kernel.variable("int freq", 2400)
    dead.oids.leaf("dev.cpu.0.freq", INT, "sysctl_handle_int", number, "I", description="Speed")
    dead.oids.label("dev.cpu.0", "device_index")
    (found,) = dead.sysctls().read(("dev",))
    sysctl = found.sysctl
    assert (sysctl.name, found.value) == ("dev.cpu.0.freq", 2400)
    assert sysctl.labels == ("", "", "device_index", "")
    assert (sysctl.kind, sysctl.format, sysctl.description) == ("int", "I", "Speed")


def test_what_next_leaves_out_is_left_out():
    """Skipped and dormant nodes with all below them, nodes with handlers, CTL_SYSCTL itself."""
    dead = Dead()
    number = dead.kernel.variable("int shown", 1)

    def leaf(name, **how):
        dead.oids.leaf(name, INT, "sysctl_handle_int", number, "I", **how)

    for name in ("kern.here", "kern.skipped.x", "kern.proc.args.x", "sysctl.name2oid"):
        leaf(name)
    leaf("kern.dormant", flags=RD | DORMANT)
    dead.oids.node("kern.skipped", flags=RD | SKIP)
    dead.oids.node("kern.proc.args", handler="sysctl_handle_int")
    assert dead.values() == {"kern.here": 1}


INTEGERS = [
    ("sysctl_handle_8", S8, "int8_t", -3),
    ("sysctl_handle_8", U8, "uint8_t", 253),
    ("sysctl_handle_16", S16, "int16_t", -300),
    ("sysctl_handle_16", U16, "uint16_t", 65000),
    ("sysctl_handle_32", S32, "int", -(2**31)),
    ("sysctl_handle_32", U32, "u_int", 2**32 - 1),
    ("sysctl_handle_int", INT, "int", -7),
    ("sysctl_handle_int", UINT, "u_int", 2**31),
    ("sysctl_handle_long", LONG, "long", -5),
    ("sysctl_handle_long", ULONG, "u_long", 2**32 - 1),
    ("sysctl_handle_64", S64, "int64_t", -(2**63)),
    ("sysctl_handle_quad", U64, "uint64_t", 2**64 - 1),
    ("sysctl_net_ipport_check", INT, "int", 49152),
    ("sysctl_handle_sb_max", ULONG, "u_long", 8388608),
]


def test_integers_are_read(dead):
    """Where arg1 points, of each handler's size."""
    expected = {}
    for at, (handler, kind, type_, value) in enumerate(INTEGERS):
        thing = dead.kernel.variable(f"{type_} number{at}", value)
        dead.oids.leaf(f"kern.n{at}", kind, handler, thing, "I")
        expected[f"kern.n{at}"] = value
    assert dead.values() == expected


def test_a_constant_is_arg2(dead):
    """Where arg1 is null: SYSCTL_INT(..., SYSCTL_NULL_INT_PTR, value)."""
    dead.oids.leaf("kern.int", INT, "sysctl_handle_int", None, "I", arg2=-1)
    dead.oids.leaf("kern.u64", U64, "sysctl_handle_64", None, "QU", arg2=2**40)
    dead.oids.leaf("kern.bool", U8, "sysctl_handle_bool", None, "CU", arg2=4)
    assert dead.values() == {"kern.int": -1, "kern.u64": 2**40, "kern.bool": 1}


@pytest.mark.parametrize(("byte", "value"), [(0, 0), (1, 1), (7, 1)])
def test_a_bool_is_0_or_1(byte, value):
    """Whatever its byte is."""
    dead = Dead()
    thing = dead.kernel.variable("uint8_t truth", byte)
    dead.oids.leaf("kern.truth", U8, "sysctl_handle_bool", thing, "CU")
    assert dead.values() == {"kern.truth": value}


@pytest.mark.parametrize(
    ("raw", "arg2", "text"),
    [
        (b"FreeBSD", 0, "FreeBSD"),
        (b"FreeBSD", 32, "FreeBSD"),
        (b"FreeBSD", 5, "Free"),
        (b"x" * 700, 0, "x" * 700),
        (b"", 0, ""),
        (b"\xff", 0, "\udcff"),
    ],
)
def test_texts_are_read(raw, arg2, text):
    """To their NUL, at most arg2 bytes with it."""
    dead = Dead()
    dead.oids.leaf(
        "kern.text", STRING, "sysctl_handle_string", dead.kernel.text(raw), "A", arg2=arg2
    )
    assert dead.values() == {}
    assert dead.values(texts=True) == {"kern.text": text}


def test_a_text_without_an_end_is_none():
    """One that runs into memory which is not there is not known; none is longer than a megabyte."""
    dead = Dead()
    at = dead.kernel.world.bytes(b"y" * 300)
    long = dead.kernel.world.bytes(b"z" * ((1 << 20) + 5))
    dead.oids.leaf("kern.cut", STRING, "sysctl_handle_string", at, "A")
    dead.oids.leaf("kern.long", STRING, "sysctl_handle_string", long, "A")
    assert dead.values(texts=True) == {"kern.long": "z" * (1 << 20)}


def test_counters_are_summed_up(dead):
    """Of the CPUs that are there; a counter that is not allocated yet has no value."""
    counted = dead.kernel.variable("counter_u64_t counted", dead.kernel.counter([1, 20, 2**64 - 5]))
    early = dead.kernel.variable("counter_u64_t early", dead.kernel.early)
    rows = dead.kernel.variable(
        "counter_u64_t rows[2]", dead.kernel.counters([[1, 2, 3], [4, 5, 6]])
    )
    null = dead.kernel.variable("counter_u64_t nothing", 0)
    for name, thing in (("counted", counted), ("early", early), ("null", null)):
        dead.oids.leaf(f"kern.{name}", U64, "sysctl_handle_counter_u64", thing, "QU")
    dead.oids.leaf("kern.rows", U64, "sysctl_handle_counter_u64_array", rows, "QU", arg2=2)
    dead.oids.leaf("vm.stats.sys.v_swtch", U64, "sysctl_handle_vmstat", counted, "QU")
    assert dead.values() == {
        "kern.counted": 16,
        "kern.rows": (6, 15),
        "vm.stats.sys.v_swtch": 16,
    }
    assert dead.failures() == 2


def test_per_cpu_variables_are_summed_up(dead):
    """arg1 is the template's address; sums wrap as C's do."""
    copies = dead.kernel.percpu("int switches", {0: -1, 2: 5, 5: 10})
    wide = dead.kernel.percpu("int64_t wide", {0: 2**40, 2: 1, 5: 1})
    sets = {one.name: one.address for one in dead.kernel.world.symbols}
    assert copies
    assert wide
    dead.oids.leaf("kern.s", INT, "sysctl_dpcpu_int", sets["pcpu_entry_switches"], "I")
    dead.oids.leaf("kern.w", S64, "sysctl_dpcpu_quad", sets["pcpu_entry_wide"], "Q")
    assert dead.values() == {"kern.s": 14, "kern.w": 2**40 + 2}


@pytest.mark.parametrize("machine", MACHINES)
def test_network_stacks_variables_are_the_hosts(machine):
    """arg1 of a CTLFLAG_VNET node is a template."""
    dead = Dead(machine, jails={"web": 3})
    dead.kernel.vnet("int somaxconn", {"": 128, "web": 9})
    at = {one.name: one.address for one in dead.kernel.world.symbols}["vnet_entry_somaxconn"]
    dead.oids.leaf("kern.ipc.a", INT, "sysctl_handle_int", at, "I", flags=RD | VNET)
    dead.oids.leaf("kern.ipc.b", UINT, "sysctl_somaxconn", None, "IU", flags=RD | VNET)
    dead.oids.leaf("kern.ipc.c", INT, "sysctl_handle_int", None, "I", arg2=5, flags=RD | VNET)
    assert dead.values() == {"kern.ipc.a": 128, "kern.ipc.b": 128, "kern.ipc.c": 5}


def test_statistics_of_a_network_stack():
    """VNET_PCPUSTAT: an array of counters, laid out as a struct."""
    dead = Dead(jails={"web": 3})
    dead.kernel.declare("struct tcpstat { uint64_t tcps_a, tcps_b; };")
    rows = [dead.kernel.counters([[1, 2, 3], [4, 5, 6]]), dead.kernel.counters([[9] * 3] * 2)]
    dead.kernel.vnet("counter_u64_t tcpstat[2]", {"": rows[0], "web": rows[1]})
    dead.oids.leaf("net.inet.tcp.stats", OPAQUE, "tcpstat_sysctl", None, "I", flags=RD | VNET)
    assert dead.values() == {"net.inet.tcp.stats": {"tcps_a": 6, "tcps_b": 15}}


def test_times_are_converted(dead):
    """Ticks to milliseconds, 2^-32ths of a second to milli- and microseconds, seconds."""
    dead.kernel.declare("struct timeval { long tv_sec; long tv_usec; };")
    ticks = dead.kernel.variable("int ticks2", 7)
    before = dead.kernel.variable("int before", -7)
    time = dead.kernel.variable("int64_t sbt", (3 << 32) + (1 << 31))
    interval = dead.kernel.variable("struct timeval interval", {"tv_sec": 60, "tv_usec": 9})
    dead.oids.leaf("kern.ticks", INT, "sysctl_msec_to_ticks", ticks, "I")
    dead.oids.leaf("kern.before", INT, "sysctl_msec_to_ticks", before, "I")
    dead.oids.leaf("kern.ms", S64, "sysctl_msec_to_sbintime", time, "Q")
    dead.oids.leaf("kern.us", S64, "sysctl_usec_to_sbintime", time, "Q")
    dead.oids.leaf("kern.sec", INT, "sysctl_sec_to_timeval", interval, "I")
    assert dead.values() == {
        "kern.ticks": 28,
        "kern.before": -28,
        "kern.ms": 3500,
        "kern.us": 3500000,
        "kern.sec": 60,
    }


def test_opaque_structs_are_taken_apart(dead):
    """By the kernel's types; an array of longs is one by its format."""
    dead.kernel.declare("struct pair { uint64_t p_one; int p_two; void *p_three; };")
    pair = dead.kernel.variable("struct pair pair", {"p_one": 5, "p_two": -6})
    size = dead.kernel.c.size("struct pair")
    dead.oids.leaf("kern.pair", OPAQUE, "sysctl_handle_opaque", pair, "S,pair", arg2=size)
    longs = dead.kernel.variable("long longs[3]", [1, 2, 3])
    word = dead.kernel.c.size("long")
    dead.oids.leaf("kern.longs", LONG, "sysctl_handle_opaque", longs, "L", arg2=3 * word)
    dead.oids.leaf("kern.negative", LONG, "sysctl_handle_opaque", longs, "L", arg2=-1)
    dead.oids.leaf("kern.huge", LONG, "sysctl_handle_opaque", longs, "L", arg2=2**40)
    assert dead.values() == {"kern.pair": {"p_one": 5, "p_two": -6}, "kern.longs": (1, 2, 3)}


ZONES = """
struct uma_cache { uint64_t uc_allocs, uc_frees; int uc_pad[4]; };
struct uma_zone {
    counter_u64_t uz_allocs, uz_frees; uint64_t uz_max_items, uz_items; struct uma_cache uz_cpu[6];
};
"""


def zone(dead, allocs, frees, **members):
    """A zone; each CPU's cache has a little more, and those that are not there have rubbish."""
    caches = [{"uc_allocs": 9999, "uc_frees": 5}] * 6
    for at, cpu in enumerate(dead.kernel.cpus):
        caches[cpu] = {"uc_allocs": 10 + at, "uc_frees": 1}
    return dead.kernel.new(
        "struct uma_zone", uz_allocs=allocs, uz_frees=frees, uz_cpu=caches, **members
    )


def test_zones_count_in_counters_and_caches(dead):
    """Allocations, frees, items in use and the limit, of a zone or behind a pointer to it."""
    dead.kernel.declare(ZONES)
    counter = dead.kernel.counter
    one = zone(
        dead, counter([100, 0, 0]), counter([50, 0, 0]), uz_max_items=7, uz_items=(3 << 44) + 5
    )
    early = zone(dead, dead.kernel.early, dead.kernel.early)
    pointer = dead.kernel.variable("void *zone", one)
    for name, kind, handler, arg1, arg2 in (
        ("allocs", U64, "sysctl_handle_uma_zone_allocs", one, 0),
        ("frees", U64, "sysctl_handle_uma_zone_frees", one, 0),
        ("items", U64, "sysctl_handle_uma_zone_items", one, 0),
        ("current", INT, "sysctl_handle_uma_zone_cur", one, 1),
        ("pointed", INT, "sysctl_handle_uma_zone_cur", pointer, 0),
        ("max", INT, "sysctl_handle_uma_zone_max", pointer, 0),
        ("early", U64, "sysctl_handle_uma_zone_allocs", early, 0),
    ):
        dead.oids.leaf(f"vm.uma.{name}", kind, handler, arg1, "I", arg2=arg2)
    assert dead.values() == {
        "vm.uma.allocs": 133,
        "vm.uma.frees": 53,
        "vm.uma.items": 5,
        "vm.uma.current": 80,
        "vm.uma.pointed": 80,
        "vm.uma.max": 7,
        "vm.uma.early": 33,
    }


def test_zones_of_older_kernels_have_numbers(dead):
    """Until 11 a zone counted in a long, not in a counter."""
    dead.kernel.declare(
        ZONES.replace("counter_u64_t uz_allocs, uz_frees;", "u_long uz_allocs, uz_frees;")
    )
    one = zone(dead, 100, 50)
    dead.oids.leaf("vm.allocs", U64, "sysctl_handle_uma_zone_allocs", one, "QU")
    assert dead.values() == {"vm.allocs": 133}


def test_cpu_ticks(dead):
    """All CPUs' together, and each number's with zeros for those that are not there."""
    for cpu, thing in dead.kernel.pcpu.items():
        thing.put("pc_cp_time", [cpu + 1, 2, 3, 4, 5])
    dead.oids.leaf("kern.cp_time", LONG, "sysctl_kern_cp_time", None, "LU")
    dead.oids.leaf("kern.cp_times", LONG, "sysctl_kern_cp_times", None, "LU")
    rows = {0: (1, 2, 3, 4, 5), 2: (3, 2, 3, 4, 5), 5: (6, 2, 3, 4, 5)}
    each = tuple(value for cpu in range(6) for value in rows.get(cpu, (0,) * 5))
    assert dead.values() == {"kern.cp_time": (10, 6, 9, 12, 15), "kern.cp_times": each}


def test_variables_that_handlers_show(dead):
    """A variable as it is, pages as bytes, members of the host's prison, buffers' domains."""
    dead.kernel.declare(
        "struct bufdomain { long bd_bufspace; int bd_numdirtybuffers; int bd_x[3]; };"
        "struct timecounter { int tc_mask; uint64_t tc_frequency; };"
    )
    dead.kernel.variable("u_int numopensockets", 18)
    dead.kernel.variable("u_long desiredvnodes", 14134)
    reserved = dead.kernel.variable("u_long swap_reserved", 100)
    dead.kernel.variable("int buf_domains", 2)
    dead.kernel.variable(
        "struct bufdomain bdomain[3]",
        [{"bd_bufspace": 5, "bd_numdirtybuffers": n} for n in (1, 2, 50)],
    )
    counter = dead.kernel.new("struct timecounter", tc_frequency=2**33)
    host = dead.kernel.new("struct prison", pr_id=0, pr_flags=1234)
    dead.kernel.world.symbol("prison0", host.address, 8)
    for name, kind, handler, arg1 in (
        ("kern.sockets", UINT, "sysctl_numopensockets", None),
        ("kern.maxvnodes", ULONG, "sysctl_maxvnodes", None),
        ("vm.swap_reserved", U64, "sysctl_page_shift", reserved),
        ("vfs.bufspace", LONG, "sysctl_bufspace", None),
        ("vfs.dirty", INT, "sysctl_numdirtybuffers", None),
        ("kern.tc.frequency", U64, "sysctl_kern_timecounter_freq", counter),
        ("vm.stats.vm.v_free_count", U32, "sysctl_handle_vmstat_proc", None),
    ):
        dead.oids.leaf(name, kind, handler, arg1, "I")
    assert dead.values() == {
        "kern.sockets": 18,
        "kern.maxvnodes": 14134,
        "vm.swap_reserved": 409600,
        "vfs.bufspace": 10,
        "vfs.dirty": 3,
        "kern.tc.frequency": 2**33,
        "vm.stats.vm.v_free_count": 77,
    }


def test_the_clock_is_put_together(dead):
    """kern.clockrate is no variable; without a statistics clock it is hz."""
    for name, value in (("hz", 100), ("tick", 10000), ("stathz", 0), ("profhz", 8128)):
        dead.kernel.variable(f"int {name}", value)
    dead.oids.leaf("kern.clockrate", OPAQUE, "sysctl_kern_clockrate", None, "S,clockinfo")
    if dead.machine == "powerpc":  # no table and no types tell it there
        dead.kernel.declare("struct clockinfo { int hz, tick, spare, stathz, profhz; };")
    assert dead.values() == {
        "kern.clockrate": {"hz": 100, "tick": 10000, "stathz": 100, "profhz": 8128}
    }


def test_the_time_of_boot(dead):
    """A struct timeval, made of the timehands' struct bintime."""
    dead.kernel.declare(
        "struct timeval { time_t tv_sec; long tv_usec; };"
        "struct bintime { time_t sec; uint64_t frac; };"
        "struct timehands { struct bintime th_offset, th_boottime; };"
    )
    booted = {"sec": 1_795_410_324, "frac": 1 << 62}
    hands = dead.kernel.new("struct timehands", th_offset={"sec": 5, "frac": 0}, th_boottime=booted)
    dead.kernel.variable("struct timehands *timehands", hands)
    dead.oids.leaf("kern.boottime", OPAQUE, "sysctl_kern_boottime", None, "S,timeval")
    assert dead.values() == {"kern.boottime": 1_795_410_324.25}


def test_unknown_handlers_have_no_value():
    """Nothing is guessed of a driver's own handler."""
    dead = Dead()
    dead.oids.leaf("dev.x.0.n", INT, "x_sysctl", dead.kernel.variable("int softc", 5), "I")
    dead.oids.leaf("kern.here", INT, "sysctl_handle_int", None, "I", arg2=1)
    assert dead.values() == {"kern.here": 1}


def test_the_c_librarys_own_are_left_out():
    """user.* is zero in the kernel; sysctl(3) answers it itself."""
    dead = Dead()
    dead.oids.leaf("user.bc_base_max", INT, "sysctl_handle_int", None, "I")
    assert dead.values() == {}


def test_what_is_unreadable_costs_itself():
    """It is left out, and counted."""
    dead = Dead()
    dead.oids.leaf("kern.gone", INT, "sysctl_handle_int", 0x1000, "I")
    dead.oids.leaf("kern.here", INT, "sysctl_handle_int", None, "I", arg2=1)
    assert dead.values() == {"kern.here": 1}
    assert dead.failures() == 1


def test_trees_are_chosen_by_name():
    """Those below a prefix, without others; one by its whole name."""
    dead = Dead()
    for name in ("vm.stats.a", "vm.stats.vm.b", "vm.statsx", "hw.c"):
        dead.oids.leaf(name, INT, "sysctl_handle_int", None, "I", arg2=1)
    assert set(dead.values("vm.stats")) == {"vm.stats.a", "vm.stats.vm.b"}
    assert set(dead.values("vm", "hw.c", without=("vm.stats",))) == {"vm.statsx", "hw.c"}
    sysctls = dead.sysctls()
    assert sysctls.one("hw.c").value == 1
    assert sysctls.one("hw") is None
    assert sysctls.one("hw.c.d") is None


@pytest.mark.parametrize("shape", SHAPES)
def test_a_tree_in_circles_ends(shape):
    """A node that leads back to itself, to its parent, or to nowhere; the others are there."""
    dead = Dead(shape=shape)
    for name in ("kern.a", "kern.b", "kern.c", "vm.d"):
        dead.oids.leaf(name, INT, "sysctl_handle_int", None, "I", arg2=1)
    sysctls = dead.sysctls()
    kern = dead.oids.root.children["kern"]
    first = kern.children["a"].thing
    for target in (first.address, kern.thing.address, 0x1000):
        for member in ("rbe_link", "sle_next"):
            path = f"oid_link.{member}"
            if path in dead.kernel.c.layout("struct sysctl_oid"):
                value = [0, target, target] if member == "rbe_link" else target
                Thing(dead.kernel.world, "struct sysctl_oid", first.address).put(path, value)
        found = {one.sysctl.name for one in DeadSysctls(sysctls._kernel, "amd64").read(("",))}
        assert {"kern.a", "vm.d"} <= found <= {"kern.a", "kern.b", "kern.c", "vm.d"}
    assert dead.failures() > 0


def test_a_kernel_without_a_tree_says_so():
    """No symbol, or no type, is an error and no empty tree."""
    kernel = Counting()
    target = opened(kernel)
    sysctls = DeadSysctls(Kernel(target, PerCpu(target, 4096), int, dict), "amd64")
    with pytest.raises(KvmError):
        list(sysctls.read(("",)))


@pytest.mark.parametrize("member", ["oid_refcnt", "oid_running"])
def test_types_that_are_no_sysctls_say_so(monkeypatch, member):
    """Where a member that is needed is no number, nothing but a KvmError comes of it."""
    text = SHAPES["tree"].replace("oid_descr", "oid_other").replace("oid_label", "oid_told")
    odd = text.replace(f"{member};", f"{member}; struct {{ char c[12]; }} oid_descr;")
    assert odd != text
    monkeypatch.setitem(SHAPES, "tree", odd + "struct odd { int oid_label; };")
    dead = Dead()
    dead.oids.leaf("kern.a", INT, "sysctl_handle_int", None, "I", arg2=1)
    with pytest.raises(KvmError, match="oid_descr"):
        dead.values("kern")


def everything():
    """A kernel with every handler that is known, and most formats."""
    dead = Dead(jails={"web": 3})
    dead.kernel.declare(ZONES + "struct timeval { long tv_sec; long tv_usec; };")
    dead.kernel.declare("struct tcpstat { uint64_t tcps_a, tcps_b; };")
    dead.kernel.vnet("counter_u64_t tcpstat[2]", {"": dead.kernel.counters([[1] * 3] * 2)})
    some = zone(dead, dead.kernel.counter([1, 2, 3]), dead.kernel.counter([1, 0, 0]))
    for at, handler in enumerate(HANDLERS):
        kind = (INT, U64, STRING, OPAQUE, LONG, U8)[at % 6]
        form = ("S,timeval", "S,loadavg", "A", "IK", "S,tcpstat", "S,pagesizes")[at % 5]
        flags = RD | VNET * (at % 7 == 0)
        dead.oids.leaf(f"kern.g{at % 9}.n{at}", kind, handler, some, form, arg2=at, flags=flags)
    return dead


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_give_values_or_nothing(seed):
    """Of a tree whose memory is damaged: no other error, and an end."""
    dead = everything()
    sysctls = dead.sysctls()
    dead.kernel.world.damage(random.Random(seed), 400)
    try:
        found = list(sysctls.read(("",), texts=True))
    except KvmError:
        return
    assert len(found) <= len(HANDLERS)
    assert all(isinstance(one.value, int | float | str | tuple | dict) for one in found)
