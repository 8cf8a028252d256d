"""Do kvm(3)'s names keep its return codes, its texts, and none of its defects?"""

from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from fakes.world import WorldTypes
from forge import cdecl, freebsd_facts
from forge.kinfo import kinfo_proc, xfile
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm import compat, handle
from kvm_exporter.kvm.abi import NATIVE
from kvm_exporter.kvm.errors import TypeMissing, Unsupported
from kvm_exporter.kvm.handle import Kvm
from kvm_exporter.kvm.libkvm import opening
from kvm_exporter.kvm.libkvm.descriptor import Descriptor
from kvm_exporter.kvm.live.devmem import DeviceMemory, NoMemory
from kvm_exporter.kvm.live.kldsym import Found, KldSymbols
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.objects.opened import Opened
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.lazy import LazyTypes
from kvm_exporter.kvm.types.model import Types

POINTER = struct.calcsize("P")

# where the forged kernel keeps its variables
SYMBOLS = {
    "mp_maxcpus": 0x100,
    "mp_ncpus": 0x104,
    "mp_maxid": 0x108,
    "cpuid_to_pcpu": 0x200,
    "__pcpu": 0x300,
    "dpcpu_off": 0x400,
    "__start_set_pcpu": 0x600,
    "__stop_set_pcpu": 0x700,
    "pcpu_entry_tdq": 0x640,
}
PCPU = {0: 0x4000, 3: 0x6000}
COPIES = 0x8000
"""A per-CPU allocation, with a copy a page from there."""


def pointers(*values: int) -> bytes:
    """An array of the host's pointers."""
    return struct.pack(f"@{len(values)}P", *values)


def kernel_memory() -> bytes:
    """64 KiB of a kernel that could have 8 CPUs and has CPU 0 and CPU 3."""
    memory = bytearray(0x10000)
    pieces: Mapping[int, bytes] = {
        0x100: struct.pack("@iii", 8, 2, 3),
        0x200: pointers(PCPU[0], 0, 0, PCPU[3], 0, 0, 0, 0),
        0x300: pointers(0x20000),
        0x400: pointers(0x10, 0, 0, 0x2000, 0, 0, 0, 0),
        PCPU[0]: b"pcpu of CPU 0",
        PCPU[3]: b"pcpu of CPU 3",
        COPIES: struct.pack("@Q", 5),
        COPIES + 0x1000: struct.pack("@Q", 1000),
        COPIES + 0x2000: struct.pack("@Q", 1000),
        COPIES + 0x3000: struct.pack("@Q", 2**64 - 1),
    }
    for at, data in pieces.items():
        memory[at : at + len(data)] = data
    return bytes(memory)


def sysctls(machine: str = "amd64", arch: str = "amd64") -> ForgedSysctl:
    """What every descriptor asks for, and two processes."""
    processes = b"".join(
        kinfo_proc("amd64", {"ki_pid": pid, "ki_comm": b"p", "ki_stat": 2}) for pid in (1, 2)
    )
    answers = {
        "hw.machine": f"{machine}\0".encode(),
        "hw.machine_arch": f"{arch}\0".encode(),
        "hw.pagesize": struct.pack("=i", 4096),
        "kern.fscale": struct.pack("=i", 2048),
        "kern.version": b"FreeBSD\n\0",
        "kern.ostype": b"FreeBSD\0",
        "kern.hostname": b"h\0",
        "kern.osrelease": b"15.1\0",
        "kern.cp_time": struct.pack("@5l", 1, 2, 3, 4, 5),
        "kern.proc.proc": processes,
        "kern.proc.proc_td": processes * 2,
        "kern.proc.pgrp.7": b"",
        "kern.proc.args.1": b"cmd\0\0arg two\0",
        "kern.proc.args.2": b"",
        "kern.proc.env.1": 1,
        "kern.proc.env.2": 3,
        "kern.proc.pid.9": 3,
        "kern.file": xfile({"xf_pid": 1, "xf_type": 1}),
    }
    ops = {"proc": 8, "proc_td": 24, "pgrp.7": 2, "args.1": 7, "args.2": 7, "pid.9": 1}
    numbers = {**ops, "env.1": 35, "env.2": 35}
    mibs = {"kern.file": (1, 15)}
    for name, number in numbers.items():
        last = name.rpartition(".")[2]
        mibs[f"kern.proc.{name}"] = (1, 14, number, *((int(last),) if last.isdigit() else ()))
    return ForgedSysctl(answers, mibs)


