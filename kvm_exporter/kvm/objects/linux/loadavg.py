"""How loaded is the system?  /proc/loadavg (proc_loadavg(5))."""

from __future__ import annotations

import math

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import reading
from kvm_exporter.kvm.objects.model import LoadAverage
from kvm_exporter.kvm.tally import Tally

SOURCE = "loadavg"


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
