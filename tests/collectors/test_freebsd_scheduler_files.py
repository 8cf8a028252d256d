"""Do freebsd-scheduler.yml and freebsd-callout.yml tell what the kernel keeps?

Forged kernels of every word size and byte order, whose CPUs' numbers have gaps.
"""

from __future__ import annotations

import pytest
from fakes.module_files import answer, expected
from forge.counting import MACHINES, Counting
from forge.world import Thing

TDQ = """
struct tdq {
    u_long tdq_lock[4]; void *tdq_cg; int tdq_load, tdq_sysload, tdq_cpu_idle, tdq_transferable;
    short tdq_switchcnt, tdq_oldswitchcnt; u_char tdq_lowpri, tdq_owepreempt, tdq_ts_off;
};
"""
QUEUES: dict[int, dict[str, int]] = {
    0: {"tdq_load": 3, "tdq_sysload": 2, "tdq_transferable": 1, "tdq_lowpri": 120},
    2: {"tdq_cpu_idle": 1, "tdq_switchcnt": -1, "tdq_lowpri": 255},
    5: {"tdq_load": 70000, "tdq_sysload": 69999, "tdq_owepreempt": 7, "tdq_switchcnt": 300},
}
LOADS = """
    scheduler_load_threads{cpu="0"} 3
    scheduler_load_threads{cpu="2"} 0
    scheduler_load_threads{cpu="5"} 70000
    scheduler_system_load_threads{cpu="0"} 2
    scheduler_system_load_threads{cpu="2"} 0
    scheduler_system_load_threads{cpu="5"} 69999
    scheduler_transferable_threads{cpu="0"} 1
    scheduler_transferable_threads{cpu="2"} 0
    scheduler_transferable_threads{cpu="5"} 0
    scheduler_idle{cpu="0"} 0
    scheduler_idle{cpu="2"} 1
    scheduler_idle{cpu="5"} 0
    scheduler_lowest_priority{cpu="0"} 120
    scheduler_lowest_priority{cpu="2"} 255
    scheduler_lowest_priority{cpu="5"} 0
    scheduler_switches_of_tick{cpu="0"} 0
    scheduler_switches_of_tick{cpu="2"} -1
    scheduler_switches_of_tick{cpu="5"} 300
    scheduler_preemption_pending{cpu="0"} 0
    scheduler_preemption_pending{cpu="2"} 0
    scheduler_preemption_pending{cpu="5"} 7
"""
SETTINGS = """
    scheduler_info{scheduler="ULE"} 1
    scheduler_minimum_slice_seconds 0.25
    scheduler_interactivity_threshold 30
    scheduler_preemption_threshold 80
    scheduler_idle_spins 10000
    scheduler_balances 1
    scheduler_balance_interval_seconds 15.875
    scheduler_steals 0
    scheduler_steal_threshold_threads 3
    scheduler_affinity_seconds 0.004
    processes 61
    processes_max 7000
    processes_max_per_user 6300
    threads 400
    threads_max 100000
    threads_max_per_process 1500
    process_last_pid 99998
"""
VARIABLES = {
    "sched_slice_min": 2,
    "preempt_thresh": 80,
    "sched_idlespins": 10000,
    "rebalance": 1,
    "balance_interval": 127,
    "steal_idle": 0,
    "steal_thresh": 3,
    "affinity": 4,
    "hz": 1000,
    "stathz": 8,
    "nprocs": 61,
    "maxproc": 7000,
    "maxprocperuid": 6300,
    "nthreads": 400,
    "maxthread": 100000,
    "max_threads_per_proc": 1500,
    "lastpid": 99998,
}


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine; its CPUs are 0, 2 and 5."""
    return Counting(request.param)


def settings(kernel: Counting) -> None:
    """The variables that there is one of."""
    kernel.variable("u_int sched_interact", 30)
    kernel.variable("char sched_name[32]", b"ULE")
    for name, value in VARIABLES.items():
        kernel.variable(f"int {name}", value)


def test_run_queues(kernel: Counting) -> None:
    """Each CPU's own, in the set of per-CPU variables."""
    kernel.declare(TDQ)
    kernel.percpu("struct tdq tdq", QUEUES)
    settings(kernel)
    found = answer(kernel, "freebsd-scheduler")
    assert found.missing == {}
    assert found.series == expected(LOADS + SETTINGS)


