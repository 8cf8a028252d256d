"""Modules of symbols on dead kernels: is what they count what /proc told in the guest?

Which word of /proc a metric is, stands in parentheses at the end of its help; of those that have
several series with labels guests/words.py has it.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial

import pytest
from system.guests import told
from system.guests.counted import LINUX, count
from system.guests.recipes import RECIPES
from system.guests.words import HUGE, NUMA, Pair, snmp, snmp_words, sockstat, vmstat_words

pytestmark = [
    pytest.mark.system,
    pytest.mark.parametrize("guest", [recipe.name for recipe in RECIPES], indirect=True),
]
PAGES, EVENTS = 512, 9999  # what may happen between the truth and the dump
SECONDS = 10.0
NANOSECOND = 1e-9

COMPUTED = {"nr_dirty_threshold", "nr_dirty_background_threshold", "nr_unstable"}
CONSTANT = {"Ip Forwarding", "Ip DefaultTTL", "Tcp RtoAlgorithm", "Tcp RtoMin", "Tcp RtoMax",
            "Tcp MaxConn"}  # fmt: skip
BY_NUMBER = re.compile(r"IcmpMsg .*|Icmp6(In|Out)Type\d+")

PROTOCOLS = {"TCP", "UDP", "UDPLITE", "RAW", "TCP6", "UDP6", "UDPLITE6", "RAW6"}
SOFTNET = {0: "processed", 1: "dropped", 2: "time_squeezes", 9: "received_rps"}
SCHEDSTAT = ("yields_total", None, "schedules_total", "idle_schedules_total", "wakeups_total",
             "local_wakeups_total", "run_seconds_total", "wait_seconds_total",
             "timeslices_total")  # fmt: skip


@pytest.fixture
def counted(guest):
    """A module's series in the guest's plainest core, by the module's name."""
    return partial(count, guest.cores[guest.recipe.forms[0]], guest.kernel)


def close(ours, theirs, *, rises, room=PAGES):
    """What only rises has risen a little; what is a level has hardly moved."""
    return 0 <= ours - theirs < EVENTS if rises else abs(ours - theirs) <= room


def differing(pairs, theirs):
    """The words with both values where they are not what was told."""
    return {
        pair.word: (pair.ours, theirs[pair.word])
        for pair in pairs
        if not close(pair.ours, theirs[pair.word], rises=pair.rises)
    }


@pytest.mark.parametrize("module", LINUX)
def test_all_memory_is_there(counted, module):
    """Nothing that a module reads is missing in the core, torn, or too much."""
    found = counted(module)
    assert (found.unreadable, found.torn, found.stopped) == (0, 0, "")
    assert sum(map(len, found.metrics.values())) > 50


def test_vmstat(guest, counted):
    """Every number of /proc/vmstat: each has its metric, but for what is computed or a zone's."""
    theirs = guest.truth.numbers("/proc/vmstat")
    pairs = list(vmstat_words(counted("vm"), theirs))
    assert differing(pairs, theirs) == {}
    others = COMPUTED | set(NUMA.values()) | set(HUGE.values())
    assert theirs.keys() - {pair.word for pair in pairs} <= others


def test_vmstat_of_zones(guest, counted):
    """What zones count of NUMA, all together."""
    theirs, found = guest.truth.numbers("/proc/vmstat"), counted("vm")
    pairs = [
        Pair(word, sum(found.values("vm_zone_numa_events_total", event=event)), rises=True)
        for event, word in NUMA.items()
        if word in theirs
    ]
    assert differing(pairs, theirs) == {}
    assert bool(pairs) == ("numa_hit" in theirs)


def test_huge_pages(guest, counted):
    """/proc/vmstat tells huge pages; they are some hundred pages each, from 5.12 on."""
    theirs, found = guest.truth.numbers("/proc/vmstat"), counted("vm")
    for (name, kind), word in HUGE.items():
        for value in found.values(name, kind=kind):
            assert bool(value) == bool(theirs[word])
            assert value >= theirs[word]
    assert all(found.metrics[name] for name, _ in HUGE) == ("nr_swapcached" in theirs)


