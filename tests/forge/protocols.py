"""Which counters do FreeBSD's network protocols keep?  Their structs, in C.

From netinet/{tcp,udp,ip,igmp,icmp}_var.h, ip_carp.h, icmp6.h, netinet6/{ip6_var,raw_ip6}.h,
net/if_arp.h and net/route.h of FreeBSD 15.1.  A network stack has an array of pointers to counters
under each (VNET_PCPUSTAT_DEFINE, net/vnet.h): the member at offset 8 * n is counter n, which is how
the kernel adds to it (VNET_PCPUSTAT_ADD) and how the sysctl copies all of them out.
"""

from __future__ import annotations

STRUCTS = """
struct tcpstat {
    uint64_t tcps_connattempt, tcps_accepts, tcps_connects, tcps_drops, tcps_conndrops,
    tcps_minmssdrops, tcps_closed, tcps_segstimed, tcps_rttupdated, tcps_delack,
    tcps_timeoutdrop, tcps_rexmttimeo, tcps_persisttimeo, tcps_keeptimeo, tcps_keepprobe,
    tcps_keepdrops, tcps_progdrops, tcps_sndtotal, tcps_sndpack, tcps_sndbyte,
    tcps_sndrexmitpack, tcps_sndrexmitbyte, tcps_sndrexmitbad, tcps_sndacks, tcps_sndprobe,
    tcps_sndurg, tcps_sndwinup, tcps_sndctrl, tcps_rcvtotal, tcps_rcvpack, tcps_rcvbyte,
    tcps_rcvbadsum, tcps_rcvbadoff, tcps_rcvreassfull, tcps_rcvshort, tcps_rcvduppack,
    tcps_rcvdupbyte, tcps_rcvpartduppack, tcps_rcvpartdupbyte, tcps_rcvoopack, tcps_rcvoobyte,
    tcps_rcvpackafterwin, tcps_rcvbyteafterwin, tcps_rcvafterclose, tcps_rcvwinprobe,
    tcps_rcvdupack, tcps_rcvacktoomuch, tcps_rcvackpack, tcps_rcvackbyte, tcps_rcvwinupd,
    tcps_pawsdrop, tcps_predack, tcps_preddat, tcps_pcbcachemiss, tcps_cachedrtt,
    tcps_cachedrttvar, tcps_cachedssthresh, tcps_usedrtt, tcps_usedrttvar, tcps_usedssthresh,
    tcps_persistdrop, tcps_badsyn, tcps_mturesent, tcps_listendrop, tcps_badrst, tcps_sc_added,
    tcps_sc_retransmitted, tcps_sc_dupsyn, tcps_sc_dropped, tcps_sc_completed,
    tcps_sc_bucketoverflow, tcps_sc_cacheoverflow, tcps_sc_reset, tcps_sc_stale,
    tcps_sc_aborted, tcps_sc_badack, tcps_sc_unreach, tcps_sc_zonefail, tcps_sc_sendcookie,
    tcps_sc_recvcookie, tcps_sc_spurcookie, tcps_sc_failcookie, tcps_hc_added,
    tcps_hc_bucketoverflow, tcps_finwait2_drops, tcps_sack_recovery_episode, tcps_sack_rexmits,
    tcps_sack_rexmits_tso, tcps_sack_rexmit_bytes, tcps_sack_rcv_blocks, tcps_sack_send_blocks,
    tcps_sack_lostrexmt, tcps_sack_sboverflow, tcps_ecn_rcvce, tcps_ecn_rcvect0,
    tcps_ecn_rcvect1, tcps_ecn_shs, tcps_ecn_rcwnd, tcps_sig_rcvgoodsig, tcps_sig_rcvbadsig,
    tcps_sig_err_buildsig, tcps_sig_err_sigopt, tcps_sig_err_nosigopt,
    tcps_pmtud_blackhole_activated, tcps_pmtud_blackhole_activated_min_mss,
    tcps_pmtud_blackhole_failed, tcps_tunneled_pkts, tcps_tunneled_errs, tcps_dsack_count,
    tcps_dsack_bytes, tcps_dsack_tlp_bytes, tcps_tw_recycles, tcps_tw_resets, tcps_tw_responds,
    tcps_ace_nect, tcps_ace_ect1, tcps_ace_ect0, tcps_ace_ce, tcps_ecn_sndect0,
    tcps_ecn_sndect1, tcps_tlpresends, tcps_tlpresend_bytes, tcps_rcvghostack,
    tcps_rcvacktooold, _pad[1];
};
struct udpstat {
    uint64_t udps_ipackets, udps_hdrops, udps_badsum, udps_nosum, udps_badlen, udps_noport,
    udps_noportbcast, udps_fullsock, udpps_pcbcachemiss, udpps_pcbhashmiss, udps_opackets,
    udps_fastout, udps_noportmcast, udps_filtermcast;
};
struct ipstat {
    uint64_t ips_total, ips_badsum, ips_tooshort, ips_toosmall, ips_badhlen, ips_badlen,
    ips_fragments, ips_fragdropped, ips_fragtimeout, ips_forward, ips_fastforward,
    ips_cantforward, ips_redirectsent, ips_noproto, ips_delivered, ips_localout, ips_odropped,
    ips_reassembled, ips_fragmented, ips_ofragments, ips_cantfrag, ips_badoptions, ips_noroute,
    ips_badvers, ips_rawout, ips_toolong, ips_notmember, ips_nogif, ips_badaddr;
};
struct igmpstat {
    uint32_t igps_version, igps_len; uint64_t igps_rcv_total, igps_rcv_tooshort,
    igps_rcv_badttl, igps_rcv_badsum, igps_rcv_v1v2_queries, igps_rcv_v3_queries,
    igps_rcv_badqueries, igps_rcv_gen_queries, igps_rcv_group_queries, igps_rcv_gsr_queries,
    igps_drop_gsr_queries, igps_rcv_reports, igps_rcv_badreports, igps_rcv_ourreports,
    igps_rcv_nora, igps_snd_reports, __igps_pad[4];
};
struct arpstat {
    uint64_t txrequests, txreplies, rxrequests, rxreplies, received, txerrors, arp_spares[3],
    dropped, timeouts, dupips;
};
struct rtstat {
    uint64_t rts_badredirect, rts_dynamic, rts_newgateway, rts_unreach, rts_wildcard,
    rts_nh_idx_alloc_failure, rts_nh_alloc_failure, rts_add_failure, rts_add_retry,
    rts_del_failure, rts_del_retry, rts_spare[5];
};
struct carpstats {
    uint64_t carps_ipackets, carps_ipackets6, carps_badif, carps_badttl, carps_hdrops,
    carps_badsum, carps_badver, carps_badlen, carps_badauth, carps_badvhid, carps_badaddrs,
    carps_opackets, carps_opackets6, carps_onomem, carps_ostates, carps_preempt;
};
struct icmpstat {
    u_long icps_error, icps_oldshort, icps_oldicmp, icps_outhist[41], icps_badcode,
    icps_tooshort, icps_checksum, icps_badlen, icps_reflect, icps_inhist[41], icps_bmcastecho,
    icps_bmcasttstamp, icps_badaddr, icps_noroute;
};
struct ip6stat {
    uint64_t ip6s_total, ip6s_tooshort, ip6s_toosmall, ip6s_fragments, ip6s_fragdropped,
    ip6s_fragtimeout, ip6s_fragoverflow, ip6s_forward, ip6s_cantforward, ip6s_redirectsent,
    ip6s_delivered, ip6s_localout, ip6s_odropped, ip6s_reassembled, ip6s_atomicfrags,
    ip6s_fragmented, ip6s_ofragments, ip6s_cantfrag, ip6s_badoptions, ip6s_noroute,
    ip6s_badvers, ip6s_rawout, ip6s_badscope, ip6s_notmember, ip6s_nxthist[256], ip6s_m1,
    ip6s_m2m[32], ip6s_mext1, ip6s_mext2m, ip6s_exthdrtoolong, ip6s_nogif, ip6s_toomanyhdr,
    ip6s_sources_none, ip6s_sources_sameif[16], ip6s_sources_otherif[16],
    ip6s_sources_samescope[16], ip6s_sources_otherscope[16], ip6s_sources_deprecated[16],
    ip6s_sources_rule[16];
};
struct rip6stat {
    uint64_t rip6s_ipackets, rip6s_isum, rip6s_badsum, rip6s_nosock, rip6s_nosockmcast,
    rip6s_fullsock, rip6s_opackets;
};
struct icmp6stat {
    uint64_t icp6s_error, icp6s_canterror, icp6s_toofreq, icp6s_outhist[256], icp6s_badcode,
    icp6s_tooshort, icp6s_checksum, icp6s_badlen, icp6s_dropped, icp6s_reflect,
    icp6s_inhist[256], icp6s_nd_toomanyopt, icp6s_odst_unreach_noroute,
    icp6s_odst_unreach_admin, icp6s_odst_unreach_beyondscope, icp6s_odst_unreach_addr,
    icp6s_odst_unreach_noport, icp6s_opacket_too_big, icp6s_otime_exceed_transit,
    icp6s_otime_exceed_reassembly, icp6s_oparamprob_header, icp6s_oparamprob_nextheader,
    icp6s_oparamprob_option, icp6s_oredirect, icp6s_ounknown, icp6s_pmtuchg, icp6s_nd_badopt,
    icp6s_badns, icp6s_badna, icp6s_badrs, icp6s_badra, icp6s_badredirect, icp6s_overflowdefrtr,
    icp6s_overflowprfx, icp6s_overflownndp, icp6s_overflowredirect, icp6s_invlhlim,
    icp6s_spare[32];
};
"""

TCP_STATES = 11
"""TCP_NSTATES (netinet/tcp_fsm.h)."""
