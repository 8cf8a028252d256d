"""Do a dead Linux's processes come out as /proc of the same kernel would have told them?"""

from __future__ import annotations

from itertools import product

import pytest
from fakes.world import WorldTypes, target
from forge import cdecl
from forge.linux_structs import MODERN, OLD
from forge.linux_tasks import INUMS, PF_EXITING, PF_KTHREAD, PF_WQ_WORKER, UNLIMITED, Tasks
from forge.world import Thing, World

from kvm_exporter.kvm.errors import SymbolMissing, TypeMissing, Unsupported
from kvm_exporter.kvm.objects.linux import tasks
from kvm_exporter.kvm.objects.linux.procs import Choice
from kvm_exporter.kvm.objects.model import Namespaces, Process, ProcOp

PAGE = 16384
BOOT = 1_795_000_000.0
KERNELS = {"modern": MODERN, "old": OLD}
ABIS = {
    "amd64": cdecl.AMD64,
    "powerpc64": cdecl.POWERPC64,
    "i386": cdecl.I386,
    "armv7": cdecl.ARMV7,
    "powerpc": cdecl.POWERPC,
}
ANY = [pytest.param(*one, id="-".join(one)) for one in product(KERNELS, ABIS)]
SECOND = 10**9

ALL_NAMESPACES = Namespaces(**INUMS, pid_for_children=INUMS["pid"], time_for_children=INUMS["time"])
EXPECTED = Process(
    pid=1234,
    comm="odd) (name",
    state="sleeping",
    ppid=1,
    pgid=1230,
    sid=1200,
    tpgid=1231,
    uid=1001,
    ruid=1002,
    svuid=1003,
    gid=2001,
    rgid=2002,
    svgid=4294967294,
    groups=(5, 6, 4294967294),
    cgroup="/a.slice/b.service",
    tty=(136 << 8) | 44 | (1 << 20),
    start_seconds=BOOT + 12.34,
    user_seconds=6.0,
    system_seconds=2.0,
    children_user_seconds=0.01,
    children_system_seconds=3.02,
    resident_bytes=(10 + 20 + 40) * PAGE,
    max_resident_bytes=90 * PAGE,
    virtual_bytes=500 * PAGE,
    swap_bytes=30 * PAGE,
    text_bytes=3 * PAGE,
    data_bytes=61 * PAGE,
    stack_bytes=62 * PAGE,
    minor_faults=100 + 7 + 8,
    major_faults=200 + 9 + 10,
    voluntary_switches=71,
    involuntary_switches=72,
    read_bytes=1 << 40 | 1,
    write_bytes=4096 + 2,
    threads=2,
    nice=-5,
    priority=15,
    last_cpu=3,
    tracer=1,
    flags=0x400000,
    open_files=3,
    max_open_files=512,
    namespaces=ALL_NAMESPACES,
)
"""What is worked out by hand from the numbers in ``rich``."""


def empty(kernel: str = "modern", abi: str = "amd64") -> Tasks:
    """A kernel with process 1."""
    people = Tasks(World(KERNELS[kernel], ABIS[abi]))
    people.task(1, b"init", cred=people.credentials())
    return people


def ask(people: Tasks, *fields: str, boot: float | None = BOOT, **choice: object) -> list[Process]:
    """The processes; all their fields if none is named."""
    wanted = Choice(fields or None, **choice)
    return list(tasks.from_memory(target(people.world), PAGE, boot, wanted))


def one(people: Tasks, pid: int, *fields: str, **more: object) -> Process:
    """The process of that pid, without its address."""
    (found,) = ask(people, *fields, op=ProcOp.PID, arg=pid, **more)
    return found._replace(address=None)


def accounting(read: int, write: int) -> dict[str, object]:
    """A struct task_io_accounting."""
    return {"read_bytes": read, "write_bytes": write}


def terminal(people: Tasks, foreground: int) -> Thing:
    """The 300th of Unix98's terminals: minor numbers take more than 8 bits."""
    made = people.world
    driver = made.new("struct tty_driver", major=136, minor_start=0)
    tty = made.new("struct tty_struct", driver=driver, index=300)
    return tty.put("ctrl.pgrp" if people.modern else "pgrp", people.pid(foreground))


