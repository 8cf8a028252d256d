"""Do a dead kernel's processes come out as the same kernel alive would have told them?"""

from __future__ import annotations

import re
from itertools import product

import pytest
from fakes.world import target
from forge import cdecl
from forge.kernel_structs import MODERN, OLD
from forge.population import INHIBITED, ON_LOCK, RUNNING, SLEEPING, TICKS, ZOMBIE, Population
from forge.world import World

from kvm_exporter.kvm.errors import KvmError, SymbolMissing, TypeMissing
from kvm_exporter.kvm.objects.freebsd import procs
from kvm_exporter.kvm.objects.model import Process, ProcOp

PAGE = 16384
SWAPPED = 0x4
"""TDI_SWAPPED (sys/sys/proc.h of 14)."""

KERNELS = {"modern": MODERN, "old": OLD}
ABIS = {
    "amd64": cdecl.AMD64,
    "powerpc64": cdecl.POWERPC64,
    "i386": cdecl.I386,
    "armv7": cdecl.ARMV7,
    "powerpc": cdecl.POWERPC,
}
ANY = [pytest.param(*one, id="-".join(one)) for one in product(KERNELS, ABIS)]

EXPECTED = Process(
    pid=1234,
    comm="a-name-of-nineteen!",
    state="sleeping",
    ppid=1,
    pgid=1230,
    sid=1200,
    tpgid=1231,
    tsid=1200,
    uid=1001,
    ruid=1002,
    svuid=1003,
    gid=2001,
    rgid=2002,
    svgid=4294967294,
    groups=(2001, 5, 6),
    jail=3,
    login="seventeen-letters",
    login_class="staff",
    emulation="FreeBSD ELF64-16",
    tty=77,
    start_seconds=1_795_000_101.25,
    user_seconds=2.0,
    system_seconds=0.5,
    run_seconds=2.5,
    children_user_seconds=0.25,
    children_system_seconds=0.75,
    percent_cpu=910 * 100 / 2048,
    resident_bytes=(300 + 4 + 2) * PAGE,
    max_resident_bytes=900 * 1024,
    virtual_bytes=8 << 20,
    text_bytes=10 * PAGE,
    data_bytes=20 * PAGE,
    stack_bytes=30 * PAGE,
    minor_faults=11 + 100 + 1000,
    major_faults=12 + 100 + 1000,
    cow_faults=7 + 8,
    swaps=13 + 100 + 1000,
    voluntary_switches=19 + 100 + 1000,
    involuntary_switches=20 + 100 + 1000,
    read_operations=14 + 100 + 1000,
    write_operations=15 + 100 + 1000,
    messages_sent=16 + 100 + 1000,
    messages_received=17 + 100 + 1000,
    signals_received=18 + 100 + 1000,
    threads=2,
    wait_channel="nanslp-l",
    nice=-5,
    priority=120,
    priority_class=3,
    last_cpu=2,
    sleep_seconds=7,
    fib=1,
    flags=0x01004002,
    thread_flags=0x8,
    wait_address=0xC0DE0000,
)
"""What is worked out by hand from the numbers in ``rich``."""

FIRST = {
    "tid": 100555,
    "thread_name": "a-thread-of-nineteen",
    "run_seconds": 0.75,
    "user_seconds": 0.75,
    "system_seconds": 0.0,
    "percent_cpu": 910 * 100 / 2048,
    "max_resident_bytes": 900 * 1024,
    "cow_faults": 7,
    "minor_faults": 100,
    "major_faults": 100,
    "swaps": 100,
    "read_operations": 100,
    "write_operations": 100,
    "messages_sent": 100,
    "messages_received": 100,
    "signals_received": 100,
    "voluntary_switches": 100,
    "involuntary_switches": 100,
}
SECOND = FIRST | {
    "tid": 100556,
    "thread_name": "two",
    "state": "locked",
    "run_seconds": 0.0,
    "user_seconds": 0.0,
    "percent_cpu": 0.0,
    "max_resident_bytes": 1024,
    "cow_faults": 8,
    "minor_faults": 1000,
    "major_faults": 1000,
    "swaps": 1000,
    "read_operations": 1000,
    "write_operations": 1000,
    "messages_sent": 1000,
    "messages_received": 1000,
    "signals_received": 1000,
    "voluntary_switches": 1000,
    "involuntary_switches": 1000,
    "wait_channel": None,
    "wait_address": None,
    "lock_name": "vm objec",
    "thread_flags": 0,
    "cpu": 3,
    "last_cpu": 4,
    "priority": 90,
    "priority_class": 1,
    "sleep_seconds": None,
}
"""What a row of each thread has otherwise."""


