"""Does freebsd-carp.yml tell what CARP counts, and who is the master of which virtual host?

Forged kernels of every word size and byte order.  The table says which member each series is of:
what netstat(1) prints under the words of the series (usr.bin/netstat/inet.c).
"""

from __future__ import annotations

import pytest
from fakes.module_files import answer, expected
from fakes.protocols import Protocols, rows
from forge.counting import MACHINES

CARP = rows(
    """
    carp_received_packets_total{family="ipv4"} carps_ipackets
    carp_received_packets_total{family="ipv6"} carps_ipackets6
    carp_sent_packets_total{family="ipv4"} carps_opackets
    carp_sent_packets_total{family="ipv6"} carps_opackets6
    carp_dropped_packets_total{reason="bad_interface"} carps_badif
    carp_dropped_packets_total{reason="bad_ttl"} carps_badttl
    carp_dropped_packets_total{reason="short_header"} carps_hdrops
    carp_dropped_packets_total{reason="bad_checksum"} carps_badsum
    carp_dropped_packets_total{reason="bad_version"} carps_badver
    carp_dropped_packets_total{reason="bad_length"} carps_badlen
    carp_dropped_packets_total{reason="bad_authentication"} carps_badauth
    carp_dropped_packets_total{reason="bad_vhid"} carps_badvhid
    carp_dropped_packets_total{reason="bad_addresses"} carps_badaddrs
    carp_send_memory_failures_total carps_onomem
    carp_sent_state_updates_total carps_ostates
    carp_preemptions_total carps_preempt
    """,
    "carpstats",
)

HOSTS = """
struct ifnet { void *if_softc; char if_xname[16]; };
LIST_HEAD(carp_softcs, carp_softc);
struct carp_softc {
    struct ifnet *sc_carpdev; int sc_vhid;
    union { struct { int sc_advskew, sc_advbase; }; struct { uint8_t sc_vrrp_prio; }; };
    int sc_naddrs, sc_naddrs6; enum { INIT = 0, BACKUP, MASTER } sc_state;
    int sc_suppress, sc_sendad_errors; LIST_ENTRY(carp_softc) sc_next;
};
"""

STATE = "kvm_symbol_carp_state"


@pytest.mark.parametrize("machine", MACHINES)
def test_carp(machine: str) -> None:
    """As netstat -s -p carp: each member once; as ifconfig: each virtual host's state."""
    made = Protocols(machine)
    members = [member.partition(".")[2] for _, member in CARP]
    assert sorted(members) == sorted(made.kernel.c.layout("struct carpstats"))
    made.count("carpstats", members)
    kernel = made.kernel
    kernel.vnet("int carp_demotion", {"": -240, "web": 20})
    kernel.declare(HOSTS)
    device = kernel.new("struct ifnet", if_xname=b"em0")
    first = kernel.new("struct carp_softc", sc_vhid=1, sc_state=2, sc_naddrs=3, sc_naddrs6=1)
    second = kernel.new("struct carp_softc", sc_vhid=20, sc_state=1, sc_sendad_errors=2)
    for one in (first, second):
        one.set(sc_carpdev=device)
    head = kernel.variable("struct carp_softcs carp_list")
    kernel.link_list("LIST", head, [first, second], "sc_next")
    found = answer(kernel, "freebsd-carp")
    assert found.missing == {}
    assert found.series == made.told(CARP) | expected(
        f"""
        carp_demotion{{jail=""}} -240
        carp_demotion{{jail="web"}} 20
        carp_state{{interface="em0",{STATE}="INIT",vhid="1"}} 0
        carp_state{{interface="em0",{STATE}="BACKUP",vhid="1"}} 0
        carp_state{{interface="em0",{STATE}="MASTER",vhid="1"}} 1
        carp_state{{interface="em0",{STATE}="INIT",vhid="20"}} 0
        carp_state{{interface="em0",{STATE}="BACKUP",vhid="20"}} 1
        carp_state{{interface="em0",{STATE}="MASTER",vhid="20"}} 0
        carp_addresses{{family="ipv4",interface="em0",vhid="1"}} 3
        carp_addresses{{family="ipv6",interface="em0",vhid="1"}} 1
        carp_addresses{{family="ipv4",interface="em0",vhid="20"}} 0
        carp_addresses{{family="ipv6",interface="em0",vhid="20"}} 0
        carp_send_errors{{interface="em0",vhid="1"}} 0
        carp_send_errors{{interface="em0",vhid="20"}} 2
        """
    )
