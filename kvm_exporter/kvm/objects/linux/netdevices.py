"""Which network interfaces did a dead Linux have?  The devices of the first network namespace.

They are the host's, jail 0, as /proc/net/dev tells them there; index and MTU, which it does not
tell, are known here.  Source: include/net/net_namespace.h.
"""

from __future__ import annotations

from itertools import islice

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.linux import lists
from kvm_exporter.kvm.objects.linux.netcounters import DEVICE
from kvm_exporter.kvm.objects.linux.netstats import NetStats
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.model import Interface
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.target import Target

MEMBERS = ("name[]", "ifindex", "mtu")
MOST_DEVICES = 1 << 16
"""More than anyone has."""


def from_memory(target: Target, cpus: PerCpu) -> tuple[Interface, ...]:
    """In the kernel's order; counters that only the driver knows, or that fail, are None.

    Errors: SymbolMissing, TypeMissing, Fault.
    """
    head = target.address("init_net") + target.offset("struct net", "dev_base_head")
    target.pointer(head)
    reader, stats = Struct.whole(target, DEVICE, MEMBERS), NetStats(target, cpus)
    devices = islice(lists.ring(target, head, DEVICE, "dev_list"), MOST_DEVICES)
    found = ((device, reader.values(device)) for device in devices)
    return tuple(_interface(target, stats, device, row) for device, row in found if row)


def _interface(target: Target, stats: NetStats, device: int, row: Values) -> Interface:
    try:
        counts = stats.read(device)
    except KvmError:
        target.tally.add(DEVICE, None)
        counts = None
    name = row["name"].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return Interface(name=name, index=row["ifindex"], mtu=row["mtu"], **(counts or {}))