Make = Callable[..., Descriptor]


def no_types() -> NoReturn:
    """A kernel's file that cannot be read."""
    raise TypeMissing("nobody knows")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A maker of descriptors around a forged kernel whose /dev/kmem is a file."""
    kmem = tmp_path / "kmem"
    kmem.write_bytes(kernel_memory())

    def made(
        sysctl: ForgedSysctl | None = None,
        symbols: Mapping[str, int] | None = None,
        program: str | None = None,
        *,
        writable: bool = False,
        memoryless: bool = False,
        device_name: Callable[[int], str] = {0x33: "vtbd4", 0x34: "vtbd5"}.__getitem__,
        types: Types | None = None,
    ) -> Descriptor:
        table = SYMBOLS if symbols is None else symbols
        tally = Tally()

        def find(name: bytes) -> Found | None:
            return Found(table[name.decode()], 8) if name.decode() in table else None

        system = FreeBSDLive(sysctl or sysctls(), device_name, tally)
        memory = NoMemory() if memoryless else DeviceMemory(str(kmem), writable=writable)
        symbols = KldSymbols(find, memory, tally)
        target = Target(memory, symbols, types or LazyTypes(no_types), NATIVE, tally)
        kvm = Kvm(Opened(system, memory, symbols, tally, memory.close, target))
        return Descriptor(kvm, program, writable=writable, memoryless=memoryless)

    return made


# opening


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((None, "/dev/null", None, os.O_WRONLY), "bad flags arg"),
        ((None, "/dev/null", None, os.O_RDWR | os.O_CREAT), "bad flags arg"),
        (("k" * 1024, "/dev/null", None, 9), "exec file name too long"),
        ((None, "/nonexistent/vmcore", None, 0), "/nonexistent/vmcore: No such file or directory"),
    ],
)
def test_failed_opens_tell_why_in_their_way(
    arguments: tuple[str | None, str, None, int], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Openfiles and open2 fill errbuf and print nothing; open prints, if it has a name to say."""
    execfile, core, swap, flags = arguments
    first: list[str] = ["old"]
    second: list[str] = []
    assert compat.kvm_openfiles(execfile, core, swap, flags, first) is None
    assert compat.kvm_open2(execfile, core, flags, second) is None
    assert first == second == [text]
    assert compat.kvm_open(*arguments) is None
    assert capsys.readouterr().err == ""
    assert compat.kvm_open(*arguments, "prog") is None
    assert capsys.readouterr().err == f"prog: {text}\n"


def test_an_empty_core_is_an_error(tmp_path: Path) -> None:
    """An empty file is EINVAL, as in libkvm."""
    core = tmp_path / "vmcore.0"
    core.write_bytes(b"")
    errbuf: list[str] = []
    assert compat.kvm_openfiles(None, str(core), None, os.O_RDONLY, errbuf) is None
    assert errbuf == ["empty file: Invalid argument"]


