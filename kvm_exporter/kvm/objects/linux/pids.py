"""Which number has a struct pid?  Each namespace that it is seen in gave it one; ours is the first.

Sources: include/linux/pid.h, pid_nr_ns() in kernel/pid.c.
"""

from __future__ import annotations

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.remembered import Remembered
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import constants

GROUP, SESSION = "PIDTYPE_PGID", "PIDTYPE_SID"
TYPES = {GROUP: 2, SESSION: 3}
"""enum pid_type since 4.19 (6883f81aac6f)."""

DEEPEST = 32
"""MAX_PID_NS_LEVEL."""

MOST_KNOWN = 1 << 16
"""Numbers that are remembered; then all are forgotten."""


class Pids:
    """Structs pid of ``target``.  Errors: TypeMissing.

    ``group`` and ``session`` are where in an array of them those of a process are.
    """

    def __init__(self, target: Target) -> None:
        types = _types(target)
        self.group, self.session = types[GROUP], types[SESSION]
        self._target = target
        self._level = target.offset("struct pid", "level")
        self._first = target.offset("struct pid", "numbers")
        self._number = target.offset("struct upid", "nr")
        self._namespace = target.offset("struct upid", "ns")
        self._size = target.view(0, "struct upid").size
        self._known: Remembered[int, int | None] = Remembered(MOST_KNOWN)

    def number(self, pid: int) -> int | None:
        """The number in the first namespace, 0 for a null pointer, None if it cannot be read."""
        if not pid:
            return 0
        return self._known.of(pid, self._read_number)

    def _read_number(self, pid: int) -> int | None:
        try:
            return self._target.integer(pid + self._first + self._number, 4, signed=True)
        except KvmError:
            self._target.tally.add("struct pid", None)
            return None

    def namespace(self, pid: int) -> int | None:
        """The address of the namespace that it was made in; 0 and None as ``number``."""
        if not pid:
            return 0
        target = self._target
        try:
            level = target.integer(pid + self._level, 4)
            if level > DEEPEST:
                raise FormatError(f"struct pid at {pid:#x} is in {level} namespaces")
            return target.pointer(pid + self._first + level * self._size + self._namespace)
        except KvmError:
            target.tally.add("struct pid", None)
            return None


def _types(target: Target) -> dict[str, int]:
    try:
        return {**TYPES, **constants(target.types, "enum pid_type")}
    except KvmError:
        return TYPES
