"""What does the truth say, in the words of objects/model.py?  proc(5) put into the same fields.

Written from the manual pages, not from the reader.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping

from system.guests.truth import Truth

HERTZ = 100  # USER_HZ, in which /proc tells times on every architecture of Debian
STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting",
    "T": "stopped",
    "Z": "zombie",
    "I": "idle",
}

# Fields of /proc/PID/stat by number, as proc_pid_stat(5) counts them.
STAT: Mapping[str, tuple[int, Callable[[str], object]]] = {
    "comm": (2, str),
    "state": (3, STATES.get),
    "ppid": (4, int),
    "pgid": (5, int),
    "sid": (6, int),
    "tty": (7, lambda text: int(text) or None),
    "tpgid": (8, lambda text: int(text) if int(text) > 0 else None),
    "flags": (9, int),
    "minor_faults": (10, int),
    "major_faults": (12, int),
    "user_seconds": (14, lambda text: int(text) / HERTZ),
    "system_seconds": (15, lambda text: int(text) / HERTZ),
    "children_user_seconds": (16, lambda text: int(text) / HERTZ),
    "children_system_seconds": (17, lambda text: int(text) / HERTZ),
    "priority": (18, int),
    "nice": (19, int),
    "threads": (20, int),
    "virtual_bytes": (23, int),
    "last_cpu": (39, int),
}
STARTED = 22
RESIDENT = 24

# Lines of /proc/PID/status, of proc_pid_status(5); which of the words of a line.
STATUS = {
    "tracer": ("TracerPid", 0),
    "ruid": ("Uid", 0),
    "uid": ("Uid", 1),
    "svuid": ("Uid", 2),
    "rgid": ("Gid", 0),
    "gid": ("Gid", 1),
    "svgid": ("Gid", 2),
}
SWITCHES = {  # of the first status: whoever ran while the rest was told has switched more often
    "voluntary_switches": "voluntary_ctxt_switches",
    "involuntary_switches": "nonvoluntary_ctxt_switches",
}
KIBIBYTES = {
    "max_resident_bytes": "VmHWM",
    "data_bytes": "VmData",
    "stack_bytes": "VmStk",
    "text_bytes": "VmExe",
    "swap_bytes": "VmSwap",
}


def process(truth: Truth, pid: int, page_size: int, tid: int | None = None) -> dict[str, object]:
    """The fields of Process that /proc told of a process, or of one of its threads."""
    stat, status = truth.stat(pid, tid), truth.status(pid, tid)
    found = {field: convert(stat[number]) for field, (number, convert) in STAT.items()}
    found["resident_bytes"] = int(stat[RESIDENT]) * page_size
    found["start_seconds"] = boot_time(truth) + int(stat[STARTED]) / HERTZ
    for field, (line, word) in STATUS.items():
        found[field] = int(status[line].split()[word])
    first = truth.first_status(pid, tid) or status
    found |= {field: int(first[line]) for field, line in SWITCHES.items()}
    for field, line in KIBIBYTES.items():
        found[field] = int(status[line].split()[0]) << 10 if line in status else None
    found["groups"] = tuple(int(word) for word in status["Groups"].split())
    if tid is not None:
        found["thread_name"] = found.pop("comm")
        return found
    return found | of_a_process(truth, pid)


def of_a_process(truth: Truth, pid: int) -> dict[str, object]:
    """What was told of processes only.

    A worker of the kernel that came while the truth was told is in the late readings alone.
    """
    where = f"/proc/{pid}"
    counts = dict(line.split(": ") for line in truth.text(f"{where}/io").splitlines())
    found: dict[str, object] = {name: int(counts[name]) for name in ("read_bytes", "write_bytes")}
    if f"{where}/cgroup" not in truth.files:
        return found | {"wait_channel": None}
    limit = re.search(r"^Max open files +(\d+)", truth.text(f"{where}/limits"), re.MULTILINE)
    wait = truth.text(f"{where}/wchan")
    return found | {
        "cgroup": truth.text(f"{where}/cgroup").removeprefix("0::").removesuffix("\n"),
        "max_open_files": int(limit[1]) if limit else None,
        "open_files": len(descriptors(truth, pid)),
        "wait_channel": wait if wait != "0" else None,
    }


def boot_time(truth: Truth) -> int:
    """Unix time of boot in whole seconds, as /proc/stat has it."""
    return int(re.search(r"^btime (\d+)$", truth.text("/proc/stat"), re.MULTILINE)[1])


def namespaces(truth: Truth, pid: int) -> dict[str, int | None]:
    """Inodes of /proc/PID/ns by name."""
    start = f"/proc/{pid}/ns/"
    links = {
        path.removeprefix(start): link
        for path, link in truth.links.items()
        if path.startswith(start)
    }
    return {name: int(re.search(r"\d+", link)[0]) for name, link in links.items()}


def descriptors(truth: Truth, pid: int) -> dict[int, str]:
    """What each descriptor of a process is open on."""
    start = f"/proc/{pid}/fd/"
    links = {
        path.removeprefix(start): link
        for path, link in truth.links.items()
        if path.startswith(start)
    }
    return {int(number): link for number, link in links.items()}


def vector(truth: Truth, pid: int, name: str) -> tuple[str, ...]:
    """The strings of /proc/PID/cmdline or environ."""
    data = truth.files.get(f"/proc/{pid}/{name}", b"")
    strings = data.decode("utf-8", "surrogateescape").split("\0")
    return tuple(strings[:-1])


def mounts(truth: Truth, pid: int) -> list[tuple[str, str, str]]:
    """Device, path and kind of each line of /proc/PID/mountinfo."""
    rows = (line.split(" ") for line in truth.text(f"/proc/{pid}/mountinfo").splitlines())
    found = []
    for row in rows:
        dash = row.index("-")
        device, path, kind = row[dash + 2], row[4], row[dash + 1]
        found.append((unescaped(device), unescaped(path), kind))
    return found


def unescaped(text: str) -> str:
    r"""A name of mountinfo, in which a space is \040."""
    return re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), text)


def interfaces(truth: Truth) -> dict[str, list[int]]:
    """The sixteen numbers of each line of /proc/net/dev."""
    rows = (line.split(":") for line in truth.text("/proc/net/dev").splitlines() if ":" in line)
    return {name.strip(): [int(word) for word in numbers.split()] for name, numbers in rows}


def swaps(truth: Truth) -> list[tuple[str, int, int, int]]:
    """Name, size, use (in bytes) and priority of each line of /proc/swaps."""
    rows = (line.split() for line in truth.text("/proc/swaps").splitlines()[1:])
    return [
        (name, int(size) << 10, int(used) << 10, int(rank)) for name, _, size, used, rank in rows
    ]


def cpu_times(truth: Truth) -> list[list[float]]:
    """The ten times of /proc/stat in seconds: of all CPUs together, then of each."""
    rows = [
        line.split() for line in truth.text("/proc/stat").splitlines() if line.startswith("cpu")
    ]
    return [[int(word) / HERTZ for word in row[1:11]] for row in rows]


def symbols(truth: Truth) -> dict[str, int]:
    """Names of /proc/kallsyms and their addresses.

    Those that several symbols have are left out, and so is code that the kernel wrote itself
    (``[__builtin__kprobes]``, ``[bpf]``): these are in no table.
    """
    rows = [line.split() for line in truth.text("/proc/kallsyms").splitlines()]
    written = [row for row in rows if row[3:] and row[3].startswith(("[__builtin__", "[bpf]"))]
    names = Counter(row[2] for row in rows)
    names.subtract(Counter(row[2] for row in written * 2))
    return {row[2]: int(row[0], 16) for row in rows if names[row[2]] == 1}
