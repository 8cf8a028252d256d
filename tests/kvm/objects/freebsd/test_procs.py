"""Do processes decode to what the kernel wrote, on every ABI, and to nothing more?"""

from __future__ import annotations

import errno
from collections.abc import Mapping

import pytest
from forge.kinfo import MACHINES, Order, Value, kinfo_proc
from forge.sysctl import ForgedSysctl
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import AccessDenied, FormatError, Unsupported
from kvm_exporter.kvm.objects.freebsd import procs
from kvm_exporter.kvm.objects.model import Process, ProcOp
from kvm_exporter.kvm.tally import Tally

PAGE = 16384

EVERYTHING: Mapping[str, Value] = {
    "ki_paddr": 0x80001000,
    "ki_wchan": 0x80002000,
    "ki_pid": 4242,
    "ki_ppid": 17,
    "ki_pgid": 4241,
    "ki_tpgid": 4240,
    "ki_sid": 4239,
    "ki_tsid": 4238,
    "ki_uid": 4294967294,
    "ki_ruid": 1001,
    "ki_svuid": 1002,
    "ki_rgid": 2001,
    "ki_svgid": 2002,
    "ki_ngroups": 3,
    "ki_groups": (2000, 5, 4294967294),
    "ki_size": 3 << 30,
    "ki_rssize": 1000,
    "ki_tsize": 3,
    "ki_dsize": 5,
    "ki_ssize": 7,
    "ki_xstat": 256,
    "ki_pctcpu": 512,
    "ki_slptime": 44,
    "ki_cow": 45,
    "ki_runtime": 46_500_000,
    "ki_start.tv_sec": 1795410325,
    "ki_start.tv_usec": 500000,
    "ki_flag": -2147483646,
    "ki_stat": 3,
    "ki_nice": -20,
    "ki_tdname": b"a thread with a",
    "ki_wmesg": b"nanslp",
    "ki_login": b"root",
    "ki_lockname": b"Giant",
    "ki_comm": b"nineteen-characters",
    "ki_emul": b"FreeBSD ELF64",
    "ki_loginclass": b"daemon",
    "ki_tdev": 0x1_0000_0037,
    "ki_oncpu": 300,
    "ki_lastcpu": 301,
    "ki_tracer": 99,
    "ki_fibnum": 2,
    "ki_jid": 12,
    "ki_numthreads": 9,
    "ki_tid": 100500,
    "ki_pri.pri_class": 3,
    "ki_pri.pri_level": 200,
    "ki_rusage.ru_utime.tv_sec": 1,
    "ki_rusage.ru_utime.tv_usec": 250000,
    "ki_rusage.ru_stime.tv_sec": 2,
    "ki_rusage.ru_stime.tv_usec": 500000,
    "ki_rusage.ru_maxrss": 3000,
    "ki_rusage.ru_minflt": 21,
    "ki_rusage.ru_majflt": 22,
    "ki_rusage.ru_nswap": 23,
    "ki_rusage.ru_inblock": 24,
    "ki_rusage.ru_oublock": 25,
    "ki_rusage.ru_msgsnd": 26,
    "ki_rusage.ru_msgrcv": 27,
    "ki_rusage.ru_nsignals": 28,
    "ki_rusage.ru_nvcsw": 29,
    "ki_rusage.ru_nivcsw": 30,
    "ki_rusage_ch.ru_utime.tv_sec": 31,
    "ki_rusage_ch.ru_stime.tv_sec": 32,
    "ki_rusage_ch.ru_stime.tv_usec": 125000,
    "ki_tdflags": 0x8,
}

