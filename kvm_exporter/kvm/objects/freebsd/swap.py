"""What swap devices does FreeBSD have, and how much goes in and out?

1. vm.swap_info.N answers struct xswdev for N = 0, 1 … and ENOENT past the last.
2. Sizes are pages.  libkvm leaves out the first vm.dmmax pages of each device, pstat(8) does not:
   ``usable_bytes`` is libkvm's figure, ``size_bytes`` pstat's.  libkvm's subtraction goes below
   zero for a tiny device; here it stops there.
3. Swap over NFS has no device number (NODEV).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.objects.freebsd.answers import Answers, Numbers
from kvm_exporter.kvm.objects.freebsd.variables import Variables
from kvm_exporter.kvm.objects.model import SwapActivity, SwapDevice
from kvm_exporter.kvm.target import Target

DeviceName = Callable[[int], str]
"""devname_r(3): ``vtbd4`` for a device number, ``#C:0x…`` for one that has no name."""

VERSION = 2
"""XSWDEV_VERSION (sys/vm/vm_param.h); a longer struct has another."""

NODEV = 2**64 - 1
"""sys/sys/param.h: (dev_t)-1."""

MAX_DEVICES = 4096
"""More than anyone has: the bound of the loop over a kernel's answers."""

MEMBERS = ("xsw_version", "xsw_dev", "xsw_flags", "xsw_nblks", "xsw_used")
SWDEVT = ("sw_list.tqe_next", "sw_dev", "sw_flags", "sw_nblks", "sw_used", "sw_vp")

LONGEST_NAME = 256
"""SPECNAMELEN + 1 (sys/sys/param.h)."""


def from_live(answers: Answers, page_size: int, device_name: DeviceName) -> tuple[SwapDevice, ...]:
    """Every device in the kernel's order.  FormatError for a struct of another release."""
    skipped = answers.number("vm.dmmax") or 0
    devices = []
    for index in range(MAX_DEVICES):
        row = answers.listed("vm.swap_info", (index,), "xswdev", MEMBERS)
        if row is None:
            break
        if row["xsw_version"] != VERSION:
            raise FormatError(
                f"sysctl vm.swap_info.{index}: version {row['xsw_version']} of struct xswdev, "
                f"where this program knows version {VERSION}"
            )
        devices.append(_device(row, page_size, skipped, device_name))
    return tuple(devices)


def from_memory(target: Target, variables: Variables, page_size: int) -> tuple[SwapDevice, ...]:
    """Every device on the list swtailq (struct swdevt in sys/vm/swap_pager.h)."""
    skipped = variables.number("vm.dmmax") or 0
    record = target.record("struct swdevt", SWDEVT)
    first = target.pointer(target.address("swtailq"))
    devices = []
    for _, number, flags, pages, used, vnode in target.rows(first, record, "swtailq"):
        row = {"xsw_dev": number % 2**64, "xsw_flags": flags, "xsw_nblks": pages, "xsw_used": used}
        name = partial(_vnode_name, target, vnode)
        devices.append(_device(row, page_size, skipped, name))
        if len(devices) == MAX_DEVICES:
            break
    return tuple(devices)


def _vnode_name(target: Target, vnode: int, number: int) -> str:
    """devname(3)'s name of a swap device: that of its device node."""
    try:
        path = "v_rdev" if target.has("struct vnode", "v_rdev") else "v_un.vu_cdev"  # before 12
        device = target.pointer(vnode + target.offset("struct vnode", path))
        name = target.string(device + target.offset("struct cdev", "si_name"), LONGEST_NAME)
    except KvmError:
        target.tally.add("swtailq", None)
        name = ""
    return name or f"#C:{number:#x}"


def _device(
    row: dict[str, int], page_size: int, skipped: int, device_name: DeviceName
) -> SwapDevice:
    number, pages = row["xsw_dev"], row["xsw_nblks"]
    return SwapDevice(
        name=_name(number, device_name),
        size_bytes=pages * page_size,
        used_bytes=row["xsw_used"] * page_size,
        usable_bytes=max(pages - skipped, 0) * page_size,
        flags=row["xsw_flags"],
        device=None if number == NODEV else number,
    )


def _name(number: int, device_name: DeviceName) -> str:
    if number == NODEV:
        return "[NFS swap]"
    name = device_name(number)
    return name if name.startswith("#") else f"/dev/{name}"


def activity_from_numbers(numbers: Numbers, page_size: int) -> SwapActivity:
    """vm.stats.vm: pages moved, here as bytes, and the operations that moved them.

    ``numbers`` are a running kernel's answers or a dead one's variables.
    """
    return SwapActivity(
        in_bytes=_bytes(numbers.number("vm.stats.vm.v_swappgsin"), page_size),
        out_bytes=_bytes(numbers.number("vm.stats.vm.v_swappgsout"), page_size),
        in_operations=numbers.number("vm.stats.vm.v_swapin"),
        out_operations=numbers.number("vm.stats.vm.v_swapout"),
    )


def _bytes(pages: int | None, page_size: int) -> int | None:
    return None if pages is None else pages * page_size
