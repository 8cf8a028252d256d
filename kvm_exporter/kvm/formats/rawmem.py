"""How is bare memory read?  /dev/mem and its like, and files where an address is its own offset.

FreeBSD's kvm_open(3) takes /dev/fwmem* (another machine through FireWire) and /dev/vmm/* (a bhyve
guest) so; QEMU's pmemsave writes such files.  They can be written.
"""

from __future__ import annotations

import re

from kvm_exporter.kvm.formats.model import Format, Image
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.space import Extent

DEVICES = re.compile(r"/dev/(mem|fwmem[0-9.]+|vmm/[^/]+|vmm\.io/[^/]+)")
PAGE_SIZE = 4096
LARGEST = 1 << 42
"""Of a device that does not tell its size."""


def _probe(source: Source) -> bool:
    return DEVICES.fullmatch(source.name) is not None


def open_raw(source: Source) -> Image:
    """Any source as raw memory; its architecture is the kernel's, which has to be told."""
    size = source.size or LARGEST
    return Image(
        format="raw memory",
        arch=None,
        abi=None,
        page_size=PAGE_SIZE,
        physical=Segments([Extent(0, 0, size)], size),
        writable=True,
        facts=(("physical memory", f"{source.size >> 20} MiB" if source.size else "unknown"),),
    )


FORMAT = Format("rawmem", _probe, open_raw)
