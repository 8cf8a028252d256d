"""Do freebsd-icmp.yml and freebsd-icmp6.yml tell what the kernel counts, of every network stack?

Forged kernels of every word size and byte order.  The tables say which member each series is of:
what netstat(1) prints under the words of the series (usr.bin/netstat/{inet,inet6}.c).
"""

from __future__ import annotations

import re

import pytest
from fakes.module_files import answer
from fakes.protocols import SPARE, STACKS, Protocols, rows
from forge.counting import MACHINES
from forge.protocols import STRUCTS

ICMP = rows(
    """
    icmp_reflected_messages_total icps_reflect
    icmp_errors_total icps_error
    icmp_suppressed_errors_total{reason="short_packet"} icps_oldshort
    icmp_suppressed_errors_total{reason="icmp_message"} icps_oldicmp
    icmp_dropped_messages_total{reason="bad_code"} icps_badcode
    icmp_dropped_messages_total{reason="too_short"} icps_tooshort
    icmp_dropped_messages_total{reason="bad_checksum"} icps_checksum
    icmp_dropped_messages_total{reason="bad_length"} icps_badlen
    icmp_dropped_messages_total{reason="multicast_echo"} icps_bmcastecho
    icmp_dropped_messages_total{reason="multicast_timestamp"} icps_bmcasttstamp
    icmp_unanswered_messages_total{reason="bad_address"} icps_badaddr
    icmp_unanswered_messages_total{reason="no_route"} icps_noroute
    """,
    "icmpstat",
)

TYPES = """
    echo_reply 1 2 destination_unreachable source_quench redirect alternate_host_address 7 echo
    router_advertisement router_solicitation time_exceeded parameter_problem timestamp
    timestamp_reply information_request information_reply address_mask_request address_mask_reply
    19 20 21 22 23 24 25 26 27 28 29 traceroute conversion_error mobile_redirect
    ipv6_where_are_you ipv6_i_am_here mobile_registration_request mobile_registration_reply
    domain_name_request domain_name_reply skip photuris
"""
"""As netinet/ip_icmp.h numbers them; numbers that it does not name are their own names."""

SPREAD = {"icps_outhist": "icmp_sent_messages_total", "icps_inhist": "icmp_received_messages_total"}

