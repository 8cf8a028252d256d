"""What went through a dead Linux's network device?  Its counters, as dev_get_stats() adds them up.

1. A device's driver tells its counters by a function.  Where that is one of the kernel's usual ones
   (FUNCTIONS), or there is none, what it reads is known, and is read here; of any other nothing is
   known, and the counters are absent.
2. Usual are dev->stats, and counters of each CPU behind dev->lstats, tstats or dstats: which of
   these pcpu_stat_type tells since 6.7 (34d21de99cea), where there is no function.
3. What the kernel itself dropped is added: each CPU's core_stats since 5.18 (625788b58445), before
   that dev->rx_dropped and tx_dropped.
4. /proc/net/dev tells what the hardware missed as dropped, too (dev_seq_printf_stats()).

Sources: net/core/dev.c, include/linux/netdevice.h, drivers/net/loopback.c, dummy.c, virtio_net.c.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.structs import read_numbers
from kvm_exporter.kvm.target import Target

DEVICE, OPERATIONS = "struct net_device", "struct net_device_ops"

PLAIN = {
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
"""Interface's field → members of struct net_device_stats, which are added up (rule 4)."""

PER_CPU = {
    "lstats": ("struct pcpu_lstats", ("packets", "bytes")),
    "tstats": (
        "struct pcpu_sw_netstats",
        ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes"),
    ),
    "dstats": (
        "struct pcpu_dstats",
        ("rx_packets", "rx_bytes", "rx_drops", "tx_packets", "tx_bytes", "tx_drops"),
    ),
}
"""Member of struct net_device → what it points at, and its counters, all of 64 bits."""

DROPS = {"rx_drops": "rx_dropped", "tx_drops": "tx_dropped"}

STAT_TYPES = {2: "tstats", 3: "dstats"}
"""enum netdev_stat_type, as far as dev_get_stats() heeds it."""

MOST_QUEUES = 1 << 14
"""VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX is 0x8000 of both kinds."""

ALIGNMENT = 32
"""NETDEV_ALIGN, of a driver's own data behind the device's struct until 6.10."""

Counts = Counter[str]


