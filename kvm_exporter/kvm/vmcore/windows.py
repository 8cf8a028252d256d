"""Where does Linux map all of physical memory as a whole?  The direct map, if tables confirm it.

1. A kernel that lies in its direct map tells where that is (i386, arm, powerpc64).  Else what
   VMCOREINFO tells of it is believed where the tables map the top table there too, or are lost.
2. Nothing tells it on x86_64, where it starts anywhere (CONFIG_RANDOMIZE_MEMORY): it is the first
   thing that the kernel's half of the tables maps.  If they are lost, an ELF core's segments tell
   (those of /proc/vmcore have the direct map's addresses).
3. It reaches from the lowest to the highest memory of the dump.  A 32-bit kernel has only a part of
   memory in it and other things behind that: there it reaches as far as the tables say.
"""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.formats import Image
from kvm_exporter.kvm.space import Physical, Translator
from kvm_exporter.kvm.translation import DirectMap
from kvm_exporter.kvm.vmcore.placing import Placed
from kvm_exporter.kvm.vmcore.probing import maps, samples
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

MOST_PHYSICAL = 1 << 52
ADDRESSES = 1 << 64
PAGE = 4096
MOST_STEPS = 1 << 18
"""Runs of a 32-bit direct map: pages of 4 KB in a gigabyte."""


def direct_map(placed: Placed, image: Image, info: Vmcoreinfo) -> DirectMap | None:
    """The kernel's direct map; None where nothing tells of one."""
    if placed.machine.linear:
        return _window(placed, image.physical, -placed.delta)
    lost = []
    for offset in _told(placed, image, info):
        answer = maps(placed.tables, placed.root + offset, placed.root)
        if answer:
            return _window(placed, image.physical, offset)
        if answer is None or not placed.confirmed:
            lost.append(offset)
    for virtual, physical in samples(placed.tables, placed.paging, *placed.machine.reach):
        offset = virtual - physical
        # the kernel itself is not what is looked for
        if offset != -placed.delta and maps(placed.tables, placed.root + offset, placed.root):
            return _window(placed, image.physical, offset)
    return _window(placed, image.physical, lost[0]) if lost else None


def direct_map_from(image: Image, start: int) -> DirectMap | None:
    """The direct map where physical address 0 lies at ``start``, as far as the dump has memory."""
    lowest, highest = _bounds(image.physical)
    if lowest >= highest or not 0 <= start + lowest < start + highest <= ADDRESSES:
        return None
    return DirectMap(start + lowest, start + highest, lowest)


def _told(placed: Placed, image: Image, info: Vmcoreinfo) -> Iterator[int]:
    """What may have to be taken from an address of the direct map."""
    yield from placed.machine.offsets(info)
    if image.linear is not None:
        start, end = placed.machine.reach
        if start <= image.linear.virtual < end:
            yield image.linear.virtual - image.linear.physical


def _window(placed: Placed, physical: Physical, offset: int) -> DirectMap | None:
    lowest, highest = _bounds(physical)
    start, end = placed.machine.reach
    if placed.machine.splits:
        below = (one for one in placed.machine.splits if one <= placed.root + offset)
        start = max(below, default=start)
        end = _reached(placed.tables, start, end, offset)
    base, end = max(lowest + offset, start), min(highest + offset, end)
    return DirectMap(base, end, base - offset) if base < end else None


def _bounds(physical: Physical) -> tuple[int, int]:
    """From the lowest to the highest memory that the dump has, whole pages (of a cut one too)."""
    lowest, highest = MOST_PHYSICAL, 0
    for extent in physical.extents():
        lowest = min(lowest, extent.address)
        if extent.address < MOST_PHYSICAL:
            highest = max(highest, min(extent.address + extent.length, MOST_PHYSICAL))
    return lowest, -(-highest // PAGE) * PAGE


def _reached(tables: Translator, start: int, end: int, offset: int) -> int:
    """How far memory is mapped one to one from ``start`` on, at most to ``end``."""
    at = start
    for _ in range(MOST_STEPS):
        if at >= end:
            break
        try:
            mapped = tables.translate(at, end - at)
        except Fault:
            break
        if mapped.address != at - offset:
            break
        at += mapped.length
    return at
