"""Do freebsd-ip.yml and freebsd-ip6.yml tell what the kernel counts, of every network stack?

Forged kernels of every word size and byte order.  The tables say which member each series is of:
what netstat(1) prints under the words of the series (usr.bin/netstat/{inet,inet6,route}.c).
"""

from __future__ import annotations

import pytest
from fakes.module_files import answer
from fakes.protocols import STACKS, Protocols, rows
from forge.counting import MACHINES

IP = rows(
    """
    ip_received_packets_total ips_total
    ip_delivered_packets_total ips_delivered
    ip_received_fragments_total ips_fragments
    ip_reassembled_packets_total ips_reassembled
    ip_dropped_fragments_total{reason="no_room"} ips_fragdropped
    ip_dropped_fragments_total{reason="timeout"} ips_fragtimeout
    ip_dropped_packets_total{reason="bad_checksum"} ips_badsum
    ip_dropped_packets_total{reason="below_minimum_size"} ips_toosmall
    ip_dropped_packets_total{reason="shorter_than_length"} ips_tooshort
    ip_dropped_packets_total{reason="too_long"} ips_toolong
    ip_dropped_packets_total{reason="bad_header_length"} ips_badhlen
    ip_dropped_packets_total{reason="bad_length"} ips_badlen
    ip_dropped_packets_total{reason="bad_options"} ips_badoptions
    ip_dropped_packets_total{reason="bad_version"} ips_badvers
    ip_dropped_packets_total{reason="bad_address"} ips_badaddr
    ip_dropped_packets_total{reason="unknown_protocol"} ips_noproto
    ip_dropped_packets_total{reason="no_tunnel"} ips_nogif
    ip_unknown_multicast_group_total ips_notmember
    ip_forwarded_packets_total ips_forward
    ip_fast_forwarded_packets_total ips_fastforward
    ip_unforwardable_packets_total ips_cantforward
    ip_sent_redirects_total ips_redirectsent
    ip_sent_packets_total ips_localout
    ip_sent_raw_packets_total ips_rawout
    ip_discarded_output_packets_total{reason="no_buffers"} ips_odropped
    ip_discarded_output_packets_total{reason="no_route"} ips_noroute
    ip_discarded_output_packets_total{reason="cannot_fragment"} ips_cantfrag
    ip_fragmented_packets_total ips_fragmented
    ip_created_fragments_total ips_ofragments
    """,
    "ipstat",
)
IGMP = rows(
    """
    igmp_received_messages_total igps_rcv_total
    igmp_bad_messages_total{reason="too_short"} igps_rcv_tooshort
    igmp_bad_messages_total{reason="bad_ttl"} igps_rcv_badttl
    igmp_bad_messages_total{reason="bad_checksum"} igps_rcv_badsum
    igmp_bad_messages_total{reason="bad_query"} igps_rcv_badqueries
    igmp_bad_messages_total{reason="bad_report"} igps_rcv_badreports
    igmp_bad_messages_total{reason="group_source_query_dropped"} igps_drop_gsr_queries
    igmp_received_queries_total{version="v1v2"} igps_rcv_v1v2_queries
    igmp_received_queries_total{version="v3"} igps_rcv_v3_queries
    igmp_received_general_queries_total igps_rcv_gen_queries
    igmp_received_group_queries_total igps_rcv_group_queries
    igmp_received_group_source_queries_total igps_rcv_gsr_queries
    igmp_received_reports_total igps_rcv_reports
    igmp_received_own_reports_total igps_rcv_ourreports
    igmp_received_reports_without_router_alert_total igps_rcv_nora
    igmp_sent_reports_total igps_snd_reports
    """,
    "igmpstat",
)
ARP = rows(
    """
    arp_sent_requests_total txrequests
    arp_send_errors_total txerrors
    arp_sent_replies_total txreplies
    arp_received_packets_total received
    arp_received_requests_total rxrequests
    arp_received_replies_total rxreplies
    arp_dropped_packets_total dropped
    arp_entry_timeouts_total timeouts
    arp_duplicate_addresses_total dupips
    """,
    "arpstat",
)
ROUTES = rows(
    """
    route_bad_redirects_total rts_badredirect
    route_created_by_redirect_total rts_dynamic
    route_changed_by_redirect_total rts_newgateway
    route_unreachable_total rts_unreach
    route_wildcard_uses_total rts_wildcard
    route_nexthop_index_allocation_failures_total rts_nh_idx_alloc_failure
    route_nexthop_allocation_failures_total rts_nh_alloc_failure
    route_add_failures_total rts_add_failure
    route_add_retries_total rts_add_retry
    route_delete_failures_total rts_del_failure
    route_delete_retries_total rts_del_retry
    """,
    "rtstat",
)