def test_freebsds_devices_are_tried_at_once(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a core, /dev/mem and then /dev/kmem must open, as libkvm's callers expect."""
    mem, kmem = tmp_path / "mem", tmp_path / "kmem0"
    monkeypatch.setattr(opening, "DEV_MEM", str(mem))
    monkeypatch.setattr(opening, "DEV_KMEM", str(kmem))
    monkeypatch.setattr(handle, "open", lambda _kernel, _core, *, write: make(writable=write).kvm)
    errbuf: list[str] = []
    assert compat.kvm_openfiles(None, None, None, os.O_RDONLY, errbuf) is None
    assert errbuf == [f"{mem}: No such file or directory"]
    mem.write_bytes(b"x")
    assert compat.kvm_openfiles(None, None, None, os.O_RDONLY, errbuf) is None
    assert errbuf == [f"{kmem}: No such file or directory"]
    kmem.write_bytes(b"x")
    kd = compat.kvm_openfiles(None, None, None, os.O_RDWR, errbuf)
    assert kd is not None
    assert (kd.writable, kd.memoryless) == (True, False)


def test_closing() -> None:
    """-1 for NULL; and its error is the empty text."""
    assert compat.kvm_close(None) == -1
    assert compat.kvm_geterr(None) == ""


def test_this_machine_through_the_old_names() -> None:
    """On the running kernel: open, load, this very process and its arguments, close."""
    kd = compat.kvm_openfiles(None, "/dev/null", None, os.O_RDONLY, errbuf := [])
    assert kd is not None, errbuf
    load = [-1.0] * 4
    assert compat.kvm_getloadavg(kd, load, 4) == 3
    assert min(load[:3]) >= 0
    assert load[3] == -1.0
    found = compat.kvm_getprocs(kd, compat.KERN_PROC_PID, os.getpid())
    assert found is not None
    assert [(process.pid, process.ppid) for process in found] == [(os.getpid(), os.getppid())]
    assert compat.kvm_getargv(kd, found[0])
    assert compat.kvm_getprocs(kd, compat.KERN_PROC_PID, 2**22 + 1) is None
    assert compat.kvm_geterr(kd) == "kvm_getprocs: No such process"
    assert compat.kvm_getcptime(kd, ticks := []) == 0
    assert len(ticks) == 5
    # FreeBSD keeps the number in memory, and /dev/null has none
    assert compat.kvm_getncpus(kd) == (os.cpu_count() if sys.platform == "linux" else -1)
    assert compat.kvm_native(kd) == 1
    assert compat.kvm_close(kd) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="what FreeBSD has and Linux has not")
def test_what_linux_cannot_serve_is_unsupported() -> None:
    """Per-CPU data and the displacement raise Unsupported by name, and are no -1 to be misread."""
    kd = compat.kvm_openfiles(None, "/dev/null")
    assert kd is not None
    calls: dict[str, Callable[[], object]] = {
        "kvm_kerndisp": lambda: compat.kvm_kerndisp(kd),
        "kvm_getmaxcpu": lambda: compat.kvm_getmaxcpu(kd),
        "kvm_getpcpu": lambda: compat.kvm_getpcpu(kd, 0),
        "kvm_dpcpu_setcpu": lambda: compat.kvm_dpcpu_setcpu(kd, 0),
        "kvm_read_zpcpu": lambda: compat.kvm_read_zpcpu(kd, 0, bytearray(8), 8, 0),
        "kvm_counter_u64_fetch": lambda: compat.kvm_counter_u64_fetch(kd, 0),
    }
    for name, call in calls.items():
        with pytest.raises(Unsupported, match=name):
            call()


# errors


def test_errors_are_of_the_last_call(make: Make) -> None:
    """A call that succeeds leaves no text of an earlier one behind."""
    kd = make()
    assert compat.kvm_getprocs(kd, compat.KERN_PROC_PID, 9) is None
    assert compat.kvm_geterr(kd) == "kvm_getprocs: No such process"
    assert compat.kvm_getprocs(kd, compat.KERN_PROC_PGRP, 7) == []
    assert compat.kvm_geterr(kd) == ""


