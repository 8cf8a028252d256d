"""Which network interfaces are there, and what went through them?

1. Live: net.link.generic.ifdata.N.general, struct ifmibdata (sys/net/if_mib.h), N from 1 on;
   numbers have gaps, and net.link.generic.system.ifcount is the highest.  These are the interfaces
   of the caller's own network stack.
2. In memory: each network stack, struct vnet on vnet_head, has its own copy of the variables in the
   section set_vnet, vnet_data_base away from their addresses (sys/net/vnet.h); one of them is the
   list of interfaces.  A kernel without VIMAGE has just that one list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd import jails
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.freebsd.ifcounters import IFNET, Counting
from kvm_exporter.kvm.objects.freebsd.percpu import PerCpu
from kvm_exporter.kvm.objects.model import Interface
from kvm_exporter.kvm.target import Target

GENERAL = 1
"""IFDATA_GENERAL."""

ROW = {
    "mtu": "ifmd_data.ifi_mtu",
    "flags": "ifmd_flags",
    "rx_packets": "ifmd_data.ifi_ipackets",
    "rx_errors": "ifmd_data.ifi_ierrors",
    "tx_packets": "ifmd_data.ifi_opackets",
    "tx_errors": "ifmd_data.ifi_oerrors",
    "collisions": "ifmd_data.ifi_collisions",
    "rx_bytes": "ifmd_data.ifi_ibytes",
    "tx_bytes": "ifmd_data.ifi_obytes",
    "multicast_received": "ifmd_data.ifi_imcasts",
    "rx_dropped": "ifmd_data.ifi_iqdrops",
    "tx_dropped": "ifmd_data.ifi_oqdrops",
}
"""Interface's field → member of struct ifmibdata."""

NEXT = ("if_link.cstqe_next", "if_link.stqe_next", "if_link.tqe_next")
"""The list of interfaces is a CK_STAILQ, until 12 it was a TAILQ."""

MEMBERS = ("if_index", "if_xname[]", "if_flags", "if_drv_flags", "if_mtu")

MAGIC = 0x5E4A6F28
"""VNET_MAGIC_N."""

MOST = 1 << 16
"""if_index has 16 bits; network stacks are no more than jails, of which nobody has as many."""


def from_live(answers: Answers) -> tuple[Interface, ...]:
    """Those of the caller's network stack, by index."""
    last = answers.number("net.link.generic.system.ifcount") or 0
    found = (_row(answers, index) for index in range(1, min(last, MOST) + 1))
    return tuple(row for row in found if row)


def _row(answers: Answers, index: int) -> Interface | None:
    members = ("ifmd_name", *ROW.values())
    row = answers.listed("net.link.generic.ifdata", (index, GENERAL), "ifmibdata", members)
    if row is None:
        return None
    numbers = {field: row[member] for field, member in ROW.items()}
    return Interface(name=_text(row["ifmd_name"]), index=index, **numbers)


def from_memory(target: Target, cpus: PerCpu) -> tuple[Interface, ...]:
    """Those of every network stack, the host's first, by index."""
    following = next((path for path in NEXT if target.has(IFNET, path)), NEXT[0])
    record = target.record(IFNET, (following, *MEMBERS))
    counting = Counting(target, cpus)
    found = [
        Interface(
            name=_text(name),
            index=index,
            jail=jail,
            flags=flags | driver_flags,
            mtu=mtu,
            **counting.counts(at),
        )
        for jail, first in _lists(target)
        for at, index, name, flags, driver_flags, mtu in islice(
            target.rows(first, record, "ifnet"), MOST
        )
    ]
    return tuple(sorted(found, key=lambda one: (one.jail or 0, one.index or 0)))


def _lists(target: Target) -> Iterator[tuple[int | None, int]]:
    """The jail of each network stack, and its first interface (rule 2)."""
    template, stacks = target.symbols.lookup(["vnet_entry_ifnet", "vnet_head"])
    if template is None or stacks is None:
        yield 0, target.pointer(target.address("ifnet"))
        return
    record = target.record("struct vnet", ("vnet_le.le_next", "vnet_magic_n", "vnet_data_base"))
    owner = _owners(target)
    rows = target.rows(target.pointer(stacks.value), record, "vnet_head")
    for stack, magic, base in islice(rows, MOST):
        if magic == MAGIC:
            head = (template.value + base) & target.abi.address_mask
            yield owner(stack), target.pointer(head)


def _owners(target: Target) -> Callable[[int], int | None]:
    """Address of a network stack → its jail: that of the host where it is no jail's own."""
    try:
        owners = jails.networks(target)
    except KvmError:
        target.tally.add("allprison", None)
        return lambda _: None
    return lambda stack: owners.get(stack, 0)


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")