IP6 = rows(
    """
    ip6_received_packets_total ip6s_total
    ip6_delivered_packets_total ip6s_delivered
    ip6_received_fragments_total ip6s_fragments
    ip6_received_atomic_fragments_total ip6s_atomicfrags
    ip6_reassembled_packets_total ip6s_reassembled
    ip6_dropped_fragments_total{reason="no_room"} ip6s_fragdropped
    ip6_dropped_fragments_total{reason="timeout"} ip6s_fragtimeout
    ip6_dropped_fragments_total{reason="too_many"} ip6s_fragoverflow
    ip6_dropped_packets_total{reason="below_minimum_size"} ip6s_toosmall
    ip6_dropped_packets_total{reason="shorter_than_length"} ip6s_tooshort
    ip6_dropped_packets_total{reason="bad_options"} ip6s_badoptions
    ip6_dropped_packets_total{reason="bad_version"} ip6s_badvers
    ip6_dropped_packets_total{reason="bad_scope"} ip6s_badscope
    ip6_dropped_packets_total{reason="headers_not_contiguous"} ip6s_exthdrtoolong
    ip6_dropped_packets_total{reason="too_many_headers"} ip6s_toomanyhdr
    ip6_dropped_packets_total{reason="no_tunnel"} ip6s_nogif
    ip6_unknown_multicast_group_total ip6s_notmember
    ip6_forwarded_packets_total ip6s_forward
    ip6_unforwardable_packets_total ip6s_cantforward
    ip6_sent_redirects_total ip6s_redirectsent
    ip6_sent_packets_total ip6s_localout
    ip6_sent_raw_packets_total ip6s_rawout
    ip6_discarded_output_packets_total{reason="no_buffers"} ip6s_odropped
    ip6_discarded_output_packets_total{reason="no_route"} ip6s_noroute
    ip6_discarded_output_packets_total{reason="cannot_fragment"} ip6s_cantfrag
    ip6_fragmented_packets_total ip6s_fragmented
    ip6_created_fragments_total ip6s_ofragments
    ip6_received_next_header_packets_total{header="hop_by_hop"} ip6s_nxthist[0]
    ip6_received_next_header_packets_total{header="icmp"} ip6s_nxthist[1]
    ip6_received_next_header_packets_total{header="igmp"} ip6s_nxthist[2]
    ip6_received_next_header_packets_total{header="ip"} ip6s_nxthist[4]
    ip6_received_next_header_packets_total{header="tcp"} ip6s_nxthist[6]
    ip6_received_next_header_packets_total{header="udp"} ip6s_nxthist[17]
    ip6_received_next_header_packets_total{header="ip6"} ip6s_nxthist[41]
    ip6_received_next_header_packets_total{header="routing"} ip6s_nxthist[43]
    ip6_received_next_header_packets_total{header="fragment"} ip6s_nxthist[44]
    ip6_received_next_header_packets_total{header="esp"} ip6s_nxthist[50]
    ip6_received_next_header_packets_total{header="ah"} ip6s_nxthist[51]
    ip6_received_next_header_packets_total{header="icmp6"} ip6s_nxthist[58]
    ip6_received_next_header_packets_total{header="no_next_header"} ip6s_nxthist[59]
    ip6_received_next_header_packets_total{header="destination_option"} ip6s_nxthist[60]
    ip6_received_next_header_packets_total{header="ospf"} ip6s_nxthist[89]
    ip6_received_next_header_packets_total{header="pim"} ip6s_nxthist[103]
    ip6_received_next_header_packets_total{header="sctp"} ip6s_nxthist[132]
    ip6_received_next_header_packets_total{header="udplite"} ip6s_nxthist[136]
    ip6_received_mbufs_total{mbufs="one"} ip6s_m1
    ip6_received_mbufs_total{mbufs="one_external"} ip6s_mext1
    ip6_received_mbufs_total{mbufs="two_or_more_external"} ip6s_mext2m
    ip6_source_selection_failures_total ip6s_sources_none
    ip6_source_same_interface_total{scope="interface_local"} ip6s_sources_sameif[1]
    ip6_source_same_interface_total{scope="link_local"} ip6s_sources_sameif[2]
    ip6_source_same_interface_total{scope="site_local"} ip6s_sources_sameif[5]
    ip6_source_same_interface_total{scope="global"} ip6s_sources_sameif[14]
    ip6_source_other_interface_total{scope="interface_local"} ip6s_sources_otherif[1]
    ip6_source_other_interface_total{scope="link_local"} ip6s_sources_otherif[2]
    ip6_source_other_interface_total{scope="site_local"} ip6s_sources_otherif[5]
    ip6_source_other_interface_total{scope="global"} ip6s_sources_otherif[14]
    ip6_source_same_scope_total{scope="interface_local"} ip6s_sources_samescope[1]
    ip6_source_same_scope_total{scope="link_local"} ip6s_sources_samescope[2]
    ip6_source_same_scope_total{scope="site_local"} ip6s_sources_samescope[5]
    ip6_source_same_scope_total{scope="global"} ip6s_sources_samescope[14]
    ip6_source_other_scope_total{scope="interface_local"} ip6s_sources_otherscope[1]
    ip6_source_other_scope_total{scope="link_local"} ip6s_sources_otherscope[2]
    ip6_source_other_scope_total{scope="site_local"} ip6s_sources_otherscope[5]
    ip6_source_other_scope_total{scope="global"} ip6s_sources_otherscope[14]
    ip6_source_deprecated_total{scope="interface_local"} ip6s_sources_deprecated[1]
    ip6_source_deprecated_total{scope="link_local"} ip6s_sources_deprecated[2]
    ip6_source_deprecated_total{scope="site_local"} ip6s_sources_deprecated[5]
    ip6_source_deprecated_total{scope="global"} ip6s_sources_deprecated[14]
    """,
    "ip6stat",
)
RAW6 = rows(
    """
    rip6_received_messages_total rip6s_ipackets
    rip6_computed_checksums_total rip6s_isum
    rip6_sent_messages_total rip6s_opackets
    rip6_dropped_messages_total{reason="bad_checksum"} rip6s_badsum
    rip6_dropped_messages_total{reason="no_socket"} rip6s_nosock
    rip6_dropped_messages_total{reason="full_socket_buffer"} rip6s_fullsock
    rip6_undelivered_multicast_messages_total rip6s_nosockmcast
    """,
    "rip6stat",
)

