"""What would a Linux kernel show in /proc?  A tree of forged files.

Written from proc(5) and fs/proc/array.c: the numbers below are field numbers as the manual counts
them, and nothing here is shared with the code under test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

STAT_FIELDS = 52

STATUS = """\
Name:\t{comm}
Umask:\t0022
State:\t{state} (forged)
Tgid:\t{tgid}
Ngid:\t0
Pid:\t{pid}
PPid:\t{ppid}
TracerPid:\t{tracer}
Uid:\t{ruid}\t{uid}\t{svuid}\t{uid}
Gid:\t{rgid}\t{gid}\t{svgid}\t{gid}
FDSize:\t64
Groups:\t{groups} 
NStgid:\t{tgid}
VmPeak:\t  999999 kB
VmHWM:\t{hwm:8d} kB
VmRSS:\t       1 kB
VmData:\t{data:8d} kB
VmStk:\t{stack:8d} kB
VmExe:\t{text:8d} kB
VmSwap:\t{swap:8d} kB
Threads:\t1
SigQ:\t0/96365
voluntary_ctxt_switches:\t{voluntary}
nonvoluntary_ctxt_switches:\t{involuntary}
"""  # noqa: W291 - the kernel ends Groups with a space

STATUS_DEFAULTS = {
    "comm": "forged",
    "state": "S",
    "ppid": 1,
    "tracer": 0,
    "ruid": 1001,
    "uid": 1002,
    "svuid": 1003,
    "rgid": 2001,
    "gid": 2002,
    "svgid": 2003,
    "groups": "7 8 4294967294",
    "hwm": 11,
    "data": 12,
    "stack": 13,
    "text": 14,
    "swap": 15,
    "voluntary": 16,
    "involuntary": 17,
}

IO = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: {read}\nwrite_bytes: {write}\n"
IO_END = "cancelled_write_bytes: 7\n"

LIMITS = (
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max processes             96365                96366                processes \n"
    "Max open files            {soft:<20} 4096                 files     \n"
    "Max locked memory         8388608              8388608              bytes     \n"
)

NAMESPACES = (
    *("cgroup", "ipc", "mnt", "net", "pid", "pid_for_children"),
    *("time", "time_for_children", "user", "uts"),
)
"""The links in /proc/PID/ns."""

NAMESPACE_START = 4026531834
"""The first of the numbers that they are given, one after the other."""


class Tree:
    """A forged /proc in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, data: bytes | str) -> None:
        """Write a file, and the directories above it."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def link(self, name: str, target: str) -> None:
        """A symbolic link, which may lead nowhere."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def process(self, pid: int, comm: bytes = b"forged", **more: object) -> None:
        """A process with every file; see ``task`` for what ``more`` may say."""
        self.task(str(pid), pid, pid, comm, **more)

    def thread(self, pid: int, tid: int, comm: bytes = b"forged", **more: object) -> None:
        """A thread of a process."""
        self.task(f"{pid}/task/{tid}", pid, tid, comm, **more)

    def task(
        self,
        where: str,
        tgid: int,
        pid: int,
        comm: bytes,
        *,
        stat: Mapping[int, object] | None = None,
        status: Mapping[str, object] | None = None,
        io: tuple[int, int] = (5, 6),
        soft: object = 1024,
        fds: Sequence[int] = (0, 1, 2),
    ) -> None:
        """The files of a process or thread.

        ``stat``: field number of proc_pid_stat(5) → value; ``status``: as STATUS_DEFAULTS.
        """
        self.put(f"{where}/stat", stat_line(pid, comm, stat or {}))
        fields = STATUS_DEFAULTS | {"pid": pid, "tgid": tgid} | dict(status or {})
        self.put(f"{where}/status", STATUS.format(**fields))
        self.put(f"{where}/io", IO.format(read=io[0], write=io[1]) + IO_END)
        self.put(f"{where}/limits", LIMITS.format(soft=soft))
        self.put(f"{where}/cgroup", "0::/forged.slice\n")
        self.put(f"{where}/wchan", "do_forge")
        (self.root / where / "fd").mkdir()
        for fd in fds:
            self.link(f"{where}/fd/{fd}", f"pipe:[{1000 + fd}]")
        for at, name in enumerate(NAMESPACES):
            kind = name.partition("_")[0]
            self.link(f"{where}/ns/{name}", f"{kind}:[{NAMESPACE_START + at}]")


def stat_line(
    pid: int, comm: bytes, fields: Mapping[int, object], length: int = STAT_FIELDS
) -> bytes:
    """One line of /proc/PID/stat; a field that is not given holds 100 + its number."""
    default = {3: "S", 4: 1}
    rest = (fields.get(n, default.get(n, 100 + n)) for n in range(3, length + 1))
    return b"%d (%s) %s\n" % (pid, comm, " ".join(map(str, rest)).encode())
