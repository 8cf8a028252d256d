"""What do the CPUs spend their time on?  The cpu lines of /proc/stat (proc_stat(5)).

The numbers are the kernel's: ``guest`` is also part of ``user``, and ``guest_nice`` of ``nice``
(account_guest_time() in kernel/sched/cputime.c), so the sum of all modes counts guests twice.
"""

from __future__ import annotations

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import reading, stat
from kvm_exporter.kvm.objects.model import CpuTimes
from kvm_exporter.kvm.tally import Tally

_MODES = (
    *("user", "nice", "system", "idle"),  # always there
    *("iowait", "irq", "softirq"),  # since Linux 2.6.0
    *("steal", "guest", "guest_nice"),  # since 2.6.11, 2.6.24, 2.6.33
)


def from_live(procfs: Procfs, tally: Tally) -> CpuTimes:
    """All CPUs together.  Errors: FormatError, AccessDenied, Unsupported."""
    rows = stat.parse(reading.required(procfs, tally, stat.SOURCE))
    return _times(None, rows.get(b"cpu", b""), procfs)


def per_cpu_from_live(procfs: Procfs, tally: Tally) -> tuple[CpuTimes, ...]:
    """A value for each CPU that is online; the others have no line, so numbers may be missing.

    Errors: FormatError, AccessDenied, Unsupported.
    """
    rows = stat.parse(reading.required(procfs, tally, stat.SOURCE))
    numbered = (
        (reading.number(word[3:]), rest) for word, rest in rows.items() if word[:3] == b"cpu"
    )
    return tuple(_times(cpu, rest, procfs) for cpu, rest in numbered if cpu is not None)


def _times(cpu: int | None, rest: bytes, procfs: Procfs) -> CpuTimes:
    seconds = {}
    for mode, token in zip(_MODES, rest.split(), strict=False):
        ticks = reading.number(token)
        if ticks is None:
            raise reading.malformed(procfs.path(stat.SOURCE), rest)
        seconds[mode] = ticks / procfs.clock_ticks
    if len(seconds) < 4:
        raise reading.malformed(procfs.path(stat.SOURCE), rest)
    return CpuTimes(cpu, **seconds)