def world(kernel: str, abi: str) -> World:
    """An empty one."""
    return World(KERNELS[kernel], ABIS[abi])


def ask(made, fields=None, op=ProcOp.PROC, arg=0, *, threads=False):
    """The processes as a list."""
    return list(procs.from_memory(target(made), PAGE, fields, op, arg, threads))


def counts(first: int, most: int) -> dict[str, int]:
    """A struct rusage's, one after the other from ``first`` on if that is small."""
    names = [
        "minflt",
        "majflt",
        "nswap",
        "inblock",
        "oublock",
        "msgsnd",
        "msgrcv",
        "nsignals",
        "nvcsw",
        "nivcsw",
    ]
    step = int(first < 100)
    found = {f"ru_{name}": first + at * step for at, name in enumerate(names)}
    return found | {"ru_maxrss": most}


def under(prefix: str, values: dict[str, int]) -> dict[str, int]:
    """Paths below a member."""
    return {f"{prefix}.{name}": value for name, value in values.items()}


def rich(people: Population):
    """A process with something in every attribute."""
    made = people.world
    jail = made.new("struct prison", pr_id=3)
    staff = made.new("struct loginclass", lc_name=b"staff")
    cred = people.credentials(
        uid=1001,
        gid=2001,
        groups=(5, 6),
        cr_ruid=1002,
        cr_svuid=1003,
        cr_rgid=2002,
        cr_svgid=-2,
        cr_prison=jail,
        cr_loginclass=staff,
    )
    session = people.session(1200, b"seventeen-letters-and-more")
    session.put("s_ttyp", people.terminal(77, session, people.group(1231, session)))
    stats = made.new("struct pstats").put("p_start", {"tv_sec": 100, "tv_usec": 500_000})
    space = made.new("struct vmspace", vm_tsize=10, vm_dsize=20, vm_ssize=30)
    space.put("vm_map.size", 8 << 20).put("vm_pmap.pm_stats.resident_count", 300)
    cow = [{"td_cow": number} for number in (7, 8)] if people.modern else [{}, {}]
    ule = {"ts_ticks": 4000 << 10, "ts_ltick": TICKS - 1000, "ts_ftick": TICKS - 9000}
    first = {
        "td_tid": 100555,
        "td_name": b"a-thread-of-nineteen"[:19],
        "td_inhibitors": SLEEPING,
        "td_flags": 0x8,
        "td_wchan": 0xC0DE0000,
        "td_wmesg": made.text("nanslp-long-name"),
        "td_slptick": TICKS - 7500,
        "td_priority": 120,
        "td_pri_class": 3,
        "td_lastcpu": 2,
        "td_kstack_pages": 4,
        "td_incruntime": 1_000_000_000,
        "td_uticks": 10,
        "td_rux.rux_runtime": 500_000_000,
        **under("td_ru", counts(100, 900)),
        **(ule if people.modern else {"ts_pctcpu": 910}),
        **cow[0],
    }
    second = {
        "td_tid": 100556,
        "td_name": b"two",
        "td_inhibitors": ON_LOCK,
        "td_lockname": made.text("vm object"),
        "td_kstack_pages": 2,
        "td_oncpu": 3,
        "td_lastcpu": 4,
        "td_priority": 90,
        "td_pri_class": 1,
        **under("td_ru", counts(1000, 1)),
        **cow[1],
    }
    people.add(1, b"init")
    return people.add(
        1234,
        b"a-name-of-nineteen!",
        parent=1,
        threads=(first, second),
        members={
            "p_ucred": cred,
            "p_pgrp": people.group(1230, session),
            "p_stats": stats,
            "p_vmspace": space,
            "p_sysent": people.system_vector(b"FreeBSD ELF64-16+"),
            "p_flag": 0x4002,
            "p_nice": -5,
            "p_fibnum": 1,
            "p_rux": {"rux_runtime": 4_000_000_000, "rux_uticks": 30, "rux_sticks": 10},
            "p_crux": {"rux_runtime": 2_000_000_000, "rux_uticks": 1, "rux_sticks": 3},
        },
        more=under("p_ru", counts(11, 800)),
    )


def expected(process, kernel: str) -> Process:
    """EXPECTED at that address; the old kernel counts no copies on write."""
    found = EXPECTED._replace(address=process.address)
    return found if kernel == "modern" else found._replace(cow_faults=None)


