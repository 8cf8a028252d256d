"""Does each figure of FreeBSD's kernel come from its own sysctl, and fail alone?"""

from __future__ import annotations

import errno
from dataclasses import asdict

import pytest
from forge import freebsd
from forge.sysctl import Answers as Tree
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.objects.freebsd import kernel, uname
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import KernelCounters, Uname
from kvm_exporter.kvm.tally import Tally


def tree(arch: str = "amd64") -> Tree:
    """A kernel each of whose figures is another."""
    numbers = {
        "vm.stats.sys.v_swtch": 2**40,
        "vm.stats.sys.v_intr": 2,
        "vm.stats.sys.v_soft": 3,
        "vm.stats.sys.v_trap": 4,
        "vm.stats.sys.v_syscall": 5,
        "vm.stats.vm.v_forks": 100,
        "vm.stats.vm.v_vforks": 20,
        "vm.stats.vm.v_rforks": 3,
        "vm.stats.vm.v_kthreads": 50000,
        "kern.openfiles": 34,
        "kern.maxfiles": 15593,
        "vfs.numvnodes": 180,
        "kern.maxvnodes": 31773,
        "kern.maxproc": 3908,
        "kern.maxthread": 1000000,
    }
    wide = ("vm.stats", "vfs.", "kern.maxvnodes")
    found: Tree = {
        name: freebsd.number(value, 8 if name.startswith(wide) else 4, arch)
        for name, value in numbers.items()
    }
    return found | {
        "hw.machine_arch": freebsd.machine(arch),
        "kern.boottime": freebsd.timeval(1795410324, 199713, arch),
        "vm.vmtotal": freebsd.vmtotal(6, 2, 5, arch),
    }


def read(answers: Tree, tally: Tally | None = None) -> KernelCounters:
    """The figures of a kernel."""
    return kernel.from_live(Answers(ForgedSysctl(answers), tally or Tally()))


@pytest.mark.parametrize("arch", ["amd64", "powerpc64", "i386", "armv7"])
def test_every_figure_has_its_sysctl(arch: str) -> None:
    """Forks are fork, vfork and rfork, but no kernel threads; blocked is disk and page waits."""
    assert read(tree(arch)) == KernelCounters(
        context_switches=2**40,
        interrupts=2,
        soft_interrupts=3,
        traps=4,
        system_calls=5,
        forks=123,
        boot_time_seconds=1795410324.199713,
        processes_running=6,
        processes_blocked=7,
        open_files=34,
        max_files=15593,
        vnodes=180,
        max_vnodes=31773,
        max_processes=3908,
        max_threads=1000000,
    )


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("vm.stats.sys.v_swtch", {"context_switches"}),
        ("vm.stats.vm.v_rforks", {"forks"}),
        ("kern.boottime", {"boot_time_seconds"}),
        ("vm.vmtotal", {"processes_running", "processes_blocked"}),
        ("vfs.numvnodes", {"vnodes"}),
    ],
)
@pytest.mark.parametrize("answer", [errno.EPERM, errno.ENOENT, b"odd"])
def test_a_missing_sysctl_costs_its_own_field(
    name: str, fields: set[str], answer: bytes | int
) -> None:
    """Refused, gone or of another size: None for its field, counted, and the rest is there."""
    tally = Tally()
    found = asdict(read(tree() | {name: answer}, tally))
    assert {field for field, value in found.items() if value is None} == fields
    assert [source for source, _ in tally.counts()] == [name]


def test_uname_is_what_uname_prints() -> None:
    """Lines of the version become one."""
    answers: Tree = {
        "hw.machine_arch": b"armv7\0",
        "hw.machine": b"arm\0",
        "kern.ostype": b"FreeBSD\0",
        "kern.hostname": b"box.example\0",
        "kern.osrelease": b"15.1-RELEASE\0",
        "kern.version": b"FreeBSD 15.1 #0: now\n    root@build:/obj\n\0",
    }
    assert uname.from_live(Answers(ForgedSysctl(answers), Tally())) == Uname(
        "FreeBSD",
        "box.example",
        "15.1-RELEASE",
        "FreeBSD 15.1 #0: now     root@build:/obj",
        "arm",
    )