EXPECTED = Process(
    pid=4242,
    comm="nineteen-characters",
    state="sleeping",
    ppid=17,
    pgid=4241,
    sid=4239,
    tpgid=4240,
    tsid=4238,
    uid=4294967294,
    ruid=1001,
    svuid=1002,
    gid=2000,
    rgid=2001,
    svgid=2002,
    groups=(2000, 5, 4294967294),
    jail=12,
    login="root",
    login_class="daemon",
    emulation="FreeBSD ELF64",
    tty=0x1_0000_0037,
    start_seconds=1795410325.5,
    user_seconds=1.25,
    system_seconds=2.5,
    run_seconds=46.5,
    children_user_seconds=31.0,
    children_system_seconds=32.125,
    percent_cpu=25.0,
    resident_bytes=1000 * PAGE,
    max_resident_bytes=3000 * 1024,
    virtual_bytes=3 << 30,
    text_bytes=3 * PAGE,
    data_bytes=5 * PAGE,
    stack_bytes=7 * PAGE,
    minor_faults=21,
    major_faults=22,
    cow_faults=45,
    swaps=23,
    voluntary_switches=29,
    involuntary_switches=30,
    read_operations=24,
    write_operations=25,
    messages_sent=26,
    messages_received=27,
    signals_received=28,
    threads=9,
    wait_channel="nanslp",
    lock_name="Giant",
    nice=-20,
    priority=200,
    priority_class=3,
    cpu=300,
    last_cpu=301,
    sleep_seconds=44,
    tracer=99,
    fib=2,
    flags=0x80000002,
    thread_flags=0x8,
    address=0x80001000,
    wait_address=0x80002000,
)

ZERO = (
    {name for name, value in EXPECTED._asdict().items() if isinstance(value, int | float)}
    - {"pid", "tpgid", "tsid", "tty", "gid", "cpu", "last_cpu", "sleep_seconds", "tracer"}
    - {
        "address",
        "wait_address",
    }
)
"""Fields of which 0 is a fact."""


def kernel(
    answer: bytes | int, mib: tuple[int, ...] = (1, 14, 8), order: Order = "little"
) -> ForgedSysctl:
    """A kernel with one answer for kern.proc."""
    return ForgedSysctl(
        {
            "processes": answer,
            "hw.pagesize": PAGE.to_bytes(4, order),
            "kern.fscale": (2048).to_bytes(4, order),
        },
        {"processes": mib},
    )


def read(data: bytes, machine: str = "amd64", **wanted: object) -> list[Process]:
    """Every process of an answer, with all fields."""
    sysctl = kernel(data, order=MACHINES[machine][2])
    return list(procs.from_live(sysctl, machine, Tally(), None, ProcOp.PROC, 0, False))


def one(members: Mapping[str, Value]) -> Process:
    """The process of one amd64 record."""
    (process,) = read(kinfo_proc("amd64", members))
    return process


@pytest.mark.parametrize("machine", MACHINES)
def test_every_member_reaches_its_field(machine: str) -> None:
    """On each ABI, 32-bit and big-endian ones too, each field is that of the record."""
    before = kinfo_proc(machine, {"ki_pid": 1, "ki_comm": b"init"})
    first, second = read(before + kinfo_proc(machine, EVERYTHING), machine)
    assert (first.pid, first.comm) == (1, "init")
    assert second == EXPECTED


@pytest.mark.parametrize("machine", ["amd64", "i386"])
def test_a_time_before_1970_stays_negative(machine: str) -> None:
    """time_t is signed at each of its widths."""
    (process,) = read(kinfo_proc(machine, {"ki_start.tv_sec": -5}), machine)
    assert process.start_seconds == -5.0


def test_what_means_nothing_is_none() -> None:
    """A record full of zeros and kernel sentinels has no terminal, CPU, channel or exit status."""
    process = one({"ki_pid": 1, "ki_slptime": 21474259, "ki_xstat": 17, "ki_lastcpu": -1})
    assert process == Process(
        pid=1,
        state="running",
        groups=(),
        **dict.fromkeys(ZERO, 0),
    )


def test_a_terminal_without_foreground_group_has_no_tpgid() -> None:
    """NO_PID, 100000, is not a process group."""
    process = one({"ki_tdev": 55, "ki_tpgid": 100000, "ki_tsid": 15})
    assert (process.tty, process.tpgid, process.tsid) == (55, None, 15)


