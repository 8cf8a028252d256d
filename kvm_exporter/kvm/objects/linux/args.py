"""With which arguments, environment and program does a process run?

/proc/PID/cmdline, environ and exe (proc_pid_cmdline(5) and its siblings).  A kernel thread and a
zombie have no memory to read them from: they have none of the three.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

from kvm_exporter.kvm.errors import ProcessGone
from kvm_exporter.kvm.live.procfs import Directory, Procfs
from kvm_exporter.kvm.objects.linux import reading
from kvm_exporter.kvm.objects.vector import vector
from kvm_exporter.kvm.tally import Tally

Value = TypeVar("Value")


def arguments_from_live(procfs: Procfs, tally: Tally, pid: int) -> tuple[str, ...]:
    """The argument vector as the process has it now; empty arguments are kept.

    A program that rewrote it, as setproctitle(3) does, may show one string, or empty ones at
    the end.  Errors: ProcessGone, AccessDenied.
    """
    data = _from_process(procfs, tally, pid, "cmdline", lambda process: process.read("cmdline"))
    return vector(data)


def environment_from_live(procfs: Procfs, tally: Tally, pid: int) -> tuple[str, ...]:
    """The environment that the process was started with, less what it overwrote.

    Errors: ProcessGone; AccessDenied for another user's.
    """
    data = _from_process(procfs, tally, pid, "environ", _environment)
    return tuple(string for string in vector(data) if string)


def executable_from_live(procfs: Procfs, tally: Tally, pid: int) -> str | None:
    """The path of the program; `` (deleted)`` at its end says that the file is gone.

    None for kernel threads and zombies.  Errors: ProcessGone; AccessDenied for another user's.
    """
    path = _from_process(procfs, tally, pid, "exe", _executable)
    return None if path is None else path.decode("utf-8", "surrogateescape")


def _environment(process: Directory) -> bytes:
    try:
        return process.read("environ")
    except ProcessLookupError:
        # since 6.16 (65c66047259f), and in stable kernels from 6.12 on, who has no memory says this
        if process.holds("stat"):
            return b""
        raise


def _executable(process: Directory) -> bytes | None:
    try:
        return process.link("exe")
    except FileNotFoundError:
        if process.holds("stat"):
            return None
        raise


def _from_process(
    procfs: Procfs, tally: Tally, pid: int, file: str, read: Callable[[Directory], Value]
) -> Value:
    try:
        process = procfs.process(pid)
        try:
            return read(process)
        finally:
            process.close()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            raise ProcessGone(f"{procfs.path(str(pid))}: no process {pid}") from error
        tally.add(f"proc {file}", error.errno)
        raise reading.refusal(procfs.path(f"{pid}/{file}"), error) from error
