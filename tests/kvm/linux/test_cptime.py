"""Are the CPU lines of /proc/stat read?"""

from __future__ import annotations

from typing import Any

import pytest

from kvm_exporter.kvm.errors import FormatError, Unsupported
from kvm_exporter.kvm.objects.model import CpuTimes

STAT = """\
cpu  700 30 500 90000 60 0 40 10 7 3
cpu0 300 10 200 40000 20 0 20 4 3 1
cpu2 400 20 300 50000 40 0 20 6 4 2
intr 5 1 2 3
btime 1000000
"""


def test_all_cpus_together(forged: Any) -> None:
    """Ticks become seconds; guest time is told beside user, as the kernel does."""
    forged.tree.put("stat", STAT)
    expected = CpuTimes(
        cpu=None,
        user=7.0,
        nice=0.3,
        system=5.0,
        idle=900.0,
        iowait=0.6,
        irq=0.0,
        softirq=0.4,
        steal=0.1,
        guest=0.07,
        guest_nice=0.03,
    )
    assert forged.system.cpu_times() == expected


def test_an_offline_cpu_is_absent(forged: Any) -> None:
    """Each line is a CPU under its own number; no line, no value."""
    forged.tree.put("stat", STAT)
    assert [(times.cpu, times.user) for times in forged.system.cpu_times_per_cpu()] == [
        (0, 3.0),
        (2, 4.0),
    ]


def test_the_ticks_are_the_systems(forged: Any) -> None:
    """A kernel of another HZ for user space gives other seconds."""
    forged.procfs.clock_ticks = 1024
    forged.tree.put("stat", STAT.replace("700", "2048"))
    assert forged.system.cpu_times().user == 2.0


def test_older_kernels_tell_less(forged: Any) -> None:
    """Modes that came later are unknown, not 0; those of later kernels are ignored."""
    forged.tree.put("stat", "cpu  1 2 3 4 5\ncpu0 1 2 3 4\ncpu1 1 2 3 4 5 6 7 8 9 10 11 12\n")
    times = forged.system.cpu_times()
    assert (times.iowait, times.irq, times.guest_nice) == (0.05, None, None)
    first, second = forged.system.cpu_times_per_cpu()
    assert first.iowait is None
    assert second.guest_nice == 0.1


@pytest.mark.parametrize("text", ["", "cpu \n", "cpu  1 2 3\n", "cpu  1 2 x 4\n", "cpu0 1 2 3 4\n"])
def test_no_cpu_line_is_a_format_error(forged: Any, text: str) -> None:
    """Without its four first modes there is no value."""
    forged.tree.put("stat", text)
    with pytest.raises(FormatError, match="/stat: not understood"):
        forged.system.cpu_times()


def test_no_file_is_an_error(forged: Any) -> None:
    """Nothing to read is an error, and no CPU is not claimed."""
    (forged.tree.root / "stat").unlink()
    with pytest.raises(Unsupported):
        forged.system.cpu_times_per_cpu()
