"""Do freebsd-ipsec.yml and freebsd-pfkey.yml tell every counter under the right name?

Forged kernels of every word size and byte order: each counter has a number of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from fakes.module_files import answer
from forge.counting import MACHINES, Counting

STATS = """
struct ipsecstat {
    uint64_t ips_in_polvio, ips_in_nomem, ips_in_inval, ips_out_polvio, ips_out_nosa, ips_out_nomem,
    ips_out_noroute, ips_out_inval, ips_out_bundlesa, ips_spdcache_hits, ips_spdcache_misses,
    ips_clcopied, ips_mbinserted, ips_input_front, ips_input_middle, ips_input_end;
};
struct espstat {
    uint64_t esps_hdrops, esps_nopf, esps_notdb, esps_badkcr, esps_qfull, esps_noxform,
    esps_badilen, esps_wrap, esps_badenc, esps_badauth, esps_replay, esps_input, esps_output,
    esps_invalid, esps_ibytes, esps_obytes, esps_toobig, esps_pdrops, esps_crypto, esps_tunnel,
    esps_hist[256];
};
struct ahstat {
    uint64_t ahs_hdrops, ahs_nopf, ahs_notdb, ahs_badkcr, ahs_badauth, ahs_noxform, ahs_qfull,
    ahs_wrap, ahs_replay, ahs_badauthl, ahs_input, ahs_output, ahs_invalid, ahs_ibytes, ahs_obytes,
    ahs_toobig, ahs_pdrops, ahs_crypto, ahs_tunnel, ahs_hist[16];
};
struct ipcompstat {
    uint64_t ipcomps_hdrops, ipcomps_nopf, ipcomps_notdb, ipcomps_badkcr, ipcomps_qfull,
    ipcomps_noxform, ipcomps_wrap, ipcomps_input, ipcomps_output, ipcomps_invalid, ipcomps_ibytes,
    ipcomps_obytes, ipcomps_toobig, ipcomps_pdrops, ipcomps_crypto, ipcomps_hist[8],
    ipcomps_threshold, ipcomps_uncompr;
};
struct pfkeystat {
    uint64_t out_total, out_bytes, out_msgtype[256], out_invlen, out_invver, out_invmsgtype,
    out_tooshort, out_nomem, out_dupext, out_invexttype, out_invsatype, out_invaddr, in_total,
    in_bytes, in_msgtype[256], in_msgtarget[3], in_nomem, sockerr;
};
"""

POLICIES = """
    dropped_packets_total{direction="in",reason="invalid"} in_inval
    dropped_packets_total{direction="in",reason="no_memory"} in_nomem
    dropped_packets_total{direction="in",reason="policy"} in_polvio
    dropped_packets_total{direction="out",reason="invalid"} out_inval
    dropped_packets_total{direction="out",reason="no_association"} out_nosa
    dropped_packets_total{direction="out",reason="no_memory"} out_nomem
    dropped_packets_total{direction="out",reason="no_route"} out_noroute
    dropped_packets_total{direction="out",reason="policy"} out_polvio
    bundled_packets_total{} out_bundlesa
    policy_cache_hits_total{} spdcache_hits
    policy_cache_misses_total{} spdcache_misses
    copied_clusters_total{} clcopied
    inserted_mbufs_total{} mbinserted
    input_headers_total{place="end"} input_end
    input_headers_total{place="front"} input_front
    input_headers_total{place="middle"} input_middle
"""
PACKETS = """
    received_packets_total{} input
    sent_packets_total{} output
    received_bytes_total{} ibytes
    sent_bytes_total{} obytes
    dropped_packets_total{reason="short_header"} hdrops
    dropped_packets_total{reason="protocol_family"} nopf
    dropped_packets_total{reason="no_association"} notdb
    dropped_packets_total{reason="bad_kcr"} badkcr
    dropped_packets_total{reason="queue_full"} qfull
    dropped_packets_total{reason="no_transform"} noxform
    dropped_packets_total{reason="invalid_association"} invalid
    dropped_packets_total{reason="too_large"} toobig
    dropped_packets_total{reason="policy"} pdrops
    dropped_packets_total{reason="crypto_failure"} crypto
    replay_wraps_total{} wrap
"""
AUTHENTIC = """
    dropped_packets_total{reason="bad_authentication"} badauth
    dropped_packets_total{reason="replay"} replay
    dropped_packets_total{reason="tunnel_check"} tunnel
"""
ESP = """
    dropped_packets_total{reason="bad_length"} badilen
    dropped_packets_total{reason="bad_encryption"} badenc
    algorithm_packets_total{algorithm="none"} hist[0]
    algorithm_packets_total{algorithm="null"} hist[11]
    algorithm_packets_total{algorithm="aes_cbc"} hist[12]
    algorithm_packets_total{algorithm="aes_ctr"} hist[13]
    algorithm_packets_total{algorithm="chacha20_poly1305"} hist[15]
    algorithm_packets_total{algorithm="aes_gcm_16"} hist[20]
    algorithm_packets_total{algorithm="aes_gmac"} hist[23]
