"""Which zones has a dead Linux's memory?  The struct zones of each NUMA node.

A kernel with CONFIG_NUMA has pointers to its nodes in node_data, of which nr_node_ids may be there;
one without has the one node contig_page_data.  A node has as many zones as its struct says; those
that have memory have pages present.  Source: include/linux/mmzone.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.view import View

NODE = "struct pglist_data"
MOST_NODES = 1 << 10
"""MAX_NUMNODES of any kernel."""

MOST_ZONES = 16
"""More than MAX_NR_ZONES of any kernel (6)."""

WMARK_LOW, WMARK_HIGH = 1, 2
"""enum zone_watermarks."""

NR_FREE_PAGES = 0
"""The first of enum zone_stat_item."""

HIGHMEM = "HighMem"


class Zones:
    """The zones of one kernel, node by node.  Errors: KvmError where it does not tell."""

    def __init__(self, target: Target) -> None:
        self._target = target

    @cached_property
    def every(self) -> Sequence[View]:
        """Every ``struct zone``, those without memory among them."""
        found = []
        for node in self._nodes():
            zones = self._target.view(node, NODE)["node_zones"]
            found += [zone for zone, _ in zip(zones.elements(), range(MOST_ZONES), strict=False)]
        return found

    @cached_property
    def populated(self) -> Sequence[View]:
        """Those with memory."""
        return [zone for zone in self.every if int(zone["present_pages"])]

    @cached_property
    def high(self) -> Sequence[View]:
        """Those with memory that the kernel does not map."""
        return [zone for zone in self.populated if zone_name(self._target, zone) == HIGHMEM]

    def _nodes(self) -> list[int]:
        target = self._target
        if variables.has(target, "contig_page_data"):
            return [target.address("contig_page_data")]
        count = variables.unsigned(target, "nr_node_ids") if self._several else 1
        if not 0 < count <= MOST_NODES:
            raise FormatError(f"nr_node_ids: there cannot be {count} nodes")
        table, width = target.address("node_data"), target.abi.pointer_size
        found = (target.pointer(table + width * at) for at in range(count))
        return [node for node in found if node]

    @property
    def _several(self) -> bool:
        return variables.has(self._target, "nr_node_ids")


def zone_name(target: Target, zone: View) -> str:
    """``Normal``, ``DMA32`` …"""
    return target.string(int(zone["name"]), 32)


def watermark(zone: View, which: int) -> int:
    """Pages; raised for a while after fragmentation, since 5.0 (1c30844d2dfe)."""
    if zone.has("_watermark"):
        return int(zone["_watermark"][which]) + int(zone["watermark_boost"])
    return int(zone["watermark"][which])


def pages(zone: View, item: int) -> int:
    """A zone's own count, never below zero (zone_page_state())."""
    return max(int(zone["vm_stat"][item]["counter"]), 0)
