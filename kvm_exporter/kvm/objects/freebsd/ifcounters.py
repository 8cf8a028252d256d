"""What has a network interface counted, in a dead kernel's memory?

1. An interface counts in if_counters: counter(9)s, in the order of IFCOUNTER_* (sys/net/if_var.h).
2. A running kernel asks through if_get_counter.  Where that is if_get_counter_default, it is those.
3. A driver with a function of its own counts some itself.  Of iflib's drivers the stack counts as
   well, and what only the device knows is zero: unknown, then.  vtnet(4) has them in its queues.
   Of any other function nothing is known, and nothing is told.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd.percpu import PerCpu
from kvm_exporter.kvm.target import Target

IFNET = "struct ifnet"

COUNTERS = {
    0: "rx_packets",
    1: "rx_errors",
    2: "tx_packets",
    3: "tx_errors",
    4: "collisions",
    5: "rx_bytes",
    6: "tx_bytes",
    7: "multicast_received",
    9: "rx_dropped",
    10: "tx_dropped",
}
"""IFCOUNTER_* → Interface's field; 8 is multicast sent, 11 packets of no protocol."""

Counts = dict[str, int | None]

DEFAULT, IFLIB, VTNET = "if_get_counter_default", "iflib_if_get_counter", "vtnet_get_counter"


class Queues(NamedTuple):
    """vtnet's queues of one direction: where they are, their struct, and what each counts."""

    pointer: str
    struct: str
    counts: Mapping[str, str]


VTNET_QUEUES = (
    Queues(
        "vtnet_rxqs",
        "struct vtnet_rxq",
        {
            "rx_packets": "vtnrx_stats.vrxs_ipackets",
            "rx_bytes": "vtnrx_stats.vrxs_ibytes",
            "rx_dropped": "vtnrx_stats.vrxs_iqdrops",
            "rx_errors": "vtnrx_stats.vrxs_ierrors",
        },
    ),
    Queues(
        "vtnet_txqs",
        "struct vtnet_txq",
        {
            "tx_packets": "vtntx_stats.vtxs_opackets",
            "tx_bytes": "vtntx_stats.vtxs_obytes",
        },
    ),
)
"""sys/dev/virtio/network/if_vtnetvar.h; the other figures are if_counters'."""

MOST_QUEUES = 1024
"""More pairs of queues than vtnet has (VTNET_MAX_QUEUE_PAIRS is 32)."""


class Counting:
    """How this kernel's interfaces count.  Errors: TypeMissing where struct ifnet is not known."""

    def __init__(self, target: Target, cpus: PerCpu) -> None:
        self._target = target
        self._cpus = cpus
        self._array = target.offset(IFNET, "if_counters")
        self._asked = target.record(IFNET, ("if_get_counter", "if_softc"))
        names = (DEFAULT, IFLIB, VTNET)
        found = zip(names, target.symbols.lookup(names), strict=True)
        self._functions = {symbol.value: name for name, symbol in found if symbol}

    def counts(self, ifnet: int) -> Counts:
        """What the interface at ``ifnet`` counted: Interface's fields; None, or absent: unknown."""
        try:
            function, driver = self._asked.at(ifnet)
            name = self._functions.get(function)
            if name is None:
                return {}
            counts = self._stack(ifnet)
            if name == IFLIB:
                return {field: count or None for field, count in counts.items()}
            return counts | self._vtnet(driver) if name == VTNET else counts
        except KvmError:
            self._target.tally.add("if_counters", None)
            return {}

    def _stack(self, ifnet: int) -> Counts:
        """Rule 1."""
        abi = self._target.abi
        bases = struct.Struct(f"{abi.order}{max(COUNTERS) + 1}{abi.pointer}")
        counters = bases.unpack(self._target.read(ifnet + self._array, bases.size))
        return {field: self._cpus.counter(counters[at]) for at, field in COUNTERS.items()}

    def _vtnet(self, driver: int) -> Counts:
        """Sums over the queues; None where the driver's structs are not known."""
        try:
            return self._summed(driver)
        except KvmError:
            self._target.tally.add("vtnet", None)
            return {field: None for queues in VTNET_QUEUES for field in queues.counts}

    def _summed(self, driver: int) -> Counts:
        softc = self._target.record(
            "struct vtnet_softc", ("vtnet_max_vq_pairs", *(one.pointer for one in VTNET_QUEUES))
        )
        pairs, *starts = softc.at(driver)
        counts: Counts = {}
        for queues, start in zip(VTNET_QUEUES, starts, strict=True):
            record = self._target.record(queues.struct, tuple(queues.counts.values()))
            rows = [record.at(start + record.size * at) for at in range(min(pairs, MOST_QUEUES))]
            sums = (sum(column) % 2**64 for column in zip(*rows, strict=True))
            counts |= dict(zip(queues.counts, sums, strict=True))
        return counts
