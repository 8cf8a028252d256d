"""Does freebsd-netisr.yml tell what netisr did with packets?

Forged kernels of every word size and byte order, whose CPUs' numbers have gaps.
"""

from __future__ import annotations

import pytest
from fakes.module_files import answer
from forge.counting import MACHINES, Counting

WORK = """
struct netisr_work {
    void *nw_head, *nw_tail; u_int nw_len, nw_qlimit, nw_watermark;
    u_int64_t nw_dispatched, nw_hybrid_dispatched, nw_qdrops, nw_queued, nw_handled;
};
struct netisr_workstream { void *nws_event; u_int nws_cpu; struct netisr_work nws_work[16]; };
"""
PROTOCOLS = {"ip": 1, "igmp": 2, "rtsock": 3, "arp": 4, "ether": 5, "ip6": 6}
SUMMED = {
    "netisr_queue_packets": "nw_len",
    "netisr_dispatched_packets_total": "nw_dispatched",
    "netisr_hybrid_dispatched_packets_total": "nw_hybrid_dispatched",
    "netisr_dropped_packets_total": "nw_qdrops",
    "netisr_queued_packets_total": "nw_queued",
    "netisr_handled_packets_total": "nw_handled",
}
EACH = {"netisr_queue_limit_packets": "nw_qlimit", "netisr_queue_watermark_packets": "nw_watermark"}


@pytest.mark.parametrize("machine", MACHINES)
def test_every_protocol(machine: str) -> None:
    """Each number is a protocol's own; the CPUs' are added up, but for what does not add up."""
    kernel = Counting(machine, cpus=(0, 4))
    kernel.declare(WORK)
    members = [*SUMMED.values(), *EACH.values()]
    streams = {
        cpu: {
            "nws_work": [
                {name: 1000 * protocol + 10 * at + cpu for at, name in enumerate(members)}
                for protocol in range(16)
            ]
        }
        for cpu in (0, 4)
    }
    kernel.percpu("struct netisr_workstream nws", streams)
    wanted = {}
    for protocol, number in PROTOCOLS.items():
        for at, metric in enumerate(SUMMED):
            wanted[f'{metric}{{protocol="{protocol}"}}'] = 2 * (1000 * number + 10 * at) + 4
        for at, metric in enumerate(EACH, len(SUMMED)):
            for cpu in (0, 4):
                series = f'{metric}{{cpu="{cpu}",protocol="{protocol}"}}'
                wanted[series] = 1000 * number + 10 * at + cpu
    found = answer(kernel, "freebsd-netisr")
    assert found.missing == {}
    assert found.series == wanted
