"""How full is swap, and how busy?  /proc/swaps (proc_swaps(5)) and /proc/vmstat."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import reading, vmstat
from kvm_exporter.kvm.objects.model import SwapActivity, SwapDevice
from kvm_exporter.kvm.tally import Tally

SOURCE = "swaps"
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
_KIB = 1024


def devices_from_live(procfs: Procfs, tally: Tally) -> tuple[SwapDevice, ...]:
    """Every swap area in the kernel's order, ``usable_bytes`` being all of its size.

    A kernel without CONFIG_SWAP has no such file: no device then, and no error.
    Errors: FormatError, AccessDenied; Unsupported where /proc is not mounted.
    """
    try:
        data = procfs.read(SOURCE)
    except OSError as error:
        if error.errno == errno.ENOENT and reading.optional(procfs, tally, "stat"):
            return ()
        tally.add(procfs.path(SOURCE), error.errno)
        raise reading.refusal(procfs.path(SOURCE), error) from error
    return parse(data, procfs.path(SOURCE))


def parse(data: bytes, path: str) -> tuple[SwapDevice, ...]:
    """The lines below the heading: name, type, size and used in KiB, priority."""
    lines = data.split(b"\n")[1:]
    return tuple(_device(line, path) for line in lines if line.strip())


def _device(line: bytes, path: str) -> SwapDevice:
    try:
        name, _, size, used, priority = line.split()
        size_bytes, used_bytes = int(size) * _KIB, int(used) * _KIB
        return SwapDevice(
            name=_unescape(name),
            size_bytes=size_bytes,
            used_bytes=used_bytes,
            usable_bytes=size_bytes,
            priority=int(priority),
        )
    except ValueError as error:
        raise reading.malformed(path, line) from error


def _unescape(name: bytes) -> str:
    r"""A name with ``\040`` and the like undone.

    `` (deleted)`` stays at the end of a removed file's name: a new file of the old name may be
    in use beside it.
    """
    plain = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), name)
    return plain.decode("utf-8", "surrogateescape")


def activity_from_live(procfs: Procfs, tally: Tally) -> SwapActivity:
    """Bytes swapped since boot; Linux counts pages only, so the operations are unknown."""
    values = vmstat.parse(reading.optional(procfs, tally, vmstat.SOURCE))
    return activity(values, procfs.page_size)


def activity(values: Mapping[str, int], page_size: int) -> SwapActivity:
    """Of vmstat's numbers."""
    pages_in, pages_out = values.get("pswpin"), values.get("pswpout")
    return SwapActivity(
        in_bytes=None if pages_in is None else pages_in * page_size,
        out_bytes=None if pages_out is None else pages_out * page_size,
    )
