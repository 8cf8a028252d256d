"""Does freebsd-interfaces.yml tell the state of network interfaces, and what went through them?

Forged kernels of every word size and byte order, with network stacks of the host and of a jail.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from fakes.module_files import answer, expected
from forge.counting import MACHINES, Counting
from forge.world import FUNC, Thing

INTERFACES = """
enum ift_counter {
    IFCOUNTER_IPACKETS = 0, IFCOUNTER_IERRORS, IFCOUNTER_OPACKETS, IFCOUNTER_OERRORS,
    IFCOUNTER_COLLISIONS, IFCOUNTER_IBYTES, IFCOUNTER_OBYTES, IFCOUNTER_IMCASTS, IFCOUNTER_OMCASTS,
    IFCOUNTER_IQDROPS, IFCOUNTER_OQDROPS, IFCOUNTER_NOPROTO, IFCOUNTERS
};
struct timeval { time_t tv_sec; long tv_usec; };
struct ifnethead { struct ifnet *cstqh_first; struct ifnet **cstqh_last; };
struct ifnet {
    struct { struct ifnet *cstqe_next; } if_link; void *if_softc;
    char *if_dname; u_short if_index; char if_xname[16]; char *if_description;
    int if_flags, if_drv_flags; uint8_t if_type, if_link_state; uint32_t if_mtu;
    uint64_t if_baudrate; struct timeval if_lastchange; int if_pcount;
    uint64_t (*if_get_counter)(struct ifnet *, enum ift_counter);
    enum ift_counter if_unused; counter_u64_t if_counters[12];
};
"""

FUNCTIONS = {
    "if_get_counter_default": 0x100,
    "iflib_if_get_counter": 0x200,
    "vtnet_get_counter": 0x300,
}

COUNTERS = """
    received_packets receive_errors sent_packets send_errors collisions received_bytes sent_bytes
    received_multicasts sent_multicasts receive_drops send_drops unknown_protocol_packets
"""
"""In the order of IFCOUNTER_*."""

BY_DEVICE = {"receive_errors", "send_errors", "collisions", "receive_drops", "send_drops"}
BY_DEVICE |= {"unknown_protocol_packets"}
"""Of these iflib's own counters tell nothing."""


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel that knows interfaces; a jail has a network stack."""
    made = Counting(request.param, cpus=(0, 3), jails={"web": 4})
    made.declare(INTERFACES)
    for name, address in FUNCTIONS.items():
        made.world.symbol(name, made.world.allocate(16) + address, 8, FUNC)
    return made


def interface(kernel: Counting, name: str, function: str, base: int, **members: object) -> Thing:
    """An interface whose counter n is ``base`` + n, and none where base is 0."""
    [address] = [one.address for one in kernel.world.symbols if one.name == function]
    rows = [[base + at if base else 0, 0] for at in range(len(COUNTERS.split()))]
    driver, number = name[:-1], int(name[-1])
    made = kernel.new("struct ifnet", if_xname=name.encode(), **members)
    made.set(if_dname=kernel.text(driver), if_index=10 + number, if_get_counter=address)
    return made.set(if_counters=kernel.counters(rows))


def counted(name: str, jail: str, base: int, leave_out: set[str] = frozenset()) -> dict[str, int]:
    """The series of an interface's counters."""
    return {
        f'interface_{what}_total{{interface="{name}",jail="{jail}"}}': base + at
        for at, what in enumerate(COUNTERS.split())
        if what not in leave_out
    }


def state(name: str, jail: str, driver: str, **told: int) -> dict[str, int | float]:
    """The other series of an interface."""
    zero = ("up", "running", "link_up", "mtu_bytes", "speed_bytes", "promiscuous_listeners")
    values = dict.fromkeys((*zero, "last_change_timestamp_seconds"), 0) | told
    about = f'driver="{driver}",interface="{name}",jail="{jail}",number="{10 + int(name[-1])}"'
    kind = values.pop("type", 0)
    rows = [f'interface_info{{{about},type="{kind}"}} 1']
    rows += [
        f'interface_{what}{{interface="{name}",jail="{jail}"}} {v}' for what, v in values.items()
    ]
    return expected("\n".join(rows))


def test_interfaces(kernel: Counting) -> None:
    """As netstat -i: what the stack counts; of iflib's drivers what is not 0, of others nothing."""
    heads = kernel.vnet("struct ifnethead ifnet", {"": {}, "web": {}})
    lo0 = interface(kernel, "lo0", "if_get_counter_default", 1 << 40, if_type=24)
    lo0.set(if_flags=0x8049, if_drv_flags=0x40, if_link_state=2, if_mtu=16384, if_pcount=2)
    lo0.put("if_lastchange.tv_sec", 1_700_000_000).put("if_lastchange.tv_usec", 250_000)
    em1 = interface(kernel, "em1", "iflib_if_get_counter", 500, if_type=6, if_baudrate=10**10)
    em2 = interface(kernel, "em2", "iflib_if_get_counter", 0, if_flags=1, if_link_state=1)
    vtnet3 = interface(kernel, "vtnet3", "vtnet_get_counter", 900, if_drv_flags=0x40)
    epair4 = interface(kernel, "epair4", "if_get_counter_default", 70)
    stacks = {"": [lo0, em1, em2, vtnet3], "web": [epair4]}
    for jail, members in stacks.items():
        heads[jail].set(cstqh_first=members[0])
        for one, following in pairwise(members):
            one.put("if_link.cstqe_next", following)
    found = answer(kernel, "freebsd-interfaces")
    assert found.missing == {}
    told = {
        **counted("lo0", "", 1 << 40),
        **counted("em1", "", 500, BY_DEVICE),
        **counted("epair4", "web", 70),
        **state(
            "lo0", "", "lo", type=24, up=1, running=1, link_up=1, mtu_bytes=16384,
            promiscuous_listeners=2, last_change_timestamp_seconds=1_700_000_000.25,
        ),
        **state("em1", "", "em", type=6, speed_bytes=1_250_000_000),
        **state("em2", "", "em", up=1),
        **state("vtnet3", "", "vtnet", running=1),
        **state("epair4", "web", "epair"),
    }  # fmt: skip
    assert found.series == told
