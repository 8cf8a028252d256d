"""What would a FreeBSD kernel answer?  A sysctl tree of forged bytes, with the kernel's manners.

Written from the facts of sys/kern/kern_sysctl.c; it shares nothing with the package.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

Answers = dict[str, bytes | int]


class ForgedSysctl:
    """A sysctl tree: name → raw answer, or the errno that it fails with.

    Entries of a list (``vm.swap_info.0``) are names like any other.  Names get made-up numbers;
    ``mibs`` says those that are the kernel's own.  A name that is not there is ENOENT.
    ``asked`` collects the questions as (name, buffer size).
    """

    def __init__(self, answers: Answers, mibs: dict[str, tuple[int, ...]] | None = None) -> None:
        self.answers = answers
        self.asked: list[tuple[str, int | None]] = []
        self._mibs = dict(mibs or {})
        self._numbers: dict[str, int] = {}

    def mib(self, name: str) -> tuple[int, ...]:
        """The numbers of a name that is there, or that has entries."""
        inside = any(known == name or known.startswith(f"{name}.") for known in self.answers)
        if not inside and name not in self._mibs:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._mibs.get(name) or tuple(self._number(part) for part in name.split("."))

    def by_name(self, name: str, size: int | None = None) -> bytes:
        """The answer of a name."""
        self.mib(name)
        return self._answer(name, size, keep_partial=False)

    def by_mib(
        self, mib: Sequence[int], size: int | None = None, *, keep_partial: bool = False
    ) -> bytes:
        """The answer of a MIB; ENOENT where no name has it."""
        for name in (*self._mibs, *self.answers):
            if self._numbers_of(name) == tuple(mib):
                return self._answer(name, size, keep_partial=keep_partial)
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _answer(self, name: str, size: int | None, *, keep_partial: bool) -> bytes:
        self.asked.append((name, size))
        answer = self.answers.get(name, errno.EINVAL)
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        if size is None or len(answer) <= size:
            return answer
        if size == 4 and len(answer) == 8 and name.startswith("vm.stats."):
            return answer[:4]
        if keep_partial:
            return answer[:size]
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    def _numbers_of(self, name: str) -> tuple[int, ...]:
        if name in self._mibs:
            return self._mibs[name]
        parent, _, last = name.rpartition(".")
        if last.isdigit():
            return (*self._numbers_of(parent), int(last))
        return tuple(self._number(part) for part in name.split("."))

    def _number(self, part: str) -> int:
        return self._numbers.setdefault(part, 1000 + len(self._numbers))