@pytest.mark.parametrize(("kernel", "abi"), ANY)
def test_every_attribute(kernel, abi):
    """Each attribute is what the numbers in the kernel's structs amount to, on every ABI."""
    people = Population(world(kernel, abi))
    process = rich(people)
    assert ask(people.finish(), op=ProcOp.PID, arg=1234) == [expected(process, kernel)]


@pytest.mark.parametrize(("kernel", "abi"), ANY)
def test_every_attribute_of_threads(kernel, abi):
    """A thread's row has that thread's numbers, and its process's where it has none."""
    people = Population(world(kernel, abi))
    process = rich(people)
    rows = ask(people.finish(), op=ProcOp.PID, arg=1234, threads=True)
    whole = expected(process, kernel)
    wanted = [whole._replace(**FIRST), whole._replace(**SECOND)]
    wanted[0] = wanted[0]._replace(thread_name="a-thread-of-ninetee")
    if kernel == "old":
        wanted = [row._replace(cow_faults=None) for row in wanted]
    assert rows == wanted


@pytest.mark.parametrize(("kernel", "abi"), ANY)
def test_zombie(kernel, abi):
    """A zombie is listed, with its exit status and without memory, although it has left allproc."""
    people = Population(world(kernel, abi))
    space = people.world.new("struct vmspace", vm_tsize=9)
    people.add(
        8,
        b"dead",
        state=ZOMBIE,
        members={"p_xexit": 0x1FF03, "p_xsig": 9, "p_vmspace": space},
        threads=({"td_kstack_pages": 4},),
    )
    (found,) = ask(people.finish())
    assert (found.state, found.exit_status) == ("zombie", 0x0309)
    assert (found.text_bytes, found.resident_bytes) == (0, 0)


def test_stacks_that_are_swapped_out():
    """Until 14 a thread's kernel stack could be swapped out: it is not resident then."""
    people = Population(world("old", "amd64"))
    space = people.world.new("struct vmspace").put("vm_pmap.pm_stats.resident_count", 3)
    threads = [{"td_kstack_pages": 4, "td_inhibitors": why | SLEEPING} for why in (0, SWAPPED)]
    people.add(5, b"x", members={"p_vmspace": space}, threads=threads)
    (found,) = ask(people.finish())
    assert found.resident_bytes == (3 + 4) * PAGE


STATES = [
    ({"p_state": 1}, {"td_state": RUNNING}, "running"),
    ({"p_state": 1}, {"td_state": 2}, "running"),
    ({"p_state": 1}, {"td_state": 3}, "running"),
    ({"p_state": 1, "p_flag": 0x20000}, {"td_inhibitors": SLEEPING}, "stopped"),
    ({"p_state": 1, "p_flag": 0x40000}, {"td_inhibitors": 1}, "stopped"),
    ({"p_state": 1, "p_flag": 0x80000}, {"td_state": RUNNING}, "running"),
    ({"p_state": 1}, {"td_inhibitors": SLEEPING, "td_flags": 8}, "sleeping"),
    ({"p_state": 1}, {"td_inhibitors": SLEEPING}, "waiting"),
    ({"p_state": 1}, {"td_inhibitors": ON_LOCK}, "locked"),
    ({"p_state": 1}, {"td_inhibitors": 16}, "waiting"),
    ({"p_state": 1}, {"td_state": INHIBITED}, "waiting"),
    ({"p_state": 7}, {"td_state": RUNNING}, "idle"),
]


@pytest.mark.parametrize(("process", "thread", "state"), STATES)
def test_state(process, thread, state):
    """The state is that of fill_kinfo_thread(): of the process, then of its first thread."""
    people = Population(world("modern", "amd64"))
    people.add(5, b"x", members=process, threads=(thread, {"td_state": RUNNING}))
    (found,) = ask(people.finish(), ("state",))
    assert found.state == state


def test_order_and_processes_that_are_being_made():
    """Modern kernels are asked lock by lock of the pid hash; unborn processes are left out."""
    people = Population(world("modern", "amd64"))
    for pid in range(1, 20):
        people.add(pid, b"x", state=0 if pid == 7 else 1)
    pids = [process.pid for process in ask(people.finish(), ("pid",))]
    # 8 chains, 4 locks: 0, 4, 1, 5, 2, 6, 3, 7; the newest of a chain comes first
    assert pids == [16, 8, 12, 4, 17, 9, 1, 13, 5, 18, 10, 2, 14, 6, 19, 11, 3, 15]