ICMP6 = rows(
    """
    icmp6_received_messages_total{type="destination_unreachable"} icp6s_inhist[1]
    icmp6_received_messages_total{type="packet_too_big"} icp6s_inhist[2]
    icmp6_received_messages_total{type="time_exceeded"} icp6s_inhist[3]
    icmp6_received_messages_total{type="parameter_problem"} icp6s_inhist[4]
    icmp6_received_messages_total{type="echo"} icp6s_inhist[128]
    icmp6_received_messages_total{type="echo_reply"} icp6s_inhist[129]
    icmp6_received_messages_total{type="multicast_listener_query"} icp6s_inhist[130]
    icmp6_received_messages_total{type="multicast_listener_report"} icp6s_inhist[131]
    icmp6_received_messages_total{type="multicast_listener_done"} icp6s_inhist[132]
    icmp6_received_messages_total{type="router_solicitation"} icp6s_inhist[133]
    icmp6_received_messages_total{type="router_advertisement"} icp6s_inhist[134]
    icmp6_received_messages_total{type="neighbor_solicitation"} icp6s_inhist[135]
    icmp6_received_messages_total{type="neighbor_advertisement"} icp6s_inhist[136]
    icmp6_received_messages_total{type="redirect"} icp6s_inhist[137]
    icmp6_received_messages_total{type="router_renumbering"} icp6s_inhist[138]
    icmp6_received_messages_total{type="node_information_request"} icp6s_inhist[139]
    icmp6_received_messages_total{type="node_information_reply"} icp6s_inhist[140]
    icmp6_received_messages_total{type="inverse_neighbor_solicitation"} icp6s_inhist[141]
    icmp6_received_messages_total{type="inverse_neighbor_advertisement"} icp6s_inhist[142]
    icmp6_received_messages_total{type="multicast_listener_report_v2"} icp6s_inhist[143]
    icmp6_sent_messages_total{type="destination_unreachable"} icp6s_outhist[1]
    icmp6_sent_messages_total{type="packet_too_big"} icp6s_outhist[2]
    icmp6_sent_messages_total{type="time_exceeded"} icp6s_outhist[3]
    icmp6_sent_messages_total{type="parameter_problem"} icp6s_outhist[4]
    icmp6_sent_messages_total{type="echo"} icp6s_outhist[128]
    icmp6_sent_messages_total{type="echo_reply"} icp6s_outhist[129]
    icmp6_sent_messages_total{type="multicast_listener_query"} icp6s_outhist[130]
    icmp6_sent_messages_total{type="multicast_listener_report"} icp6s_outhist[131]
    icmp6_sent_messages_total{type="multicast_listener_done"} icp6s_outhist[132]
    icmp6_sent_messages_total{type="router_solicitation"} icp6s_outhist[133]
    icmp6_sent_messages_total{type="router_advertisement"} icp6s_outhist[134]
    icmp6_sent_messages_total{type="neighbor_solicitation"} icp6s_outhist[135]
    icmp6_sent_messages_total{type="neighbor_advertisement"} icp6s_outhist[136]
    icmp6_sent_messages_total{type="redirect"} icp6s_outhist[137]
    icmp6_sent_messages_total{type="router_renumbering"} icp6s_outhist[138]
    icmp6_sent_messages_total{type="node_information_request"} icp6s_outhist[139]
    icmp6_sent_messages_total{type="node_information_reply"} icp6s_outhist[140]
    icmp6_sent_messages_total{type="inverse_neighbor_solicitation"} icp6s_outhist[141]
    icmp6_sent_messages_total{type="inverse_neighbor_advertisement"} icp6s_outhist[142]
    icmp6_sent_messages_total{type="multicast_listener_report_v2"} icp6s_outhist[143]
    icmp6_reflected_messages_total icp6s_reflect
    icmp6_error_calls_total icp6s_error
    icmp6_suppressed_errors_total{reason="icmp_message"} icp6s_canterror
    icmp6_suppressed_errors_total{reason="rate_limit"} icp6s_toofreq
    icmp6_errors_total{error="no_route"} icp6s_odst_unreach_noroute
    icmp6_errors_total{error="prohibited"} icp6s_odst_unreach_admin
    icmp6_errors_total{error="beyond_scope"} icp6s_odst_unreach_beyondscope
    icmp6_errors_total{error="address_unreachable"} icp6s_odst_unreach_addr
    icmp6_errors_total{error="port_unreachable"} icp6s_odst_unreach_noport
    icmp6_errors_total{error="packet_too_big"} icp6s_opacket_too_big
    icmp6_errors_total{error="time_exceeded_in_transit"} icp6s_otime_exceed_transit
    icmp6_errors_total{error="time_exceeded_in_reassembly"} icp6s_otime_exceed_reassembly
    icmp6_errors_total{error="bad_header"} icp6s_oparamprob_header
    icmp6_errors_total{error="unknown_next_header"} icp6s_oparamprob_nextheader
    icmp6_errors_total{error="unknown_option"} icp6s_oparamprob_option
    icmp6_errors_total{error="redirect"} icp6s_oredirect
    icmp6_errors_total{error="unknown"} icp6s_ounknown
    icmp6_bad_messages_total{reason="bad_code"} icp6s_badcode
    icmp6_bad_messages_total{reason="too_short"} icp6s_tooshort
    icmp6_bad_messages_total{reason="bad_checksum"} icp6s_checksum
    icmp6_bad_messages_total{reason="bad_length"} icp6s_badlen
    icmp6_bad_messages_total{reason="bad_hop_limit"} icp6s_invlhlim
    icmp6_bad_messages_total{reason="too_many_nd_options"} icp6s_nd_toomanyopt
    icmp6_bad_messages_total{reason="bad_nd_options"} icp6s_nd_badopt
    icmp6_bad_messages_total{reason="bad_neighbor_solicitation"} icp6s_badns
    icmp6_bad_messages_total{reason="bad_neighbor_advertisement"} icp6s_badna
    icmp6_bad_messages_total{reason="bad_router_solicitation"} icp6s_badrs
    icmp6_bad_messages_total{reason="bad_router_advertisement"} icp6s_badra
    icmp6_bad_messages_total{reason="bad_redirect"} icp6s_badredirect
    icmp6_unresolved_packets_total icp6s_dropped
    icmp6_nd_overflows_total{table="default_routers"} icp6s_overflowdefrtr
    icmp6_nd_overflows_total{table="prefixes"} icp6s_overflowprfx
    icmp6_nd_overflows_total{table="neighbours"} icp6s_overflownndp
    icmp6_nd_overflows_total{table="redirects"} icp6s_overflowredirect
    icmp6_path_mtu_changes_total icp6s_pmtuchg
    """,
    "icmp6stat",
)

