"""Which network devices might a Linux kernel have?  One for each way of counting.

``lo`` counts for each CPU what is sent, ``eth0`` in its struct, ``tun0`` for each CPU beside that,
``vnet0`` by queue in its driver's own struct behind its own, and what ``odd0`` counts only its
driver knows.  Written from net/core/dev.c, include/linux/netdevice.h, drivers/net/virtio_net.c.
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

NAMES = ("lo", "eth0", "tun0", "vnet0", "odd0")
FUNCTIONS = ("loopback_get_stats64", None, "ip_tunnel_get_stats64", "virtnet_stats", "odd_stats")


def modern(cpus: Cpus) -> None:
    """Devices of a kernel where the tunnel has no function of its own."""
    devices = _devices(cpus, {2: None})
    devices[2].world.c.size("struct net_device")
    place = devices[2].world.place("struct net_device", "pcpu_stat_type")
    world = cpus.world
    world.write(devices[2].address + place.bit // 8, world.number(2, 1))
    base = cpus.reserve(world.c.size("struct net_device_core_stats"))
    cpus.copies(base, "struct net_device_core_stats")[34].set(**DROPPED)
    devices[1].set(core_stats=base)


def old(cpus: Cpus) -> None:
    """Devices of a kernel where the device itself counts drops."""
    eth0 = _devices(cpus, {})[1]
    for name, count in DROPPED.items():
        eth0.put(f"{name}.counter", count)


def _devices(cpus: Cpus, without: dict[int, None]) -> list[Thing]:
    world = cpus.world
    devices = []
    for index, (name, function) in enumerate(zip(NAMES, FUNCTIONS, strict=True)):
        device = _device(cpus, name, index + 1)
        operations = world.new("struct net_device_ops", ndo_open=world.allocate(16))
        if function and index not in without:
            code = world.allocate(16)
            world.symbol(function, code)
            operations.set(ndo_get_stats64=code)
        device.set(netdev_ops=operations)
        devices.append(device)
    net = world.define("init_net", "struct net", {})
    nodes = [net.at("dev_base_head"), *(one.at("dev_list") for one in devices)]
    for before, after in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        world.write(before, world.pointer(after))
    for member, value in PLAIN.items():
        devices[1].put(f"stats.{member}", value)
        devices[2].put(f"stats.{member}", value)
    _counted(cpus, devices[0], "lstats", "struct pcpu_lstats", LOOPED, ("packets", "bytes"))
    ways = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
    _counted(cpus, devices[2], "tstats", "struct pcpu_sw_netstats", TUNNELED, ways)
    _queues(devices[3])
    return devices


def _device(cpus: Cpus, name: str, index: int) -> Thing:
    """A struct net_device, with room for its driver's struct behind it."""
    world = cpus.world
    size = world.c.size("struct net_device") + 32 + world.c.size("struct virtnet_info")
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


def _queues(device: Thing) -> None:
    world = device.world
    flexible = "priv" in world.c.layout("struct net_device")
    size = world.c.size("struct net_device")
    at = world.place("struct net_device", "priv").offset if flexible else -(-size // 32) * 32
    info = Thing(world, "struct virtnet_info", device.address + at)
    receiving = world.array("struct receive_queue", len(QUEUES))
    sending = world.array("struct send_queue", len(QUEUES))
    for pair, rx, tx in zip(QUEUES, receiving, sending, strict=True):
        for name, value in zip(("packets", "bytes", "drops"), pair[0], strict=True):
            rx.put(f"stats.{name}", value)
        for name, value in zip(("packets", "bytes", "tx_timeouts"), pair[1], strict=True):
            tx.put(f"stats.{name}", value)
    info.set(rq=receiving[0], sq=sending[0], max_queue_pairs=len(QUEUES))
