"""Are FreeBSD's swap devices and their traffic read right, in bytes?"""

from __future__ import annotations

import errno

import pytest
from forge import freebsd
from forge.sysctl import Answers as Tree
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.errors import AccessDenied, FormatError, Unsupported
from kvm_exporter.kvm.objects.freebsd import swap
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import SwapActivity, SwapDevice
from kvm_exporter.kvm.tally import Tally

PAGE = 4096
NODEV = 2**64 - 1
NAMES = {0x33: "vtbd4", 0x1_0000_0034: "ada0p3.eli"}


def devices(
    *rows: bytes | int, arch: str = "amd64", dmmax: int | None = 32, tally: Tally | None = None
) -> tuple[SwapDevice, ...]:
    """The devices of a kernel that answers ``rows``."""
    tree: Tree = {"hw.machine_arch": freebsd.machine(arch), "vm.swap_info": errno.EINVAL}
    tree |= {f"vm.swap_info.{index}": row for index, row in enumerate(rows)}
    if dmmax is not None:
        tree["vm.dmmax"] = freebsd.number(dmmax, arch=arch)
    answers = Answers(ForgedSysctl(tree), tally or Tally())
    return swap.from_live(answers, PAGE, lambda number: NAMES.get(number, f"#C:{number:#x}"))


@pytest.mark.parametrize("arch", ["amd64", "powerpc64", "i386", "armv7"])
def test_devices_are_in_bytes_and_in_the_kernels_order(arch: str) -> None:
    """24 bytes of struct on i386, 32 elsewhere, and either byte order, give the same devices."""
    assert devices(
        freebsd.xswdev(0x33, 24576, 1000, arch=arch),
        freebsd.xswdev(0x1_0000_0034, 16384, 0, flags=5, arch=arch),
        arch=arch,
    ) == (
        SwapDevice("/dev/vtbd4", 24576 * PAGE, 1000 * PAGE, 24544 * PAGE, 1, 0x33),
        SwapDevice("/dev/ada0p3.eli", 16384 * PAGE, 0, 16352 * PAGE, 5, 0x1_0000_0034),
    )


def test_no_swap_is_no_device() -> None:
    """ENOENT for the first index is an empty answer, and no refusal."""
    tally = Tally()
    assert devices(tally=tally) == ()
    assert tally.counts() == {}


def test_swap_over_nfs_has_a_name() -> None:
    """NODEV, and no device number."""
    (device,) = devices(freebsd.xswdev(NODEV, 100, 0))
    assert (device.name, device.device) == ("[NFS swap]", None)


def test_a_device_without_a_name_keeps_its_number() -> None:
    """No /dev/ before it."""
    (device,) = devices(freebsd.xswdev(0x99, 100, 0))
    assert device.name == "#C:0x99"


def test_a_tiny_device_is_not_below_nothing() -> None:
    """Fewer pages than dmmax: nothing is usable, where libkvm's figure goes negative."""
    (device,) = devices(freebsd.xswdev(0x33, 20, 0))
    assert (device.size_bytes, device.usable_bytes) == (20 * PAGE, 0)


def test_without_dmmax_all_of_a_device_is_usable() -> None:
    """A kernel without vm.dmmax still has its swap told, and the miss is counted."""
    tally = Tally()
    (device,) = devices(freebsd.xswdev(0x33, 100, 0), dmmax=None, tally=tally)
    assert device.usable_bytes == device.size_bytes
    assert tally.counts() == {("vm.dmmax", "ENOENT"): 1}


def test_another_structs_size_is_named() -> None:
    """i386's 24 bytes on amd64: both sizes are in the message."""
    with pytest.raises(FormatError, match=r"vm\.swap_info\.0: 24 bytes.*32"):
        devices(freebsd.xswdev(0x33, 100, 0, arch="i386"))


def test_the_buffer_has_the_structs_size() -> None:
    """By that size an amd64 kernel tells a 32-bit program, and gives it i386's struct."""
    for arch, size in (("amd64", 32), ("i386", 24)):
        tree: Tree = {"hw.machine_arch": freebsd.machine(arch), "vm.swap_info": errno.EINVAL}
        tree["vm.swap_info.0"] = freebsd.xswdev(0x33, 100, 0, arch=arch)
        sysctl = ForgedSysctl(tree)
        swap.from_live(Answers(sysctl, Tally()), PAGE, NAMES.__getitem__)
        assert ("vm.swap_info.0", size) in sysctl.asked


def test_a_longer_struct_of_a_later_version_is_named() -> None:
    """What is longer than the buffer is cut by the kernel; the version says that it is another."""
    with pytest.raises(FormatError, match=r"vm\.swap_info\.0: version 3 "):
        devices(freebsd.xswdev(0x33, 100, 0, version=3) + bytes(8))


def test_another_version_is_named() -> None:
    """FreeBSD 11's struct."""
    with pytest.raises(FormatError, match=r"vm\.swap_info\.0: version 1 "):
        devices(freebsd.xswdev(0x33, 100, 0, version=1))


def test_a_refused_device_is_no_short_list() -> None:
    """Half the devices would look like half the swap: AccessDenied, and counted."""
    tally = Tally()
    with pytest.raises(AccessDenied, match=r"vm\.swap_info"):
        devices(freebsd.xswdev(0x33, 100, 0), errno.EPERM, tally=tally)
    assert tally.counts() == {("vm.swap_info", "EPERM"): 1}


def test_a_kernel_without_the_sysctl_is_unsupported() -> None:
    """Not the same as a kernel without swap."""
    answers = Answers(ForgedSysctl({"hw.machine_arch": freebsd.machine("amd64")}), Tally())
    with pytest.raises(Unsupported, match=r"vm\.swap_info"):
        swap.from_live(answers, PAGE, str)


def test_an_endless_list_ends() -> None:
    """A kernel that never says ENOENT costs a bounded number of questions."""

    class Endless(ForgedSysctl):
        def by_mib(self, *_arguments: object, **_options: object) -> bytes:
            return freebsd.xswdev(0x33, 100, 0)

    tree: Tree = {"hw.machine_arch": freebsd.machine("amd64"), "vm.swap_info": errno.EINVAL}
    found = swap.from_live(Answers(Endless(tree), Tally()), PAGE, str)
    assert len(found) == swap.MAX_DEVICES


def activity(**counters: bytes | int) -> tuple[SwapActivity, Tally]:
    """The traffic of a kernel with these counters in vm.stats.vm."""
    tree: Tree = {"hw.machine_arch": freebsd.machine("amd64")}
    tree |= {f"vm.stats.vm.{name}": raw for name, raw in counters.items()}
    tally = Tally()
    return swap.activity_from_numbers(Answers(ForgedSysctl(tree), tally), PAGE), tally


def test_traffic_is_pages_as_bytes_and_operations_as_they_are() -> None:
    """Past 32 bits, too."""
    found, _ = activity(
        v_swappgsin=freebsd.number(2**33, 8),
        v_swappgsout=freebsd.number(7, 8),
        v_swapin=freebsd.number(3, 8),
        v_swapout=freebsd.number(2**40, 8),
    )
    assert found == SwapActivity(2**33 * PAGE, 7 * PAGE, 3, 2**40)


def test_a_missing_counter_costs_itself() -> None:
    """None, not zero."""
    found, tally = activity(v_swapin=freebsd.number(3, 8), v_swappgsin=errno.EPERM)
    assert found == SwapActivity(None, None, 3, None)
    assert tally.counts()["vm.stats.vm.v_swappgsin", "EPERM"] == 1