def test_meminfo(guest, counted):
    """Totals of memory and swap, and what was promised."""
    theirs, found = guest.truth.numbers("/proc/meminfo"), counted("vm")
    page = guest.truth.page_size // 1024
    assert found.value("vm_memory_pages") * page == theirs["MemTotal"]
    assert found.value("vm_swap_pages") * page == theirs["SwapTotal"]
    assert found.value("vm_free_swap_pages") * page == theirs["SwapFree"]
    assert close(found.value("vm_committed_pages"), theirs["Committed_AS"] / page, rises=False)
    assert close(found.value("vm_vmalloc_pages"), theirs["VmallocUsed"] / page, rises=False)
    pools = found.metrics["vm_hugetlb_pool_pages"]
    assert all(re.fullmatch(r"hugepages-\d+kB", labels["size"]) for labels, _ in pools)
    assert bool(pools) == ("HugePages_Total" in theirs)


def zones(text):
    """/proc/zoneinfo: (node, zone) and the numbers of its lines."""
    for part in re.split(r"^(?=Node )", text, flags=re.MULTILINE)[1:]:
        node, zone = re.match(r"Node (\d+), zone +(\S+)", part).groups()
        rows = re.findall(r"^ +(?:pages )?(\w+) +(\d+)$", part, re.MULTILINE)
        yield node, zone, {word: int(value) for word, value in reversed(rows)}


def test_zoneinfo(guest, counted):
    """Each zone with memory: its size, its watermarks and what is free."""
    found, seen = counted("vm"), 0
    for node, zone, theirs in zones(guest.truth.text("/proc/zoneinfo")):
        if not theirs["present"]:
            continue
        own = {"node": node, "zone": zone}
        seen += 1
        for word in ("spanned", "present", "managed"):
            assert found.value(f"vm_zone_{word}_pages", **own) == theirs[word]
        for word in {"min", "low", "high", "promo"} & theirs.keys():
            assert found.value("vm_zone_watermark_pages", watermark=word, **own) == theirs[word]
        assert close(found.value("vm_zone_free_pages", **own), theirs["free"], rises=False)
    assert seen == len(found.metrics["vm_zone_free_pages"]) > 0


