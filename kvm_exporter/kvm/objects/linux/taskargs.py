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

from collections.abc import Callable
from functools import cached_property

from kvm_exporter.kvm.errors import Fault, FormatError, Unsupported
from kvm_exporter.kvm.memory import PAGE, Memory
from kvm_exporter.kvm.objects.linux.dentries import Paths
from kvm_exporter.kvm.objects.linux.tasklist import TASK, TaskList
from kvm_exporter.kvm.objects.linux.tasknames import PF_KTHREAD
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.objects.vector import vector
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target

UserMemory = Callable[[int], Memory]
"""A process's own memory, by the kernel's address of its top page table.  Errors: Unsupported,
Fault."""

LONGEST = 64 << 20
"""Bytes of a vector: ten times what execve(2) takes (_STK_LIM / 4 * 3, fs/exec.c)."""


class Programs:
    """What processes of ``target`` run; ``user`` None where their own memory cannot be read.

    Errors: SymbolMissing and TypeMissing where the kernel does not tell where its processes are, or
    what they look like.
    """

    def __init__(self, target: Target, user: UserMemory | None) -> None:
        self._target = target
        self._user = user
        self._tasks = TaskList(target)
        self._task = Struct(target, TASK, ("mm", "flags"))
        members = ("pgd", "arg_start", "arg_end", "env_start", "env_end", "exe_file")
        self._mm = Struct(target, "struct mm_struct", members)

    def arguments(self, pid: int) -> tuple[str, ...]:
        """As args.arguments_from_live, of a dead kernel.

        Errors: ProcessGone; Unsupported; Fault, counted, where the process's own memory is not in
        the dump.
        """
        mm = self._find(pid)
        start, end = mm["arg_start"], mm["arg_end"]
        if not mm["env_end"] or start >= end:
            return ()
        own = self._own(mm, pid)
        if own.is_open(end):
            most = mm["env_end"] if end == mm["env_start"] <= mm["env_end"] else end
            return vector(own.title(start, most))
        return vector(own.read(start, end))

    def environment(self, pid: int) -> tuple[str, ...]:
        """As args.environment_from_live, of a dead kernel.  Errors: as ``arguments``."""
        mm = self._find(pid)
        start, end = mm["env_start"], mm["env_end"]
        if not end or start >= end:
            return ()
        found = vector(self._own(mm, pid).read(start, end))
        return tuple(string for string in found if string)

    def executable(self, pid: int) -> str | None:
        """As args.executable_from_live, of a dead kernel.

        Errors: ProcessGone; KvmError where the kernel does not tell what its files are called.
        """
        file = self._find(pid)["exe_file"]
        return self._paths.of_file(file) if file else None

    @cached_property
    def _paths(self) -> Paths:
        return Paths(self._target)

    def _find(self, pid: int) -> Values:
        """The struct mm_struct of a process or thread: zeros where it has none."""
        task = self._task.needed(self._tasks.find(pid).address)
        if not task["mm"] or task["flags"] & PF_KTHREAD:
            return Values()
        return self._mm.needed(task["mm"])

    def _own(self, mm: Values, pid: int) -> _Own:
        if self._user is None:
            raise Unsupported("processes' own memory cannot be read in this dump")
        return _Own(self._user(mm["pgd"]), self._target.tally, pid)


class _Own:
    """A process's own memory."""

    def __init__(self, memory: Memory, tally: Tally, pid: int) -> None:
        self._memory = memory
        self._tally = tally
        self._pid = pid

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
            # page by page: what is before one that is not there can still be read
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
        _, _, why = str(fault).partition(": ")
        reason = f"process {self._pid} has its own memory there, which is not in this dump: {why}"
        return type(fault)(fault.address, reason, fault.level)
