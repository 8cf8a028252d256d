"""Where does a Linux network device keep counters?  In its struct, for each CPU, for each queue.

Source: include/linux/netdevice.h.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.structs import read_numbers
from kvm_exporter.kvm.target import Target

DEVICE = "struct net_device"

FIELDS: Mapping[str, tuple[str, ...]] = {
    "rx_bytes": ("rx_bytes",),
    "rx_packets": ("rx_packets",),
    "rx_errors": ("rx_errors",),
    "rx_dropped": ("rx_dropped", "rx_missed_errors"),
    "multicast_received": ("multicast",),
    "tx_bytes": ("tx_bytes",),
    "tx_packets": ("tx_packets",),
    "tx_errors": ("tx_errors",),
    "tx_dropped": ("tx_dropped",),
    "collisions": ("collisions",),
}
"""Interface's field → members of struct net_device_stats, which /proc/net/dev adds up
(dev_seq_printf_stats() in net/core/net-procfs.c)."""

DROPS = ("rx_dropped", "tx_dropped")

LARGEST = 1 << 12
"""Bytes of a struct of counters at most."""

MOST_QUEUES = 1 << 16
"""More than any device has."""

ALIGNMENT = 32
"""NETDEV_ALIGN, of a driver's own data behind the device's struct until 6.10."""

Counts = Counter[str]
"""By Interface's field, or by the kernel's own name."""


class NetCounters:
    """Reads counters of devices of one kernel.  Errors: KvmError."""

    def __init__(self, target: Target, cpus: PerCpu) -> None:
        self.target = target
        self._cpus = cpus

    def plain(self, device: int) -> Counts:
        """dev->stats."""
        names = [name for some in FIELDS.values() for name in some]
        numbers = self.numbers(DEVICE, [f"stats.{name}" for name in names], device)
        found = dict(zip(names, numbers, strict=True))
        return Counter({field: sum(found[one] for one in some) for field, some in FIELDS.items()})

    def per_cpu(self, pointer: int, struct: str, names: Iterable[str], size: int = 8) -> Counts:
        """The sums over all CPUs of counters of ``size`` bytes; zeros for a null pointer."""
        found: Counts = Counter(dict.fromkeys(names, 0))
        places = {name: self.target.offset(struct, name) for name in found} if pointer else {}
        first, end = min(places.values(), default=0), max(places.values(), default=0) + size
        if end - first > LARGEST:
            raise FormatError(f"{struct}: counters {end - first} bytes apart: damaged types")
        for cpu in self._cpus.possible if places else ():
            data = self.target.read(self._cpus.address(pointer + first, cpu), end - first)
            for name, place in places.items():
                raw = data[place - first : place - first + size]
                found[name] += int.from_bytes(raw, self.target.abi.byteorder)
        return found

    def of_device(self, device: int, member: str, struct: str, names: Iterable[str]) -> Counts:
        """The same of what a member of struct net_device points at."""
        (pointer,) = self.numbers(DEVICE, (member,), device)
        return self.per_cpu(pointer, struct, names)

    def per_queue(self, struct: str, first: int, count: int, names: Mapping[str, str]) -> Counts:
        """The sums over an array of queues; ``names``: what is counted → the member, if there."""
        target = self.target
        if count > MOST_QUEUES:
            raise FormatError(f"{struct}: there cannot be {count} queues")
        size = target.view(0, struct).size
        there = {name: path for name, path in names.items() if target.has(struct, path)}
        places = {name: target.offset(struct, path) for name, path in there.items()}
        found: Counts = Counter(dict.fromkeys(names, 0))
        for queue in range(first, first + size * count, size or 1):
            found.update({name: target.integer(queue + at, 8) for name, at in places.items()})
        return found

    def dropped(self, device: int) -> Counts:
        """What the kernel itself dropped.

        Each CPU counts it since 5.18 (625788b58445), before that the device.
        """
        if not self.target.has(DEVICE, "core_stats"):
            numbers = self.numbers(DEVICE, [f"{name}.counter" for name in DROPS], device)
            return Counter(dict(zip(DROPS, numbers, strict=True)))
        (pointer,) = self.numbers(DEVICE, ("core_stats",), device)
        width = self.target.abi.pointer_size
        return self.per_cpu(pointer, "struct net_device_core_stats", DROPS, width)

    def private(self, device: int) -> int:
        """netdev_priv(): the driver's own struct."""
        if self.target.has(DEVICE, "priv"):
            return device + self.target.offset(DEVICE, "priv")
        return device + -(-self.target.view(0, DEVICE).size // ALIGNMENT) * ALIGNMENT

    def numbers(self, struct: str, names: Sequence[str], at: int) -> tuple[int, ...]:
        """Members of a struct that are integers or pointers."""
        return read_numbers(self.target, struct, names, at)