@pytest.mark.parametrize(
    ("stat", "flags", "state"),
    [
        (1, 0, "idle"),
        (2, 0, "running"),
        (3, 0x8, "sleeping"),
        (3, 0x4, "waiting"),
        (4, 0, "stopped"),
        (5, 0, "zombie"),
        (6, 0, "waiting"),
        (7, 0x8, "locked"),
        (9, 0, None),
    ],
)
def test_states_are_words(stat: int, flags: int, state: str | None) -> None:
    """A sleep that no signal ends is ``waiting``; a state nobody knows is unknown."""
    assert one({"ki_stat": stat, "ki_tdflags": flags}).state == state


def test_a_zombie_has_an_exit_status() -> None:
    """The status wait(2) will give, which only a zombie has."""
    assert one({"ki_stat": 5, "ki_xstat": 0}).exit_status == 0
    assert one({"ki_stat": 4, "ki_xstat": 17}).exit_status is None


@pytest.mark.parametrize(
    ("count", "groups"), [(-1, ()), (0, ()), (16, 16 * (7,)), (500, 16 * (7,))]
)
def test_the_group_count_is_not_trusted(count: int, groups: tuple[int, ...]) -> None:
    """A count outside of the array gives what the array has."""
    process = one({"ki_ngroups": count, "ki_groups": 16 * (7,)})
    assert process.groups == groups
    assert process.gid == next(iter(groups), None)


def test_undecodable_names_survive() -> None:
    """Bytes that are no UTF-8 become surrogates; what follows the NUL is not looked at."""
    assert one({"ki_comm": b"caf\xe9\0junk"}).comm == "caf\udce9"


def test_threads_have_ids_and_whole_names() -> None:
    """A row a thread carries tid and name, joined from both halves before it is decoded."""
    record = kinfo_proc(
        "amd64",
        {
            "ki_tid": 100007,
            "ki_tdname": b"fifteen bytes a" + "é".encode()[:1],
            "ki_moretdname": "é".encode()[1:] + b"z",
        },
    )
    sysctl = kernel(record, (1, 14, 8 | 0x10))
    (row,) = procs.from_live(sysctl, "amd64", Tally(), None, ProcOp.PROC, 0, True)
    assert (row.tid, row.thread_name) == (100007, "fifteen bytes aéz")


@pytest.mark.parametrize(
    ("op", "arg", "threads", "mib"),
    [
        (ProcOp.ALL, 5, False, (1, 14, 0)),
        (ProcOp.ALL, 5, True, (1, 14, 0)),
        (ProcOp.PROC, 5, False, (1, 14, 8)),
        (ProcOp.PROC, 5, True, (1, 14, 24)),
        (ProcOp.PID, 5, False, (1, 14, 1, 5)),
        (ProcOp.UID, 0, True, (1, 14, 21, 0)),
    ],
)
def test_the_question_has_the_kernels_form(
    op: ProcOp, arg: int, threads: bool, mib: tuple[int, ...]
) -> None:
    """ALL and PROC take no argument (ENOTDIR otherwise), the others one."""
    sysctl = kernel(kinfo_proc("amd64", {"ki_pid": 5}), mib)
    (row,) = procs.from_live(sysctl, "amd64", Tally(), None, op, arg, threads)
    assert row.pid == 5


def test_only_wanted_fields_are_made() -> None:
    """The pid and what was asked for are there, the rest is None, and no unit is asked for."""
    sysctl = kernel(kinfo_proc("amd64", EVERYTHING))
    (row,) = procs.from_live(sysctl, "amd64", Tally(), ["comm"], ProcOp.PROC, 0, False)
    assert row == Process(pid=4242, comm="nineteen-characters")
    assert [name for name, _ in sysctl.asked] == ["processes"]


def test_more_processes_than_a_chunk() -> None:
    """Each of 2,000 processes comes once, in the kernel's order."""
    data = b"".join(kinfo_proc("i386", {"ki_pid": pid}) for pid in range(2000))
    assert [process.pid for process in read(data, "i386")] == list(range(2000))


