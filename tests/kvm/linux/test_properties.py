"""Does any content of a /proc file give a value or a KvmError?"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from forge.procfs import STAT_FIELDS, Tree, stat_line
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import LinuxLive
from kvm_exporter.kvm.objects.model import ProcOp
from kvm_exporter.kvm.tally import Tally

WORDS = st.sampled_from(
    [
        *(b"MemTotal:", b"cpu", b"cpu0", b"intr", b"btime", b"pswpin", b"Max open files", b"0::/"),
        *(b"Uid:", b"VmSwap:", b"Groups:", b"Tgid:", b"read_bytes:", b"/a\\040b", b"file", b"kB"),
        *(b"nan", b"9" * 400, b"9" * 5000, b"12", b"0", b"-1", b"1_0", b"(", b")", b"\xff"),
    ]
)
JUNK = st.lists(
    st.one_of(WORDS, st.sampled_from([b" ", b"\n", b"\t"]), st.binary(max_size=6)), max_size=40
).map(b"".join)


def system(root: str, files: dict[str, bytes]) -> LinuxLive:
    """A system over these files."""
    tree = Tree(Path(root))
    for name, data in files.items():
        tree.put(name, data)
    return LinuxLive(Procfs(root), Tally())


@given(data=JUNK)
@settings(max_examples=300, deadline=None)
def test_system_files(data: bytes) -> None:
    """Load, swap, CPU, memory and kernel, from the same junk in every file."""
    names = ["loadavg", "swaps", "stat", "meminfo", "vmstat", "sys/fs/file-nr"]
    with tempfile.TemporaryDirectory() as root:
        live = system(root, dict.fromkeys(names, data))
        for method in (
            live.load_average,
            live.swap_devices,
            live.swap_activity,
            live.cpu_times,
            live.cpu_times_per_cpu,
            live.memory,
            live.kernel,
        ):
            with contextlib.suppress(KvmError):
                method()


@given(data=JUNK)
@settings(max_examples=300, deadline=None)
def test_process_files(data: bytes) -> None:
    """A process whose every file is junk is still a row, and others are not disturbed."""
    names = ["stat", "status", "io", "limits", "cgroup", "wchan", "cmdline", "environ", "fdinfo/0"]
    with tempfile.TemporaryDirectory() as root:
        files = {f"7/{name}": data for name in names}
        live = system(root, files | {"stat": data, "8/stat": stat_line(8, b"ok", {})})
        Tree(Path(root)).link("7/fd/0", "pipe:[1]")
        rows = list(live.processes(None, ProcOp.PROC, 0, False))
        assert [row.pid for row in rows] == [7, 8]
        assert (rows[1].comm, rows[1].ppid) == ("ok", 1)
        with contextlib.suppress(KvmError):
            live.arguments(7)
            live.environment(7)
            list(live.open_files(7))


@given(
    comm=st.binary(max_size=64),
    length=st.integers(3, STAT_FIELDS + 5),
    values=st.dictionaries(st.integers(4, STAT_FIELDS), st.integers(-(2**63), 2**64)),
)
@settings(max_examples=200, deadline=None)
def test_stat_round_trip(comm: bytes, length: int, values: dict[int, int]) -> None:
    """Whatever the name and the length of the line, numbers come from their own places."""
    with tempfile.TemporaryDirectory() as root:
        live = system(root, {"7/stat": stat_line(7, comm, values, length)})
        row = next(live.processes(["comm", "minor_faults", "last_cpu"], ProcOp.PROC, 0, False))
        assert row.comm is not None
        assert row.comm.encode("utf-8", "surrogateescape") == comm
        assert row.minor_faults == (values.get(10, 110) if length >= 10 else None)
        assert row.last_cpu == (values.get(39, 139) if length >= 39 else None)
