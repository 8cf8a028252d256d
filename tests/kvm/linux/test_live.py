"""Does this machine's /proc say to us what it says to others?

The other reading is psutil's, the C library's, or what a child that we start was told to be.
What moves is read before and after ours, and ours must lie between.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from kvm_exporter.kvm.errors import AccessDenied, ProcessGone, Unsupported
from kvm_exporter.kvm.live.kcore import Kcore
from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.memory import Memory, Symbols
from kvm_exporter.kvm.objects.linux import LinuxLive, open_live
from kvm_exporter.kvm.objects.model import Process, ProcOp
from kvm_exporter.kvm.objects.system import System
from kvm_exporter.kvm.tally import Tally

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the live Linux kernel")

CHILD = """
import os, resource, signal, sys, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (123, 123))
kept = [open(os.environ["FORGED_FILE"], "rb") for _ in range(3)]
kept[0].seek(5)
for _ in range(2):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
sum(range(3_000_000))
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"""


class Child(NamedTuple):
    """A process that we know: it waits until its standard input is closed."""

    pid: int
    arguments: tuple[str, ...]
    environment: dict[str, str]
    file: Path


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A python with two more threads, three descriptors of one file, and a limit of 123."""
    file = tmp_path_factory.mktemp("child") / "a file"
    file.write_bytes(b"0123456789")
    arguments = (sys.executable, "-I", "-c", CHILD, "", "a b", "ü", "")
    environment = {"FORGED_FILE": str(file), "EMPTY": "", "SIGN": "a=b"}
    with subprocess.Popen(
        arguments,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield Child(process.pid, arguments, environment, file)
        process.kill()


@pytest.fixture
def system() -> System:
    """The running kernel."""
    return open_live(None, write=False).system


def one(system: System, pid: int, *fields: str) -> Process:
    """The row of one process."""
    (row,) = system.processes(fields or None, ProcOp.PID, pid, False)
    return row


def bracketed(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[Any, Any, Any]:
    """Their value, ours, and theirs again."""
    before = theirs()
    value = ours()
    return before, value, theirs()


def test_load(system: System) -> None:
    """The load is getloadavg(3)'s, to the hundredths that /proc shows."""
    for _ in range(100):
        before, ours, after = bracketed(system.load_average, os.getloadavg)
        if before == after:
            break
    assert (ours.one, ours.five, ours.fifteen) == pytest.approx(before, abs=0.011)


def test_swap(system: System) -> None:
    """The devices add up to what sysinfo(2) and vmstat say of all."""
    before, devices, after = bracketed(system.swap_devices, psutil.swap_memory)
    assert sum(device.size_bytes for device in devices) == before.total
    used = sum(device.used_bytes for device in devices)
    low, high = sorted((before.used, after.used))
    # si_swapinfo() leaves out slots that are being freed; devices count them
    assert low - 2**24 <= used <= high + 2**24
    activity = system.swap_activity()
    assert before.sin <= (activity.in_bytes or 0)
    assert before.sout <= (activity.out_bytes or 0)


def test_cpu(system: System) -> None:
    """Each CPU's seconds lie between two readings of psutil's, in every mode."""
    before, ours, after = bracketed(system.cpu_times_per_cpu, lambda: psutil.cpu_times(percpu=True))
    assert len(ours) == len(before)
    for low, times, high in zip(before, ours, after, strict=True):
        for mode in low._fields:
            # idle and iowait may fall by a tick (proc_stat(5))
            slack = 0.5 if mode in ("idle", "iowait") else 0.011
            assert getattr(low, mode) - slack <= getattr(times, mode) <= getattr(high, mode) + slack
    total = system.cpu_times()
    assert total.user >= sum(times.user for times in ours) - 0.011 * len(ours)
    assert total.cpu is None


def test_memory(system: System) -> None:
    """Size is psutil's; the queues are parts of it, and free lies near what psutil saw."""
    before, memory, after = bracketed(system.memory, psutil.virtual_memory)
    assert memory.size_bytes == before.total
    assert sum(memory.queues.values()) <= before.total
    low, high = sorted((before.free, after.free))
    assert low - 2**26 <= memory.queues["free"] <= high + 2**26
    assert memory.counters["pgfault"] > 0
    assert memory.fields["MemTotal"] == before.total


def test_kernel(system: System) -> None:
    """Counters lie between two readings; the boot is when psutil says."""
    before, kernel, after = bracketed(system.kernel, psutil.cpu_stats)
    assert before.ctx_switches <= kernel.context_switches <= after.ctx_switches
    assert before.interrupts <= kernel.interrupts <= after.interrupts
    assert kernel.boot_time_seconds == pytest.approx(psutil.boot_time(), abs=1)
    assert kernel.open_files is None or 0 < kernel.open_files <= kernel.max_files


def test_every_process_is_psutils(system: System) -> None:
    """Each process that lives through three readings has the same parent, user, name and start."""
    names = ["ppid", "uids", "gids", "name", "create_time", "num_threads", "nice"]

    def theirs() -> dict[int, dict[str, Any]]:
        return {p.pid: p.info for p in psutil.process_iter(names, ad_value=None)}

    def ours() -> dict[int, Process]:
        return {p.pid: p for p in system.processes(None, ProcOp.PROC, 0, False)}

    psutil.process_iter.cache_clear()
    before, rows, after = bracketed(ours, theirs)
    steady = [
        pid
        for pid in before
        if pid in after and before[pid]["create_time"] == after[pid]["create_time"]
    ]
    assert os.getpid() in steady
    for pid in steady:
        row, seen = rows[pid], (before[pid], after[pid])
        assert row.ppid in [info["ppid"] for info in seen]
        assert (row.ruid, row.uid, row.svuid) in [tuple(info["uids"] or ()) for info in seen]
        assert (row.rgid, row.gid, row.svgid) in [tuple(info["gids"] or ()) for info in seen]
        name = seen[0]["name"] or ""
        # execve(2) changes a name, and a kworker's goes with what it works on
        if name == seen[1]["name"] and not name.startswith("kworker/"):
            assert name.startswith((row.comm or "")[:15])
        assert row.start_seconds == pytest.approx(seen[0]["create_time"], abs=1.5)
        assert row.nice in [info["nice"] for info in seen]


def test_a_child_is_what_it_was_told_to_be(system: System, child: Child) -> None:
    """Parent, session, users, threads, limit and name of a process that we started."""
    row = one(system, child.pid)
    assert (row.ppid, row.pgid, row.sid) == (os.getpid(), child.pid, child.pid)
    assert (row.ruid, row.uid, row.svuid) == os.getresuid()
    assert (row.rgid, row.gid, row.svgid) == os.getresgid()
    assert sorted(row.groups or ()) == sorted(os.getgroups())
    assert (row.threads, row.max_open_files) == (3, 123)
    assert row.comm == Path(sys.executable).name[:15]
    assert (row.tty, row.nice) == (None, os.getpriority(os.PRIO_PROCESS, 0))


def test_a_stopped_child_is_stopped(system: System, child: Child) -> None:
    """Its state is what a signal made of it."""
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    assert one(system, child.pid, "state").state == "stopped"
    os.kill(child.pid, signal.SIGCONT)
    os.waitid(os.P_PID, child.pid, os.WCONTINUED)
    assert one(system, child.pid, "state").state in ("running", "sleeping")


def test_a_childs_figures_are_psutils(system: System, child: Child) -> None:
    """Its times and switches lie between two readings; what does not move is the same."""
    other = psutil.Process(child.pid)
    row = one(system, child.pid)

    def theirs() -> tuple[float, ...]:
        return (*other.cpu_times()[:2], *other.num_ctx_switches())

    def ours() -> tuple[Any, ...]:
        row = one(system, child.pid)
        times = (row.user_seconds, row.system_seconds)
        return (*times, row.voluntary_switches, row.involuntary_switches)

    for low, value, high in zip(*bracketed(ours, theirs), strict=True):
        assert low <= value <= high
    assert row.user_seconds
    assert row.virtual_bytes == other.memory_info().vms
    assert row.resident_bytes == pytest.approx(other.memory_info().rss, rel=0.05)
    assert row.start_seconds == pytest.approx(other.create_time(), abs=1)
    assert row.open_files == other.num_fds()


def test_a_childs_io_is_its_own(system: System, child: Child) -> None:
    """Bytes of I/O, where this kernel counts them at all."""
    row = one(system, child.pid, "read_bytes", "write_bytes")
    if not hasattr(psutil.Process, "io_counters"):
        assert (row.read_bytes, row.write_bytes) == (None, None)
        return
    io = psutil.Process(child.pid).io_counters()
    assert (row.read_bytes, row.write_bytes) == (io.read_bytes, io.write_bytes)


def test_a_childs_descriptors(system: System, child: Child) -> None:
    """The file it opened three times, its offset and flags, and its pipes."""
    files = list(system.open_files(child.pid))
    assert len(files) == one(system, child.pid, "open_files").open_files
    regular = [file for file in files if file.path == str(child.file)]
    assert len(regular) == 3
    assert {file.kind for file in regular} == {"vnode"}
    assert all((file.flags or 0) & os.O_ACCMODE == os.O_RDONLY for file in regular)
    assert {file.kind for file in files if file.fd in (0, 1)} == {"pipe"}


def test_a_childs_arguments_and_environment(system: System, child: Child) -> None:
    """As they were given to execve(2), empty ones too."""
    assert system.arguments(child.pid) == child.arguments
    assert dict(entry.split("=", 1) for entry in system.environment(child.pid)) == (
        child.environment
    )
    assert system.executable(child.pid) == os.path.realpath(sys.executable)


def test_a_childs_threads(system: System, child: Child) -> None:
    """A row a thread; their number names no process."""
    rows = list(system.processes(None, ProcOp.PID, child.pid, True))
    assert sorted(row.tid or 0 for row in rows) == sorted(
        thread.id for thread in psutil.Process(child.pid).threads()
    )
    assert {row.pid for row in rows} == {child.pid}
    assert list(system.processes(["pid"], ProcOp.PID, rows[-1].tid or 0, False)) == []


@pytest.mark.parametrize("op", [ProcOp.PGRP, ProcOp.SESSION, ProcOp.PID])
def test_a_child_is_found_by_its_group(system: System, child: Child, op: ProcOp) -> None:
    """Alone in its session, it is the only one that is chosen."""
    rows = system.processes(["pid"], op, child.pid, False)
    assert [row.pid for row in rows] == [child.pid]


def test_processes_of_a_user(system: System, child: Child) -> None:
    """All of them are that user's, and the child is among them."""
    rows = list(system.processes(["uid", "ruid"], ProcOp.UID, os.geteuid(), False))
    assert child.pid in [row.pid for row in rows]
    assert {row.uid for row in rows} == {os.geteuid()}


def test_our_own_threads_are_named(system: System) -> None:
    """A thread that sets its name shows it, beside its process's."""
    done = threading.Event()
    named = threading.Event()

    def run() -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text("a (thread")
        named.set()
        done.wait()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert named.wait(10)
    rows = list(system.processes(["comm", "thread_name"], ProcOp.PID, os.getpid(), True))
    done.set()
    thread.join()
    names = {row.tid: row.thread_name for row in rows}
    assert names[thread.native_id] == "a (thread"
    assert {row.comm for row in rows} == {Path("/proc/self/comm").read_text().rstrip("\n")}


def test_the_limit_is_the_same_either_way(system: System, child: Child, tmp_path: Path) -> None:
    """prlimit(2) and /proc/PID/limits agree."""
    (tmp_path / str(child.pid)).symlink_to(f"/proc/{child.pid}")
    by_file = LinuxLive(Procfs(str(tmp_path)), Tally())
    for fields in (["max_open_files"], ["open_files"]):
        assert one(by_file, child.pid, *fields) == one(system, child.pid, *fields)
    assert resource.prlimit(child.pid, resource.RLIMIT_NOFILE)[0] == 123


def test_a_process_that_ended(system: System) -> None:
    """Neither listed nor readable."""
    with subprocess.Popen(["true"]) as process:
        pid = process.pid
    assert list(system.processes(None, ProcOp.PID, pid, False)) == []
    with pytest.raises(ProcessGone):
        system.arguments(pid)
    with pytest.raises(ProcessGone):
        list(system.open_files(pid))


def test_a_zombie_is_a_process(system: System) -> None:
    """It has a state and a parent, and no arguments, environment or program."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    row = one(system, process.pid)
    assert (row.state, row.ppid, row.swap_bytes) == ("zombie", os.getpid(), None)
    assert system.arguments(process.pid) == ()
    assert system.executable(process.pid) is None
    process.wait()


def test_a_missing_memory_is_no_missing_kernel() -> None:
    """kvm.open() works wherever /proc does, and says what it cannot do when asked."""
    opened = open_live("/dev/null", write=False)
    system, memory, symbols, tally = opened.system, opened.memory, opened.symbols, opened.tally
    typed: tuple[Memory, Symbols] = (memory, symbols)
    assert (system.name, typed[0]) == ("linux", memory)
    assert system.page_size == resource.getpagesize()
    assert tally.counts() == {}
    with pytest.raises(Unsupported, match="/dev/null"):
        memory.read(0x1000, 1)
    with pytest.raises(Unsupported, match="not written"):
        memory.write(0x1000, b"x")
    memory.close()


def test_mounts_are_what_the_c_library_says(system: LinuxLive) -> None:
    """Every mounted path is one; the root's size is statvfs's."""
    found = {mount.path: mount for mount in system.mounts()}
    assert all(os.path.ismount(path) for path in found if os.access(path, os.F_OK))
    room = os.statvfs("/")
    assert found["/"].size_bytes == room.f_blocks * room.f_frsize
    assert found["/"].files == room.f_files
    assert {one.mountpoint for one in psutil.disk_partitions(all=False)} <= set(found)


def test_interfaces_count_as_psutil_counts(system: LinuxLive) -> None:
    """Between one reading of it and the next."""
    before = psutil.net_io_counters(pernic=True, nowrap=False)
    ours = {one.name: one for one in system.interfaces()}
    after = psutil.net_io_counters(pernic=True, nowrap=False)
    assert set(ours) == set(before)
    for name, early in before.items():
        late, one = after[name], ours[name]
        assert early.bytes_recv <= one.rx_bytes <= late.bytes_recv
        assert early.packets_sent <= one.tx_packets <= late.packets_sent
        assert early.errin <= one.rx_errors <= late.errin
        assert early.dropout <= one.tx_dropped <= late.dropout


def test_life_is_what_psutil_says(system: LinuxLive) -> None:
    """Boot by the wall clock, uptime since; it has not died."""
    found = system.life()
    assert found.boot_time_seconds == pytest.approx(psutil.boot_time(), abs=2)
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    uptime = system.life().uptime_seconds
    assert before - 0.01 <= uptime <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert (found.death_time_seconds, found.panic) == (None, None)


def test_the_log_is_readable(system: LinuxLive) -> None:
    """Lines with a time before them."""
    try:
        text = system.message_buffer()
    except (AccessDenied, Unsupported) as error:
        pytest.skip(str(error))
    assert re.match(r"\[ *[0-9]+\.[0-9]{6}\] ", text)


@pytest.mark.parametrize("core", ["/dev/mem", "/dev/kmem"])
def test_other_devices_are_not_linuxs(core: str) -> None:
    """The error names the file that is."""
    with pytest.raises(Unsupported, match="/proc/kcore"):
        open_live(core, write=False)


def test_writing_is_refused_at_once() -> None:
    """Linux has nothing to write to."""
    with pytest.raises(Unsupported, match="read"):
        open_live(None, write=True)


def test_kernel_memory_where_it_can_be_read() -> None:
    """Text is there, and linux_banner is /proc/version's; else the error says why not."""
    opened = open_live(None, write=False)
    memory, symbols = opened.memory, opened.symbols
    assert isinstance(memory, Kcore)
    try:
        text, banner = symbols.lookup(["_stext", "linux_banner"])  # data only in some kernels
        assert text is not None
        assert len(memory.read(text.value, 64)) == 64
        start = memory.read(banner.value, 40) if banner else b""
    except (AccessDenied, Unsupported):
        start = b""
    finally:
        memory.close()
    assert Path("/proc/version").read_bytes().startswith(start)
