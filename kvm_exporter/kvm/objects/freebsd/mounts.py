"""Which file systems are mounted?  struct statfs (sys/sys/mount.h), as the kernel keeps it.

Live: getfsstat(2) with MNT_NOWAIT, which asks no file system: a dead NFS server cannot stop it.
In memory: the list mountlist; each mount's mnt_stat is what getfsstat copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.live.fsstat import FileSystems
from kvm_exporter.kvm.objects.freebsd.layouts import layout
from kvm_exporter.kvm.objects.model import Mount
from kvm_exporter.kvm.target import TEXT, Target

TEXTS = ("f_mntfromname", "f_mntonname", "f_fstypename")
MEMBERS = (
    *TEXTS,
    "f_flags",
    "f_bsize",
    "f_blocks",
    "f_bfree",
    "f_bavail",
    "f_files",
    "f_ffree",
)

VERSION = 0x20140518
"""STATFS_VERSION; before 12 it was 0x20030518, with shorter names."""

MOST_MOUNTS = 1 << 16
"""More than anyone has."""


def from_live(file_systems: FileSystems, machine: str) -> tuple[Mount, ...]:
    """Those that the caller may see, in the kernel's order.  FormatError for another release's."""
    shape = layout("statfs", machine)
    compiled = shape.compile(("f_version", *MEMBERS))
    mounts = []
    for raw in file_systems(shape.size):
        row = dict(zip(compiled.names, compiled.decoder.unpack(raw), strict=True))
        if row["f_version"] != VERSION:
            raise FormatError(f"struct statfs: version {row['f_version']:#x}, not {VERSION:#x}")
        mounts.append(_mount(row))
    return tuple(mounts)


def from_memory(target: Target) -> tuple[Mount, ...]:
    """All of them, in the kernel's order."""
    stat = (f"mnt_stat.{name}{TEXT if name in TEXTS else ''}" for name in MEMBERS)
    record = target.record("struct mount", ("mnt_list.tqe_next", *stat))
    first = target.pointer(target.address("mountlist"))
    rows = islice(target.rows(first, record, "mountlist"), MOST_MOUNTS)
    return tuple(_mount(dict(zip(MEMBERS, row[1:], strict=True))) for row in rows)


def _mount(stat: Mapping[str, Any]) -> Mount:
    block = stat["f_bsize"]
    return Mount(
        device=_text(stat["f_mntfromname"]),
        path=_text(stat["f_mntonname"]),
        kind=_text(stat["f_fstypename"]),
        flags=stat["f_flags"],
        size_bytes=stat["f_blocks"] * block,
        free_bytes=stat["f_bfree"] * block,
        available_bytes=stat["f_bavail"] * block,
        files=stat["f_files"],
        free_files=stat["f_ffree"],
    )


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")
