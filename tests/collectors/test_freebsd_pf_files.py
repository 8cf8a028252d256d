"""Does freebsd-pf.yml tell what the packet filter counts?

Forged kernels of every word size and byte order, with network stacks of two jails.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from fakes.module_files import answer, expected
from forge.counting import MACHINES, RB_ENTRIES, RB_HEAD, Counting
from forge.world import Thing

STATUS = """
struct pf_kstatus {
    counter_u64_t counters[17], lcounters[10]; COUNT fcounters[3]; counter_u64_t scounters[3];
    uint32_t states, src_nodes, running, since; bool syncookies_active; uint32_t states_halfopen;
};
struct pf_limit { void *zone; u_int limit; };
struct pf_krule;
TAILQ_HEAD(pf_krulequeue, pf_krule);
struct pf_krule {
    char label[5][64]; TAILQ_ENTRY(pf_krule) entries; COUNT evaluations, packets[2], bytes[2];
    u_int32_t timeout[25]; u_int32_t nr; counter_u64_t states_cur, states_tot;
};
struct pf_kruleset {
    struct {
        struct pf_krulequeue queues[2];
        struct { struct pf_krulequeue *ptr; u_int32_t rcount; } active, inactive;
    } rules[5];
};
struct pf_kanchor { char name[64]; struct pf_kruleset ruleset; };
struct pfi_kkif {
    char pfik_name[16]; union { KIF_ENTRY _pfik_tree; void *_pfik_list[2]; } _pfik_glue;
    COUNT pfik_packets[2][2][2], pfik_bytes[2][2][2]; u_int pfik_rulerefs;
};
struct pfr_table { char pfrt_anchor[1024]; char pfrt_name[32]; };
struct pfr_kstate_counter { counter_u64_t pkc_pcpu; uint64_t pkc_zero; };
struct pfr_ktstats {
    struct pfr_table pfrts_t; struct pfr_kstate_counter pfrkts_match, pfrkts_nomatch;
    int pfrkts_cnt;
};
struct pfr_ktable { struct pfr_ktstats pfrkt_kts; TABLE_ENTRY pfrkt_tree; };
"""
SINCE_14 = ("struct pf_counter_u64", "struct pf_counter_u64 { counter_u64_t counter; };")
BEFORE_14 = ("counter_u64_t", "")
SPLIT = (
    "struct pf_counter_u64",
    "struct pf_counter_u64 { void *pfcu64_pcpu; uint64_t pfcu64_value; uint32_t pfcu64_seqc; };",
)
"""Counters that are often counted, on machines of 32 bits since FreeBSD 14."""


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine with a jail's network stack."""
    return Counting(request.param, cpus=(0, 4), jails={"web": 4})


def declare(kernel: Counting, count: tuple[str, str]) -> None:
    """The filter's structs; ``count`` is what counts."""
    rb = RB_ENTRIES["since 13"]
    text = STATUS.replace("COUNT", count[0])
    text = text.replace("KIF_ENTRY", rb.format("pfi_kkif"))
    text = text.replace("TABLE_ENTRY", rb.format("pfr_ktable"))
    heads = RB_HEAD.format("pfi_ifhead", "pfi_kkif") + RB_HEAD.format(
        "pfr_ktablehead", "pfr_ktable"
    )
    kernel.declare(count[1] + heads + text)


def put(kernel: Counting, of: Thing, member: str, numbers: Sequence[int]) -> None:
    """Counters with these numbers one behind the other from a member on."""
    for at, pointer in enumerate(kernel.counters([(number, 0) for number in numbers])):
        place = of.at(member) + at * kernel.c.abi.pointer
        kernel.world.write(place, kernel.world.pointer(pointer))


def status(kernel: Counting, *, often: bool) -> None:
    """The filter of the host is enabled; the jail's is not."""
    kernel.vnet(
        "struct pf_kstatus pf_status",
        {"": {"states": 12, "src_nodes": 3, "running": 1, "states_halfopen": 2}},
    )
    host = Thing(kernel.world, "struct pf_kstatus", place(kernel, "pf_status"))
    host.set(syncookies_active=1)
    firsts = {"counters": 100, "lcounters": 200, "scounters": 301}
    for name, first in (firsts | {"fcounters": 401} if often else firsts).items():
        put(kernel, host, name, range(first, first + COUNTERS[name]))


def place(kernel: Counting, name: str) -> int:
    """Where the host's copy of a variable is."""
    [template] = [one for one in kernel.world.symbols if one.name == f"vnet_entry_{name}"]
    return template.address - kernel.sets["set_vnet"] + kernel.data[""]


