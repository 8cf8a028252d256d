"""Are interfaces' counters those that ifconfig's own questions give, live and dead?"""

from __future__ import annotations

import errno
import struct

import pytest
from fakes.world import target
from forge import cdecl, system_world
from forge.sysctl import ForgedSysctl
from forge.system_structs import MODERN
from forge.system_world import PAGE, Cpus
from forge.world import Thing, World

from kvm_exporter.kvm.errors import AccessDenied, FormatError
from kvm_exporter.kvm.objects.freebsd import interfaces
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.freebsd.percpu import PerCpu
from kvm_exporter.kvm.objects.model import Interface
from kvm_exporter.kvm.tally import Tally

IFDATA = "net.link.generic.ifdata"


def ifmibdata(name: str, first: int, order: str = "<", gap: str = "4x") -> bytes:
    """A struct ifmibdata (sys/net/if_mib.h) whose counters are first, first + 1 …"""
    return struct.pack(
        f"{order}16s9i{gap}6BHII14Q24x",
        *(name.encode(), 0, 0x8843, 0, 50, 0, 0, 0, 0, 0),
        *(6, 0, 6, 18, 2, 0, 152, 1500, 0, 10**9),
        *range(first, first + 11),
        *(0, 0),
    )


def live(rows: dict[int, bytes | int], count: int, machine: str = "amd64") -> ForgedSysctl:
    """A kernel with those interfaces."""
    order = "big" if machine == "powerpc64" else "little"
    tree = {
        "hw.machine_arch": machine.encode() + b"\0",
        "net.link.generic.system.ifcount": count.to_bytes(4, order),
    }
    tree |= {f"{IFDATA}.{index}.1": row for index, row in rows.items()}
    return ForgedSysctl(tree, {IFDATA: (4, 18, 0, 2)})


@pytest.mark.parametrize(("machine", "order"), [("amd64", "<"), ("i386", "<"), ("powerpc64", ">")])
def test_numbers_may_have_gaps(machine: str, order: str) -> None:
    """Up to the highest index, without those that are not there."""
    gap = "" if machine == "i386" else "4x"
    rows = {1: ifmibdata("em0", 100, order, gap), 3: ifmibdata("lo0", 200, order, gap)}
    found = interfaces.from_live(Answers(live(rows, 3, machine), Tally()))
    assert [(one.name, one.index) for one in found] == [("em0", 1), ("lo0", 3)]
    assert found[0] == Interface(
        name="em0",
        index=1,
        flags=0x8843,
        mtu=1500,
        rx_packets=100,
        rx_errors=101,
        tx_packets=102,
        tx_errors=103,
        collisions=104,
        rx_bytes=105,
        tx_bytes=106,
        multicast_received=107,
        rx_dropped=109,
        tx_dropped=110,
    )


def test_a_struct_of_another_release_is_refused() -> None:
    """Its size is another."""
    with pytest.raises(FormatError, match="ifmibdata"):
        interfaces.from_live(Answers(live({1: bytes(100)}, 1), Tally()))


def test_a_refusal_is_no_empty_list() -> None:
    """AccessDenied where the kernel says EPERM."""
    with pytest.raises(AccessDenied):
        interfaces.from_live(Answers(live({1: errno.EPERM}, 1), Tally()))


def dead(world: World, tally: Tally | None = None) -> tuple[Interface, ...]:
    """The interfaces of a dead kernel."""
    kernel = target(world, tally)
    return interfaces.from_memory(kernel, PerCpu(kernel, PAGE))


def one_stack(asked: str, counts: list[int], abi: cdecl.Abi = cdecl.AMD64) -> tuple[World, Thing]:
    """A kernel without VIMAGE that has one interface, asked through the function ``asked``."""
    world = World(MODERN, abi)
    function = world.bytes(b"\x90" * 16)
    world.symbol(asked, function, 16, 2)
    found = system_world.interface(world, Cpus(world), "if0", 1, counts, function)
    world.define("ifnet", "struct ifnethead", {"cstqh_first": found.address})
    return world, found


def test_a_kernel_without_network_stacks_has_one_list() -> None:
    """No VIMAGE: the list is a plain variable."""
    world, _ = one_stack("if_get_counter_default", [4] * 12)
    (found,) = dead(world)
    assert (found.name, found.jail, found.rx_packets, found.collisions) == ("if0", 0, 5, 5)


def test_an_unknown_driver_keeps_its_figures_to_itself() -> None:
    """Whoever is asked through a function that nobody knows: all counts are unknown."""
    world, _ = one_stack("mxge_get_counter", [4] * 12)
    (found,) = dead(world)
    assert found == Interface("if0", 1, 0, 0x8043, 1500)


def test_what_an_iflib_driver_keeps_itself_is_unknown() -> None:
    """A sum of zero is the device's; what the stack counted is there."""
    world, _ = one_stack("iflib_if_get_counter", [2**64 - 1 if at == 1 else 7 for at in range(12)])
    (found,) = dead(world)
    assert (found.rx_errors, found.rx_packets, found.tx_dropped) == (None, 8, 8)


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.POWERPC])
def test_vtnet_counts_in_its_queues(abi: cdecl.Abi) -> None:
    """Sums over all pairs; the rest is if_counters'."""
    world, found = one_stack("vtnet_get_counter", [1000] * 12, abi)
    receiving, sending = world.array("struct vtnet_rxq", 2), world.array("struct vtnet_txq", 2)
    for at in range(2):
        receiving[at].set(
            vtnrx_stats={
                "vrxs_ipackets": 10 + at,
                "vrxs_ibytes": 2**40,
                "vrxs_iqdrops": 3 * at,
                "vrxs_ierrors": 0,
            }
        )
        sending[at].set(vtntx_stats={"vtxs_opackets": 5, "vtxs_obytes": 100 * at})
    driver = world.new(
        "struct vtnet_softc",
        vtnet_rxqs=receiving[0],
        vtnet_txqs=sending[0],
        vtnet_act_vq_pairs=1,
        vtnet_max_vq_pairs=2,
    )
    found.set(if_softc=driver)
    (counted,) = dead(world)
    assert (counted.rx_packets, counted.rx_bytes, counted.rx_dropped) == (21, 2**41, 3)
    assert (counted.tx_packets, counted.tx_bytes, counted.rx_errors) == (10, 100, 0)
    assert (counted.collisions, counted.tx_dropped) == (1001, 1001)


def test_a_vtnet_that_cannot_be_read_costs_its_queues_figures() -> None:
    """The driver's struct is on a lost page."""
    world, found = one_stack("vtnet_get_counter", [1000] * 12)
    found.set(if_softc=0x10)
    tally = Tally()
    (counted,) = dead(world, tally)
    assert (counted.rx_packets, counted.tx_bytes, counted.collisions) == (None, None, 1001)
    assert ("vtnet", "unknown") in tally.counts()


def test_a_network_stack_that_is_none_is_left_out() -> None:
    """Its magic number is wrong."""
    world = system_world.modern()
    (head,) = [one for one in world.symbols if one.name == "vnet_head"]
    first = int.from_bytes(world.read(head.address, 8), "little")
    Thing(world, "struct vnet", first).set(vnet_magic_n=0)
    assert {one.jail for one in dead(world)} == {0}


def test_without_the_jails_nobody_knows_whose_a_stack_is() -> None:
    """Interfaces are there, their jails unknown."""
    world = system_world.modern()
    world.symbols = [one for one in world.symbols if one.name != "allprison"]
    assert [one.jail for one in dead(world)] == [None] * 3