def test_errors_of_kvm_open_are_printed(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """With errstr an error goes to standard error behind it, and kvm_geterr has none."""
    kd = make(program="ps")
    assert compat.kvm_getprocs(kd, compat.KERN_PROC_PID, 9) is None
    assert capsys.readouterr().err == "ps: kvm_getprocs: No such process\n"
    assert compat.kvm_geterr(kd) == ""


def test_addresses_that_cannot_be_read_print_nothing(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even with errstr a failed read or write is kvm_geterr's; a short one is printed."""
    kd = make(program="gdb")
    assert compat.kvm_read(kd, 0x10000, bytearray(8), 8) == -1
    assert compat.kvm_geterr(kd) == "kvm_read: Bad address"
    assert compat.kvm_write(kd, 0, b"x") == -1
    assert compat.kvm_geterr(kd) == "kvm_write: Bad file descriptor"
    assert capsys.readouterr().err == ""
    assert compat.kvm_read(kd, 0x10000 - 3, bytearray(8), 8) == 3
    assert capsys.readouterr().err == "gdb: short read\n"


# processes


def test_getprocs_by_op(make: Make) -> None:
    """With INC_THREAD the kernel is asked for threads; what is no op is ENOENT, as in sysctl."""
    kd = make()
    assert [p.pid for p in compat.kvm_getprocs(kd, compat.KERN_PROC_PROC, 0) or ()] == [1, 2]
    threads = compat.kvm_getprocs(kd, compat.KERN_PROC_PROC | compat.KERN_PROC_INC_THREAD, 0)
    assert threads is not None
    assert [p.tid for p in threads] == [0, 0, 0, 0]
    assert compat.kvm_getprocs(kd, 99, 0) is None
    assert compat.kvm_geterr(kd) == "kvm_getprocs: No such file or directory"


def test_getprocs_of_another_release(make: Make) -> None:
    """A kinfo_proc of another size is libkvm's error text, with both sizes."""
    sysctl = sysctls()
    sysctl.answers["kern.proc.proc"] = kinfo_proc("i386", {})
    kd = make(sysctl)
    assert compat.kvm_getprocs(kd, compat.KERN_PROC_PROC, 0) is None
    assert compat.kvm_geterr(kd).startswith("kinfo_proc size mismatch (expected 1088, got 768)")


def test_argv_and_its_limit(make: Make) -> None:
    """Empty arguments count; nchr cuts the bytes, NULs included, and leaves room for the last."""
    kd = make()
    first, second = compat.kvm_getprocs(kd, compat.KERN_PROC_PROC, 0) or ()
    assert compat.kvm_getargv(kd, first) == ["cmd", "", "arg two"]
    assert compat.kvm_getargv(kd, first, 1000) == ["cmd", "", "arg two"]
    assert compat.kvm_getargv(kd, first, 9) == ["cmd", "", "arg"]
    assert compat.kvm_getargv(kd, first, 1) == [""]
    assert compat.kvm_getargv(kd, second) is None
    assert compat.kvm_geterr(kd) == ""


def test_envv_refused_or_gone(make: Make) -> None:
    """NULL with the errno's text, which libkvm leaves out."""
    kd = make()
    first, second = compat.kvm_getprocs(kd, compat.KERN_PROC_PROC, 0) or ()
    assert compat.kvm_getenvv(kd, first) is None
    assert compat.kvm_geterr(kd) == "kvm_getenvv: Operation not permitted"
    assert compat.kvm_getenvv(kd, second) is None
    assert compat.kvm_geterr(kd) == "kvm_getenvv: No such process"


def test_files(make: Make) -> None:
    """Every open file, whatever the predicate."""
    kd = make()
    assert [(f.pid, f.kind) for f in compat.kvm_getfiles(kd, 15, 0) or ()] == [(1, "vnode")]


def test_recorded_processes_are_as_many_as_libkvm_counted(make: Make) -> None:
    """The real libkvm's counts and texts, op by op, from the same machine's sysctls."""
    printed = freebsd_facts.text("libkvm-live-root.txt.gz")
    kd = make(freebsd_facts.sysctl("root"))
    for name, value, threads, arg, count, text in re.findall(
        r"^getprocs KERN_PROC_(([A-Z]+)(\|INC_THREAD)?) arg=(\d+) cnt=(-?\d+) ?(?:err=(.*))?$",
        printed,
        re.MULTILINE,
    ):
        op = getattr(compat, f"KERN_PROC_{value}")
        flag = compat.KERN_PROC_INC_THREAD if threads else 0
        found = compat.kvm_getprocs(kd, op | flag, int(arg))
        assert compat.kvm_geterr(kd) == text
        # one process of nobody's more was there when the sysctls were read
        assert abs((-1 if found is None else len(found)) - int(count)) <= 1, name


# load, CPU time, swap


def test_loadavg_gives_at_most_three(make: Make) -> None:
    """As many as there is room for, into the caller's list, and no more than the kernel has."""
    kd = make(freebsd_facts.sysctl("root"))
    load = [9.0] * 4
    assert compat.kvm_getloadavg(kd, load, 2) == 2
    assert load[2:] == [9.0, 9.0]
    assert compat.kvm_getloadavg(kd, load, 10) == 3
    assert load[3] == 9.0
    assert compat.kvm_getloadavg(kd, [], 0) == 0


def test_loadavg_that_cannot_be_had(make: Make) -> None:
    """-1, and a text."""
    kd = make()
    assert compat.kvm_getloadavg(kd, [], 3) == -1
    assert compat.kvm_geterr(kd) == "kvm_getloadavg: No such file or directory"


def test_cptime_is_in_the_kernels_ticks(make: Make) -> None:
    """The five longs of kern.cp_time, not seconds; None clears a cache that is not there."""
    kd = make()
    ticks = [0] * 5
    assert compat.kvm_getcptime(kd, ticks) == 0
    assert ticks == [1, 2, 3, 4, 5]
    assert compat.kvm_getcptime(None, ticks) == 0


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (2, "cannot read sysctl kern.cp_time:No such file or directory"),
        (b"short", "sysctl kern.cp_time has unexpected size"),
    ],
)
def test_cptime_errors(make: Make, answer: bytes | int, text: str) -> None:
    """Libkvm's texts for a sysctl that fails and one of another size."""
    sysctl = sysctls()
    sysctl.answers["kern.cp_time"] = answer
    kd = make(sysctl)
    assert compat.kvm_getcptime(kd, []) == -1
    assert compat.kvm_geterr(kd) == text