@pytest.mark.parametrize("torn", [1, 4, 767])
def test_a_torn_tail_is_left_out(torn: int) -> None:
    """Bytes after the last whole record are no process."""
    record = kinfo_proc("i386", {"ki_pid": 1})
    assert [process.pid for process in read(record + record[:torn], "i386")] == [1]


def test_no_bytes_are_no_processes() -> None:
    """An empty answer is an empty list."""
    assert read(b"") == []


@pytest.mark.parametrize("data", [b"\x01", kinfo_proc("i386", {}), bytes(1088)])
def test_another_struct_size_is_a_format_error(data: bytes) -> None:
    """A kernel whose kinfo_proc is not the table's is refused, at once, with both sizes."""
    with pytest.raises(FormatError, match=r"expected 1088, got \d+.*32-bit"):
        procs.from_live(kernel(data), "amd64", Tally(), None, ProcOp.PROC, 0, False)


@given(st.binary(max_size=2500), st.sampled_from(sorted(MACHINES)))
def test_any_bytes_give_processes_or_a_format_error(data: bytes, machine: str) -> None:
    """Whatever a kernel answers, there is a Process for each whole record, or FormatError."""
    size = kinfo_proc(machine, {})[:4]
    assert len(read(size + data, machine)) == len(size + data) // MACHINES[machine][1]
    if data[:4] not in (b"", size):
        with pytest.raises(FormatError):
            read(data, machine)


def test_a_process_that_is_not_there_is_an_empty_answer() -> None:
    """ESRCH, the answer for gone and for hidden processes, is no failure."""
    tally = Tally()
    sysctl = kernel(errno.ESRCH, (1, 14, 1, 99999))
    assert list(procs.from_live(sysctl, "amd64", tally, None, ProcOp.PID, 99999, False)) == []
    assert tally.counts() == {}


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EPERM, AccessDenied), (errno.ENOENT, Unsupported)]
)
def test_refusals_are_raised_and_counted(number: int, error: type[Exception]) -> None:
    """What the kernel refuses is an error with its cause, and in the tally."""
    tally = Tally()
    with pytest.raises(error) as caught:
        procs.from_live(kernel(number), "amd64", tally, None, ProcOp.PROC, 0, False)
    assert isinstance(caught.value.__cause__, OSError)
    assert tally.counts() == {("kern.proc", errno.errorcode[number]): 1}


def test_a_missing_unit_costs_only_its_fields() -> None:
    """Without kern.fscale there is no percent_cpu, but there are processes."""
    tally = Tally()
    sysctl = kernel(kinfo_proc("amd64", EVERYTHING))
    sysctl.answers["kern.fscale"] = errno.EPERM
    (row,) = procs.from_live(sysctl, "amd64", tally, None, ProcOp.PROC, 0, False)
    assert row == EXPECTED._replace(percent_cpu=None)
    assert tally.counts() == {("kern.fscale", "EPERM"): 1}


@pytest.mark.parametrize(
    ("answer", "name"), [(errno.EPERM, "EPERM"), ((136).to_bytes(8, "little") * 17, "unknown")]
)
def test_files_that_cannot_be_counted_cost_only_the_count(answer: int | bytes, name: str) -> None:
    """A refused kern.file, or an xfile of another release, takes no process away."""
    tally = Tally()
    answers = {"kern.proc.proc": kinfo_proc("amd64", EVERYTHING), "kern.file": answer}
    sysctl = ForgedSysctl(answers, {"kern.proc.proc": (1, 14, 8), "kern.file": (1, 15)})
    wanted = ["pid", "comm", "open_files"]
    (row,) = procs.from_live(sysctl, "amd64", tally, wanted, ProcOp.PROC, 0, False)
    assert (row.pid, row.comm, row.open_files) == (4242, EXPECTED.comm, None)
    assert tally.counts() == {("kern.file", name): 1}
