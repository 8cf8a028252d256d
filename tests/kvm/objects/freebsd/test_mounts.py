"""Are getfsstat(2)'s structs read as FreeBSD's architectures have them?"""

from __future__ import annotations

import struct

import pytest

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.freebsd import mounts
from kvm_exporter.kvm.objects.model import Mount


def statfs(order: str = "<", version: int = 0x20140518) -> bytes:
    """A struct statfs (sys/sys/mount.h)."""
    return struct.pack(
        f"{order}IIQQQQQqQq4QII72xII8x80x16s1024s1024s",
        *(version, 53, 0x1000, 512, 32768, 1000, 900, -100, 50, -1, 1, 2, 3, 4, 5, 0, 255, 0),
        *(b"ufs", b"/dev/vtbd0p2", b"/caf\xc3\xa9"),
    )


@pytest.mark.parametrize(
    ("machine", "order"), [("amd64", "<"), ("i386", "<"), ("armv7", "<"), ("powerpc64", ">")]
)
def test_each_struct_is_a_mount(machine: str, order: str) -> None:
    """2344 bytes everywhere; sizes in bytes, available below zero."""
    asked = []

    def file_systems(size: int) -> list[bytes]:
        asked.append(size)
        return [statfs(order)] * 2

    mount = Mount("/dev/vtbd0p2", "/café", "ufs", 0x1000, 512000, 460800, -51200, 50, -1)
    assert mounts.from_live(file_systems, machine) == (mount, mount)
    assert asked == [2344]


def test_another_releases_struct_is_refused() -> None:
    """Before 12 it had another version and shorter names."""
    with pytest.raises(FormatError, match="0x20030518"):
        mounts.from_live(lambda _: [statfs(version=0x20030518)], "amd64")
