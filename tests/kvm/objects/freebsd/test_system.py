"""Does FreeBSDLive join the subjects, and open_live() this machine's edges?"""

from __future__ import annotations

import pytest
from forge import freebsd, freebsd_facts
from forge.sysctl import Answers as Tree
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.errors import KvmError, Unsupported
from kvm_exporter.kvm.live.devmem import DeviceMemory, NoMemory
from kvm_exporter.kvm.live.kldsym import Found
from kvm_exporter.kvm.objects import freebsd as package
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.objects.model import ProcOp
from kvm_exporter.kvm.tally import Tally


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> ForgedSysctl:
    """A forged kernel in the place of this machine's."""
    tree: Tree = {
        "hw.machine_arch": freebsd.machine("amd64"),
        "hw.pagesize": freebsd.number(4096),
        "vm.loadavg": freebsd.loadavg(2048, 0, 0),
    }
    sysctl = ForgedSysctl(tree)
    monkeypatch.setattr(package, "LibcSysctl", lambda: sysctl)
    monkeypatch.setattr(package, "LibcDeviceNames", lambda: str)
    monkeypatch.setattr(package, "LibcFileSystems", lambda: lambda size: [])
    monkeypatch.setattr(package, "LibcKldsym", lambda: lambda name: Found(len(name), 8))
    return sysctl


@pytest.mark.parametrize("core", [None, "/dev/mem", "/dev/kmem"])
def test_a_live_core_reads_kernel_memory(small: ForgedSysctl, core: str | None) -> None:
    """As kvm_open(3): each of these means /dev/kmem for virtual addresses."""
    opened = package.open_live(core, write=False)
    assert (opened.system.name, opened.system.page_size) == ("freebsd", 4096)
    assert opened.system.load_average().one == 1
    assert isinstance(opened.memory, DeviceMemory)
    assert opened.symbols.lookup(["_abc"]) == [("_abc", 3, 4, 8)]
    assert opened.tally.counts() == {}


def test_dev_null_is_a_handle_without_memory(small: ForgedSysctl) -> None:
    """The sysctls and symbols work; memory says why not."""
    opened = package.open_live("/dev/null", write=False)
    assert isinstance(opened.memory, NoMemory)
    assert opened.system.load_average().one == 1
    assert opened.symbols.lookup(["abc"]) == [("abc", 3, 4, 8)]


def test_another_systems_core_is_unsupported(small: ForgedSysctl) -> None:
    """/proc/kcore is Linux's."""
    with pytest.raises(Unsupported, match="/proc/kcore"):
        package.open_live("/proc/kcore", write=False)


def test_refusals_of_every_subject_meet_in_one_tally(small: ForgedSysctl) -> None:
    """What the system is refused, the handle can tell."""
    opened = package.open_live(None, write=False)
    small.answers["vm.loadavg"] = 1
    with pytest.raises(KvmError):
        opened.system.load_average()
    assert opened.tally.counts() == {("vm.loadavg", "EPERM"): 1}


def test_a_kernel_without_a_page_size_is_told(small: ForgedSysctl) -> None:
    """Nothing in bytes could be right without it."""
    del small.answers["hw.pagesize"]
    with pytest.raises(KvmError, match=r"hw\.pagesize"):
        package.open_live(None, write=False)


def test_each_method_asks_its_own_subject() -> None:
    """Every method of System answers on the recorded kernel."""
    system = FreeBSDLive(freebsd_facts.sysctl("root"), hex, Tally())
    assert system.load_average().one > 0
    assert [device.name for device in system.swap_devices()] == ["/dev/0x33", "/dev/0x34"]
    assert system.swap_activity().in_bytes == 0
    assert system.cpu_times().cpu is None
    assert [times.cpu for times in system.cpu_times_per_cpu()] == [0, 1]
    assert set(system.memory().queues) == {"active", "inactive", "laundry", "wired", "free"}
    assert system.kernel().max_processes == 3908
    assert system.uname().sysname == "FreeBSD"
    assert system.life().boot_time_seconds == system.kernel().boot_time_seconds
    assert system.message_buffer().startswith("---<<BOOT>>---\nCopyright")
    assert system.jails() == ()
    assert {process.pid for process in system.processes(["pid"], ProcOp.PROC, 0, False)} >= {0, 1}
    assert system.arguments(1) == ("/sbin/init",)
    assert "MARK=1" in system.environment(77)
    assert system.executable(1) == "/sbin/init"
    assert {file.pid for file in system.open_files(None)}


def test_what_sysctl_cannot_tell_is_unsupported() -> None:
    """Mounted file systems need a system call: a recorded kernel has none."""
    system = FreeBSDLive(freebsd_facts.sysctl("root"), hex, Tally())
    with pytest.raises(Unsupported, match="mounts"):
        system.mounts()


def test_mounts_come_from_their_own_call(small: ForgedSysctl) -> None:
    """Of open_live()'s edges one lists them."""
    assert package.open_live(None, write=False).system.mounts() == ()