def rest(kernel: Counting) -> None:
    """Limits, timeouts and the heads of rules, interfaces and tables."""
    limits = [{"limit": limit} for limit in (100000, 10000, 5000, 200000, 512, 256)]
    kernel.vnet("struct pf_limit pf_limits[6]", {"": limits})
    kernel.vnet("struct pf_krule pf_default_rule", {"": {"timeout": list(range(500, 525))}})
    kernel.vnet("struct pf_kanchor pf_main_anchor", {})
    kernel.vnet("struct pfi_ifhead pfi_ifs", {})
    kernel.vnet("struct pfr_ktablehead pfr_ktables", {})


COUNTERS = {"counters": 17, "lcounters": 10, "fcounters": 3, "scounters": 3}
"""PFRES_MAX, KLCNT_MAX, FCNT_MAX and SCNT_MAX (netpfil/pf/pf.h)."""

REASONS = """
    match bad_offset fragment short normalize memory bad_timestamp congestion ip_option
    protocol_checksum state_mismatch state_insert state_limit source_limit synproxy map_failed
    translate
"""
LIMITS = """
    states_per_rule max_src_states max_src_nodes max_src_conn max_src_conn_rate
    overload_table_insertion overload_flush_states synfloods_detected syncookies_sent
    syncookies_validated
"""
TIMEOUTS = """
    tcp_first tcp_opening tcp_established tcp_closing tcp_finwait tcp_closed udp_first udp_single
    udp_multiple icmp_first icmp_error other_first other_single other_multiple frag interval
    adaptive_start adaptive_end src_track tcp_tsdiff sctp_first sctp_opening sctp_established
    sctp_closing sctp_closed
"""
OPERATIONS = "search insert removal"
INFO = expected(
    """
    pf_running{jail=""} 1
    pf_states{jail=""} 12
    pf_half_open_states{jail=""} 2
    pf_source_nodes{jail=""} 3
    pf_syncookies_active{jail=""} 1
    pf_limit_entries{jail="",memory="states"} 100000
    pf_limit_entries{jail="",memory="src_nodes"} 10000
    pf_limit_entries{jail="",memory="frags"} 5000
    pf_limit_entries{jail="",memory="table_entries"} 200000
    pf_limit_entries{jail="",memory="anchors"} 512
    pf_limit_entries{jail="",memory="eth_anchors"} 256
    """
)


def numbered(metric: str, label: str, names: str, first: int) -> dict[str, int]:
    """The host's series by a label, whose numbers follow one another."""
    return {f'{metric}{{{label}="{name}"}}': at for at, name in enumerate(names.split(), first)}


HOST = 'jail="",'
INFO |= numbered("pf_packets_total", HOST + "reason", REASONS, 100)
INFO |= numbered("pf_timeout_seconds", HOST + "timeout", TIMEOUTS, 500)
INFO |= numbered("pf_source_node_operations_total", HOST + "operation", OPERATIONS, 301)
INFO |= numbered("pf_limit_hits_total", HOST + "limit", LIMITS, 200)
STATES = numbered("pf_state_operations_total", HOST + "operation", OPERATIONS, 401)


def of_host(series: dict[str, int | float]) -> dict[str, int | float]:
    """The host's; a stack whose counters were never made has only what is no counter."""
    assert series['pf_running{jail="web"}'] == 0
    assert 'pf_packets_total{jail="web",reason="match"}' not in series
    return {name: value for name, value in series.items() if 'jail="web"' not in name}


@pytest.mark.parametrize("count", [SINCE_14, BEFORE_14])
def test_status(kernel: Counting, count: tuple[str, str]) -> None:
    """As pfctl -s info, memory and timeouts."""
    declare(kernel, count)
    status(kernel, often=True)
    rest(kernel)
    found = answer(kernel, "freebsd-pf")
    assert found.missing == {}
    assert of_host(found.series) == INFO | STATES


def test_counters_that_are_in_parts_are_missing(kernel: Counting) -> None:
    """Rather than out of date."""
    declare(kernel, SPLIT)
    status(kernel, often=False)
    rest(kernel)
    found = answer(kernel, "freebsd-pf")
    assert set(found.missing) == {
        "pf_state_operations_total",
        "pf_interface_packets_total",
        "pf_interface_bytes_total",
        "pf_rule_evaluations_total",
        "pf_rule_packets_total",
        "pf_rule_bytes_total",
    }
    assert of_host(found.series) == INFO


