"""How loaded is the system?  /proc/loadavg (proc_loadavg(5)), or avenrun behind it."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import reading
from kvm_exporter.kvm.objects.model import LoadAverage
from kvm_exporter.kvm.tally import Tally

if TYPE_CHECKING:  # a running kernel is not read by type
    from kvm_exporter.kvm.target import Target

SOURCE = "loadavg"

ONE = 1 << 11
"""FIXED_1 (include/linux/sched/loadavg.h): avenrun counts in 2048ths."""


def from_live(procfs: Procfs, tally: Tally) -> LoadAverage:
    """Runnable and uninterruptible threads over 1, 5 and 15 minutes.

    Errors: FormatError, AccessDenied, Unsupported.
    """
    return parse(reading.required(procfs, tally, SOURCE), procfs.path(SOURCE))


def parse(data: bytes, path: str) -> LoadAverage:
    """``0.20 0.18 0.12 1/80 11206`` → the first three."""
    try:
        one, five, fifteen = map(float, data.split()[:3])
    except ValueError as error:
        raise reading.malformed(path, data) from error
    if not all(map(math.isfinite, (one, five, fifteen))):
        raise reading.malformed(path, data)
    return LoadAverage(one, five, fifteen)


def from_memory(target: Target) -> LoadAverage:
    """The same two decimals as /proc/loadavg's, rounded as the kernel does.

    Errors: SymbolMissing, Fault.
    """
    shape = struct.Struct(f"{target.abi.order}3{target.abi.pointer}")
    averages = shape.unpack(target.read(target.address("avenrun"), shape.size))
    return LoadAverage(*map(_rounded, averages))


def _rounded(average: int) -> float:
    """FIXED_1/200 is added and the rest cut off (loadavg_proc_show() in fs/proc/loadavg.c)."""
    return (average + ONE // 200) * 100 // ONE / 100