def test_order_of_old_kernels():
    """Old kernels are asked all processes, the newest first, and then the zombies."""
    people = Population(world("old", "amd64"))
    for pid in range(1, 8):
        people.add(pid, b"x", state=ZOMBIE if pid in (2, 5) else 1)
    assert [process.pid for process in ask(people.finish())] == [7, 6, 4, 3, 1, 5, 2]


FILTERS = [
    (ProcOp.PROC, 0, [10, 11, 12]),
    (ProcOp.PID, 11, [11]),
    (ProcOp.PID, 99, []),
    (ProcOp.PID, -1, []),
    (ProcOp.PID, 100110, [11]),
    (ProcOp.PID, 100999, []),
    (ProcOp.PGRP, 70, [10, 11]),
    (ProcOp.PGRP, 12, [12]),
    (ProcOp.SESSION, 60, [10, 11]),
    (ProcOp.TTY, 77, [10]),
    (ProcOp.TTY, 78, []),
    (ProcOp.UID, 1001, [10]),
    (ProcOp.UID, -2, [11]),
    (ProcOp.RUID, 1002, [10]),
    (ProcOp.RGID, 2002, [10]),
    (ProcOp.GID, 2001, [10]),
    (ProcOp.GID, 5, []),
    (ProcOp.GID, 0, [12]),
]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("op", "arg", "pids"), FILTERS)
def test_filters(kernel, op, arg, pids):
    """Each op chooses those processes that kern.proc would choose."""
    people = Population(world(kernel, "amd64"))
    session = people.session(60)
    session.put("s_ttyp", people.terminal(77, session, None))
    group = people.group(70, session)
    mine = people.credentials(uid=1001, gid=2001, groups=(5,), cr_ruid=1002, cr_rgid=2002)
    nobody = people.credentials(uid=-2, gid=-2)
    people.add(10, b"a", members={"p_ucred": mine, "p_pgrp": group, "p_flag": 2})
    people.add(11, b"b", members={"p_ucred": nobody, "p_pgrp": group})
    people.add(12, b"c")
    found = ask(people.finish(), ("uid",), op, arg)
    assert sorted(process.pid for process in found) == pids


def test_all_gives_threads():
    """ProcOp.ALL has a row a thread, as kern.proc.all."""
    people = Population(world("modern", "amd64"))
    people.add(3, b"x", threads=({}, {}, {}))
    assert [row.tid for row in ask(people.finish(), op=ProcOp.ALL)] == [100030, 100031, 100032]


def test_no_terminal():
    """Without a controlling terminal there is none, whatever the session has."""
    people = Population(world("modern", "amd64"))
    session = people.session(60)
    session.put("s_ttyp", people.terminal(77, session, None))
    people.add(4, b"x", members={"p_pgrp": people.group(60, session)})
    people.add(5, b"y", members={"p_pgrp": people.group(60, session), "p_flag": 2})
    without, having = sorted(ask(people.finish(), ("tty", "tpgid", "tsid")))
    assert (without.tty, without.tpgid, without.tsid) == (None, None, None)
    assert (having.tty, having.tpgid, having.tsid) == (77, None, 60)


def test_traced():
    """A traced process has its debugger as tracer, and keeps its real parent."""
    people = Population(world("modern", "amd64"))
    people.add(1, b"init")
    people.add(50, b"debugger")
    people.add(51, b"x", parent=1).set(p_flag=0x800, p_pptr=people.processes[50])
    (found,) = ask(people.finish(), op=ProcOp.PID, arg=51)
    assert (found.ppid, found.tracer) == (1, 50)


def test_sixteen_groups():
    """Of many groups sixteen are told, the effective one first, as kinfo_proc has them."""
    people = Population(world("modern", "amd64"))
    people.add(2, b"x", members={"p_ucred": people.credentials(gid=9, groups=range(100, 140))})
    (found,) = ask(people.finish(), ("groups",))
    assert found.groups == (9, *range(100, 115))


def test_open_files():
    """Descriptors are counted when they are asked for by name; a zombie has none."""
    people = Population(world("modern", "amd64"))
    file = people.world.new("struct file")
    people.add(2, b"x")
    people.add(3, b"y", state=ZOMBIE)
    people.add(4, b"z")
    people.open(2, {0: file, 5: file, 19: file})
    people.finish()
    people.processes[4].put("p_fd", 0xDEAD0000)
    found = {one.pid: one.open_files for one in ask(people.world, ("open_files",))}
    assert found == {2: 3, 3: 0, 4: 0} | {4: found[4]}
    assert ask(people.world)[0].open_files is None


