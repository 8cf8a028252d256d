"""Where does Linux map all of physical memory as a whole?  The direct map, if tables confirm it.

1. What the kernel uses as its direct map is believed where the tables map the top table there too.
   On x86_64, whose direct map starts anywhere (CONFIG_RANDOMIZE_MEMORY), it is the first thing that
   the kernel's half of the tables maps.
2. It reaches from the lowest to the highest memory of the dump.  A 32-bit kernel has only a part of
   memory in it and other things behind that: there it reaches as far as the tables say.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.space import Physical, Translator
from kvm_exporter.kvm.translation import DirectMap
from kvm_exporter.kvm.vmcore.placing import Placed
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

MOST_LISTED = 64
"""Mappings of the kernel's half that are looked at."""
MOST_PHYSICAL = 1 << 52
MOST_STEPS = 1 << 18
"""Runs of a 32-bit direct map: pages of 4 KB in a gigabyte."""


def direct_maps(placed: Placed, physical: Physical, info: Vmcoreinfo) -> tuple[DirectMap, ...]:
    """The kernel's direct map; none where the tables tell of none."""
    for offset in _offsets(placed, info):
        if _maps(placed.tables, placed.root + offset, placed.root):
            window = _window(placed, physical, offset)
            return (window,) if window else ()
    return ()


def _offsets(placed: Placed, info: Vmcoreinfo) -> Iterator[int]:
    """What may have to be taken from an address of the direct map."""
    if placed.machine.linear:
        yield -placed.delta
        return
    yield from placed.machine.offsets(info)
    start, end = placed.machine.reach
    try:
        inside = (one for one in placed.tables.mappings() if start <= one.virtual < end)
        yield from dict.fromkeys(one.virtual - one.physical for one in islice(inside, MOST_LISTED))
    except FormatError:  # more tables than a kernel can have
        return


def _maps(tables: Translator, virtual: int, physical: int) -> bool:
    try:
        return tables.translate(virtual, 1).address == physical
    except Fault:
        return False


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
    """The lowest and the highest memory that the dump has."""
    lowest, highest = MOST_PHYSICAL, 0
    for extent in physical.extents():
        lowest = min(lowest, extent.address)
        if extent.address < MOST_PHYSICAL:
            highest = max(highest, min(extent.address + extent.length, MOST_PHYSICAL))
    return lowest, highest


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