def test_run_queues_before_13(kernel: Counting) -> None:
    """An array by the CPUs' numbers."""
    kernel.declare(TDQ)
    kernel.variable("struct tdq tdq_cpu[8]", [QUEUES.get(at, {"tdq_load": 9}) for at in range(8)])
    settings(kernel)
    found = answer(kernel, "freebsd-scheduler")
    assert found.missing == {}
    assert found.series == expected(LOADS + SETTINGS)


CLOCKS = """
struct cc_exec { void *cc_curr; void *cc_last_func; bool cc_cancel, cc_waiting; };
struct callout_cpu {
    u_long cc_lock[4]; struct cc_exec cc_exec_entity[2]; void *cc_next; sbintime_t cc_firstevent;
    sbintime_t cc_lastscan;
};
struct pcpu_state { u_long et_hw_mtx[4]; u_int action; sbintime_t now, nextevent; int ipi, idle; };
struct timecounter {
    void *tc_get; uint64_t tc_frequency; char *tc_name; int tc_quality; struct timecounter *tc_next;
};
SLIST_HEAD(et_eventtimers_list, eventtimer);
struct eventtimer {
    SLIST_ENTRY(eventtimer) et_all; char *et_name; int et_flags, et_quality, et_active;
    uint64_t et_frequency; sbintime_t et_min_period, et_max_period;
};
"""
SECOND = 1 << 32
VALUES = """
    callout_wheel_buckets 32768
    callout_running{context="thread",cpu="0"} 0
    callout_running{context="interrupt",cpu="0"} 0
    callout_running{context="thread",cpu="2"} 1
    callout_running{context="interrupt",cpu="2"} 0
    callout_running{context="thread",cpu="5"} 0
    callout_running{context="interrupt",cpu="5"} 1
    callout_waiters{context="thread",cpu="0"} 0
    callout_waiters{context="interrupt",cpu="0"} 0
    callout_waiters{context="thread",cpu="2"} 1
    callout_waiters{context="interrupt",cpu="2"} 0
    callout_waiters{context="thread",cpu="5"} 0
    callout_waiters{context="interrupt",cpu="5"} 0
    callout_last_scan_seconds{cpu="0"} 100
    callout_last_scan_seconds{cpu="2"} 101.5
    callout_last_scan_seconds{cpu="5"} 0
    clock_hertz{clock="hard"} 1000
    clock_hertz{clock="statistics"} 127
    clock_hertz{clock="profiling"} 8128
    clock_last_hardclock_seconds{cpu="0"} 1
    clock_last_hardclock_seconds{cpu="2"} 0.25
    clock_last_hardclock_seconds{cpu="5"} 3
    clock_next_event_seconds{cpu="0"} 10
    clock_next_event_seconds{cpu="2"} 20
    clock_next_event_seconds{cpu="5"} 30.75
    clock_idle{cpu="0"} 0
    clock_idle{cpu="2"} 1
    clock_idle{cpu="5"} 0
    clock_tai_offset_seconds 37
    clock_frequency_adjustment_ratio -0.000005
    clock_remaining_offset_seconds 0.0005
    clock_adjtime_seconds -1.5
    clock_maximum_error_seconds 16
    clock_estimated_error_seconds 0.25
    clock_status 64
    clock_state 5
    timecounter_hertz{timecounter="TSC-low"} 3000000000
    timecounter_hertz{timecounter="ACPI-fast"} 3579545
    timecounter_quality{timecounter="TSC-low"} 1000
    timecounter_quality{timecounter="ACPI-fast"} -100
    eventtimer_hertz{eventtimer="LAPIC"} 500
    eventtimer_hertz{eventtimer="HPET"} 14318180
    eventtimer_quality{eventtimer="LAPIC"} 600
    eventtimer_quality{eventtimer="HPET"} 350
    eventtimer_active{eventtimer="LAPIC"} 1
    eventtimer_active{eventtimer="HPET"} 0
    eventtimer_min_period_seconds{eventtimer="LAPIC"} 0.5
    eventtimer_min_period_seconds{eventtimer="HPET"} 2
    eventtimer_max_period_seconds{eventtimer="LAPIC"} 4
    eventtimer_max_period_seconds{eventtimer="HPET"} 300.5
"""


