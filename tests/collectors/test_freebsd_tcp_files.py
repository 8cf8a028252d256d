"""Do freebsd-tcp.yml and freebsd-udp.yml tell what the kernel counts, of every network stack?

Forged kernels of every word size and byte order.  The tables say which member each series is of:
what netstat(1) prints under the words of the series (usr.bin/netstat/inet.c).
"""

from __future__ import annotations

import pytest
from fakes.module_files import answer
from fakes.protocols import STACKS, Protocols, rows
from forge.counting import MACHINES, Counting
from forge.protocols import STRUCTS, TCP_STATES

TCP = rows(
    """
    tcp_connection_requests_total tcps_connattempt
    tcp_connection_accepts_total tcps_accepts
    tcp_connections_established_total tcps_connects
    tcp_connections_closed_total tcps_closed
    tcp_connections_dropped_total tcps_drops
    tcp_embryonic_connections_dropped_total tcps_conndrops
    tcp_bad_connection_attempts_total tcps_badsyn
    tcp_listen_queue_overflows_total tcps_listendrop
    tcp_ignored_resets_total tcps_badrst
    tcp_minimum_mss_drops_total tcps_minmssdrops
    tcp_sent_packets_total tcps_sndtotal
    tcp_sent_data_packets_total tcps_sndpack
    tcp_sent_data_bytes_total tcps_sndbyte
    tcp_retransmitted_packets_total tcps_sndrexmitpack
    tcp_retransmitted_bytes_total tcps_sndrexmitbyte
    tcp_unnecessarily_retransmitted_packets_total tcps_sndrexmitbad
    tcp_mtu_discovery_resends_total tcps_mturesent
    tcp_sent_ack_packets_total tcps_sndacks
    tcp_delayed_acks_total tcps_delack
    tcp_sent_urgent_packets_total tcps_sndurg
    tcp_sent_window_probes_total tcps_sndprobe
    tcp_sent_window_updates_total tcps_sndwinup
    tcp_sent_control_packets_total tcps_sndctrl
    tcp_received_packets_total tcps_rcvtotal
    tcp_received_acks_total tcps_rcvackpack
    tcp_acknowledged_bytes_total tcps_rcvackbyte
    tcp_received_duplicate_acks_total tcps_rcvdupack
    tcp_received_early_acks_total tcps_rcvacktoomuch
    tcp_received_ghost_acks_total tcps_rcvghostack
    tcp_received_old_acks_total tcps_rcvacktooold
    tcp_received_in_sequence_packets_total tcps_rcvpack
    tcp_received_in_sequence_bytes_total tcps_rcvbyte
    tcp_received_duplicate_packets_total tcps_rcvduppack
    tcp_received_duplicate_bytes_total tcps_rcvdupbyte
    tcp_received_partly_duplicate_packets_total tcps_rcvpartduppack
    tcp_received_partly_duplicate_bytes_total tcps_rcvpartdupbyte
    tcp_received_old_duplicate_packets_total tcps_pawsdrop
    tcp_received_out_of_order_packets_total tcps_rcvoopack
    tcp_received_out_of_order_bytes_total tcps_rcvoobyte
    tcp_received_after_window_packets_total tcps_rcvpackafterwin
    tcp_received_after_window_bytes_total tcps_rcvbyteafterwin
    tcp_received_after_close_packets_total tcps_rcvafterclose
    tcp_received_window_probes_total tcps_rcvwinprobe
    tcp_received_window_updates_total tcps_rcvwinupd
    tcp_received_dsack_packets_total tcps_dsack_count
    tcp_received_dsack_bytes_total tcps_dsack_bytes
    tcp_received_dsack_tail_loss_probe_bytes_total tcps_dsack_tlp_bytes
    tcp_received_tunneled_packets_total tcps_tunneled_pkts
    tcp_received_tunneled_errors_total tcps_tunneled_errs
    tcp_discarded_packets_total{reason="bad_checksum"} tcps_rcvbadsum
    tcp_discarded_packets_total{reason="bad_header_offset"} tcps_rcvbadoff
    tcp_discarded_packets_total{reason="too_short"} tcps_rcvshort
    tcp_discarded_packets_total{reason="reassembly_queue_full"} tcps_rcvreassfull
    tcp_rtt_attempts_total tcps_segstimed
    tcp_rtt_updates_total tcps_rttupdated
    tcp_retransmit_timeouts_total tcps_rexmttimeo
    tcp_retransmit_timeout_drops_total tcps_timeoutdrop
    tcp_persist_timeouts_total tcps_persisttimeo
    tcp_persist_timeout_drops_total tcps_persistdrop
    tcp_finwait2_timeout_drops_total tcps_finwait2_drops
    tcp_keepalive_timeouts_total tcps_keeptimeo
    tcp_keepalive_probes_total tcps_keepprobe
    tcp_keepalive_drops_total tcps_keepdrops
    tcp_progress_timeout_drops_total tcps_progdrops
    tcp_timewait_acks_total tcps_tw_responds
    tcp_timewait_recycles_total tcps_tw_recycles
    tcp_timewait_resets_total tcps_tw_resets
    tcp_predicted_acks_total tcps_predack
    tcp_predicted_data_packets_total tcps_preddat
    tcp_pcb_cache_misses_total tcps_pcbcachemiss
    tcp_hostcache_entries_added_total tcps_hc_added
    tcp_hostcache_bucket_overflows_total tcps_hc_bucketoverflow
    tcp_hostcache_rtt_uses_total tcps_usedrtt
    tcp_hostcache_rttvar_uses_total tcps_usedrttvar
    tcp_hostcache_ssthresh_uses_total tcps_usedssthresh
    tcp_hostcache_rtt_updates_total tcps_cachedrtt
    tcp_hostcache_rttvar_updates_total tcps_cachedrttvar
    tcp_hostcache_ssthresh_updates_total tcps_cachedssthresh
    tcp_syncache_entries_added_total tcps_sc_added
    tcp_syncache_retransmits_total tcps_sc_retransmitted
    tcp_syncache_duplicate_syns_total tcps_sc_dupsyn
    tcp_syncache_dropped_total tcps_sc_dropped
    tcp_syncache_zone_failures_total tcps_sc_zonefail
    tcp_syncache_entries_removed_total{reason="completed"} tcps_sc_completed
    tcp_syncache_entries_removed_total{reason="bucket_overflow"} tcps_sc_bucketoverflow
    tcp_syncache_entries_removed_total{reason="cache_overflow"} tcps_sc_cacheoverflow
    tcp_syncache_entries_removed_total{reason="reset"} tcps_sc_reset
    tcp_syncache_entries_removed_total{reason="stale"} tcps_sc_stale
    tcp_syncache_entries_removed_total{reason="aborted"} tcps_sc_aborted
    tcp_syncache_entries_removed_total{reason="bad_ack"} tcps_sc_badack
    tcp_syncache_entries_removed_total{reason="unreachable"} tcps_sc_unreach
    tcp_syncookies_sent_total tcps_sc_sendcookie
    tcp_syncookies_received_total tcps_sc_recvcookie
    tcp_syncookies_rejected_total{reason="spurious"} tcps_sc_spurcookie
    tcp_syncookies_rejected_total{reason="failed"} tcps_sc_failcookie
    tcp_sack_recovery_episodes_total tcps_sack_recovery_episode
    tcp_sack_retransmitted_segments_total tcps_sack_rexmits
    tcp_sack_retransmitted_tso_chunks_total tcps_sack_rexmits_tso
    tcp_sack_retransmitted_bytes_total tcps_sack_rexmit_bytes
    tcp_sack_received_options_total tcps_sack_rcv_blocks
    tcp_sack_sent_options_total tcps_sack_send_blocks
    tcp_sack_lost_retransmissions_total tcps_sack_lostrexmt
    tcp_sack_scoreboard_overflows_total tcps_sack_sboverflow
    tcp_tail_loss_probes_total tcps_tlpresends
    tcp_tail_loss_probe_bytes_total tcps_tlpresend_bytes
    tcp_ecn_received_packets_total{codepoint="ce"} tcps_ecn_rcvce
    tcp_ecn_received_packets_total{codepoint="ect0"} tcps_ecn_rcvect0
    tcp_ecn_received_packets_total{codepoint="ect1"} tcps_ecn_rcvect1
    tcp_ecn_sent_packets_total{codepoint="ect0"} tcps_ecn_sndect0
    tcp_ecn_sent_packets_total{codepoint="ect1"} tcps_ecn_sndect1
    tcp_ecn_handshakes_total tcps_ecn_shs
    tcp_ecn_congestion_reductions_total tcps_ecn_rcwnd
    tcp_accurate_ecn_syns_total{codepoint="not_ect"} tcps_ace_nect
    tcp_accurate_ecn_syns_total{codepoint="ect0"} tcps_ace_ect0
    tcp_accurate_ecn_syns_total{codepoint="ect1"} tcps_ace_ect1
    tcp_accurate_ecn_syns_total{codepoint="ce"} tcps_ace_ce
    tcp_signature_good_packets_total tcps_sig_rcvgoodsig
    tcp_signature_bad_packets_total tcps_sig_rcvbadsig
    tcp_signature_build_failures_total tcps_sig_err_buildsig
    tcp_signature_unexpected_total tcps_sig_err_sigopt
    tcp_signature_absent_total tcps_sig_err_nosigopt
    tcp_pmtud_blackhole_activations_total tcps_pmtud_blackhole_activated
    tcp_pmtud_blackhole_min_mss_activations_total tcps_pmtud_blackhole_activated_min_mss
    tcp_pmtud_blackhole_failures_total tcps_pmtud_blackhole_failed
    """,
    "tcpstat",
)

