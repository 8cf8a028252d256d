"""What would two small machines show, whole?  All that every collector asks a kernel, forged.

Each has an exporter (process 77), whose own figures are then forged as well, and something that
only a whole scrape shows to be handled: names that have to be escaped, sources that fail, and a
process that ends between two collections.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from forge import freebsd
from forge.kinfo import Value, kinfo_proc, xfile
from forge.procfs import Tree
from forge.sysctl import Answers, ForgedSysctl

EXPORTER = 77
"""The pid of the process that asks."""

PF_KTHREAD = 0x00200000
P_KPROC = 0x00000004

ONLY_ON = {
    "kvm_cpu_guest_seconds_total": "linux",
    "kvm_dump_death_timestamp_seconds": "dump",
    "kvm_dump_info": "dump",
    "kvm_dump_uptime_seconds": "dump",
    "kvm_max_vnodes": "freebsd",
    "kvm_memory_available_bytes": "linux",
    "kvm_process_group_io_bytes_total": "linux",
    "kvm_process_group_io_operations_total": "freebsd",
    "kvm_process_group_swap_bytes": "linux",
    "kvm_process_group_worst_fd_ratio": "linux",
    "kvm_swap_in_operations_total": "freebsd",
    "kvm_swap_out_operations_total": "freebsd",
    "kvm_system_calls_total": "freebsd",
    "kvm_traps_total": "freebsd",
    "process_max_fds": "linux",
}
"""Metrics for which but one of the two kernels has a number, or but a crash dump."""

LINUX_FILES = {
    "loadavg": "0.52 0.58 1.59 2/97 4242\n",
    "stat": (
        "cpu  300 6 150 9000 12 0 3 0 40 0\n"
        "cpu0 100 2 50 5000 4 0 1 0 40 0\n"
        "cpu2 200 4 100 4000 8 0 2 0 0 0\n"
        "intr 226168 0 9 1\n"
        "ctxt 464753\n"
        "btime 1795410000\n"
        "processes 7451\n"
        "procs_running 2\n"
        "procs_blocked 1\n"
        "softirq 129438 0 18089\n"
    ),
    "meminfo": (
        "MemTotal:        2048000 kB\n"
        "MemFree:          512000 kB\n"
        "MemAvailable:    1024000 kB\n"
        "Active(anon):     300000 kB\n"
        "Inactive(anon):   200000 kB\n"
        "Active(file):     100000 kB\n"
        "Inactive(file):   400000 kB\n"
        "Unevictable:           0 kB\n"
        "Slab:              60000 kB\n"
        "HugePages_Total:       0\n"
    ),
    "vmstat": "nr_free_pages 128000\npgfault 81927\npswpin 3\npswpout 5\nworkingset_nodes 7\n",
    "swaps": (
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        "/dev/sda2                               partition\t1048572\t\t4096\t\t-2\n"
        "/var/swap\\040file                        file\t\t524284\t\t0\t\t-3\n"
    ),
    "sys/fs/file-nr": "557\t0\t9223372036854775807\n",
    "sys/fs/file-max": "9223372036854775807\n",
    "sys/fs/inode-nr": "65305\t12\n",
    "sys/kernel/pid_max": "32768\n",
    "sys/kernel/threads-max": "192730\n",
}
LINUX_UNAME = ("Linux", "box.example", "6.1.0-18-amd64", "#1 SMP 6.1.76-1", "x86_64")


def linux_machine(root: Path) -> Tree:
    """A /proc of clock ticks of 1/100 s and pages of 4096 bytes, with six processes."""
    tree = Tree(root)
    for name, text in LINUX_FILES.items():
        tree.put(name, text)
    linux_process(tree, 1, b"systemd", ticks=(120, 60), start=0)
    linux_process(tree, 2, b"kthreadd", ticks=(0, 3), start=0, stat={9: PF_KTHREAD, 23: 0, 24: 0})
    linux_process(tree, 41, b"postgres", ticks=(500, 100), start=1000)
    linux_process(tree, 42, b"postgres", ticks=(700, 200), start=2000, stat={3: "D", 20: 3})
    linux_process(tree, 66, b'we"ird\\\n\xff', ticks=(1, 1), start=3000)
    linux_process(tree, EXPORTER, b"kvm_exporter", ticks=(10, 5), start=4000, soft=4096)
    (root / "66/io").unlink()  # a source that fails
    return tree


def linux_process(
    tree: Tree,
    pid: int,
    comm: bytes,
    *,
    ticks: tuple[int, int],
    start: int,
    stat: dict[int, object] | None = None,
    soft: int = 1024,
) -> None:
    """A process with this many ticks in user and system mode, started at a tick since boot."""
    numbers: dict[int, object] = {
        9: 0,
        10: 10 * pid,
        12: pid,
        14: ticks[0],
        15: ticks[1],
        20: 1,
        22: start,
        23: 1 << 24,
        24: 256 + pid,
    }
    tree.process(
        pid,
        comm,
        stat=numbers | (stat or {}),
        status={"uid": 0, "swap": pid, "voluntary": 100 * pid, "involuntary": pid},
        io=(4096 * pid, 8192 * pid),
        soft=soft,
    )


def linux_later(tree: Tree) -> None:
    """A moment later: one postgres has ended, the other has worked on."""
    shutil.rmtree(tree.root / "42")
    shutil.rmtree(tree.root / "41")
    linux_process(tree, 41, b"postgres", ticks=(600, 125), start=1000)


FREEBSD_NUMBERS = {
    "hw.pagesize": (4096, 4),
    "hw.physmem": (2**31, 8),
    "kern.fscale": (2048, 4),
    "kern.maxfiles": (15593, 4),
    "kern.maxproc": (3908, 4),
    "kern.maxthread": (100000, 4),
    "kern.maxvnodes": (31773, 8),
    "kern.openfiles": (34, 4),
    "vfs.numvnodes": (180, 8),
    "vm.dmmax": (32, 4),
    "vm.stats.sys.v_intr": (2, 8),
    "vm.stats.sys.v_soft": (3, 8),
    "vm.stats.sys.v_swtch": (2**40 + 1, 8),
    "vm.stats.sys.v_syscall": (5, 8),
    "vm.stats.sys.v_trap": (4, 8),
    "vm.stats.vm.v_active_count": (1000, 4),
    "vm.stats.vm.v_forks": (100, 8),
    "vm.stats.vm.v_free_count": (5000, 4),
    "vm.stats.vm.v_free_target": (2700, 4),
    "vm.stats.vm.v_inactive_count": (2000, 4),
    "vm.stats.vm.v_laundry_count": (300, 4),
    "vm.stats.vm.v_rforks": (3, 8),
    "vm.stats.vm.v_swapin": (2, 8),
    "vm.stats.vm.v_swapout": (4, 8),
    "vm.stats.vm.v_swappgsin": (16, 8),
    "vm.stats.vm.v_swappgsout": (64, 8),
    "vm.stats.vm.v_user_wire_count": (6, 8),
    "vm.stats.vm.v_vforks": (20, 8),
    "vm.stats.vm.v_vm_faults": (2**40, 8),
    "vm.stats.vm.v_wire_count": (4000, 4),
}
"""Values and how many bytes wide they are."""
FREEBSD_EVENTS = (
    "cow_faults cow_optim dfree forkpages intrans io_faults kthreadpages kthreads ozfod "
    "pdpages pdshortfalls pdwakeups pfree reactivated rforkpages tfree vforkpages vnodein "
    "vnodeout vnodepgsin vnodepgsout zfod free_min free_reserved free_severe inactive_target "
    "interrupt_free_min pageout_free_min"
)
"""The rest of vm.stats.vm."""
FREEBSD_ANSWERS: Answers = {
    "hw.machine": b"amd64\0",
    "hw.machine_arch": freebsd.machine("amd64"),
    "kern.boottime": freebsd.timeval(1795410000, 250000),
    "kern.clockrate": freebsd.clockinfo(),
    # CPU 1 is absent: the kernel has a row for it that never ticks
    "kern.cp_times": freebsd.longs(127, 254, 381, 508, 635, *[0] * 5, 1270, 0, 127, 1, 12700),
    "kern.hostname": b"box.example\0",
    "kern.osrelease": b"15.1-RELEASE\0",
    "kern.ostype": b"FreeBSD\0",
    "kern.version": b"FreeBSD 15.1-RELEASE releng/15.1 GENERIC\n\0",
    "vm.loadavg": freebsd.loadavg(1024, 2048, 512),
    "vm.stats.vm.v_nofree_count": errno.EPERM,  # a source that fails
    "vm.swap_info.0": freebsd.xswdev(0x33, 262144, 1024),
    "vm.swap_info.1": freebsd.xswdev(2**64 - 1, 131072, 0),
    "vm.vmtotal": freebsd.vmtotal(6, 2, 5),
}
FREEBSD_MIBS = {
    "kern.proc.proc": (1, 14, 8),
    f"kern.proc.pid.{EXPORTER}": (1, 14, 1, EXPORTER),
    "kern.file": (1, 15),
}


def freebsd_machine() -> ForgedSysctl:
    """An amd64 kernel with six processes, two of them in jail 3."""
    numbers = FREEBSD_NUMBERS | {
        f"vm.stats.vm.v_{name}": (1000 + at, 8) for at, name in enumerate(FREEBSD_EVENTS.split())
    }
    answers = FREEBSD_ANSWERS | {
        name: freebsd.number(value, width) for name, (value, width) in numbers.items()
    }
    found = ForgedSysctl(answers, FREEBSD_MIBS)
    rows = {
        0: freebsd_process(0, b"kernel", 3, ki_flag=P_KPROC, ki_stat=3, ki_wmesg=b"swapin"),
        1: freebsd_process(1, b"init", 10),
        41: freebsd_process(41, b"postgres", 500, ki_jid=3),
        42: freebsd_process(42, b"postgres", 700, ki_jid=3, ki_stat=2, ki_wmesg=b""),
        66: freebsd_process(66, b'we"ird\\\n\xff', 1, ki_wmesg=b"kqread"),
        EXPORTER: freebsd_process(EXPORTER, b"kvm_exporter", 15, ki_numthreads=4),
    }
    freebsd_processes(found, rows)
    return found


def freebsd_later(machine: ForgedSysctl) -> None:
    """A moment later: one postgres has ended, the other has worked on."""
    rows = {
        0: freebsd_process(0, b"kernel", 4, ki_flag=P_KPROC, ki_stat=3, ki_wmesg=b"swapin"),
        1: freebsd_process(1, b"init", 10),
        41: freebsd_process(41, b"postgres", 625, ki_jid=3),
        66: freebsd_process(66, b'we"ird\\\n\xff', 1, ki_wmesg=b"kqread"),
        EXPORTER: freebsd_process(EXPORTER, b"kvm_exporter", 15, ki_numthreads=4),
    }
    freebsd_processes(machine, rows)


def freebsd_process(pid: int, comm: bytes, seconds: int, **more: Value) -> bytes:
    """A record of kern.proc with so much time in user mode, asleep unless ``more`` says else."""
    members: dict[str, Value] = {
        "ki_pid": pid,
        "ki_comm": comm,
        "ki_stat": 3,
        "ki_tdflags": 0x8,  # TDF_SINTR: an interruptible sleep
        "ki_wmesg": b"select",
        "ki_numthreads": 1,
        "ki_start.tv_sec": 1795410000 + pid,
        "ki_rusage.ru_utime.tv_sec": seconds,
        "ki_rusage.ru_stime.tv_usec": 250000,
        "ki_rusage.ru_minflt": 10 * pid,
        "ki_rusage.ru_majflt": pid,
        "ki_rusage.ru_inblock": 2 * pid,
        "ki_rusage.ru_oublock": 3 * pid,
        "ki_rusage.ru_nvcsw": 100 * pid,
        "ki_rusage.ru_nivcsw": pid,
        "ki_size": 1 << 24,
        "ki_rssize": 256 + pid,
    }
    return kinfo_proc("amd64", members | more)


def freebsd_processes(machine: ForgedSysctl, rows: dict[int, bytes]) -> None:
    """Make these all the processes there are, with two descriptors each."""
    files = [xfile({"xf_pid": pid, "xf_fd": fd, "xf_type": 1}) for pid in rows for fd in (0, 1)]
    machine.answers |= {
        "kern.proc.proc": b"".join(rows.values()),
        f"kern.proc.pid.{EXPORTER}": rows[EXPORTER],
        "kern.file": b"".join(files),
    }
