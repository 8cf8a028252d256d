"""Are a dead kernel's times worked out as its own arithmetic does it?"""

from __future__ import annotations

import pytest
from fakes.world import target
from forge import cdecl
from forge.kernel_structs import MODERN, OLD
from forge.population import BOOT, TICK_RATE, TICKS, Population
from forge.world import World
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd.calcru import Usage, user_and_system
from kvm_exporter.kvm.objects.freebsd.clock import Clock, read_clock
from kvm_exporter.kvm.objects.freebsd.pctcpu import before_15, read_share, since_15

COUNTS = st.integers(0, 2**40)


@pytest.mark.parametrize(
    ("total", "usage", "times"),
    [
        # divided by ticks; interrupt ticks are neither user's nor system's
        (1000, Usage(3, 1, 0, 0, 0, 0), (750, 250)),
        (1000, Usage(2, 1, 1, 0, 0, 0), (500, 250)),
        # never seen by the statistics clock: all of it is system time
        (999, Usage(0, 0, 0, 0, 0, 0), (0, 999)),
        # rounded down
        (100, Usage(1, 2, 0, 0, 0, 0), (33, 66)),
        # what was told before never goes back
        (1000, Usage(1, 3, 0, 300, 500, 800), (300, 750)),
        # a clock that went back a little: what was told stays
        (998, Usage(1, 1, 0, 400, 600, 1000), (400, 600)),
        (990_200, Usage(1, 1, 0, 400_000, 600_000, 1_000_000), (400_000, 600_000)),
        # or a lot: what the ticks say counts
        (500, Usage(1, 1, 0, 400, 600, 1000), (250, 250)),
        # negative to the kernel: the last total counts
        (2**63, Usage(1, 1, 0, 400, 600, 1000), (500, 600)),
        # more than fits the kernel's 64 bits on the way
        (10**13, Usage(2**33, 2**33, 0, 0, 0, 0), (5 * 10**12, 5 * 10**12)),
    ],
)
def test_user_and_system(total, usage, times):
    """The running time is divided as calcru1() divides it."""
    assert user_and_system(total, usage) == times


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_never_more_than_the_whole(total, user, system, interrupt):
    """What was never told before is never more than the running time."""
    times = user_and_system(total, Usage(user, system, interrupt, 0, 0, 0))
    assert min(times) >= 0
    assert sum(times) <= total


NOW, HZ = 1_000_000, 1000


@pytest.mark.parametrize(
    ("ticks", "last", "first", "running", "share"),
    [
        # asleep for ten seconds: forgotten
        (5000 << 10, NOW - 10_000, NOW - 15_000, False, 0),
        # running all that time: all of a CPU
        (0, NOW - 10_000, NOW - 15_000, True, 2048),
        # half of the last four seconds, up to now
        (2000 << 10, NOW, NOW - 4000, False, 1024),
        # the same, and a second of sleep since
        (2000 << 10, NOW - 1000, NOW - 5000, False, 819),
        # and a second that it has been running
        (2000 << 10, NOW - 1000, NOW - 5000, True, 1229),
        # a window that has become longer than 11 s: what it held is scaled down to 10 s
        (6000 << 10, NOW, NOW - 12_000, False, 1024),
        # a window without length
        (0, NOW, NOW, False, 0),
    ],
)
def test_share_since_15(ticks, last, first, running, share):
    """The share is that of sched_pctcpu() in 15's ULE, rounded to the nearest."""
    assert since_15(NOW, HZ)(ticks, last % 2**32, first % 2**32, running) == share


@pytest.mark.parametrize(
    ("ticks", "last", "first", "running", "share"),
    [
        (5000 << 10, NOW - 10_000, NOW - 15_000, False, 0),
        (0, NOW - 10_000, NOW - 15_000, True, 2048),
        (5000 << 10, NOW, NOW - 10_000, False, 1024),
        # whole ticks a second: 15 in 10 s is one
        (15 << 10, NOW, NOW - 10_000, False, 2),
        (9 << 10, NOW, NOW - 10_000, False, 0),
        (6000 << 10, NOW, NOW - 12_000, False, 1024),
    ],
)
def test_share_before_15(ticks, last, first, running, share):
    """The share is that of sched_pctcpu() in older ULEs, in whole ticks a second."""
    assert before_15(NOW, HZ)(ticks, last, first, running) == share


@given(*[st.integers(0, 2**32 - 1)] * 4, st.integers(1, 2**31 - 1), st.booleans())
def test_share_of_anything(ticks, last, first, now, hz, running):
    """No numbers that a dump may hold make the arithmetic fail."""
    assert 0 <= since_15(now, hz)(ticks, last, first, running) < 2**32
    assert before_15(now, hz)(ticks, last, first, running) >= 0


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.I386, cdecl.POWERPC64, cdecl.POWERPC])
@pytest.mark.parametrize("kernel", [MODERN, OLD])
def test_clock(kernel, abi):
    """The clock is read on every ABI; the boot's fraction is rounded down to microseconds."""
    world = Population(World(kernel, abi)).world
    assert read_clock(target(world)) == Clock(BOOT * 10**6 + 750_000, TICKS, 1000, TICK_RATE)


