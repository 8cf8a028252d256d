"""What is a thread's share of a CPU, of late?  As sched_pctcpu() of its scheduler says.

1. A scheduler keeps struct td_sched right behind each struct thread (td_get_sched()).  Since 15.1 a
   kernel has two schedulers, whose structs have the same name and other members; active_sched says
   which one is in charge.
2. SCHED_4BSD keeps the share itself (ts_pctcpu).  SCHED_ULE keeps ticks run in a window of time,
   which first has to be brought up to date: sched_pctcpu_update() of sys/kern/sched_ule.c.  That of
   15 is told from older ones by its ticks' being unsigned.
3. A share is a fixed point number; FSCALE (sys/sys/param.h) is all of one CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.layout import Layout, Member
from kvm_exporter.kvm.objects.freebsd.clock import Clock
from kvm_exporter.kvm.target import Record, Target
from kvm_exporter.kvm.types.flatten import composite, layout

FSHIFT = 11
FSCALE = 1 << FSHIFT
TICK_SHIFT = 10
"""SCHED_TICK_SHIFT: ULE's ticks are shifted left by it."""

TDS_RUNNING = 4
"""td_state (sys/sys/proc.h)."""

ULE = ("ts_ticks", "ts_ltick", "ts_ftick")
FOURBSD = ("ts_pctcpu",)

OF_15 = {
    "ts_pctcpu": Member(0, "I"),
    "ts_ftick": Member(16, "I"),
    "ts_ltick": Member(20, "I"),
    "ts_ticks": Member(32, "I"),
}
"""Both structs as of 15.1, for kernels whose types tell but one of the two: all ints, so that every
architecture has them alike (sys/kern/sched_ule.c, sched_4bsd.c)."""

SCHEDULERS = {"sched_ule_instance": ULE, "sched_4bsd_instance": FOURBSD}
"""What active_sched may point to (sys/kern/sched_shim.c)."""

Share = Callable[[int, int], int | None]
"""(address of a struct thread, its td_state) → its share; None, and counted, if it has no page."""

Window = Callable[[int, int, int, bool], int]
"""(ticks run, shifted; the window's last and first tick; whether it runs now) → the share."""

_WORD = 1 << 32


def read_share(target: Target, clock: Clock) -> Share:
    """How this kernel's scheduler tells a thread's share.

    Errors: TypeMissing where it is an unknown one, KvmError where the clock is.
    """
    members = _scheduler(target)
    known = layout(target.types, target.abi, "struct thread", ())
    shape = _shape(target, members)
    record = Record(target.memory, shape.compile(members), members)
    if members == FOURBSD:
        return _guarded(target, lambda thread, _: int(record.at(thread + known.size)[0]))
    if clock.ticks is None or clock.hz is None:
        raise KvmError("the clock's ticks are not known")
    unsigned = shape.members["ts_ticks"].code == "I"
    window = (since_15 if unsigned else before_15)(clock.ticks, clock.hz)

    def share(thread: int, state: int) -> int:
        ticks, last, first = record.at(thread + known.size)
        return window(ticks % _WORD, last % _WORD, first % _WORD, state == TDS_RUNNING)

    return _guarded(target, share)


def _scheduler(target: Target) -> Sequence[str]:
    """The members that count."""
    active, *instances = target.symbols.lookup(["active_sched", *SCHEDULERS])
    if active:
        chosen = target.pointer(active.value)
        for instance, members in zip(instances, SCHEDULERS.values(), strict=True):
            if instance and instance.value == chosen:
                return members
    return ULE if target.has("struct td_sched", "ts_ltick") else FOURBSD


def _shape(target: Target, members: Sequence[str]) -> Layout:
    try:
        shape = layout(target.types, target.abi, "struct td_sched", members)
    except TypeMissing:
        composite(target.types, "struct td_sched")
        shape = Layout("td_sched", 36, target.abi.order, OF_15)
    if any(shape.members[name].code not in {"i", "I"} for name in members):
        raise TypeMissing("struct td_sched has no ticks of 32 bits")
    return shape


def _guarded(target: Target, read: Callable[[int, int], int]) -> Share:
    def share(thread: int, state: int) -> int | None:
        try:
            return read(thread, state)
        except KvmError:
            target.tally.add("struct td_sched", None)
            return None

    return share


def since_15(now: int, hz: int) -> Window:
    """Of a window of 11 seconds, that decays to 10; all in unsigned ints."""
    longest = 11 * hz % _WORD
    target = ((longest << TICK_SHIFT) % _WORD * 10 % _WORD // 11) >> TICK_SHIFT

    def share(ticks: int, last: int, first: int, running: bool) -> int:
        since = (now - last) % _WORD
        if since >= target:
            ticks, first = (target << TICK_SHIFT if running else 0), now - target
        else:
            if (now - first) % _WORD >= longest:
                ticks = ticks // _length(last, first) * (target - since)
                first = now - target
            if running:
                ticks += since << TICK_SHIFT
        length = _length(now, first)
        return (((ticks % _WORD) << FSHIFT - TICK_SHIFT) + length // 2) % _WORD // length

    return share


def before_15(now: int, hz: int) -> Window:
    """Of a window of 10 to 11 seconds, in ints; whole ticks a second."""
    target, longest = 10 * hz, 11 * hz

    def share(ticks: int, last: int, first: int, running: bool) -> int:
        since = (now - last) % _WORD
        if since >= target:
            ticks = 0
        elif (now - first) % _WORD >= longest:
            ticks = ticks // _length(last, first) * (target - since)
        if running:
            ticks += since << TICK_SHIFT
        rate = min((ticks >> TICK_SHIFT) // 10, hz)
        return FSCALE * (FSCALE * rate // hz) >> FSHIFT

    return share


def _length(last: int, first: int) -> int:
    return max((last - first) % _WORD, 1)
