"""Which of several expressions does this kernel have?  The first one; else, why none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from kvm_exporter.kvm.errors import AccessDenied, KvmError
from kvm_exporter.kvm.expressions.compiling.reads import Reads

T = TypeVar("T")


def first_of(alternatives: Sequence[str], of: Callable[[str], T], reads: Reads) -> T:
    """``of`` the first alternative for which it has no KvmError.

    What the others would have read is forgotten.  KvmError tells what was wrong with each;
    AccessDenied is wrong with all.
    """
    reasons: list[str] = []
    for one in alternatives:
        before = len(reads)
        try:
            return of(one)
        except AccessDenied:
            raise
        except KvmError as e:
            reads.forget(before)
            if len(alternatives) == 1:  # it knows its column
                raise
            reasons.append(str(e))
    raise KvmError("; or ".join(reasons) or "no expression is given")
