"""Which sysctls has a running FreeBSD?  CTL_SYSCTL's questions, as sysctl(8) asks them.

1. {0, 2, MIB} answers the next leaf's MIB, in the order of their numbers, and leaves out those that
   are CTLFLAG_SKIP (sys/kern/kern_sysctl.c).  A node that wants arguments (kern.proc.args) counts
   as a leaf there; what lies behind it is never entered, and it has no value.
2. {0, 1, MIB} is the name, {0, 4, MIB} kind and format, {0, 5, MIB} the description, and
   {0, 6, MIB} the label of the last part.
3. New nodes get numbers that were never used (sysctl_register_oid()), so a MIB stays one node's.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import NamedTuple

from kvm_exporter.kvm.live.sysctl import Sysctl
from kvm_exporter.kvm.objects.freebsd.sysctlkinds import NODE, TYPE_MASK, text

Mib = tuple[int, ...]

NAME, NEXT, FORMAT, DESCRIPTION, LABEL = 1, 2, 4, 5, 6
"""CTL_SYSCTL_* (sys/sys/sysctl.h)."""

KERN: Mib = (1,)
EVERYTHING: Mib = ()
"""CTL_KERN, with which the whole tree begins: before it is but CTL_SYSCTL."""

BUFFER = 1024
"""Bytes of an answer: BUFSIZ, as sysctl(8) has it."""

MOST = 1 << 18
"""Leaves at most, thirty times as many as a kernel has."""


class Told(NamedTuple):
    """What a kernel tells of a leaf; ``kind`` is its type and flags."""

    mib: Mib
    parts: tuple[str, ...]
    labels: tuple[str, ...]
    kind: int
    format: str
    description: str


class Walk:
    """The leaves of one kernel's tree.  Methods raise OSError with the kernel's errno."""

    def __init__(self, sysctl: Sysctl, order: str) -> None:
        self._sysctl = sysctl
        self._order = order
        self._kind = struct.Struct(f"{order}I")

    def root(self, name: str) -> Mib:
        """Where a tree begins, EVERYTHING for ""; ENOENT where there is none."""
        return self._sysctl.mib(name) if name else EVERYTHING

    def leaves(self, root: Mib) -> Iterator[Mib]:
        """The leaves below ``root``, or itself, if it is a leaf."""
        if root and self.format(root)[0] & TYPE_MASK != NODE:
            yield root
        at = self.next(root)
        for _ in range(MOST):
            if at is None or not inside(at, root):
                return
            yield at
            at = self.next(at)

    def next(self, mib: Mib) -> Mib | None:
        """The leaf behind ``mib``, None for the last one's."""
        try:
            raw = self._ask(NEXT, mib or KERN)
        except OSError as e:
            if e.errno == errno.ENOENT:
                return None
            raise
        count = len(raw) // 4
        found: Mib = struct.unpack_from(f"{self._order}{count}i", raw)
        return found if found > mib else None

    def format(self, mib: Mib) -> tuple[int, str]:
        """Kind and format; ENOENT where there is no format."""
        raw = self._ask(FORMAT, mib)
        if len(raw) < self._kind.size:
            raise OSError(errno.ENOENT, f"sysctl {mib}: no kind")
        return self._kind.unpack_from(raw)[0], text(raw[self._kind.size :])

    def told(self, mib: Mib, before: Told | None) -> Told:
        """What there is to know of a leaf; ``before`` is the last one, whose labels are known."""
        kind, form = self.format(mib)
        parts = tuple(text(self._ask(NAME, mib)).split("."))
        if len(parts) != len(mib):
            raise OSError(errno.EINVAL, f"sysctl {mib}: {len(parts)} parts of a name")
        labels = list(shared_labels(mib, before)) if before else []
        labels += [self._text(LABEL, mib[:end]) for end in range(len(labels) + 1, len(mib) + 1)]
        return Told(mib, parts, tuple(labels), kind, form, self._text(DESCRIPTION, mib))

    def _text(self, question: int, mib: Mib) -> str:
        try:
            return text(self._ask(question, mib))
        except OSError as e:
            if e.errno == errno.ENOENT:
                return ""
            raise

    def _ask(self, question: int, mib: Mib) -> bytes:
        return self._sysctl.by_mib((0, question, *mib), BUFFER, keep_partial=True)


def inside(mib: Mib, root: Mib) -> bool:
    """Whether a leaf belongs to a tree."""
    return mib[: len(root)] == root


def shared_labels(mib: Mib, before: Told) -> Iterator[str]:
    """The labels of the parts that a leaf shares with the one before it."""
    for own, other, label in zip(mib, before.mib, before.labels, strict=False):
        if own != other:
            return
        yield label