ERRORS = re.compile(r"icp6s_o(?!uthist|verflow)(\w+)")
"""Members that older kernels have in a struct of their own."""


def paths(table: list[tuple[str, str]]) -> list[str]:
    """The members of a table."""
    return [member.partition(".")[2] for _, member in table]


def icmp(machine: str) -> Protocols:
    """A kernel that counts all of ICMP."""
    made = Protocols(machine)
    every = set(made.kernel.c.layout("struct icmpstat"))
    assert sorted(every) == sorted([*paths(ICMP), *SPREAD])
    made.count("icmpstat", every)
    return made


@pytest.mark.parametrize("machine", MACHINES)
def test_icmp(machine: str) -> None:
    """As netstat -s -p icmp: each member once, messages by type.

    Where u_long has 32 bits counters are of two members each: what the sysctl tells is told.
    """
    made = icmp(machine)
    found = answer(made.kernel, "freebsd-icmp")
    assert found.missing == {}
    messages = {
        f'{series}{{jail="{stack}",type="{name}"}}': made.value(stack, f"icmpstat.{member}[{at}]")
        for member, series in SPREAD.items()
        for stack in STACKS
        for at, name in enumerate(TYPES.split())
    }
    assert found.series == made.told(ICMP) | messages


def test_two_members_of_a_counter() -> None:
    """32 bits, least significant byte first: the first member has the low half, the second the
    high one, which is 1 here, as the second CPU counted 2^32."""
    found = answer(icmp("i386").kernel, "freebsd-icmp").series
    assert found['icmp_errors_total{jail=""}'] == 1_000_000 + 7
    assert found['icmp_suppressed_errors_total{jail="",reason="short_packet"}'] == 1


@pytest.mark.parametrize("machine", MACHINES)
def test_icmp6(machine: str) -> None:
    """As netstat -s -p icmp6: each member once, messages by type."""
    made = Protocols(machine)
    every = set(made.kernel.c.layout("struct icmp6stat"))
    alone = [one for one in paths(ICMP6) if "[" not in one]
    assert sorted(alone) == sorted(every - {"icp6s_outhist", "icp6s_inhist", "icp6s_spare"})
    made.count("icmp6stat", paths(ICMP6))
    found = answer(made.kernel, "freebsd-icmp6")
    assert found.missing == {}
    assert found.series == made.told(ICMP6)
    assert SPARE not in found.series.values()


def test_icmp6_of_older_kernels() -> None:
    """What errors there were to tell lies in a struct of its own, under other names."""
    errors = ERRORS.findall(STRUCTS)
    inner = "; ".join(f"uint64_t icp6errs_{one}" for one in errors)
    text = re.sub(rf"{ERRORS.pattern},\s*", "", STRUCTS)
    text = text.replace(
        "icp6s_nd_toomanyopt,",
        f"icp6s_nd_toomanyopt; struct {{ {inner}; }} icp6s_outerrhist; uint64_t ",
    )
    made = Protocols("amd64", text)
    table = [
        (series, ERRORS.sub(r"icp6s_outerrhist.icp6errs_\1", member)) for series, member in ICMP6
    ]
    made.count("icmp6stat", paths(table))
    found = answer(made.kernel, "freebsd-icmp6")
    assert len(errors) == 13
    assert found.missing == {}
    assert found.series == made.told(table)
