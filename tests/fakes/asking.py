"""What can be asked of a kernel?  Everything; and nothing but a KvmError may come instead."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from kvm_exporter import cli, kvm
from kvm_exporter.kvm import DumpOptions, Kvm, KvmError
from kvm_exporter.kvm.objects.model import ProcOp

MOST = 5000
"""Rows that are taken of what may have no end."""

NAMES = ("allproc", "version", "_version", "pcpu_entry_x", "vnet_entry_ifnet", "missing", "\udcff")
LINUX_NAMES = ("init_task", "linux_banner", "forged_poll")
PIDS = (0, 1, 2, 40, -1, 1 << 40)
ADDRESSES = (0, -1, 1 << 31, 0xC1230000, 0xFFFFF80000000000, 0xFFFFFE0001230000, (1 << 64) - 1)
LENGTHS = (0, 8, 5000, 1 << 40, -1)

ANSWERS: dict[str, Callable[[Kvm], object]] = {
    "facts": Kvm.facts,
    "nlist": lambda kernel: kernel.nlist(NAMES),
    "Linux's names": lambda kernel: kernel.nlist(LINUX_NAMES),
    "symbols": lambda kernel: list(islice(kernel.symbols, MOST)),
    "pages": lambda kernel: list(islice(kernel.pages(), MOST)),
    "processes": lambda kernel: list(islice(kernel.processes(), MOST)),
    "threads": lambda kernel: list(islice(kernel.processes(threads=True), MOST)),
    "users": lambda kernel: list(kernel.processes(("comm",), ProcOp.UID, 0)),
    "thread": lambda kernel: list(kernel.processes(None, ProcOp.PID, 100011)),
    "open files": lambda kernel: list(islice(kernel.open_files(), MOST)),
    "swap devices": Kvm.swap_devices,
    "swap activity": Kvm.swap_activity,
    "load average": Kvm.load_average,
    "CPU times": Kvm.cpu_times,
    "each CPU's times": Kvm.cpu_times_per_cpu,
    "memory": Kvm.memory,
    "kernel": Kvm.kernel,
    "uname": Kvm.uname,
    "life": Kvm.life,
    "message buffer": Kvm.message_buffer,
    "jails": Kvm.jails,
    "mounts": Kvm.mounts,
    "interfaces": Kvm.interfaces,
    "sysctls": lambda kernel: [
        (one.sysctl.name, one.value) for one in islice(kernel.sysctls(texts=True), MOST)
    ],
    "types": lambda kernel: list(islice(kernel.target.types.names(), MOST)),
    "variable": lambda kernel: str(kernel.target.variable("msgbufp").value()),
    "struct": lambda kernel: str(kernel.target.view(0xFFFFFE0001230000, "struct proc").value()),
    "task": lambda it: str(it.target.variable("init_task", "struct task_struct").value()),
    "refusals": Kvm.refusals,
}
"""What ``answers`` tells; the same of the same dump, whoever asks and when."""

SUBJECTS = (
    *("info", "ps", "ps --threads", "swap", "msgbuf", "jails", "mounts", "interfaces", "files"),
    *(
        "nlist allproc init_task missing",
        "symbols *p*",
        "type proc",
        "read version 64",
        "pages",
        "textdump",
    ),
)
"""Of ``kvm_exporter inspect``."""

COMMANDS = (
    *(("inspect", *subject.split()) for subject in SUBJECTS),
    ("explain", "p_comm", "--each=allproc", "--via=p_list", "--number=1"),
    ("explain", "((struct task_struct)init_task).tasks.next->prev", "--cpu=each"),
    ("explain", "vm_cnt.*", "--cpu=each"),
    ("symbols", "a*->p_*"),
)
"""Of ``kvm_exporter``, that look into a kernel."""


def ask(kernel: Path | None, core: Path, options: DumpOptions | None = None) -> dict[str, object]:
    """Open the dump and ask everything; the answers, those that failed left out.

    Without ``kernel`` it is a Linux's, which needs none.
    Anything but a KvmError goes through, and a file that stays open fails.
    """
    before = _open_files()
    found: dict[str, object] = {}
    with (
        contextlib.suppress(KvmError),
        kvm.open(kernel and str(kernel), str(core), dump_options=options) as opened,
    ):
        found = answers(opened)
    assert _open_files() == before, "a file is still open"
    return found


def answers(opened: Kvm) -> dict[str, object]:
    """What an open kernel answers."""
    found = {}
    for name, act in (*ANSWERS.items(), *_with_arguments()):
        with contextlib.suppress(KvmError):
            found[name] = act(opened)
    return found


def _with_arguments() -> Iterator[tuple[str, Callable[[Kvm], object]]]:
    for pid in PIDS:
        yield f"arguments of {pid}", lambda kernel, pid=pid: kernel.arguments(pid)
        yield f"environment of {pid}", lambda kernel, pid=pid: kernel.environment(pid)
        yield f"program of {pid}", lambda kernel, pid=pid: kernel.executable(pid)
    for at in ADDRESSES:
        for length in LENGTHS:
            yield f"{length} at {at:#x}", lambda it, at=at, length=length: it.read(at, length)


def inspect(kernel: Path | None, core: Path) -> dict[str, str]:
    """What each command prints, as text and as JSON, for a plain terminal.

    An error is a line on stderr and a status of 1.
    """
    shown = {}
    of = [f"--core={core}", *([f"--kernel={kernel}"] if kernel else [])]
    for command in COMMANDS:
        for form in ((), ("--json",)):
            arguments = (*command, *form)
            out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()) as err:
                status = cli.main([*arguments, *of])
                out.flush()
            assert status in (0, 1)
            assert bool(status) == bool(err.getvalue().strip())
            shown[" ".join(arguments)] = out.buffer.getvalue().decode("ascii")
    return shown


def _open_files() -> int:
    return len(os.listdir("/dev/fd"))