"""
AH = """
    dropped_packets_total{reason="bad_authentication_length"} badauthl
    algorithm_packets_total{algorithm="none"} hist[0]
    algorithm_packets_total{algorithm="hmac_sha1"} hist[3]
    algorithm_packets_total{algorithm="hmac_sha2_256"} hist[5]
    algorithm_packets_total{algorithm="hmac_sha2_384"} hist[6]
    algorithm_packets_total{algorithm="hmac_sha2_512"} hist[7]
    algorithm_packets_total{algorithm="aes_xcbc_mac"} hist[9]
    algorithm_packets_total{algorithm="aes_gmac_128"} hist[11]
    algorithm_packets_total{algorithm="aes_gmac_192"} hist[12]
    algorithm_packets_total{algorithm="aes_gmac_256"} hist[13]
"""
IPCOMP = """
    algorithm_packets_total{algorithm="none"} hist[0]
    algorithm_packets_total{algorithm="oui"} hist[1]
    algorithm_packets_total{algorithm="deflate"} hist[2]
    algorithm_packets_total{algorithm="lzs"} hist[3]
    uncompressed_packets_total{reason="small"} threshold
    uncompressed_packets_total{reason="useless"} uncompr
"""
MESSAGES = """
    reserved getspi update add delete get acquire register expire flush dump x_promisc x_pchange
    x_spdupdate x_spdadd x_spddelete x_spdget x_spdacquire x_spddump x_spdflush x_spdsetidx
    x_spdexpire x_spddelete2
"""
PFKEY = """
    requests_total{} out_total
    requests_bytes_total{} out_bytes
    dropped_requests_total{reason="length"} out_invlen
    dropped_requests_total{reason="version"} out_invver
    dropped_requests_total{reason="message_type"} out_invmsgtype
    dropped_requests_total{reason="too_short"} out_tooshort
    dropped_requests_total{reason="no_memory"} out_nomem
    dropped_requests_total{reason="duplicate_extension"} out_dupext
    dropped_requests_total{reason="extension_type"} out_invexttype
    dropped_requests_total{reason="association_type"} out_invsatype
    dropped_requests_total{reason="address_extension"} out_invaddr
    answers_total{} in_total
    answers_bytes_total{} in_bytes
    answers_by_target_total{target="one"} in_msgtarget[0]
    answers_by_target_total{target="all"} in_msgtarget[1]
    answers_by_target_total{target="registered"} in_msgtarget[2]
    dropped_answers_total{} in_nomem
    socket_errors_total{} sockerr
""" + "".join(
    f'{way}_by_type_total{{type="{name}"}} {member}_msgtype[{at}]\n'
    for way, member in (("requests", "out"), ("answers", "in"))
    for at, name in enumerate(MESSAGES.split())
)

TABLES: Mapping[str, tuple[str, str, str, str]] = {
    "ipsec4stat": ("ipsecstat", "ips_", "ipsec_", POLICIES),
    "ipsec6stat": ("ipsecstat", "ips_", "ipsec_", POLICIES),
    "espstat": ("espstat", "esps_", "ipsec_esp_", PACKETS + AUTHENTIC + ESP),
    "ahstat": ("ahstat", "ahs_", "ipsec_ah_", PACKETS + AUTHENTIC + AH),
    "ipcompstat": ("ipcompstat", "ipcomps_", "ipsec_ipcomp_", PACKETS + IPCOMP),
    "pfkeystat": ("pfkeystat", "", "pfkey_", PFKEY),
}
"""By variable: its struct, how its members and its metrics begin, and which member is which."""


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    """Each machine's name."""
    return request.param


def rows(table: str) -> list[tuple[str, str]]:
    """Series and members of a table."""
    lines = (line.strip().rpartition(" ") for line in table.splitlines() if line.strip())
    return [(series, member) for series, _, member in lines]


def counted(kernel: Counting, variable: str, base: int) -> dict[str, int]:
    """Counters for all members that have a series, from ``base`` on; their numbers by series."""
    tag, begins, _, table = TABLES[variable]
    size = kernel.c.size(f"struct {tag}") // 8
    pointers = [0] * size
    found = {}
    for number, (series, member) in enumerate(rows(table), base):
        place = kernel.c.offset(f"struct {tag}", begins + member) // 8
        pointers[place] = kernel.counter([number - 5, 2, 3])
        found[series] = number
    kernel.vnet(f"counter_u64_t {variable}[{size}]", {"": pointers})
    return found


def labelled(variable: str, series: str) -> str:
    """The series as it is published, for the host's network stack."""
    metric, labels = series.removesuffix("}").split("{")
    more = {"ipsec4stat": 'ip="4"', "ipsec6stat": 'ip="6"'}.get(variable, "")
    inside = sorted(filter(None, [*labels.split(","), more, 'jail=""']))
    return f"{TABLES[variable][2]}{metric}{{{','.join(inside)}}}"


def told(kernel: Counting, file: str, *variables: str) -> None:
    """Each counter of the variables is told by its own number, and nothing else."""
    kernel.declare(STATS)
    wanted = {}
    for at, variable in enumerate(variables, 1):
        numbers = counted(kernel, variable, 1000 * at)
        wanted |= {labelled(variable, series): number for series, number in numbers.items()}
    found = answer(kernel, file)
    assert found.missing == {}
    assert found.series == wanted


def test_every_counter_of_ipsec(machine: str) -> None:
    """None is another's, none is left out."""
    told(Counting(machine, jails={}), "freebsd-ipsec", *list(TABLES)[:5])


def test_every_counter_of_pfkey(machine: str) -> None:
    """By their places, of a struct that the kernel does not tell."""
    told(Counting(machine, jails={}), "freebsd-pfkey", "pfkeystat")
