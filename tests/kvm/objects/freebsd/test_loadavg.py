"""Is the load what FreeBSD's fixed point numbers mean?"""

from __future__ import annotations

import pytest
from forge import freebsd
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.errors import AccessDenied, FormatError
from kvm_exporter.kvm.objects.freebsd import loadavg
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import LoadAverage
from kvm_exporter.kvm.tally import Tally


def load(raw: bytes | int, arch: str = "amd64") -> LoadAverage:
    """The load of a kernel that answers ``raw``."""
    tree = {"hw.machine_arch": freebsd.machine(arch), "vm.loadavg": raw}
    return loadavg.from_live(Answers(ForgedSysctl(tree), Tally()))


@pytest.mark.parametrize("arch", ["amd64", "powerpc64", "i386", "armv7"])
def test_the_load_is_in_parts_of_the_kernels_own_scale(arch: str) -> None:
    """Whatever the width of long and the byte order."""
    raw = freebsd.loadavg(1024, 2048, 2**32 - 2048, arch=arch)
    assert load(raw, arch) == LoadAverage(0.5, 1.0, 2097151.0)
    assert load(freebsd.loadavg(1, 2, 3, scale=4, arch=arch), arch).fifteen == 0.75


def test_another_struct_is_told_by_its_size() -> None:
    """16 bytes where 24 are due."""
    with pytest.raises(FormatError, match=r"16 bytes.*24"):
        load(freebsd.loadavg(1, 2, 3, arch="i386"))


@pytest.mark.parametrize("scale", [0, -1])
def test_a_scale_of_nothing_is_no_division_by_zero(scale: int) -> None:
    """FormatError instead."""
    with pytest.raises(FormatError, match="fscale"):
        load(freebsd.loadavg(1, 2, 3, scale=scale))


def test_a_refusal_is_told() -> None:
    """AccessDenied with the sysctl's name."""
    with pytest.raises(AccessDenied, match=r"vm\.loadavg"):
        load(1)
