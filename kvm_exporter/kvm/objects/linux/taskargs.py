"""With which arguments, environment and program did a process of a dead kernel run?

1. Its struct mm_struct says where in the process's own memory they lie; kernel threads and zombies
   have none of that.
2. Where the arguments do not end in a NUL, the program has written its title over them, and perhaps
   on into its environment, as setproctitle(3) does: what shows is the string from their start on,
   of a page at most (get_mm_cmdline() in fs/proc/base.c).
3. Pages that were swapped out, or that makedumpfile left out (-d 8), cannot be read.  What comes
   before the first of them is told; where that is nothing, there is a Fault.

The strings are UTF-8, undecodable bytes as surrogates (os.fsencode gives them back).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvm_exporter.kvm.errors import Fault, FormatError, Unsupported
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.objects.linux.dentries import Paths
from kvm_exporter.kvm.objects.linux.tasklist import TASK, TaskList
from kvm_exporter.kvm.objects.linux.tasknames import PF_KTHREAD
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.objects.vector import vector
from kvm_exporter.kvm.target import Target

UserMemory = Callable[[int], Memory]
"""A process's own memory, by the kernel's address of its top page table.  Errors: Unsupported,
Fault."""

MM = "struct mm_struct"

LONGEST = 64 << 20
"""Bytes of a vector: ten times what execve(2) takes (_STK_LIM / 4 * 3, fs/exec.c)."""

PAGE = 4096
"""Bytes read at once: what is before a page that is not there can still be read."""


def arguments_from_memory(target: Target, user: UserMemory | None, pid: int) -> tuple[str, ...]:
    """As args.arguments_from_live, of a dead kernel; ``user`` None: no process's memory is had.

    Errors: ProcessGone; Unsupported; Fault, counted, where the process's own memory is not in the
    dump.
    """
    mm = _find(target, pid)
    start, end = mm["arg_start"], mm["arg_end"]
    if not mm["env_end"] or start >= end:
        return ()
    own = _Own(target, user, mm, pid)
    if own.is_open(end):
        most = mm["env_end"] if end == mm["env_start"] <= mm["env_end"] else end
        return vector(own.title(start, most))
    return vector(own.read(start, end))


def environment_from_memory(target: Target, user: UserMemory | None, pid: int) -> tuple[str, ...]:
    """As args.environment_from_live, of a dead kernel.  Errors: as ``arguments_from_memory``."""
    mm = _find(target, pid)
    start, end = mm["env_start"], mm["env_end"]
    if not end or start >= end:
        return ()
    data = _Own(target, user, mm, pid).read(start, end)
    return tuple(string for string in vector(data) if string)


def executable_from_memory(target: Target, pid: int) -> str | None:
    """As args.executable_from_live, of a dead kernel.

    Errors: ProcessGone; KvmError where the kernel does not tell what its files are called.
    """
    file = _find(target, pid)["exe_file"]
    return Paths(target).of_file(file) if file else None


def _find(target: Target, pid: int) -> Values:
    """The struct mm_struct of the process, or thread, of that number: zeros where it has none."""
    at = TaskList(target).find(pid).address
    task = _whole(target, TASK, ("mm", "flags"), at)
    if not task["mm"] or task["flags"] & PF_KTHREAD:
        return Values()
    members = ("pgd", "arg_start", "arg_end", "env_start", "env_end", "exe_file")
    return _whole(target, MM, members, task["mm"])


def _whole(target: Target, struct: str, members: Sequence[str], at: int) -> Values:
    found = Struct(target, struct, members).values(at)
    if found is None:
        raise Fault(at, f"{struct} cannot be read")
    return found


class _Own:
    """A process's own memory."""

    def __init__(self, target: Target, user: UserMemory | None, mm: Values, pid: int) -> None:
        if user is None:
            raise Unsupported("processes' own memory cannot be read in this dump")
        self._tally = target.tally
        self._pid = pid
        self._memory = user(mm["pgd"])

    def is_open(self, end: int) -> bool:
        """Whether the last byte before ``end`` is there, and no NUL."""
        try:
            return self._memory.read(end - 1, 1) not in (b"", b"\0")
        except Fault:
            return False

    def title(self, start: int, end: int) -> bytes:
        """The string at ``start``, of a page at most, with its NUL if it has one."""
        text, nul, _ = self.read(start, min(end, start + PAGE)).partition(b"\0")
        return text + nul

    def read(self, start: int, end: int) -> bytes:
        """What there is up to the first page that is missing; Fault if that is the first one."""
        if end - start > LONGEST:
            raise FormatError(f"process {self._pid} has {end - start} bytes of strings")
        parts: list[bytes] = []
        at = start
        while at < end:
            try:
                part = self._memory.read(at, min(PAGE - at % PAGE, end - at))
            except Fault as e:
                self._tally.add("user memory", None)
                if parts:
                    break
                raise self._missing(e) from e
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    def _missing(self, fault: Fault) -> Fault:
        reason = f"process {self._pid} has its own memory there, which is not in this dump: {fault}"
        return type(fault)(fault.address, reason, fault.level)