STATES = """
    CLOSED LISTEN SYN_SENT SYN_RCVD ESTABLISHED CLOSE_WAIT FIN_WAIT_1 CLOSING LAST_ACK FIN_WAIT_2
    TIME_WAIT
"""
"""In the order of TCPS_CLOSED, TCPS_LISTEN, ... (netinet/tcp_fsm.h)."""

UDP = rows(
    """
    udp_received_datagrams_total udps_ipackets
    udp_received_without_checksum_total udps_nosum
    udp_pcb_cache_misses_total udpps_pcbcachemiss
    udp_pcb_hash_misses_total udpps_pcbhashmiss
    udp_dropped_datagrams_total{reason="incomplete_header"} udps_hdrops
    udp_dropped_datagrams_total{reason="bad_length"} udps_badlen
    udp_dropped_datagrams_total{reason="bad_checksum"} udps_badsum
    udp_dropped_datagrams_total{reason="no_socket"} udps_noport
    udp_dropped_datagrams_total{reason="full_socket_buffer"} udps_fullsock
    udp_undelivered_to_many_datagrams_total{kind="broadcast"} udps_noportbcast
    udp_undelivered_to_many_datagrams_total{kind="multicast"} udps_noportmcast
    udp_multicast_filter_matches_total udps_filtermcast
    udp_sent_datagrams_total udps_opackets
    udp_sent_fast_datagrams_total udps_fastout
    """,
    "udpstat",
)