@pytest.mark.parametrize(
    ("swap_max", "count", "names"),
    [(5, 2, ["vtbd4", "vtbd5", ""]), (2, 1, ["vtbd4", ""]), (1, 0, [""]), (0, -1, [])],
)
def test_swapinfo_leaves_room_for_the_total(
    make: Make, swap_max: int, count: int, names: list[str]
) -> None:
    """At most max - 1 devices; the total behind them is not counted, and is of all devices."""
    kd = make(freebsd_facts.sysctl("root"))
    swap: list[compat.KvmSwap] = []
    assert compat.kvm_getswapinfo(kd, swap, swap_max, 0) == count
    assert [row.ksw_devname for row in swap] == names
    if swap:
        assert swap[-1].ksw_total == 40896


def test_swapinfo_is_what_libkvm_printed(make: Make) -> None:
    """Pages without the first dmmax, device flags, and /dev/ only when asked for."""
    printed = re.findall(
        r"^swap \d dev=(\S*) used=(\d+) total=(\d+) flags=(\w+)$",
        freebsd_facts.text("libkvm-live-root.txt.gz"),
        re.MULTILINE,
    )
    swap: list[compat.KvmSwap] = []
    assert compat.kvm_getswapinfo(make(freebsd_facts.sysctl("root")), swap, 9, 0) == 2
    rows = [(row.ksw_devname, row.ksw_used, row.ksw_total, row.ksw_flags) for row in swap]
    assert rows == [(d, int(u), int(t), int(f, 0)) for d, u, t, f in printed]
    kd = make(freebsd_facts.sysctl("root"))
    assert compat.kvm_getswapinfo(kd, swap, 9, compat.SWIF_DEV_PREFIX) == 2
    assert [row.ksw_devname for row in swap[:2]] == ["/dev/vtbd4", "/dev/vtbd5"]
    assert compat.kvm_getswapinfo(None, swap, 9, 0) == 0


