"""The kernel as a whole, from its memory: is it what /proc said in the guest?"""

from __future__ import annotations

import re

import pytest
from system.guests import told
from system.guests.recipes import CAPTURED, PANIC, RECIPES
from system.guests.seen import look, opened

pytestmark = [
    pytest.mark.system,
    pytest.mark.parametrize("guest", [recipe.name for recipe in RECIPES], indirect=True),
]
# Between the last truth and the dump: the console, and a slow emulated CPU.
LATEST_SECONDS = 10.0
# Memory has the clock as of the last tick, which an emulated CPU may get late; /proc reads it.
LAG_SECONDS = 0.5
PAGES = 512
I386_ONLY = {"VmallocTotal"}
DECAY = (1884 / 2048, 2014 / 2048, 2037 / 2048)  # include/linux/sched/loadavg.h


@pytest.fixture
def seen(guest):
    """The objects of the guest's plainest core."""
    return look(guest.cores[guest.recipe.forms[0]], guest.kernel)


def is_i386(guest):
    """Whether it is one of the 32-bit PCs."""
    return guest.recipe.architecture == "i386"


def uptime(truth):
    """Seconds since boot, as told."""
    return float(truth.text("/proc/uptime").split()[0])


def test_nothing_is_refused(seen):
    """No page, symbol or member was missing for any of the objects."""
    assert seen.refusals == {}


def decayed(load):
    """What a load average may be five seconds later: up to four tasks were running then."""
    return [
        [old * keep + tasks * (1 - keep) for old, keep in zip(load, DECAY, strict=True)]
        for tasks in range(5)
    ]


def test_load_average(guest, seen):
    """As told; or once or twice more decayed, which the kernel does every five seconds."""
    ours = (seen.load_average.one, seen.load_average.five, seen.load_average.fifteen)
    before = [float(word) for word in guest.truth.text("/proc/loadavg").split()[:3]]
    once = decayed(before)
    twice = [later for load in once for later in decayed(load)]
    assert any(ours == pytest.approx(load, abs=0.0151) for load in [before, *once, *twice])


def test_life(guest, seen):
    """Boot time and uptime are told; only a kernel that panicked has died, and says of what."""
    assert seen.life.boot_time_seconds == pytest.approx(told.boot_time(guest.truth), abs=1)
    assert -LAG_SECONDS < seen.life.uptime_seconds - uptime(guest.truth) < LATEST_SECONDS
    panicked = guest.recipe.until in (PANIC, CAPTURED)
    assert seen.life.panic == ("sysrq triggered crash" if panicked else None)


def test_cpu_times(guest, seen):
    """Each mode of each CPU: as told, and no more than the time since."""
    since = max(seen.life.uptime_seconds - uptime(guest.truth), 0) + LAG_SECONDS
    rows = told.cpu_times(guest.truth)
    assert len(seen.cpu_times) == len(rows)
    for times, row in zip(seen.cpu_times, rows, strict=True):
        ours = (times.user, times.nice, times.system, times.idle, times.iowait)
        ours += (times.irq, times.softirq, times.steal, times.guest, times.guest_nice)
        cpus = len(rows) - 1 if times.cpu is None else 1
        for now, before in zip(ours, row, strict=True):
            assert -LAG_SECONDS * cpus < now - before < since * cpus


def test_memory_counters(guest, seen):
    """vmstat: the same names; what counts has risen a little, what is a level has hardly moved."""
    told_values = guest.truth.numbers("/proc/vmstat")
    levels = {k: v for k, v in seen.memory.levels.items() if not k.startswith("HugePages_")}
    assert seen.memory.counters.keys() | levels.keys() == told_values.keys()
    fallen = {k: v for k, v in seen.memory.counters.items() if not 0 <= v - told_values[k] < 9999}
    assert fallen == {}
    assert {k: v for k, v in levels.items() if abs(v - told_values[k]) > PAGES} == {}
    assert (seen.swap_activity.out_bytes, seen.swap_activity.in_bytes) == tuple(
        told_values[name] * guest.truth.page_size for name in ("pswpout", "pswpin")
    )


def test_memory_fields(guest, seen):
    """meminfo: the same names; sizes are exact, uses have hardly moved.

    How large i386's vmalloc area is only its kernel's macros tell: no symbol does.
    """
    told_values = guest.truth.numbers("/proc/meminfo")
    huge = {k: told_values.pop(k) for k in list(told_values) if k.startswith("HugePages_")}
    ours = seen.memory.fields
    assert told_values.keys() - ours.keys() <= (I386_ONLY if is_i386(guest) else set())
    assert ours.keys() <= told_values.keys()
    exact = {"MemTotal", "SwapTotal", "SwapFree", "CommitLimit", "VmallocTotal", "Percpu"}
    for name in exact & ours.keys():
        assert (name, ours[name]) == (name, told_values[name] * 1024)
    room = PAGES * guest.truth.page_size
    odd = {k: (v, told_values[k] * 1024) for k, v in ours.items()
           if abs(v - told_values[k] * 1024) > room}  # fmt: skip
    assert odd == {}
    assert {k: seen.memory.levels[k] for k in huge} == huge
    assert seen.memory.size_bytes == told_values["MemTotal"] * 1024