def test_clock_of_time_counter():
    """CPU ticks that are the time counter's have its frequency."""
    world = World(MODERN)
    counter = world.new("struct timecounter", tc_frequency=3_579_545)
    hands = world.new("struct timehands", th_counter=counter)
    world.define("timehands", "pointer", hands)
    world.symbol("tc_cpu_ticks", 0xFFFF1000)
    world.define("cpu_ticks", "pointer", 0xFFFF1000)
    world.define("cpu_tick_frequency", "uint64_t", 1)
    assert read_clock(target(world)).cpu_tick_rate == 3_579_545


def test_no_clock():
    """A kernel without a clock has none; each number that is missing is counted."""
    dead = target(World(MODERN))
    assert read_clock(dead) == Clock(None, None, None, None)
    assert len(dead.tally.counts()) == 4


@pytest.mark.parametrize(
    ("name", "value"), [("hz", 0), ("hz", 2**32 - 5), ("cpu_tick_frequency", 0)]
)
def test_damaged_clock(name, value):
    """A rate of nothing is no rate: nothing is divided by it."""
    world = Population(World(MODERN)).world
    address = next(symbol.address for symbol in world.symbols if symbol.name == name)
    world.write(address, world.number(value, 4))
    world.write(address + 4, bytes(4)) if name != "hz" else None
    clock = read_clock(target(world))
    assert clock.seconds_since(0) is None or clock.microseconds(5) is None


@pytest.mark.parametrize(
    ("ticks", "tick", "seconds"),
    [
        (5000, 5000, 0),
        (5999, 5000, 0),
        (6000, 5000, 1),
        # over the int's overflow
        (2**31 + 500, 2**31 - 1500, 2),
        (500, 2**32 - 1500, 2),
        # a tick that is yet to come: the kernel's quotient, as an unsigned int
        (5000, 8500, 2**32 - 3),
        (5000, 5999, 0),
    ],
)
def test_seconds_since(ticks, tick, seconds):
    """Seconds are those of the kernel's int arithmetic, which rounds towards zero."""
    assert Clock(0, ticks, 1000, 1).seconds_since(tick) == seconds


OLD_ULE = OLD.replace(
    "fixpt_t ts_pctcpu; u_int ts_estcpu;",
    "void *ts_runq; short ts_flags; int ts_ltick; int ts_ftick; int ts_ticks;",
)


def thread_with(declarations: str, abi: cdecl.Abi, **scheduler: int):
    """A world with a thread whose scheduler says so; the thread."""
    people = Population(World(declarations, abi))
    people.add(2, b"x", threads=(scheduler,))
    people.finish()
    return people.world, people.threads[2][0].address


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.POWERPC])
def test_old_ule(abi):
    """Ticks that are signed are older ULE's."""
    numbers = {"ts_ticks": 15 << 10, "ts_ltick": TICKS, "ts_ftick": TICKS - 10_000}
    world, thread = thread_with(OLD_ULE, abi, **numbers)
    dead = target(world)
    assert read_share(dead, read_clock(dead))(thread, 1) == 2


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.POWERPC])
@pytest.mark.parametrize("told", ["ule", "4bsd"])
@pytest.mark.parametrize("active", ["ule", "4bsd"])
def test_two_schedulers(abi, told, active):
    """Of two structs of one name the active scheduler's counts, whichever the types tell."""
    struct = "struct td_sched { fixpt_t ts_pctcpu; u_int ts_estcpu; int ts_pad[7]; };"
    world, thread = thread_with(MODERN, abi)
    instances = {one.name: one.address for one in world.symbols}
    pointer = instances[f"sched_{active}_instance"]
    world.write(instances["active_sched"], world.pointer(pointer))
    at = thread + world.c.size("struct thread")
    if active == "ule":
        # ts_ftick, ts_ltick, two others, ts_ticks: half of two seconds
        numbers = (TICKS - 2000, TICKS, 0, 0, 1000 << 10)
        world.write(at + 16, b"".join(world.number(one, 4) for one in numbers))
    else:
        world.write(at, world.number(1024, 4))
    dead = target(world)
    if told == "4bsd":
        start = MODERN.index("struct td_sched {")
        end = MODERN.index("struct sched_instance")
        dead.types._c = cdecl.Declarations(MODERN[:start] + struct + MODERN[end:], abi)
    assert read_share(dead, read_clock(dead))(thread, 1) == 1024


def test_damaged_scheduler():
    """Ticks that are no ints of 32 bits are not read as if they were."""
    world = World("struct thread { int td_tid; }; struct td_sched { char ts_pctcpu[4]; };")
    dead = target(world)
    with pytest.raises(KvmError):
        read_share(dead, Clock(0, 0, 1, 1))