@pytest.mark.parametrize(
    ("name", "answer", "text"),
    [
        ("vm.dmmax", 2, "cannot read sysctl vm.dmmax:No such file or directory"),
        ("vm.dmmax", b"12345678", "sysctl vm.dmmax has unexpected size"),
        ("vm.swap_info.1", 1, "cannot read sysctl: Operation not permitted."),
        ("vm.swap_info.1", b"short", "sysctl vm.swap_info.1: 5 bytes, but struct xswdev has 32"),
    ],
)
def test_swapinfo_errors(make: Make, name: str, answer: bytes | int, text: str) -> None:
    """-1, nothing filled in, and libkvm's text, or where it has only a riddle, ours."""
    sysctl = freebsd_facts.sysctl("root")
    sysctl.answers[name] = answer
    kd = make(sysctl)
    swap: list[compat.KvmSwap] = []
    assert compat.kvm_getswapinfo(kd, swap, 9, 0) == -1
    assert compat.kvm_geterr(kd).startswith(text)
    assert swap == []


def test_a_swap_device_without_a_name(make: Make) -> None:
    """Its number, behind /dev/ if that is asked for, as libkvm has it."""
    kd = make(freebsd_facts.sysctl("root"), device_name="#C:{:#x}".format)
    swap: list[compat.KvmSwap] = []
    for flags, names in ((0, ["#C:0x33", "#C:0x34"]), (2, ["/dev/#C:0x33", "/dev/#C:0x34"])):
        assert compat.kvm_getswapinfo(kd, swap, 9, flags) == 2
        assert [row.ksw_devname for row in swap[:2]] == names


# symbols and memory


def test_nlist_is_what_libkvm_found(make: Make) -> None:
    """Of 141 names the same 25 are missing; the others have type 4 and the recorded values."""
    printed = freebsd_facts.text("libkvm-live-root.txt.gz")
    lines = re.findall(r"^nl (\S+) type=(\d+) .*value=(\w+)$", printed, re.MULTILINE)
    table = {name.removeprefix("_"): int(value, 0) for name, kind, value in lines if kind != "0"}
    kd = make(symbols=table)
    nl = [compat.Nlist(name, 9, 9, 9, 9) for name, _, _ in lines]
    assert compat.kvm_nlist(kd, nl) == 25
    assert compat.kvm_geterr(kd) == "kvm_nlist: No such file or directory"
    expected = [(int(kind), 0, 0, int(value, 0)) for _, kind, value in lines]
    assert [(n.n_type, n.n_other, n.n_desc, n.n_value) for n in nl] == expected


def test_nlist_ends_at_the_first_nameless_entry(make: Make) -> None:
    """As in C, what follows an empty name is not looked at; no names are none missing."""
    kd = make()
    nl = [compat.Nlist("mp_ncpus"), compat.Nlist(None), compat.Nlist("mp_maxid", 1, 1, 1, 1)]
    assert compat.kvm_nlist2(kd, nl) == 0
    assert nl[0].n_value == 0x104
    assert nl[2] == compat.Nlist("mp_maxid", 1, 1, 1, 1)
    assert compat.kvm_nlist(kd, []) == 0


def test_reading(make: Make) -> None:
    """The count, into the buffer's start; less at the end of memory is short, none is EFAULT."""
    kd = make()
    buf = bytearray(b"........")
    assert compat.kvm_read(kd, PCPU[0], buf, 4) == 4
    assert buf == b"pcpu...."
    assert compat.kvm_geterr(kd) == ""
    assert compat.kvm_read2(kd, 0x10000 - 3, memoryview(buf), 8) == 3
    assert buf == b"\0\0\0u...."
    assert compat.kvm_geterr(kd) == "short read"
    for address in (0x10000, 2**64):
        assert compat.kvm_read(kd, address, buf, 8) == -1
        assert compat.kvm_geterr(kd) == "kvm_read: Bad address"
    with pytest.raises(ValueError, match="no room"):
        compat.kvm_read(kd, 0, buf, 9)


def test_a_handle_without_memory_reads_nothing(make: Make) -> None:
    """With /dev/null as the core a read gives 0 bytes, and per-CPU data -1, as libkvm printed."""
    kd = make(memoryless=True)
    assert compat.kvm_read(kd, 0x100, bytearray(4), 4) == 0
    assert compat.kvm_geterr(kd) == "short read"
    assert compat.kvm_getmaxcpu(kd) == -1
    assert compat.kvm_geterr(kd) == "cannot read mp_maxcpus"
    assert compat.kvm_dpcpu_setcpu(kd, 0) == -1
    assert compat.kvm_geterr(kd) == "kvm_dpcpu_setcpu: init failed"


