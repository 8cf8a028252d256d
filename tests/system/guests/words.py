"""Which words of /proc are a module's series?  As the help of its metrics says, and these tables.

A metric that has several series by labels has no words of its own in its help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from system.guests.counted import Counted

# Metrics by labels, and the words of /proc/vmstat.
VMSTAT = {
    "vm_lru_pages": "nr_{list}",
    "vm_zone_lru_pages": "nr_zone_{list}",
    "vm_isolated_pages": "nr_isolated_{list}",
    "vm_slab_pages": "nr_slab_{kind}",
    "vm_allocated_pages_total": "pgalloc_{zone}",
    "vm_allocation_stalls_total": "allocstall_{zone}",
    "vm_skipped_pages_total": "pgskip_{zone}",
    "vm_scanned_pages_total": "pgscan_{by}",
    "vm_reclaimed_pages_total": "pgsteal_{by}",
    "vm_list_scanned_pages_total": "pgscan_{list}",
    "vm_list_reclaimed_pages_total": "pgsteal_{list}",
    "vm_workingset_refaults_total": "workingset_refault_{list}",
    "vm_workingset_activates_total": "workingset_activate_{list}",
    "vm_workingset_restores_total": "workingset_restore_{list}",
    "vm_demoted_pages_total": "pgdemote_{by}",
    "vm_direct_map_splits_total": "direct_map_level{level}_splits",
    "vm_direct_map_collapses_total": "direct_map_level{level}_collapses",
}
NUMA = {"hit": "numa_hit", "miss": "numa_miss", "foreign": "numa_foreign",
        "interleave": "numa_interleave", "local": "numa_local", "other": "numa_other"}  # fmt: skip
HUGE = {
    ("vm_transparent_huge_page_pages", "anon"): "nr_anon_transparent_hugepages",
    ("vm_transparent_huge_page_pages", "shmem"): "nr_shmem_hugepages",
    ("vm_transparent_huge_page_pages", "file"): "nr_file_hugepages",
    ("vm_transparent_huge_page_mapped_pages", "shmem"): "nr_shmem_pmdmapped",
    ("vm_transparent_huge_page_mapped_pages", "file"): "nr_file_pmdmapped",
}

# Types of ICMP messages, and the words of /proc/net/snmp and snmp6 behind In and Out.
ICMP = {"echo_reply": "EchoReps", "destination_unreachable": "DestUnreachs",
        "source_quench": "SrcQuenchs", "redirect": "Redirects", "echo": "Echos",
        "time_exceeded": "TimeExcds", "parameter_problem": "ParmProbs", "timestamp": "Timestamps",
        "timestamp_reply": "TimestampReps", "address_mask": "AddrMasks",
        "address_mask_reply": "AddrMaskReps"}  # fmt: skip
ICMP6 = {"destination_unreachable": "DestUnreachs", "packet_too_big": "PktTooBigs",
         "time_exceeded": "TimeExcds", "parameter_problem": "ParmProblems", "echo": "Echos",
         "echo_reply": "EchoReplies", "multicast_listener_query": "GroupMembQueries",
         "multicast_listener_report": "GroupMembResponses",
         "multicast_listener_done": "GroupMembReductions",
         "router_solicitation": "RouterSolicits",
         "router_advertisement": "RouterAdvertisements",
         "neighbour_solicitation": "NeighborSolicits",
         "neighbour_advertisement": "NeighborAdvertisements", "redirect": "Redirects",
         "multicast_listener_report_v2": "MLDv2Reports"}  # fmt: skip
MESSAGES = [
    (f"{family}_{direction}_type_messages_total", "type", types, of + word)
    for family, types, of in (("icmp", ICMP, "Icmp "), ("icmp6", ICMP6, "Icmp6"))
    for direction, word in (("received", "In"), ("sent", "Out"))
]
ECN = {"not_ect": "NoECTPkts", "ect1": "ECT1Pkts", "ect0": "ECT0Pkts", "ce": "CEPkts"}
CODEPOINTS = [
    ("ip_received_ecn_packets_total", "codepoint", ECN, "IpExt In"),
    ("ip6_received_ecn_packets_total", "codepoint", ECN, "Ip6In"),
]


class Pair(NamedTuple):
    """A word of /proc, our value in its unit, and whether it only rises."""

    word: str
    ours: float
    rises: bool


def vmstat_words(found: Counted, theirs: Mapping[str, int]) -> Iterator[Pair]:
    """What /proc/vmstat, of which ``theirs`` are the words, tells as well."""
    for name, words in found.told():
        word, _, unit = words.partition(", in ")
        word = word.split(";")[0]
        for _, value in found.metrics[name] if word in theirs else ():
            yield Pair(word, value / 1024 if unit else value, name.endswith("_total"))
    for name, pattern in VMSTAT.items():
        for labels, value in found.metrics[name]:
            yield Pair(pattern.format_map(labels), value, name.endswith("_total"))


def snmp_words(found: Counted, netns: str) -> Iterator[Pair]:
    """What snmp, snmp6 and netstat of a network namespace tell as well, and some more."""
    for name, words in found.told():
        word, _, unit = words.partition(", in ")
        for value in found.values(name, netns=netns):
            yield Pair(word, round(value * 1000) if unit else value, name.endswith("_total"))
    for name, label, texts, of in MESSAGES + CODEPOINTS:
        for kind, text in texts.items():
            for value in found.values(name, netns=netns, **{label: kind}):
                yield Pair(of + text, value, rises=True)


def snmp(read: Callable[[str], str]) -> dict[str, int]:
    """Every number of the files snmp, netstat and snmp6: "Tcp InSegs", "Udp6InDatagrams"."""
    found = {}
    for name in ("snmp", "netstat"):
        lines = read(name).splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            group, *words = names.split()
            for word, number in zip(words, values.split()[1:], strict=True):
                found[f"{group.removesuffix(':')} {word}"] = int(number)
    rows = (line.split() for line in read("snmp6").splitlines())
    return found | {word: int(number) for word, number in rows}


def sockstat(text: str) -> dict[str, dict[str, int]]:
    """{"TCP": {"inuse": 1, ...}, ...} of /proc/net/sockstat or sockstat6."""
    rows = (line.split() for line in text.splitlines())
    return {
        first.removesuffix(":"): dict(zip(rest[::2], map(int, rest[1::2]), strict=True))
        for first, *rest in rows
    }
