"""When did the kernel start?  /proc/stat and /proc/uptime (proc_uptime(5))."""

from __future__ import annotations

import errno

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import kernel, reading
from kvm_exporter.kvm.objects.model import Life
from kvm_exporter.kvm.tally import Tally

SOURCE = "uptime"


def from_live(procfs: Procfs, tally: Tally) -> Life:
    """A running kernel's: it has not died."""
    return Life(
        boot_time_seconds=kernel.boot_time(procfs, tally), uptime_seconds=_uptime(procfs, tally)
    )


def _uptime(procfs: Procfs, tally: Tally) -> float | None:
    """``350735.47 234388.90`` → the first, in hundredths; time asleep counts."""
    data = reading.optional(procfs, tally, SOURCE)
    whole, _, hundredths = data.partition(b" ")[0].partition(b".")
    seconds, rest = reading.number(whole), reading.number(hundredths)
    if seconds is None or rest is None:
        if data:
            tally.add(procfs.path(SOURCE), errno.ENODATA)
        return None
    return seconds + rest / 100