RENAMED = {"tcps_ecn_rcvce": "tcps_ecn_ce", "tcps_ecn_rcvect0": "tcps_ecn_ect0"}
ADDED = {
    "tcps_tlpresends": "tcp_tail_loss_probes_total",
    "tcps_ace_ce": "tcp_accurate_ecn_syns_total",
}


def tcp(machine: str, text: str = STRUCTS) -> Protocols:
    """A kernel that counts all of TCP."""
    made = Protocols(machine, text)
    known = made.kernel.c.layout("struct tcpstat")
    members = [member.partition(".")[2] for _, member in TCP]
    made.count("tcpstat", [one for one in members if one in known])
    made.array("tcps_states", TCP_STATES, range(TCP_STATES))
    return made


def connections(made: Protocols) -> dict[str, int]:
    """Connections by their state."""
    return {
        f'tcp_connections{{jail="{stack}",state="{state}"}}': number
        for stack in STACKS
        for state, number in zip(STATES.split(), made.sums("tcps_states", stack), strict=True)
    }


@pytest.mark.parametrize("machine", MACHINES)
def test_tcp(machine: str) -> None:
    """As netstat -s -p tcp: each member of struct tcpstat once, and connections by state."""
    made = tcp(machine)
    found = answer(made.kernel, "freebsd-tcp")
    assert found.missing == {}
    assert found.series == made.told(TCP) | connections(made)
    members = [name for name in made.kernel.c.layout("struct tcpstat") if name != "_pad"]
    assert sorted(members) == sorted(member.partition(".")[2] for _, member in TCP)


def test_tcp_of_older_kernels() -> None:
    """Members that were called otherwise are found; those that are not there lack alone."""
    text = STRUCTS
    for now, before in RENAMED.items():
        text = text.replace(now, before)
    for member in ADDED:
        text = text.replace(member, f"not_{member}")
    made = tcp("amd64", text)
    made_of = {**RENAMED, **dict.fromkeys(ADDED, "")}
    table = [
        (series, f"tcpstat.{made_of.get(member.partition('.')[2], member.partition('.')[2])}")
        for series, member in TCP
    ]
    found = answer(made.kernel, "freebsd-tcp")
    there = [row for row in table if row[1] != "tcpstat."]
    assert set(found.missing) == set(ADDED.values())
    assert found.series == made.told(there) | connections(made)


@pytest.mark.parametrize("machine", MACHINES)
def test_udp(machine: str) -> None:
    """As netstat -s -p udp: each member of struct udpstat once."""
    made = Protocols(machine)
    made.count("udpstat", [member.partition(".")[2] for _, member in UDP])
    found = answer(made.kernel, "freebsd-udp")
    assert found.missing == {}
    assert found.series == made.told(UDP)
    members = made.kernel.c.layout("struct udpstat")
    assert sorted(members) == sorted(member.partition(".")[2] for _, member in UDP)


def test_udp_without_network_stacks() -> None:
    """A kernel without VIMAGE has one network stack, the host's, under the same labels."""
    kernel = Counting("amd64", cpus=(0, 1))
    kernel.declare(STRUCTS)
    rows_of = [[at, 100] for at in range(len(UDP))]
    kernel.variable(f"counter_u64_t udpstat[{len(UDP)}]", kernel.counters(rows_of))
    found = answer(kernel, "freebsd-udp").series
    assert found['udp_received_datagrams_total{jail=""}'] == 100
    assert len(found) == len(UDP)
