"""How do drivers of Linux network devices add up their counters?  Each known one as it does.

Software devices and virtio, whose structs are the same for every machine; drivers of hardware read
registers, or have structs of their own.  Sources: drivers/net/{loopback,dummy,virtio_net,veth}.c,
net/8021q/vlan_dev.c, dev_get_tstats64() and dev_get_dstats64() in net/core/dev.c.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from kvm_exporter.kvm.objects.linux.netcounters import DEVICE, DROPS, Counts, NetCounters

Driver = Callable[[NetCounters, int], Counts]
"""The counters of a device by Interface's field.  Errors: KvmError."""

LOCAL, SOFTWARE, DROPPING = "struct pcpu_lstats", "struct pcpu_sw_netstats", "struct pcpu_dstats"
WAYS = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")


def loopback(counters: NetCounters, device: int) -> Counts:
    """What is sent comes back."""
    sent = counters.of_device(device, "lstats", LOCAL, ("packets", "bytes"))
    return Counter({f"{way}_{what}": sent[what] for way in ("rx", "tx") for what in sent})


def dummy(counters: NetCounters, device: int) -> Counts:
    """What is sent is gone."""
    sent = counters.of_device(device, "lstats", LOCAL, ("packets", "bytes"))
    return Counter({f"tx_{what}": sent[what] for what in sent})


def tstats(counters: NetCounters, device: int) -> Counts:
    """Counters of each CPU beside the plain ones."""
    return counters.plain(device) + counters.of_device(device, "tstats", SOFTWARE, WAYS)


def dstats(counters: NetCounters, device: int) -> Counts:
    """The same with drops."""
    names = (*WAYS, "rx_drops", "tx_drops")
    found = counters.of_device(device, "dstats", DROPPING, names)
    renamed = {name: found[old] for name, old in zip(DROPS, names[-2:], strict=True)}
    return counters.plain(device) + found + Counter(renamed)


def virtio(counters: NetCounters, device: int) -> Counts:
    """Pairs of queues (virtnet_stats())."""
    members = ("max_queue_pairs", "rq", "sq")
    at = counters.private(device)
    pairs, receiving, sending = counters.numbers("struct virtnet_info", members, at)
    received = {"packets": "rx_packets", "bytes": "rx_bytes", "drops": "rx_dropped"}
    sent = {"packets": "tx_packets", "bytes": "tx_bytes", "tx_timeouts": "tx_errors"}
    rx = {name: f"stats.{member}" for member, name in received.items()}
    tx = {name: f"stats.{member}" for member, name in sent.items()}
    found = counters.per_queue("struct receive_queue", receiving, pairs, rx)
    found += counters.per_queue("struct send_queue", sending, pairs, tx)
    found["tx_dropped"] = counters.plain(device)["tx_dropped"]
    return found


def vlan(counters: NetCounters, device: int) -> Counts:
    """Counters of each CPU behind the driver's own struct (vlan_dev_get_stats64())."""
    struct, at = "struct vlan_pcpu_stats", counters.private(device)
    (pointer,) = counters.numbers("struct vlan_dev_priv", ("vlan_pcpu_stats",), at)
    found = counters.per_cpu(pointer, struct, (*WAYS, "rx_multicast"))
    found += counters.per_cpu(pointer, struct, ("rx_errors", "tx_dropped"), 4)
    found["multicast_received"] = found["rx_multicast"]
    return found


def veth(counters: NetCounters, device: int) -> Counts:
    """What one end sends, the other receives; programs (XDP) may send things back."""
    mine = _End(counters, device)
    (other,) = counters.numbers("struct veth_priv", ("peer",), counters.private(device))
    found = Counter(
        {
            "tx_packets": mine.sent["packets"],
            "tx_bytes": mine.sent["bytes"],
            "tx_dropped": mine.dropped + mine.queues["xdp_tx_err"],
            "rx_dropped": mine.queues["rx_drops"] + mine.queues["peer_tq_xdp_xmit_err"],
            "rx_packets": mine.queues["xdp_packets"],
            "rx_bytes": mine.queues["xdp_bytes"],
        }
    )
    if other:
        found += _from_peer(_End(counters, other))
    return found


def _from_peer(peer: _End) -> Counts:
    # until 6.7 what the peer dropped when sending counts as dropped here (34d21de99cea)
    dropped = 0 if peer.is_software else peer.dropped
    return Counter(
        {
            "rx_packets": peer.sent["packets"],
            "rx_bytes": peer.sent["bytes"],
            "rx_dropped": dropped + peer.queues["xdp_tx_err"],
            "tx_dropped": peer.queues["peer_tq_xdp_xmit_err"],
            "tx_packets": peer.queues["xdp_packets"],
            "tx_bytes": peer.queues["xdp_bytes"],
        }
    )


class _End:
    """What one end has counted: what it ``sent`` and ``dropped``, and its receive ``queues``."""

    def __init__(self, counters: NetCounters, device: int) -> None:
        self.is_software = counters.target.has(DEVICE, "pcpu_stat_type")
        if self.is_software:
            found = counters.of_device(device, "tstats", SOFTWARE, ("tx_packets", "tx_bytes"))
            self.sent = Counter({"packets": found["tx_packets"], "bytes": found["tx_bytes"]})
        else:
            self.sent = counters.of_device(device, "lstats", LOCAL, ("packets", "bytes"))
        members = ("dropped.counter", "rq")
        self.dropped, first = counters.numbers(
            "struct veth_priv", members, counters.private(device)
        )
        (count,) = counters.numbers(DEVICE, ("num_rx_queues",), device)
        names = ("xdp_packets", "xdp_bytes", "rx_drops", "xdp_tx_err", "peer_tq_xdp_xmit_err")
        places = {name: f"stats.vs.{name}" for name in names}
        self.queues = counters.per_queue("struct veth_rq", first, count if first else 0, places)


FUNCTIONS: Mapping[str, Driver] = {
    "loopback_get_stats64": loopback,
    "dev_get_tstats64": tstats,
    "ip_tunnel_get_stats64": tstats,  # until 5.11
    "dev_get_dstats64": dstats,
}
"""The kernel's own functions → what they do."""

MODULES: Mapping[str, Driver] = {
    "virtnet_stats": virtio,
    "veth_get_stats64": veth,
    "vlan_dev_get_stats64": vlan,
    "dummy_get_stats64": dummy,
}
"""The same of drivers that may be modules."""

STAT_TYPES: Mapping[int, Driver] = {2: tstats, 3: dstats}
"""enum netdev_stat_type of devices without a function, as far as dev_get_stats() heeds it."""