def test_only_what_is_wanted_is_read():
    """Pids alone cost no reading of threads, credentials or memory maps."""
    people = Population(world("modern", "amd64"))
    for pid in range(1, 41):
        people.add(pid, b"x")
    made = target(people.finish())
    before = made.memory.read_counts
    found = list(procs.from_memory(made, PAGE, ("pid", "comm"), ProcOp.PROC, 0, False))
    assert len(found) == 40
    # a process, and the pointers to the next ones; the table of pids and the clock once
    assert made.memory.read_counts - before <= 3 * 40 + 20


@pytest.mark.parametrize("kernel", KERNELS)
def test_without_symbols(kernel):
    """A kernel that does not tell where its processes are is an error that names the symbol."""
    with pytest.raises(SymbolMissing, match="allproc"):
        ask(world(kernel, "amd64"))


def test_without_types():
    """A kernel that does not tell what a process looks like is an error that names the struct."""
    made = World("struct thread { int td_tid; };")
    made.define("allproc", "u_long")
    with pytest.raises(TypeMissing, match="struct proc"):
        ask(made)


LOST = [
    ("struct ucred", {"uid", "groups", "gid", "jail", "login_class", "flags"}),
    ("struct prison", {"jail", "flags"}),
    ("struct loginclass", {"login_class"}),
    ("struct pgrp", {"pgid", "sid", "login", "tty"}),
    ("struct session", {"sid", "login", "tty"}),
    ("struct tty", {"tty", "tpgid", "tsid"}),
    ("struct cdev_priv", {"tty"}),
    ("struct vmspace", {"virtual_bytes", "resident_bytes", "text_bytes"}),
    ("struct pstats", {"start_seconds"}),
    ("struct sysentvec", {"emulation"}),
    ("struct td_sched", {"percent_cpu"}),
    ("struct timehands", {"start_seconds"}),
]


@pytest.mark.parametrize(("struct", "lost"), LOST)
def test_missing_struct(struct, lost):
    """A struct that the kernel's types do not tell costs its own attributes, and no others."""
    declarations = MODERN.replace(f"{struct} {{", f"{struct}_of_another_name {{")
    assert declarations != MODERN
    people = Population(World(MODERN))
    process = rich(people)
    made = target(people.finish())
    made.types._c = cdecl.Declarations(declarations)
    (found,) = procs.from_memory(made, PAGE, None, ProcOp.PID, 1234, False)
    whole = expected(process, "modern")
    differing = {name for name in Process._fields if getattr(found, name) != getattr(whole, name)}
    assert lost <= differing
    assert all(getattr(found, name) is None for name in differing)
    assert found.comm == whole.comm
    assert found.minor_faults == whole.minor_faults


@pytest.mark.parametrize(
    ("member", "lost"),
    [
        ("p_nice", {"nice"}),
        ("p_fibnum", {"fib"}),
        ("p_xexit", set()),
        ("td_wmesg", {"wait_channel"}),
        ("td_cow", {"cow_faults"}),
        ("td_name", set()),
        ("lc_name", {"login_class"}),
        ("cr_uid", {"uid"}),
        ("p_comm", {"comm"}),
        ("td_slptick", {"sleep_seconds"}),
    ],
)
def test_missing_member(member, lost):
    """A member that the kernel has not costs its own attribute, and no other."""
    people = Population(World(MODERN))
    process = rich(people)
    made = target(people.finish())
    made.types._c = cdecl.Declarations(re.sub(rf"\b{member}\b", "other", MODERN))
    (found,) = procs.from_memory(made, PAGE, None, ProcOp.PID, 1234, False)
    whole = expected(process, "modern")
    differing = {name for name in Process._fields if getattr(found, name) != getattr(whole, name)}
    assert differing == lost


POINTERS = [
    ("p_ucred", {"uid", "jail", "groups", "login_class", "flags"}),
    ("p_pgrp", {"pgid", "sid", "tty"}),
    ("p_vmspace", {"virtual_bytes", "resident_bytes"}),
    ("p_stats", {"start_seconds"}),
    ("p_sysent", {"emulation"}),
    ("p_pptr", {"ppid"}),
]


