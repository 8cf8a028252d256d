"""Which copies of a value are one read?  The CPUs' copies, which differ in their place alone.

1. The distances between them are the same for all variables, and for all allocations: they are
   known, and so is where all copies of a value lie once one of them is found.
2. Copies near each other, as an array's, stay reads of their own: they are read at once anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.program import Read, Value
from kvm_exporter.kvm.expressions.running.chunks import GAP


def copied(kernel: Kernel, reads: Reads, read: Read, offsets: Iterable[int]) -> tuple[Value, ...]:
    """The values of the copies of ``read`` at these offsets from its base: one that has them all
    together, or each of them; their sum is the same."""
    first, *others = offsets
    mask = kernel.abi.address_mask
    # as distances are told in one way only, those of different variables are the same
    distances = reads.same(tuple([other - first & mask for other in others]))
    if reads.apart or _near(distances):
        each = (replace(read, offset=offset) for offset in (first, *others))
        return tuple(Value(reads.number(one)) for one in each)
    return (Value(reads.number(replace(read, offset=first, copies=distances))),)


def _near(distances: tuple[int, ...]) -> bool:
    return any(second - first <= GAP for first, second in pairwise(sorted((0, *distances))))
