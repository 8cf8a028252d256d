"""Where does Linux map all of physical memory as a whole?  The direct map, if tables confirm it.

1. A kernel that lies in its direct map tells where that is (i386, arm, powerpc64).  Else what
   VMCOREINFO tells of it is believed where the tables map the top table there too, or are lost.
2. Nothing tells it on x86_64, where it starts anywhere (CONFIG_RANDOMIZE_MEMORY): it is the first
   thing that the kernel's half of the tables maps.  If they are lost, an ELF core's segments tell
   (those of /proc/vmcore have the direct map's addresses).
3. It reaches from the lowest to the highest memory of the dump, but for what the tables do not have
   there: a dump has firmware's memory as well, and what would be around a direct map is used for
   other things.  A 32-bit kernel has only a part of memory in it: as far as the tables say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

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
MOST_ELSEWHERE = 64
"""Runs of memory at either end that are not in the direct map."""
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
    lowest, highest = _bounds(image.physical, lambda *_: True)
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
    def is_there(start: int, end: int) -> bool:
        if placed.machine.linear or not placed.confirmed:
            return True
        # the kernel maps none of what firmware has reserved, at either end for one
        step = max(end - start >> 2, 1)
        probes = (*range(start, end, step), end - 1)
        return any(maps(placed.tables, one + offset, one) is not False for one in probes)

    lowest, highest = _bounds(physical, is_there)
    start, end = placed.machine.reach
    if placed.machine.splits:
        below = (one for one in placed.machine.splits if one <= placed.root + offset)
        start = max(below, default=start)
        end = _reached(placed.tables, start, end, offset)
    base, end = max(lowest + offset, start), min(highest + offset, end)
    return DirectMap(base, end, base - offset) if base < end else None


def _bounds(physical: Physical, is_there: Callable[[int, int], bool]) -> tuple[int, int]:
    """From the lowest to the highest run of the dump's memory that is there, in whole pages."""
    lowest: int | None = None
    last: deque[tuple[int, int]] = deque(maxlen=MOST_ELSEWHERE)
    for number, extent in enumerate(physical.extents()):
        if extent.address >= MOST_PHYSICAL:
            break
        run = extent.address, min(extent.address + extent.length, MOST_PHYSICAL)
        if lowest is None and number < MOST_ELSEWHERE and is_there(*run):
            lowest = extent.address
        last.append(run)
    highest = next((run[1] for run in reversed(last) if is_there(*run)), 0)
    return (0, 0) if lowest is None else (lowest, -(-highest // PAGE) * PAGE)


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