SPREAD = {
    "ip6s_nxthist",
    "ip6s_m2m",
    "ip6s_sources_sameif",
    "ip6s_sources_otherif",
    "ip6s_sources_samescope",
    "ip6s_sources_otherscope",
    "ip6s_sources_deprecated",
    "ip6s_sources_rule",
}
"""Arrays, of which the tables have elements."""

UNUSED = {"igps_version", "igps_len", "__igps_pad", "arp_spares", "rts_spare"}

RULES = """
    first_candidate same_address appropriate_scope deprecated_address home_address
    outgoing_interface matching_label public_or_temporary_address alive_interface
    better_virtual_status preferred_source rule_11 rule_12 rule_13 longest_match rule_15
"""
"""srcrule_str of usr.bin/netstat/inet6.c."""


def counting(machine: str, *tables: list[tuple[str, str]]) -> Protocols:
    """A kernel that counts what the tables have; no member of theirs is forgotten."""
    made = Protocols(machine)
    for table in tables:
        struct = table[0][1].partition(".")[0]
        members = [member.partition(".")[2] for _, member in table]
        every = set(made.kernel.c.layout(f"struct {struct}"))
        alone = {one for one in members if "[" not in one}
        assert alone == every - SPREAD - UNUSED
        made.count(struct, [*members, *(SPREAD & every - {"ip6s_nxthist"})])
    return made


@pytest.mark.parametrize("machine", MACHINES)
def test_ip(machine: str) -> None:
    """As netstat -s -p ip, igmp and arp, and netstat -rs: each member once."""
    made = counting(machine, IP, IGMP, ARP, ROUTES)
    made.kernel.variable("u_int nfrags", 7)
    found = answer(made.kernel, "freebsd-ip")
    assert found.missing == {}
    assert found.series == made.told([*IP, *IGMP, *ARP, *ROUTES]) | {"ip_fragments": 7}


@pytest.mark.parametrize("machine", MACHINES)
def test_ip6(machine: str) -> None:
    """As netstat -s -p ip6 and rip6: each member once, mbufs of all interfaces together."""
    made = counting(machine, IP6, RAW6)
    made.kernel.variable("volatile u_int frag6_nfrags", 12)
    made.kernel.vnet("volatile u_int frag6_nfragpackets", {"": 3, "web": 4})
    found = answer(made.kernel, "freebsd-ip6")
    assert found.missing == {}
    rules = {
        f'ip6_source_rules_total{{jail="{stack}",rule="{rule}"}}': made.value(
            stack, f"ip6stat.ip6s_sources_rule[{at}]"
        )
        for stack in STACKS
        for at, rule in enumerate(RULES.split())
    }
    several = {
        f'ip6_received_mbufs_total{{jail="{stack}",mbufs="two_or_more"}}': sum(
            made.value(stack, f"ip6stat.ip6s_m2m[{at}]") for at in range(32)
        )
        for stack in STACKS
    }
    waiting = {
        "ip6_fragments": 12,
        'ip6_incomplete_packets{jail=""}': 3,
        'ip6_incomplete_packets{jail="web"}': 4,
    }
    assert found.series == made.told([*IP6, *RAW6]) | rules | several | waiting