def test_writing(make: Make) -> None:
    """What is written can be read; a handle for reading is EBADF."""
    kd = make(writable=True)
    assert compat.kvm_write(kd, 0x50, b"abcdef", 4) == 4
    buf = bytearray(6)
    assert compat.kvm_read(kd, 0x50, buf, 6) == 6
    assert buf == b"abcd\0\0"
    reader = make()
    assert compat.kvm_write(reader, 0x50, b"abcdef") == -1
    assert compat.kvm_geterr(reader) == "kvm_write: Bad file descriptor"


def test_pages_of_a_running_kernel_are_not_walked(make: Make) -> None:
    """0, without a call of the callback, where libkvm crashes."""
    assert compat.kvm_walk_pages(make(), lambda _page, _closure: pytest.fail("called")) == 0


def test_displacement(make: Make) -> None:
    """Relocated less linked base; 0 and a text where the kernel does not tell."""
    sysctl = sysctls()
    kd = make(sysctl)
    assert compat.kvm_kerndisp(kd) == 0
    missing = "failed to get kernel base address: No such file or directory"
    assert compat.kvm_geterr(kd) == missing
    sysctl.answers["kern.base_address"] = struct.pack("@L", 0x200000)
    assert compat.kvm_kerndisp(kd) == 0
    assert compat.kvm_geterr(kd) == missing.replace("kernel", "relocated kernel")
    sysctl.answers["kern.relbase_address"] = struct.pack("@L", 0x100000)
    assert compat.kvm_kerndisp(kd) == -0x100000
    assert compat.kvm_geterr(kd) == ""


# per-CPU data


def test_cpus_need_no_host_name(make: Make) -> None:
    """What uname(3) is refused is nothing to per-CPU data."""
    sysctl = sysctls()
    sysctl.answers["kern.hostname"] = 1
    assert compat.kvm_getmaxcpu(make(sysctl)) == 8


def test_cpus_are_counted(make: Make) -> None:
    """Possible and present CPUs are two numbers; None clears a cache that is not there."""
    kd = make()
    assert compat.kvm_getmaxcpu(kd) == 8
    assert compat.kvm_getncpus(kd) == 2
    assert compat.kvm_getmaxcpu(None) == 0


def test_pcpu_of_present_and_absent_cpus(make: Make) -> None:
    """A page of struct pcpu on amd64; None for a gap and past the end, without an error."""
    kd = make()
    pcpu = compat.kvm_getpcpu(kd, 3)
    assert isinstance(pcpu, bytes)
    assert pcpu.startswith(b"pcpu of CPU 3")
    assert len(pcpu) == 4096
    assert [compat.kvm_getpcpu(kd, cpu) for cpu in (1, 8, 1024, -1)] == [None] * 4
    assert compat.kvm_geterr(kd) == ""
    assert compat.kvm_getpcpu(None, 0) is None


def test_pcpu_of_the_size_that_the_kernel_tells(make: Make) -> None:
    """Where its types are known; copies are where struct pcpu says, then, and not a page apart."""
    declared = cdecl.Declarations("struct pcpu { char pc_name[16]; uintptr_t pc_zpcpu_offset; };")
    kd = make(types=WorldTypes(declared))
    assert compat.kvm_getpcpu(kd, 3) == b"pcpu of CPU 3".ljust(24, b"\0")
    buf = bytearray(13)
    assert compat.kvm_read_zpcpu(kd, PCPU[3], buf, 13, 0) == 13
    assert buf == b"pcpu of CPU 3"
    assert compat.kvm_read_zpcpu(kd, PCPU[3], buf, 13, 1) == -1


def test_pcpu_of_another_size(make: Make) -> None:
    """On arm64 struct pcpu is no page."""
    pcpu = compat.kvm_getpcpu(make(sysctls("arm64", "aarch64")), 0)
    assert isinstance(pcpu, bytes)
    assert len(pcpu) == 512