def test_swap(guest, seen):
    """Both areas: name, size, use and priority; both are used."""
    ours = [(a.name, a.size_bytes, a.used_bytes, a.priority) for a in seen.swap_devices]
    assert ours == told.swaps(guest.truth)
    assert len(ours) == 2
    assert all(used for _, _, used, _ in ours)


def test_mounts(guest, seen):
    """Every mount of init's: device, path and kind."""
    ours = [(mount.device, mount.path, mount.kind) for mount in seen.mounts]
    assert ours == told.mounts(guest.truth, 1)
    assert ("with space", "/tmp/odd dir", "tmpfs") in ours


def test_interfaces(guest, seen):
    """Every interface and its counters."""
    ours = {
        one.name: [one.rx_bytes, one.rx_packets, one.rx_errors, one.rx_dropped,
                   one.multicast_received, one.tx_bytes, one.tx_packets, one.tx_errors,
                   one.tx_dropped, one.collisions]
        for one in seen.interfaces
    }  # fmt: skip
    places = (0, 1, 2, 3, 7, 8, 9, 10, 11, 13)
    theirs = {n: [row[i] for i in places] for n, row in told.interfaces(guest.truth).items()}
    assert ours == theirs
    assert ours["lo"][0] > 0
    mtu = dict(re.findall(r"/sys/class/net/(\S+)/mtu:(\d+)", guest.truth.text("/sysfiles")))
    assert {one.name: str(one.mtu) for one in seen.interfaces} == mtu


def test_counters(guest, seen):
    """Switches, interrupts and forks since boot, and how full the tables are."""
    stat = dict(re.findall(r"^(\w+) (\d+)", guest.truth.text("/proc/stat"), re.MULTILINE))
    kernel = seen.kernel
    for ours, name in (
        (kernel.context_switches, "ctxt"),
        (kernel.interrupts, "intr"),
        (kernel.soft_interrupts, "softirq"),
    ):
        assert 0 <= ours - int(stat[name]) < 100_000
    assert int(stat["processes"]) <= kernel.forks < int(stat["processes"]) + 20
    files = [int(word) for word in guest.truth.text("/proc/sys/fs/file-nr").split()]
    assert kernel.max_files == files[2]
    assert abs(kernel.open_files - files[0]) <= 64
    inodes = int(guest.truth.text("/proc/sys/fs/inode-nr").split()[0])
    assert abs(kernel.vnodes - inodes) <= 64
    assert kernel.max_processes == int(guest.truth.text("/proc/sys/kernel/pid_max"))
    assert kernel.max_threads == int(guest.truth.text("/proc/sys/kernel/threads-max"))


def test_uname(guest, seen):
    """What uname(1) said."""
    ours = seen.uname
    line = f"{ours.sysname} {ours.nodename} {ours.release} {ours.version} {ours.machine} GNU/Linux"
    assert line == guest.truth.text("/uname.txt").strip()
    assert ours.nodename == "truthful"


def test_message_buffer(guest, seen):
    """What dmesg(1) wrote is the message buffer's beginning.

    Of a message of several lines dmesg(1) repeats the time before each; we write it as it is.
    """
    ours = [line for line in seen.messages.splitlines() if line.startswith("[")]
    known = set(ours)
    theirs = guest.truth.files["/dmesg.txt"].decode().splitlines()
    repeated = [line for line in theirs if line not in known]
    assert all(line.partition("] ")[2] in seen.messages for line in repeated)
    same = [line for line in theirs if line in known]
    assert ours[: len(same)] == same
    assert len(same) > 100 > 10 * len(repeated)


def test_symbols(guest):
    """Every name of /proc/kallsyms, of modules too, has the address that it has there."""
    names = told.symbols(guest.truth)
    some = list(names)[::997]
    with opened(guest.cores[guest.recipe.forms[0]], guest.kernel) as kvm:
        asked = kvm.nlist(some)
        listed = {}
        for symbol in kvm.symbols:
            listed.setdefault(symbol.name, set()).add(symbol.value)
    assert {n: a for n, a in names.items() if a not in listed.get(n, ())} == {}
    assert [symbol.value for symbol in asked] == [names[name] for name in some]
    assert len(names) > 30_000