@pytest.mark.parametrize(("member", "lost"), POINTERS)
def test_dangling_pointer(member, lost):
    """A pointer to nowhere costs what it leads to, is counted, and spares the other processes."""
    people = Population(world("modern", "amd64"))
    rich(people).put(member, 0xDEADBEEF0000)
    made = target(people.finish())
    found = {
        process.pid: process
        for process in procs.from_memory(made, PAGE, None, ProcOp.PROC, 0, False)
    }
    assert {name for name in lost if getattr(found[1234], name) is not None} == set()
    assert found[1234].comm == EXPECTED.comm
    assert None not in (found[1].uid, found[1].pgid, found[1].virtual_bytes, found[1].ppid)
    assert sum(made.tally.counts().values()) > 0


def test_lists_in_circles():
    """Chains that run in circles or into each other end; each process is told once."""
    people = Population(world("modern", "amd64"))
    for pid in range(1, 30):
        people.add(pid, b"x", threads=({}, {}))
    made = people.finish()
    people.processes[1].put("p_hash.le_next", people.processes[25])
    people.processes[2].put("p_hash.le_next", people.processes[1])
    people.threads[5][1].put("td_plist.tqe_next", people.threads[5][0])
    people.threads[6][1].put("td_plist.tqe_next", people.threads[7][0])
    people.threads[8][0].put("td_plist.tqe_next", 0x10)
    dead = target(made)
    rows = list(procs.from_memory(dead, PAGE, ("tid", "comm"), ProcOp.ALL, 0, True))
    told = [(row.pid, row.tid) for row in rows]
    assert len(told) == len(set(told)) == 29 * 2
    assert {row.pid for row in rows} == set(range(1, 30))
    assert dead.tally.counts()["struct thread", "unknown"] >= 3


def test_broken_chain():
    """Processes that a damaged chain of the pid hash has lost are found on the list of all."""
    people = Population(world("modern", "amd64"))
    for pid in range(1, 30):
        people.add(pid, b"x")
    made = people.finish()
    people.processes[25].put("p_hash.le_next", 0xDEADBEEF0000)
    dead = target(made)
    found = list(procs.from_memory(dead, PAGE, ("comm",), ProcOp.PROC, 0, False))
    assert sorted(process.pid for process in found) == list(range(1, 30))
    assert [process.pid for process in found][-3:] == [17, 9, 1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pidhash", 2**64 - 1),
        ("pidhash", 6),
        ("pidhash", 0),
        ("pidhash", 2**40 - 1),
        ("pidhashlock", 2**63),
        ("pidhashtbl", 0x10),
        ("pidhashtbl", 2**64 - 8),
    ],
)
def test_damaged_hash(name, value):
    """Where the table of pids is damaged, the list of all processes serves."""
    people = Population(world("modern", "amd64"))
    for pid in (1, 2, 3):
        people.add(pid, b"x")
    made = people.finish()
    address = next(symbol.address for symbol in made.symbols if symbol.name == name)
    made.write(address, made.pointer(value))
    dead = target(made)
    assert [one.pid for one in procs.from_memory(dead, PAGE, None, ProcOp.PROC, 0, False)] == [
        3,
        2,
        1,
    ]
    assert ("pidhashtbl", "unknown") in dead.tally.counts()


@pytest.mark.parametrize("value", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("path", ["cr_ngroups", "p_numthreads", "hz", "ticks", "p_state"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_extreme_numbers(kernel, path, value):
    """A count at its extremes gives rows or nothing, never more than there is."""
    people = Population(world(kernel, "amd64"))
    cred = people.credentials(uid=7, groups=(1, 2))
    process = people.add(2, b"x", members={"p_ucred": cred})
    made = people.finish()
    if path in ("hz", "ticks"):
        address = next(symbol.address for symbol in made.symbols if symbol.name == path)
        made.write(address, made.number(value, 4))
    else:
        (cred if path.startswith("cr_") else process).put(path, value)
    for threads in (False, True):
        rows = ask(made, threads=threads)
        assert len(rows) <= 1
        assert all(len(row.groups or ()) <= 16 for row in rows)
        assert all(row.uid == 7 for row in rows)


def test_no_memory_at_all():
    """Symbols without memory behind them are an error of the package's own."""
    made = world("modern", "amd64")
    for name in ("allproc", "pidhashtbl", "pidhash", "hz", "ticks"):
        made.symbol(name, 0x1000)
    with pytest.raises(KvmError):
        ask(made)
