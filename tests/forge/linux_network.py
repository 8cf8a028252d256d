"""Which network devices might a Linux kernel have?  One for each way of counting.

``lo`` counts for each CPU what is sent, ``eth0`` in its struct, ``tun0`` for each CPU beside that,
``vnet0`` by queue in its driver's own struct behind its own, ``vlan5`` for each CPU behind that,
``v0`` and ``v1`` are the ends of a pair; what ``odd0`` counts only its driver knows.  Written from
net/core/dev.c, include/linux/netdevice.h, net/8021q/vlan_dev.c, drivers/net/{virtio_net,veth}.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forge.world import Thing

if TYPE_CHECKING:
    from forge.linux_system_world import Cpus

PLAIN = {
    "rx_packets": 10,
    "rx_bytes": 1000,
    "tx_packets": 20,
    "tx_bytes": 2000,
    "rx_errors": 1,
    "tx_errors": 2,
    "rx_dropped": 3,
    "tx_dropped": 4,
    "multicast": 5,
    "collisions": 6,
    "rx_missed_errors": 7,
}
DROPPED = {"rx_dropped": 100, "tx_dropped": 200}
"""By the kernel, of eth0; of the modern one on CPU 34."""

LOOPED = {0: (3, 2**33), 1: (1, 10), 34: (0, 0)}
"""Packets and bytes."""

TUNNELED = {0: (1, 10, 2, 20), 1: (1, 10, 2, 20), 34: (5, 50, 6, 60)}
"""Packets and bytes received, packets and bytes sent."""

QUEUES = (((1, 100, 1), (2, 200, 3)), ((10, 1000, 0), (20, 2000, 1)))
"""Packets, bytes and drops received; packets, bytes and timeouts sent."""

NAMES = ("lo", "eth0", "tun0", "vnet0", "odd0", "vlan5", "v0", "v1")
FUNCTIONS = {
    "lo": "loopback_get_stats64",
    "tun0": "ip_tunnel_get_stats64",
    "vnet0": "virtnet_stats",
    "odd0": "odd_stats",
    "vlan5": "vlan_dev_get_stats64",
    "v0": "veth_get_stats64",
    "v1": "veth_get_stats64",
}

VLAN = {0: (1, 10, 1, 2, 20, 0, 3), 1: (0, 0, 0, 0, 0, 1, 0), 34: (4, 40, 1, 5, 50, 2, 2**32 - 1)}
"""rx_packets, rx_bytes, rx_multicast, tx_packets, tx_bytes, rx_errors, tx_dropped."""

SENT = {"v0": (10, 1000), "v1": (30, 3000)}
"""By each end, on CPU 34."""

DROPPED_BY = {"v0": 5, "v1": 7}
PROGRAMS = {"v0": (1, 2, 200, 4, 8), "v1": (16, 32, 6400, 64, 128)}
"""rx_drops, xdp_packets, xdp_bytes, xdp_tx_err, peer_tq_xdp_xmit_err: of the first of two queues,
the other has counted nothing."""


def modern(cpus: Cpus) -> None:
    """Devices of a kernel where the tunnel has no function of its own."""
    world = cpus.world
    devices = _devices(cpus, {name: one for name, one in FUNCTIONS.items() if name != "tun0"})
    place = world.place("struct net_device", "pcpu_stat_type")
    world.write(devices["tun0"].address + place.bit // 8, world.number(2, 1))
    base = cpus.reserve(world.c.size("struct net_device_core_stats"))
    cpus.copies(base, "struct net_device_core_stats")[34].set(**DROPPED)
    devices["eth0"].set(core_stats=base)
    _ends(cpus, devices, "tstats", "struct pcpu_sw_netstats", ("tx_packets", "tx_bytes"))


def old(cpus: Cpus) -> None:
    """Devices of a kernel where the device itself counts drops."""
    devices = _devices(cpus, FUNCTIONS)
    for name, count in DROPPED.items():
        devices["eth0"].put(f"{name}.counter", count)
    _ends(cpus, devices, "lstats", "struct pcpu_lstats", ("packets", "bytes"))


def _devices(cpus: Cpus, functions: dict[str, str]) -> dict[str, Thing]:
    world = cpus.world
    devices = {name: _device(cpus, name, index) for index, name in enumerate(NAMES, 1)}
    code = {name: world.allocate(16) for name in FUNCTIONS.values()}
    for function, address in code.items():
        world.symbol(function, address)
    for name, device in devices.items():
        operations = world.new("struct net_device_ops", ndo_open=world.allocate(16))
        operations.set(ndo_get_stats64=code[functions[name]] if name in functions else None)
        device.set(netdev_ops=operations)
    net = world.define("init_net", "struct net", {})
    nodes = [net.at("dev_base_head"), *(one.at("dev_list") for one in devices.values())]
    for before, after in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        world.write(before, world.pointer(after))
    for member, value in PLAIN.items():
        devices["eth0"].put(f"stats.{member}", value)
        devices["tun0"].put(f"stats.{member}", value)
    _counted(cpus, devices["lo"], "lstats", "struct pcpu_lstats", LOOPED, ("packets", "bytes"))
    ways = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
    _counted(cpus, devices["tun0"], "tstats", "struct pcpu_sw_netstats", TUNNELED, ways)
    _queues(devices["vnet0"])
    _vlan(cpus, devices["vlan5"])
    return devices


def _device(cpus: Cpus, name: str, index: int) -> Thing:
    """A struct net_device, with room for its driver's struct behind it."""
    world = cpus.world
    size = world.c.size("struct net_device") + 128
    device = Thing(world, "struct net_device", world.allocate(size))
    return device.set(name=name, ifindex=index, mtu=1500 + index)