class NetStats:
    """Reads the counters of devices of one kernel.  Errors: KvmError."""

    def __init__(self, target: Target, cpus: PerCpu) -> None:
        self._target = target
        self._cpus = cpus

    def read(self, device: int) -> Mapping[str, int] | None:
        """Interface's counters by field; None where only the driver knows them (rule 1)."""
        read = self._reader(device)
        if read is None:
            return None
        counts = Counter(dict.fromkeys(PLAIN, 0))
        counts.update(read(self, device))
        counts.update(self._dropped(device))
        return {field: counts[field] % (1 << 64) for field in PLAIN}

    def plain(self, device: int) -> Counts:
        """dev->stats."""
        members = [f"stats.{name}" for names in PLAIN.values() for name in names]
        numbers = iter(read_numbers(self._target, DEVICE, members, device))
        return Counter({field: sum(next(numbers) for _ in names) for field, names in PLAIN.items()})

    def loopback(self, device: int) -> Counts:
        """What is sent comes back."""
        sent = self._per_cpu(device, "lstats")
        names = {f"{way}_{what}": sent[what] for way in ("rx", "tx") for what in sent}
        return Counter(names)

    def dummy(self, device: int) -> Counts:
        """What is sent is gone."""
        sent = self._per_cpu(device, "lstats")
        return Counter({f"tx_{what}": sent[what] for what in sent})

    def tunnel(self, device: int) -> Counts:
        """Counters of a software device beside the plain ones."""
        return self.plain(device) + self._per_cpu(device, "tstats")

    def dstats(self, device: int) -> Counts:
        """The same with drops."""
        return self.plain(device) + self._per_cpu(device, "dstats")

    def virtio(self, device: int) -> Counts:
        """Of each pair of queues (virtnet_stats())."""
        target, info = self._target, "struct virtnet_info"
        members = ("max_queue_pairs", "rq", "sq")
        pairs, receiving, sending = read_numbers(target, info, members, self._private(device))
        if pairs > MOST_QUEUES:
            raise FormatError(f"{info}: there cannot be {pairs} pairs of queues")
        received = ("packets", "bytes", "drops")
        sent = ("packets", "bytes", "tx_timeouts")
        rx = self._queues("struct receive_queue", receiving, pairs, received)
        tx = self._queues("struct send_queue", sending, pairs, sent)
        plain = self.plain(device)
        names = {
            "rx_packets": rx["packets"],
            "rx_bytes": rx["bytes"],
            "rx_dropped": rx["drops"],
            "tx_packets": tx["packets"],
            "tx_bytes": tx["bytes"],
            "tx_errors": tx["tx_timeouts"],
            "tx_dropped": plain["tx_dropped"],
        }
        return Counter(names)

    def _queues(self, struct: str, first: int, count: int, names: tuple[str, ...]) -> Counts:
        target = self._target
        size = target.view(0, struct).size
        places = {
            name: target.offset(struct, f"stats.{name}")
            for name in names
            if target.has(struct, f"stats.{name}")
        }
        found: Counts = Counter(dict.fromkeys(names, 0))
        for queue in range(first, first + size * count, size or 1):
            found.update({name: target.integer(queue + at, 8) for name, at in places.items()})
        return found

    def _private(self, device: int) -> int:
        """netdev_priv()"""
        target = self._target
        if target.has(DEVICE, "priv"):
            return device + target.offset(DEVICE, "priv")
        return device + -(-target.view(0, DEVICE).size // ALIGNMENT) * ALIGNMENT

    def _per_cpu(self, device: int, member: str) -> Counts:
        """The sums over all CPUs."""
        target, cpus = self._target, self._cpus
        struct, names = PER_CPU[member]
        (pointer,) = read_numbers(target, DEVICE, (member,), device)
        found: Counts = Counter(dict.fromkeys((DROPS.get(name, name) for name in names), 0))
        for name in names if pointer else ():
            place = pointer + target.offset(struct, name)
            found[DROPS.get(name, name)] = cpus.sum(place, cpus.possible, 8)
        return found

    def _dropped(self, device: int) -> Counts:
        """What the kernel dropped (rule 3)."""
        target, cpus = self._target, self._cpus
        names = ("rx_dropped", "tx_dropped")
        if not target.has(DEVICE, "core_stats"):
            members = [f"{name}.counter" for name in names]
            return Counter(
                dict(zip(names, read_numbers(target, DEVICE, members, device), strict=True))
            )
        (pointer,) = read_numbers(target, DEVICE, ("core_stats",), device)
        places = {name: target.offset("struct net_device_core_stats", name) for name in names}
        width = target.abi.pointer_size
        return Counter(
            {
                name: cpus.sum(pointer + at, cpus.possible, width) if pointer else 0
                for name, at in places.items()
            }
        )

    def _reader(self, device: int) -> Callable[[NetStats, int], Counts] | None:
        """What reads this device's counters."""
        target = self._target
        (operations,) = read_numbers(target, DEVICE, ("netdev_ops",), device)
        names = ("ndo_get_stats64", "ndo_get_stats")
        functions = read_numbers(target, OPERATIONS, names, operations)
        function = next((one for one in functions if one), 0)
        if not function:
            return self._without_function(device)
        return self._usual.get(function) or self._of_modules.get(function)

    def _without_function(self, device: int) -> Callable[[NetStats, int], Counts]:
        target = self._target
        if not target.has(DEVICE, "pcpu_stat_type"):
            return NetStats.plain
        kind = STAT_TYPES.get(int(target.view(device, DEVICE)["pcpu_stat_type"]))
        readers = {"tstats": NetStats.tunnel, "dstats": NetStats.dstats}
        return readers.get(kind or "", NetStats.plain)

    @cached_property
    def _usual(self) -> Mapping[int, Callable[[NetStats, int], Counts]]:
        return self._found(FUNCTIONS)

    @cached_property
    def _of_modules(self) -> Mapping[int, Callable[[NetStats, int], Counts]]:
        return self._found(MODULES)

    def _found(
        self, functions: Mapping[str, Callable[[NetStats, int], Counts]]
    ) -> Mapping[int, Callable[[NetStats, int], Counts]]:
        symbols = self._target.symbols.lookup(tuple(functions))
        readers = zip(symbols, functions.values(), strict=True)
        return {symbol.value: reader for symbol, reader in readers if symbol}


FUNCTIONS: Mapping[str, Callable[[NetStats, int], Counts]] = {
    "loopback_get_stats64": NetStats.loopback,
    "dev_get_tstats64": NetStats.tunnel,
    "ip_tunnel_get_stats64": NetStats.tunnel,  # until 5.11
    "dev_get_dstats64": NetStats.dstats,
}
"""Functions of the kernel's own → what they read."""

MODULES: Mapping[str, Callable[[NetStats, int], Counts]] = {
    "dummy_get_stats64": NetStats.dummy,
    "virtnet_stats": NetStats.virtio,
}
"""The same of drivers, which may be modules."""