@pytest.mark.parametrize("name", ["cpuid_to_pcpu", "mp_maxcpus"])
def test_missing_pcpu_symbols(make: Make, name: str) -> None:
    """-1 and libkvm's text."""
    kd = make(symbols={known: at for known, at in SYMBOLS.items() if known != name})
    assert compat.kvm_getpcpu(kd, 0) == -1
    assert compat.kvm_geterr(kd) == f"unable to find {name}"
    assert compat.kvm_getmaxcpu(kd) == -1


def test_unreadable_pcpu(make: Make) -> None:
    """A number of CPUs that cannot be read, or believed, is an error and not an allocation."""
    kd = make(symbols={**SYMBOLS, "mp_maxcpus": 0x20000})
    assert compat.kvm_getmaxcpu(kd) == -1
    assert compat.kvm_geterr(kd) == "cannot read mp_maxcpus"
    kd = make(symbols={**SYMBOLS, "mp_maxcpus": COPIES + 0x3000})
    assert compat.kvm_getmaxcpu(kd) == -1
    assert compat.kvm_geterr(kd) == "mp_maxcpus cannot be -1"


def test_setcpu_moves_per_cpu_names(make: Make) -> None:
    """A bare name is the chosen CPU's copy; an absent CPU is refused and changes nothing."""
    kd = make()
    nl = [compat.Nlist("tdq"), compat.Nlist("pcpu_entry_tdq")]
    for cpu, value in ((0, 0x650), (3, 0x2640)):
        assert compat.kvm_dpcpu_setcpu(kd, cpu) == 0
        assert compat.kvm_nlist(kd, nl) == 0
        assert [entry.n_value for entry in nl] == [value, 0x640]
    for cpu, text in ((1, "1 not found"), (8, "8 too big"), (-1, "4294967295 too big")):
        assert compat.kvm_dpcpu_setcpu(kd, cpu) == -1
        assert compat.kvm_geterr(kd) == f"_kvm_dpcpu_setcpu: CPU {text}"
    assert compat.kvm_nlist(kd, nl) == 0
    assert nl[0].n_value == 0x2640


@pytest.mark.parametrize(
    ("machine", "arch", "base"),
    [("amd64", "amd64", (COPIES - 0x20000) % 2**64), ("arm64", "aarch64", COPIES)],
)
def test_per_cpu_copies_lie_a_page_apart(make: Make, machine: str, arch: str, base: int) -> None:
    """A counter is the sum over the CPUs that are there, whatever their numbers, modulo 2^64.

    On amd64 the base is a distance from __pcpu, and may wrap; elsewhere that is no pointer.
    """
    symbols = {name: at for name, at in SYMBOLS.items() if arch == "amd64" or name != "__pcpu"}
    kd = make(sysctls(machine, arch), symbols)
    buf = bytearray(8)
    assert compat.kvm_read_zpcpu(kd, base, buf, 8, 3) == 8
    assert struct.unpack("@Q", buf) == (2**64 - 1,)
    assert compat.kvm_counter_u64_fetch(kd, base) == 4
    assert compat.kvm_geterr(kd) == ""


def test_a_counter_that_cannot_be_read(make: Make) -> None:
    """0 as in libkvm, but with a text."""
    kd = make()
    assert compat.kvm_counter_u64_fetch(kd, 0x20000) == 0
    assert compat.kvm_geterr(kd) == "kvm_counter_u64_fetch: Bad address"
    assert compat.kvm_counter_u64_fetch(kd, 0) == 0
    assert compat.kvm_geterr(kd) == "counter 0x0: it is not allocated yet"


def test_two_handles_are_two_kernels(make: Make) -> None:
    """Nothing of one handle's CPUs reaches another's."""
    small = make(symbols={**SYMBOLS, "mp_maxcpus": 0x104})
    large = make()
    assert [compat.kvm_getmaxcpu(kd) for kd in (large, small, large)] == [8, 2, 8]
