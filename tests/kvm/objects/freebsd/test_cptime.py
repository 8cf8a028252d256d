"""Are ticks turned into seconds, CPU by CPU?"""

from __future__ import annotations

import errno

import pytest
from forge import freebsd
from forge.sysctl import Answers as Tree
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.errors import AccessDenied, FormatError
from kvm_exporter.kvm.objects.freebsd import cptime
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import CpuTimes
from kvm_exporter.kvm.tally import Tally

TICKS = (1270, 254, 127, 381, 12700)
TIMES = CpuTimes(None, user=10, nice=2, system=1, idle=100, interrupt=3)


def answers(arch: str = "amd64", **tree: bytes | int) -> Answers:
    """A kernel with these sysctls under kern."""
    whole: Tree = {"hw.machine_arch": freebsd.machine(arch)}
    whole["kern.clockrate"] = freebsd.clockinfo(arch=arch)
    whole |= {f"kern.{name}": raw for name, raw in tree.items()}
    return Answers(ForgedSysctl(whole), Tally())


@pytest.mark.parametrize("arch", ["amd64", "powerpc64", "i386", "armv7"])
def test_ticks_are_seconds_of_the_statistics_clock(arch: str) -> None:
    """127 ticks make a second; interrupt comes before idle in the kernel."""
    assert cptime.from_live(answers(arch, cp_time=freebsd.longs(*TICKS, arch=arch))) == TIMES


def test_a_machine_with_one_clock_ticks_at_hz() -> None:
    """There stathz is 0."""
    kernel = answers(
        clockrate=freebsd.clockinfo(hz=100, stathz=0), cp_time=freebsd.longs(100, 0, 0, 0, 50)
    )
    assert cptime.from_live(kernel) == CpuTimes(None, 1, 0, 0, 0.5, 0)


def test_long_ticks_of_32_bits_are_unsigned() -> None:
    """Half way through their range they do not turn negative."""
    kernel = answers("i386", cp_time=freebsd.longs(0, 0, 0, 0, 127 * 2**24, arch="i386"))
    assert cptime.from_live(kernel).idle == 2**24


def test_absent_cpus_are_left_out() -> None:
    """A row of zeros is a CPU number that nobody has; the others keep their numbers."""
    rows = freebsd.longs(*TICKS, *[0] * 5, 127, 0, 0, 0, 0)
    found = cptime.per_cpu_from_live(answers(cp_times=rows))
    assert [(times.cpu, times.user) for times in found] == [(0, 10), (2, 1)]
    assert found[0].interrupt == 3


@pytest.mark.parametrize("count", [4, 6, 0])
def test_another_number_of_states_is_told(count: int) -> None:
    """Neither the sum nor the rows are guessed at."""
    raw = freebsd.longs(*range(count))
    with pytest.raises(FormatError, match=r"kern\.cp_time:"):
        cptime.from_live(answers(cp_time=raw))
    with pytest.raises(FormatError, match=r"kern\.cp_times:"):
        cptime.per_cpu_from_live(answers(cp_times=raw))


def test_bytes_that_are_no_longs_are_told() -> None:
    """Half a long."""
    with pytest.raises(FormatError, match="44 bytes"):
        cptime.from_live(answers(cp_time=b"x" * 44))


def test_a_clock_that_stands_is_told() -> None:
    """No division by zero."""
    broken = bytes(20)
    with pytest.raises(FormatError, match=r"kern\.clockrate"):
        cptime.from_live(answers(clockrate=broken, cp_time=freebsd.longs(*TICKS)))


def test_a_refusal_is_told() -> None:
    """AccessDenied with the sysctl's name."""
    with pytest.raises(AccessDenied, match=r"kern\.cp_times"):
        cptime.per_cpu_from_live(answers(cp_times=errno.EPERM))