def _counted(
    cpus: Cpus,
    device: Thing,
    member: str,
    struct: str,
    values: dict[int, tuple[int, ...]],
    names: tuple[str, ...],
) -> None:
    base = cpus.reserve(cpus.world.c.size(struct))
    for cpu, copy in cpus.copies(base, struct).items():
        copy.set(**dict(zip(names, values[cpu], strict=True)))
    device.put(member, base)


def _private(device: Thing, struct: str) -> Thing:
    """The driver's own struct behind the device's."""
    world = device.world
    flexible = "priv" in world.c.layout("struct net_device")
    size = world.c.size("struct net_device")
    at = world.place("struct net_device", "priv").offset if flexible else -(-size // 32) * 32
    return Thing(world, struct, device.address + at)


def _queues(device: Thing) -> None:
    world = device.world
    info = _private(device, "struct virtnet_info")
    receiving = world.array("struct receive_queue", len(QUEUES))
    sending = world.array("struct send_queue", len(QUEUES))
    for pair, rx, tx in zip(QUEUES, receiving, sending, strict=True):
        for name, value in zip(("packets", "bytes", "drops"), pair[0], strict=True):
            rx.put(f"stats.{name}", value)
        for name, value in zip(("packets", "bytes", "tx_timeouts"), pair[1], strict=True):
            tx.put(f"stats.{name}", value)
    info.set(rq=receiving[0], sq=sending[0], max_queue_pairs=len(QUEUES))


def _vlan(cpus: Cpus, device: Thing) -> None:
    names = ("rx_packets", "rx_bytes", "rx_multicast", "tx_packets", "tx_bytes")
    names += ("rx_errors", "tx_dropped")
    base = cpus.reserve(cpus.world.c.size("struct vlan_pcpu_stats"))
    for cpu, copy in cpus.copies(base, "struct vlan_pcpu_stats").items():
        copy.set(**dict(zip(names, VLAN[cpu], strict=True)))
    _private(device, "struct vlan_dev_priv").set(vlan_pcpu_stats=base)


def _ends(
    cpus: Cpus, devices: dict[str, Thing], member: str, struct: str, names: tuple[str, ...]
) -> None:
    """The pair v0 and v1."""
    world = cpus.world
    programs = ("rx_drops", "xdp_packets", "xdp_bytes", "xdp_tx_err", "peer_tq_xdp_xmit_err")
    for name, other in (("v0", "v1"), ("v1", "v0")):
        values = dict.fromkeys(cpus.numbers, (0, 0)) | {34: SENT[name]}
        _counted(cpus, devices[name], member, struct, values, names)
        first, _ = world.array("struct veth_rq", 2)
        for counter, value in zip(programs, PROGRAMS[name], strict=True):
            first.put(f"stats.vs.{counter}", value)
        own = _private(devices[name], "struct veth_priv").set(peer=devices[other], rq=first)
        own.put("dropped.counter", DROPPED_BY[name])
        devices[name].set(num_rx_queues=2)