def callouts(kernel: Counting, *, array: bool) -> None:
    """What each CPU has of callouts and clocks."""
    there = kernel.new("struct cc_exec").address
    busy = {"cc_exec_entity": [{"cc_curr": there, "cc_waiting": 1}, {}]}
    interrupt = {"cc_exec_entity": [{}, {"cc_curr": there}]}
    scans = {0: 100 * SECOND, 2: 101 * SECOND + SECOND // 2}
    entities = {0: {}, 2: busy, 5: interrupt}
    each = {cpu: {**one, "cc_lastscan": scans.get(cpu, 0)} for cpu, one in entities.items()}
    if array:
        kernel.variable("struct callout_cpu cc_cpu[6]", [each.get(at, busy) for at in range(6)])
    else:
        kernel.percpu("struct callout_cpu cc_cpu", each)
    kernel.percpu("sbintime_t hardclocktime", {0: SECOND, 2: SECOND // 4, 5: 3 * SECOND})
    states = {
        0: {"nextevent": 10 * SECOND},
        2: {"nextevent": 20 * SECOND, "idle": 1},
        5: {"nextevent": 31 * SECOND - SECOND // 4},
    }
    kernel.percpu("struct pcpu_state timerstate", states)


def clocks(kernel: Counting, *, array: bool = False) -> tuple[Thing, Thing]:
    """Timecounters and event timers; the event timers in their order."""
    kernel.declare(CLOCKS)
    callouts(kernel, array=array)
    fast = kernel.new("struct timecounter", tc_frequency=3579545, tc_quality=-100)
    tsc = kernel.new("struct timecounter", tc_frequency=3 * 10**9, tc_quality=1000)
    fast.set(tc_name=kernel.text("ACPI-fast"))
    tsc.set(tc_name=kernel.text("TSC-low"), tc_next=fast)
    kernel.variable("struct timecounter *timecounters", tsc)
    kernel.variable("struct timecounter *timecounter", fast)
    lapic = kernel.new("struct eventtimer", et_quality=600, et_active=1, et_frequency=500)
    lapic.set(et_name=kernel.text("LAPIC"), et_min_period=SECOND // 2, et_max_period=4 * SECOND)
    hpet = kernel.new("struct eventtimer", et_quality=350, et_frequency=14318180)
    hpet.set(et_name=kernel.text("HPET"), et_min_period=2 * SECOND)
    hpet.set(et_max_period=300 * SECOND + SECOND // 2)
    kernel.variable("struct eventtimer *timer", lapic)
    for declaration, value in {
        "u_int callwheelsize": 32768,
        "int hz": 1000,
        "int stathz": 127,
        "int profhz": 8128,
        "long time_tai": 37,
        "int64_t time_freq": -5000 * SECOND,
        "int64_t time_offset": 500000 * SECOND,
        "int64_t time_adjtime": -1500000,
        "long time_maxerror": 16000000,
        "long time_esterror": 250000,
        "int time_status": 0x40,
        "int time_state": 5,
    }.items():
        kernel.variable(declaration, value)
    return lapic, hpet


@pytest.mark.parametrize("array", [False, True], ids=["since 14", "before 14"])
def test_callouts_and_clocks(kernel: Counting, array: bool) -> None:
    """sbintime_t as seconds; the names of what runs the clocks."""
    timers = clocks(kernel, array=array)
    head = kernel.variable("struct et_eventtimers_list eventtimers")
    kernel.link_list("SLIST", head, timers, "et_all")
    found = answer(kernel, "freebsd-callout")
    assert found.missing == {}
    info = 'clock_source_info{eventtimer="LAPIC",timecounter="ACPI-fast"}'
    assert found.series.pop(info) == 1
    assert found.series == pytest.approx(expected(VALUES), rel=1e-9)


def test_a_list_of_which_the_compiler_left_the_pointer(kernel: Counting) -> None:
    """eventtimers.0, whose type the kernel does not tell."""
    [lapic, hpet] = clocks(kernel)
    head = kernel.new("struct et_eventtimers_list")
    kernel.link_list("SLIST", head, (lapic, hpet), "et_all")
    kernel.world.define("eventtimers.0", "pointer", lapic)
    found = answer(kernel, "freebsd-callout")
    assert found.missing == {}
    assert found.series['eventtimer_hertz{eventtimer="LAPIC"}'] == 500
    assert found.series['eventtimer_hertz{eventtimer="HPET"}'] == 14318180