def rich(people: Tasks) -> None:
    """Process 1234 of two threads, with something in every field."""
    made, files = people.world, people.files
    numbers = {"uid": 1002, "euid": 1001, "suid": 1003, "gid": 2002, "egid": 2001, "sgid": -2}
    cred = people.credentials(groups=(5, 6, -2), **numbers)
    mm = made.new("struct mm_struct", hiwater_rss=90, total_vm=500, exec_vm=80, data_vm=61)
    mm.set(stack_vm=62, start_code=PAGE + 1, end_code=3 * PAGE + 2, **people.pages(10, 20, 30, 40))
    new = people.modern
    own = {
        "__state" if new else "state": 1,
        "thread_info.cpu" if new else "cpu": 3,
        "start_boottime" if new else "real_start_time": 12_345_678_901,
        "prio": 115,
        "static_prio": 115,
        "ptrace": 1,
        "flags": 0x400000,
        "mm": mm,
        "nvcsw": 71,
        "nivcsw": 72,
    }
    counted = {"utime": SECOND, "stime": SECOND // 2, "se.sum_exec_runtime": 3 * SECOND}
    leader = {"min_flt": 7, "maj_flt": 9, "ioac": accounting(1, 1)}
    signal = {
        "tty": terminal(people, 1231),
        "min_flt": 100,
        "maj_flt": 200,
        "utime": SECOND,
        "stime": 0,
        "sum_sched_runtime": 2 * SECOND,
        "cutime": SECOND // 100 + 9_999_999,
        "cstime": 3 * SECOND + 20_000_001,
        "ioac": accounting(1 << 40, 4096),
        "rlim[7].rlim_cur": 512,
    }
    people.task(
        1234,
        b"odd) (name",
        parent=1,
        group=1230,
        session=1200,
        cred=cred,
        members=own | counted | leader,
        signal=signal,
    )
    group = people.cgroups.group(people.cgroups.root, b"a.slice", b"b.service")
    opened = files.file(files.mount, files.top)
    table = files.table({0: opened, 1: opened, 200: opened}, size=256)
    shared = {"cgroups": people.cgroups.set_of(group), "files": table, "mm": mm}
    people.tasks[1234].set(**shared)
    second = {"min_flt": 8, "maj_flt": 10, "ioac": accounting(0, 1), "prio": 139}
    people.task(
        1300,
        b"worker",
        tgid=1234,
        parent=1,
        group=1230,
        session=1200,
        cred=cred,
        members=own | counted | second | shared | {"__state" if new else "state": 2},
    )
    people.finish()


@pytest.fixture(scope="module", params=KERNELS)
def known(request: pytest.FixtureRequest) -> Tasks:
    """A kernel with ``rich``, which nobody changes."""
    people = empty(request.param)
    rich(people)
    return people


@pytest.mark.parametrize(("kernel", "abi"), ANY)
def test_every_field_is_as_procfs_tells_it(kernel: str, abi: str) -> None:
    """Both kernels, on machines of either byte order and word size."""
    people = empty(kernel, abi)
    rich(people)
    expected = EXPECTED
    if kernel == "old":
        without = ALL_NAMESPACES._replace(time=None, time_for_children=None)
        expected = EXPECTED._replace(namespaces=without)
    assert one(people, 1234) == expected


@pytest.mark.parametrize("field", [f for f in Process._fields if getattr(EXPECTED, f) is not None])
def test_a_field_alone_is_the_same(known: Tasks, field: str) -> None:
    """Asking for one field gives what asking for all gives."""
    assert getattr(one(known, 1234, field), field) == getattr(one(known, 1234), field)


def test_threads_have_figures_of_their_own(known: Tasks) -> None:
    """A row a thread: its own times, faults and name; its process's pid and comm."""
    people = known
    init, first, second = ask(people, threads=True)
    assert (init.pid, init.tid) == (1, 1)
    assert (first.pid, first.tid, first.thread_name) == (1234, 1234, "odd) (name")
    assert (second.pid, second.tid, second.thread_name) == (1234, 1300, "worker")
    assert (first.comm, second.comm) == ("odd) (name", "odd) (name")
    assert (first.state, second.state) == ("sleeping", "waiting")
    assert (first.minor_faults, second.minor_faults) == (7, 8)
    assert (first.major_faults, second.major_faults) == (9, 10)
    assert (first.write_bytes, second.write_bytes) == (1, 1)
    assert (first.user_seconds, first.system_seconds) == (2.0, 1.0)
    assert second.priority == 39
    assert (second.pgid, second.sid, second.threads) == (1230, 1200, 2)
    assert (second.children_system_seconds, second.max_open_files) == (3.02, 512)
    assert second.resident_bytes == EXPECTED.resident_bytes


def test_rows_have_their_numbers_whatever_is_asked_for(known: Tasks) -> None:
    """As live rows do: the pid, and of a thread the tid."""
    assert [row.pid for row in ask(known, "nice")] == [1, 1234]
    rows = ask(known, "nice", threads=True)
    assert [(row.pid, row.tid) for row in rows] == [(1, 1), (1234, 1234), (1234, 1300)]


def test_processes_come_by_rising_pid() -> None:
    """As /proc lists them, in whichever order the kernel's list has them."""
    people = empty()
    for pid in (90, 7, 4_000_000, 12):
        people.task(pid)
    people.finish()
    assert [found.pid for found in ask(people, "pid")] == [1, 7, 12, 90, 4_000_000]


STATES = [
    (0x0, 0, "running"),
    (0x1, 0, "sleeping"),
    (0x2, 0, "waiting"),
    (0x2001, 0, "sleeping"),  # freezable
    (0x4, 0, "stopped"),
    (0x104, 0, "stopped"),
    (0x8, 0, "stopped"),
    (0x40, 0, "idle"),  # parked
    (0x80, 0x20, "zombie"),
    (0x80, 0x10, "zombie"),
    (0x402, 0, "idle"),
    (0x2402, 0, "idle"),
    (0x1002, 0, "waiting"),  # PREEMPT_RT's locks
    (0x1001, 0, "waiting"),
    (0x8000, 0, "waiting"),  # frozen
    (0x102, 0, "waiting"),  # killable
    (0x200, 0, "running"),  # waking
    (0x800, 0, "running"),  # new
]


@pytest.mark.parametrize(("state", "exit_state", "word"), STATES)
def test_states_have_words(state: int, exit_state: int, word: str) -> None:
    """Each state of include/linux/sched.h, by the letter that /proc shows for it."""
    people = empty()
    people.task(5, members={"__state": state, "exit_state": exit_state})
    assert one(people.finish(), 5, "state").state == word


def kernel_thread(people: Tasks, pid: int, comm: bytes, flags: int = 0, **members: object) -> None:
    """One with a struct kthread."""
    kthread = people.world.new("struct kthread", **members)
    own = {"flags": PF_KTHREAD | flags}
    own["worker_private" if people.modern else "set_child_tid"] = kthread
    people.task(pid, comm, members=own)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_thread_has_no_memory(kernel: str) -> None:
    """No program: sizes are 0 in stat, and left out of status; one that borrows memory the same."""
    people = empty(kernel)
    lent = people.world.new("struct mm_struct", total_vm=5, **people.pages(1, 2, 3, 4))
    for pid, mm in ((2, 0), (3, lent)):
        kernel_thread(people, pid, b"kthreadd")
        people.tasks[pid].set(mm=mm)
    people.finish()
    for pid in (2, 3):
        found = one(people, pid)
        assert (found.virtual_bytes, found.resident_bytes) == (0, 0)
        assert (found.max_resident_bytes, found.swap_bytes, found.text_bytes) == (None,) * 3
        assert (found.data_bytes, found.stack_bytes) == (None, None)
        assert (found.open_files, found.ppid, found.pgid, found.tty) == (0, 0, 0, None)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_zombie_has_left_nearly_everything(kernel: str) -> None:
    """Its pid, parent, user and times are there; of its namespaces, the pid's and the user's."""
    people = empty(kernel)
    gone = {"mm": 0, "files": 0, "nsproxy": 0, "fs": 0, "exit_state": 0x20, "flags": PF_EXITING}
    people.task(66, b"dead", parent=1, members=gone | {"utime": 3 * SECOND})
    people.tasks[66].put("se.sum_exec_runtime", 3 * SECOND)
    found = one(people.finish(), 66)
    assert (found.state, found.comm, found.ppid, found.threads) == ("zombie", "dead", 1, 1)
    assert (found.user_seconds, found.system_seconds) == (3.0, 0.0)
    assert (found.open_files, found.virtual_bytes, found.max_resident_bytes) == (0, 0, None)
    assert found.namespaces == Namespaces(pid=INUMS["pid"], user=INUMS["user"])


def test_kernel_threads_have_long_names() -> None:
    """Since 5.17 a name may be longer than comm has room for; workers tell what they do."""
    people = empty()
    text = people.world.text
    pool = people.world.new("struct worker_pool")

    def worker(**members: object) -> Thing:
        return people.world.new("struct worker", **members)

    kernel_thread(people, 2, b"long-name-of-a-k", full_name=text("long-name-of-a-kernel-thread"))
    kernel_thread(people, 3, b"short", full_name=0)
    busy = worker(pool=pool, current_work=0xFFFF0000, desc=b"events")
    idle = worker(pool=pool, desc=b"mm_percpu_wq")
    new = worker(pool=pool)
    rescuer = worker(rescue_wq=0xFFFF0000, desc=b"unused")
    kernel_thread(people, 4, b"kworker/0:1", PF_WQ_WORKER, data=busy)
    kernel_thread(people, 5, b"kworker/1:0H", PF_WQ_WORKER, data=idle)
    kernel_thread(people, 6, b"kworker/u4:2", PF_WQ_WORKER, data=new)
    whole = text("kworker/R-inet_frag_wq")
    kernel_thread(people, 7, b"kworker/R-inet_", PF_WQ_WORKER, data=rescuer, full_name=whole)
    kernel_thread(people, 8, b"kworker/3:0", PF_WQ_WORKER, data=worker(desc=b"x"))
    names = [found.comm for found in ask(people.finish(), "comm")[1:]]
    assert names == [
        "long-name-of-a-kernel-thread",
        "short",
        "kworker/0:1+events",
        "kworker/1:0H-mm_percpu_wq",
        "kworker/u4:2",
        "kworker/R-inet_frag_wq",
        "kworker/dying",
    ]


def test_older_workers_keep_the_short_name() -> None:
    """Until 6.10 a worker's name was its comm; a name that has no struct kthread is comm, too."""
    people = empty("old")
    pool = people.world.new("struct worker_pool")
    idle = people.world.new("struct worker", pool=pool, desc=b"events")
    alone = people.world.new("struct worker", desc=b"events")
    kernel_thread(people, 2, b"kworker/0:0", PF_WQ_WORKER, data=idle)
    kernel_thread(people, 3, b"rescuer", PF_WQ_WORKER, data=alone)
    people.task(4, b"very-early", members={"flags": PF_KTHREAD})
    names = [found.comm for found in ask(people.finish(), "comm")[1:]]
    assert names == ["kworker/0:0-events", "rescuer", "very-early"]


@pytest.mark.parametrize("raw", [b"", b"a b", b"\xff\xfe", b"sixteen-letters!"])
def test_a_comm_may_hold_anything(raw: bytes) -> None:
    """Bytes that are no UTF-8 come as surrogates; 16 need no NUL."""
    people = empty()
    people.task(5, raw)
    assert one(people.finish(), 5, "comm").comm.encode("utf-8", "surrogateescape") == raw


def test_pids_are_the_hosts() -> None:
    """A container's processes have their numbers of the first namespace, and its own's inode."""
    people = empty()
    people.task(500, inner=(1,))
    people.task(501, parent=500, group=500, session=500, inner=(2, 1))
    people.finish()
    found = one(people, 501)
    assert (found.pid, found.ppid, found.pgid, found.sid) == (501, 500, 500, 500)
    assert found.namespaces.pid == INUMS["pid"] + 2000
    assert found.namespaces.pid_for_children == INUMS["pid"]


def test_nobody_limits_descriptors() -> None:
    """RLIM_INFINITY is no number."""
    people = empty()
    people.task(5, signal={"rlim[7].rlim_cur": UNLIMITED})
    assert one(people.finish(), 5, "max_open_files").max_open_files is None


def test_only_the_traced_have_a_tracer() -> None:
    """The parent of one that nobody traces is no tracer: 0, as in status."""
    people = empty()
    people.task(5, parent=1)
    assert one(people.finish(), 5, "tracer").tracer == 0


def test_counters_below_zero_are_none() -> None:
    """A counter that other CPUs have more of than this one counts as nothing."""
    people = empty()
    mm = people.world.new("struct mm_struct", **people.pages(-3, 5, -1, -9))
    people.task(5, members={"mm": mm})
    found = one(people.finish(), 5)
    assert (found.resident_bytes, found.swap_bytes) == (5 * PAGE, 0)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("abi", ["amd64", "powerpc"])
def test_status_has_what_cpus_have_not_handed_in(abi: str, apart: bool) -> None:
    """VmHWM and VmSwap with each CPU's share, of which some may be below zero; stat without."""
    people = empty(abi=abi)
    shares = [[1, 2, 30, 4], [-1, 10, 1, 0], [0, 100, -31 - 10, -5]]
    pages = people.pages(10, 20, 30, 40, shares=shares)
    mm = people.world.new("struct mm_struct", **pages)
    if apart:  # as until 6.6, where each counter had its own piece
        far = [people.per_cpu(*([own[at]] + [0] * 100 for own in shares)) for at in range(4)]
        for at, pointer in enumerate(far):
            mm.put(f"rss_stat[{at}].counters", pointer)
    people.task(5, members={"mm": mm})
    found = one(people.finish(), 5)
    assert found.resident_bytes == (10 + 20 + 40) * PAGE
    assert found.max_resident_bytes == (10 + 132 + 39) * PAGE
    assert found.swap_bytes == (30 - 10) * PAGE


def test_unreadable_shares_cost_their_own_fields() -> None:
    """Where the CPUs are not told, VmHWM and VmSwap are unknown, and resident pages are not."""
    people = empty()
    rich(people)
    people.world.symbols[:] = [one for one in people.world.symbols if "cpu" not in one.name]
    people.world.define("__per_cpu_offset", "u_long", 0)
    lost = EXPECTED._replace(max_resident_bytes=None, swap_bytes=None)
    assert one(people, 1234) == lost


def test_the_time_of_boot_may_be_unknown() -> None:
    """Then nobody knows when a process started, and all else is told."""
    people = empty()
    rich(people)
    assert one(people, 1234, boot=None) == EXPECTED._replace(start_seconds=None)


@pytest.mark.parametrize(
    ("op", "arg", "pids"),
    [
        (ProcOp.ALL, 0, [1, 10, 11, 12]),
        (ProcOp.PROC, 0, [1, 10, 11, 12]),
        (ProcOp.PID, 11, [11]),
        (ProcOp.PID, 13, []),  # a thread's
        (ProcOp.PID, 99, []),
        (ProcOp.PID, -1, []),
        (ProcOp.PGRP, 10, [10, 11]),
        (ProcOp.SESSION, 10, [10, 11, 12]),
        (ProcOp.UID, 7, [12]),
        (ProcOp.RUID, 8, [12]),
        (ProcOp.GID, 9, [12]),
        (ProcOp.RGID, 6, [12]),
        (ProcOp.TTY, 136 << 8 | 44 | 1 << 20, [11]),
    ],
)
def test_processes_are_chosen_as_kvm_getprocs_chooses(
    op: ProcOp, arg: int, pids: list[int]
) -> None:
    """Each ProcOp; a choice does not need its field to be asked for."""
    people = empty()
    people.task(10, group=10, session=10)
    people.task(11, group=10, session=10, signal={"tty": terminal(people, 10)})
    cred = people.credentials(euid=7, uid=8, egid=9, gid=6)
    people.task(12, group=12, session=10, cred=cred)
    people.task(13, tgid=12)
    people.finish()
    assert [found.pid for found in ask(people, "pid", op=op, arg=arg)] == pids


def test_a_process_by_its_pid_has_its_threads() -> None:
    """ProcOp.PID with threads: a row for each of that process's, and of no other."""
    people = empty()
    rich(people)
    found = ask(people, "tid", op=ProcOp.PID, arg=1234, threads=True)
    assert [row.tid for row in found] == [1234, 1300]


def test_an_unknown_field_is_said_at_once() -> None:
    """Before anything is read."""
    people = empty()
    with pytest.raises(Unsupported, match="no field shoe_size"):
        ask(people, "shoe_size")


def test_only_what_is_needed_is_read() -> None:
    """Who asks for pids costs no struct but each task's own."""
    people = empty()
    rich(people)
    dead = target(people.world)
    list(tasks.from_memory(dead, PAGE, BOOT, Choice(("pid", "state"))))
    few = dead.memory.read_counts
    list(tasks.from_memory(dead, PAGE, BOOT, Choice()))
    assert few <= 8
    assert dead.memory.read_counts > 40


def test_who_has_one_thread_has_no_list_read() -> None:
    """Sums over the threads cost a process with one of them nothing: most have no other."""
    people = empty()
    for pid in range(2, 50):
        people.task(pid, members={"min_flt": pid})
    dead = target(people.finish().world)
    found = list(tasks.from_memory(dead, PAGE, BOOT, Choice(("minor_faults",))))
    assert [one.minor_faults for one in found] == [0, *range(2, 50)]
    assert dead.memory.read_counts < 4 * 50


def test_a_program_has_no_more_text_than_may_be_executed() -> None:
    """VmExe is cut to the pages that are."""
    people = empty()
    mm = people.world.new("struct mm_struct", start_code=PAGE, end_code=5 * PAGE, exec_vm=3)
    people.task(5, members={"mm": mm})
    assert one(people.finish(), 5, "text_bytes").text_bytes == 3 * PAGE
    mm.set(start_code=5 * PAGE, end_code=0)  # as 64 bits, far more
    assert one(people, 5, "text_bytes").text_bytes == 3 * PAGE


def test_times_counted_alone_are_told_as_they_are() -> None:
    """CONFIG_VIRT_CPU_ACCOUNTING_NATIVE has no prev_cputime: nothing is divided."""
    text = MODERN.replace("struct prev_cputime prev_cputime;", "")
    people = Tasks(World(text, cdecl.POWERPC64LE))
    people.task(1, members={"utime": 5 * SECOND, "stime": 3 * SECOND}, signal={"utime": SECOND})
    people.finish()
    found = one(people, 1)
    assert (found.user_seconds, found.system_seconds) == (6.0, 3.0)
    (thread,) = ask(people, threads=True)
    assert (thread.user_seconds, thread.system_seconds) == (5.0, 3.0)


def test_a_kernel_that_does_not_count_io_has_none() -> None:
    """Without CONFIG_TASK_IO_ACCOUNTING: unknown, alone or beside others."""
    people = Tasks(World(MODERN.replace("struct task_io_accounting ioac;", "")))
    people.task(1, members={"min_flt": 3})
    people.finish()
    assert one(people, 1, "read_bytes").read_bytes is None
    found = one(people, 1)
    assert (found.read_bytes, found.write_bytes, found.minor_faults) == (None, None, 3)


def test_the_cpu_may_be_where_the_stack_ends() -> None:
    """Kernels without CONFIG_THREAD_INFO_IN_TASK have struct thread_info there."""
    text = OLD.replace("u_int cpu; int prio", "int prio")
    text += "struct thread_info { u_long flags; int preempt_count; u32 cpu; };"
    people = Tasks(World(text, cdecl.ARMV7))
    stack = people.world.new("struct thread_info", cpu=5)
    people.task(1, members={"stack": stack})
    assert one(people.finish(), 1, "last_cpu").last_cpu == 5


def test_a_kernel_without_processes_says_what_lacks() -> None:
    """No init_task, or a task_struct that nobody knows."""
    people = empty().finish()
    other = target(people.world)
    other.types = WorldTypes(cdecl.Declarations("struct task_struct { pid_t pid; };"))
    with pytest.raises(TypeMissing, match=r"tasks\.next"):
        tasks.from_memory(other, PAGE, BOOT, Choice())
    people.world.symbols.clear()
    with pytest.raises(SymbolMissing, match="init_task"):
        ask(people)