def traffic(what: str, first: int) -> dict[str, int]:
    """An interface's series, whose numbers follow one another as the kernel has them."""
    kinds = product(("inet", "inet6"), ("in", "out"), ("pass", "block"))
    return {
        f'pf_interface_{what}_total{{action="{action}",direction="{direction}",'
        f'family="{family}",interface="em0",jail=""}}': at
        for at, (family, direction, action) in enumerate(kinds, first)
    }


@pytest.mark.parametrize("count", [SINCE_14, BEFORE_14])
def test_rules_interfaces_and_tables(kernel: Counting, count: tuple[str, str]) -> None:
    """As pfctl -v -s rules, -v -s Interfaces and -v -s Tables."""
    declare(kernel, count)
    status(kernel, often=True)
    rest(kernel)
    queue = kernel.new("struct pf_krulequeue")
    made = []
    for number, label in enumerate(("pass all", "")):
        rule = kernel.new("struct pf_krule", nr=number, label=[label.encode()])
        put(kernel, rule, "evaluations", [10 + number])
        put(kernel, rule, "packets", [20 + number, 30 + number])
        put(kernel, rule, "bytes", [40 + number, 50 + number])
        put(kernel, rule, "states_cur", [60 + number, 70 + number])
        made.append(rule)
    kernel.link_list("TAILQ", queue, made, "entries")
    main = Thing(kernel.world, "struct pf_kanchor", place(kernel, "pf_main_anchor"))
    kernel.world.write(
        main.address + kernel.c.offset("struct pf_kanchor", "ruleset.rules[1].active.ptr"),
        kernel.world.pointer(queue.address),
    )
    interface = kernel.new("struct pfi_kkif", pfik_name=b"em0", pfik_rulerefs=3)
    put(kernel, interface, "pfik_packets", range(1, 9))
    put(kernel, interface, "pfik_bytes", range(11, 19))
    head = Thing(kernel.world, "struct pfi_ifhead", place(kernel, "pfi_ifs"))
    kernel.link_tree(head, [interface], "_pfik_glue._pfik_tree")
    table = kernel.new("struct pfr_ktable")
    for path, value in {
        "pfrts_t.pfrt_name": b"bad",
        "pfrts_t.pfrt_anchor": b"ftp-proxy/1",
        "pfrkts_cnt": 77,
        "pfrkts_match.pkc_pcpu": kernel.counter([5, 6]),
        "pfrkts_nomatch.pkc_pcpu": kernel.counter([7, 8]),
    }.items():
        table.put(f"pfrkt_kts.{path}", value)
    head = Thing(kernel.world, "struct pfr_ktablehead", place(kernel, "pfr_ktables"))
    kernel.link_tree(head, [table], "pfrkt_tree")
    found = answer(kernel, "freebsd-pf")
    assert found.missing == {}
    listed = {
        name: value
        for name, value in of_host(found.series).items()
        if name.startswith(("pf_rule", "pf_interface", "pf_table"))
    }
    assert listed == expected(
        """
        pf_rule_evaluations_total{jail="",label="pass all",rule="0"} 10
        pf_rule_evaluations_total{jail="",label="",rule="1"} 11
        pf_rule_packets_total{direction="in",jail="",label="pass all",rule="0"} 20
        pf_rule_packets_total{direction="in",jail="",label="",rule="1"} 21
        pf_rule_packets_total{direction="out",jail="",label="pass all",rule="0"} 30
        pf_rule_packets_total{direction="out",jail="",label="",rule="1"} 31
        pf_rule_bytes_total{direction="in",jail="",label="pass all",rule="0"} 40
        pf_rule_bytes_total{direction="in",jail="",label="",rule="1"} 41
        pf_rule_bytes_total{direction="out",jail="",label="pass all",rule="0"} 50
        pf_rule_bytes_total{direction="out",jail="",label="",rule="1"} 51
        pf_rule_current_states{jail="",label="pass all",rule="0"} 60
        pf_rule_current_states{jail="",label="",rule="1"} 61
        pf_rule_states_total{jail="",label="pass all",rule="0"} 70
        pf_rule_states_total{jail="",label="",rule="1"} 71
        pf_interface_rules{interface="em0",jail=""} 3
        pf_table_addresses{anchor="ftp-proxy/1",jail="",table="bad"} 77
        pf_table_matches_total{anchor="ftp-proxy/1",jail="",table="bad"} 11
        pf_table_misses_total{anchor="ftp-proxy/1",jail="",table="bad"} 15
        """
    ) | traffic("packets", 1) | traffic("bytes", 11)