def test_buddyinfo(guest, counted):
    """Each zone's free blocks by their order: the pages in them."""
    found = counted("vm")
    for line in guest.truth.text("/proc/buddyinfo").splitlines():
        node, zone, counts = re.fullmatch(r"Node (\d+), zone +(\S+) +(.*?) *", line).groups()
        theirs = [int(word) for word in counts.split()]
        own = {"node": node, "zone": zone}
        ours = [
            found.value("vm_zone_free_blocks", order=str(order), **own)
            for order in range(len(theirs))
        ]
        pages = [sum(n << order for order, n in enumerate(map(int, row))) for row in (ours, theirs)]
        assert abs(pages[0] - pages[1]) <= PAGES
        assert sum(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= PAGES


def namespaces(guest):
    """For each network namespace that was told of: its label, and where its files are."""
    inner = [path for path in guest.truth.late if re.fullmatch(r"/proc/\d+/net/snmp", path)]
    [pid] = {path.split("/")[2] for path in inner}
    yield str(told.namespaces(guest.truth, 1)["net"]), "/proc/net"
    yield str(told.namespaces(guest.truth, int(pid))["net"]), f"/proc/{pid}/net"


def absent(word, value):
    """Whether no metric is to be: messages by number, and MPTCP before there is a socket of it."""
    return BY_NUMBER.fullmatch(word) or (word.startswith("MPTcpExt ") and not value)


def test_snmp(guest, counted):
    """Both namespaces: every number of snmp, netstat and snmp6 has its metric, just as told."""
    found = counted("net")
    for netns, folder in namespaces(guest):
        theirs = snmp(lambda name, folder=folder: guest.truth.text(f"{folder}/{name}"))
        ours = {pair.word: pair.ours for pair in snmp_words(found, netns)}
        known = ours.keys() & theirs.keys()
        assert {w: (ours[w], theirs[w]) for w in known if ours[w] != theirs[w]} == {}
        missing = theirs.keys() - ours.keys() - CONSTANT
        assert {word for word in missing if not absent(word, theirs[word])} == set()
        assert theirs["Icmp InEchos"] > 0
    assert len({labels["netns"] for labels, _ in found.metrics["ip_received_packets_total"]}) == 2


def test_sockstat(guest, counted):
    """Sockets in use, orphans, connections in TIME_WAIT, and memory, of the first namespace."""
    found = counted("sockets")
    [(netns, _), _] = namespaces(guest)
    theirs = sockstat(guest.truth.text("/proc/net/sockstat"))
    theirs |= sockstat(guest.truth.text("/proc/net/sockstat6"))
    assert found.value("sockets_used", netns=netns) == theirs["sockets"]["used"] > 0
    for name in map(str.lower, PROTOCOLS & theirs.keys()):
        ours = found.value("sockets_in_use", netns=netns, protocol=name)
        assert (name, ours) == (name, theirs[name.upper()]["inuse"])
    tcp = theirs["TCP"]
    assert found.value("sockets_tcp_orphans") == tcp["orphan"]
    assert found.value("sockets_tcp_time_waits", netns=netns) == tcp["tw"] > 0
    assert found.value("sockets_protocol_allocated", protocol="TCP") == tcp["alloc"] > 0
    assert found.value("sockets_protocol_memory_pages", protocol="TCP") == tcp["mem"]
    assert found.value("sockets_protocol_memory_pages", protocol="UDP") == theirs["UDP"]["mem"]


def test_protocols(guest, counted):
    """The same protocols as in /proc/net/protocols: size, memory and whether it is short."""
    found, names = counted("sockets"), set()
    for line in guest.truth.text("/proc/net/protocols").splitlines()[1:]:
        name, size, _, memory, press, *_ = line.split()
        names.add(name)
        assert found.value("sockets_protocol_object_size_bytes", protocol=name) == int(size)
        pages = found.values("sockets_protocol_memory_pages", protocol=name)
        assert pages == ([] if memory == "-1" else [int(memory)])
        short = found.values("sockets_protocol_memory_pressure", protocol=name)
        assert short == ([] if press == "NI" else [press == "yes"])
    assert {
        of["protocol"] for of, _ in found.metrics["sockets_protocol_object_size_bytes"]
    } == names


def test_softnet(guest, counted):
    """What each CPU did of received packets."""
    found, rows = counted("net"), guest.truth.text("/proc/net/softnet_stat").splitlines()
    assert len(rows) == len(found.metrics["net_softnet_processed_total"])
    for row in rows:
        columns = [int(word, 16) for word in row.split()]
        for column, name in SOFTNET.items():
            ours = found.value(f"net_softnet_{name}_total", cpu=str(columns[12]))
            assert (name, ours) == (name, columns[column])


def test_neighbours(guest, counted):
    """The neighbours of IPv4, all CPUs together."""
    found = counted("net")
    head, *rows = (
        line.split() for line in guest.truth.text("/proc/net/stat/arp_cache").splitlines()
    )
    theirs = {word: [int(row[column], 16) for row in rows] for column, word in enumerate(head)}
    assert found.value("net_neighbours", family="ipv4") == theirs.pop("entries")[0]
    ours = {
        words: found.value(name, family="ipv4")
        for name, words in found.told()
        if name.startswith("net_neighbour_")
    }
    assert ours == {word: sum(values) for word, values in theirs.items()}


def test_slabinfo(guest, counted):
    """Every cache: its objects' size, its slabs and its objects, free ones too."""
    found = counted("slab")
    rows = [line.split() for line in guest.truth.text("/proc/slabinfo").splitlines()[2:]]
    ours = {
        name: {labels["cache"]: value for labels, value in found.metrics[name]}
        for name in found.helps
    }
    assert {row[0] for row in rows} == ours["slab_objects"].keys() == ours["slab_slabs"].keys()
    for name, active, objects, size, per_slab, pages, *rest in rows:
        assert ours["slab_object_size_bytes"][name] == int(size)
        assert ours["slab_objects_per_slab"][name] == int(per_slab)
        assert ours["slab_pages_per_slab"][name] == int(pages)
        assert abs(ours["slab_slabs"][name] - int(rest[8])) <= PAGES
        assert abs(ours["slab_objects"][name] - int(objects)) <= PAGES
        free = ours["slab_free_objects"].get(name, 0)
        assert abs(ours["slab_objects"][name] - free - int(active)) <= PAGES
    same = Counter(ours["slab_objects"][row[0]] == int(row[2]) for row in rows)
    assert same[True] > 0.9 * len(rows)


def test_schedstat(guest, counted):
    """Each CPU's line of /proc/schedstat, and no more time than there was since."""
    found, seen = counted("scheduler"), 0
    for line in guest.truth.text("/proc/schedstat").splitlines():
        if not (match := re.match(r"cpu(\d+) (.*)", line)):
            continue
        seen += 1
        for name, told_value in zip(SCHEDSTAT, map(int, match[2].split()), strict=True):
            if name is None:
                continue
            ours = found.value(f"scheduler_{name}", cpu=match[1])
            timed = name.endswith("seconds_total")
            since = ours - told_value * (NANOSECOND if timed else 1)
            assert -NANOSECOND < since < (SECONDS if timed else EVENTS), name
    assert seen == len(found.metrics["scheduler_timeslices_total"]) > 0


def test_softirqs(guest, counted):
    """Each CPU's softirqs by their name."""
    found = counted("scheduler")
    head, *rows = guest.truth.text("/proc/softirqs").splitlines()
    cpus = [word.removeprefix("CPU") for word in head.split()]
    for row in rows:
        name, *counts = row.split()
        for cpu, theirs in zip(cpus, map(int, counts), strict=True):
            own = {"cpu": cpu, "softirq": name.removesuffix(":")}
            # of CPUs that there could be, but are not, there are columns of zeros
            ours = sum(found.values("scheduler_softirqs_total", **own))
            assert close(ours, theirs, rises=True)
    assert len(rows) == 10


def test_stat(guest, counted):
    """/proc/stat and loadavg: forks, switches, times and the load."""
    found = counted("scheduler")
    stat = dict(re.findall(r"^(\w+) (\d+)", guest.truth.text("/proc/stat"), re.MULTILINE))
    assert close(found.value("scheduler_forks_total"), int(stat["processes"]), rises=True)
    switches = sum(found.values("scheduler_switches_total"))
    assert 0 <= switches - int(stat["ctxt"]) < 10 * EVENTS
    for cpu, row in enumerate(told.cpu_times(guest.truth)[1:]):
        for mode, theirs in zip(("user", "nice", "system"), row, strict=False):
            ours = found.value("scheduler_accounted_seconds_total", cpu=str(cpu), mode=mode)
            assert -1 / told.HERTZ < ours - theirs < SECONDS
    one, five, fifteen, tasks, _ = guest.truth.text("/proc/loadavg").split()
    for minutes, theirs in (("1", one), ("5", five), ("15", fifteen)):
        ours = found.value("scheduler_load", minutes=minutes)
        assert ours == pytest.approx(float(theirs), abs=0.5)
    assert abs(found.value("scheduler_threads") - int(tasks.split("/")[1])) <= 5


def test_pressure(guest, counted):
    """How long tasks waited, as /proc/pressure told it last, or longer."""
    found = counted("scheduler")
    paths = [path for path in guest.truth.late if path.startswith("/proc/pressure/")]
    for path in paths:
        for kind, total in re.findall(r"^(some|full) .* total=(\d+)$", guest.truth.text(path),
                                      re.MULTILINE):  # fmt: skip
            resource = path.rpartition("/")[2]
            if (resource, kind) == ("cpu", "full"):
                continue  # of the machine as a whole it is always 0
            ours = found.value("scheduler_stalled_seconds_total", resource=resource, tasks=kind)
            assert -1e-6 < ours - int(total) / 1e6 < SECONDS
