"""Do freebsd-vm.yml and freebsd-mbuf.yml tell what the kernel counts?

Forged kernels of every word size and byte order, whose CPUs' numbers have gaps, with two memory
domains.
"""

from __future__ import annotations

import pytest
from fakes.module_files import answer, expected
from forge.counting import MACHINES, Counting
from forge.world import Thing

COUNTED = """
    v_swtch v_trap v_syscall v_intr v_soft v_vm_faults v_io_faults v_cow_faults v_cow_optim v_zfod
    v_ozfod v_swapin v_swapout v_swappgsin v_swappgsout v_vnodein v_vnodeout v_vnodepgsin
    v_vnodepgsout v_intrans v_reactivated v_pdwakeups v_pdpages v_pdshortfalls v_dfree v_pfree
    v_tfree v_forks v_vforks v_rforks v_kthreads v_forkpages v_vforkpages v_rforkpages
    v_kthreadpages v_wire_count v_nofree_count
"""
"""Of struct vmmeter (sys/vmmeter.h)."""

VM = f"""
struct vmmeter {{ counter_u64_t {", ".join(COUNTED.split())}; u_int v_page_size, v_page_count; }};
struct vm_pagequeue {{ u_long pq_mutex[4]; int pq_cnt; char *pq_name; uint64_t pq_pdpages; }};
struct vm_domain {{
    struct vm_pagequeue vmd_pagequeues[4];
    u_int vmd_domain, vmd_page_count; long vmd_segs; u_int vmd_free_count;
    bool vmd_oom, vmd_minset, vmd_severeset;
    enum {{ VM_LAUNDRY_IDLE, VM_LAUNDRY_BACKGROUND, VM_LAUNDRY_SHORTFALL }} vmd_laundry_request;
    u_int vmd_free_reserved, vmd_free_target, vmd_free_min, vmd_inactive_target;
    u_int vmd_pageout_free_min, vmd_interrupt_free_min, vmd_free_severe;
}};
"""

SUPERPAGES = ("promotions", "p_failures", "demotions", "mappings")


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine, its pages of 8 KB; counter n counts 100 * n + 3 altogether."""
    made = Counting(request.param)
    made.declare(VM)
    counters = {name: made.counter([100 * at, 1, 2]) for at, name in enumerate(COUNTED.split(), 1)}
    made.variable("struct vmmeter vm_cnt", counters | {"v_page_size": 8192, "v_page_count": 1})
    made.variable("int vm_ndomains", 2)
    return made


def domain(number: int, scale: int, **members: int) -> dict[str, object]:
    """A memory domain."""
    queues = [{"pq_cnt": scale * (at + 1), "pq_pdpages": (1 << 40) * scale + at} for at in range(4)]
    return {
        "vmd_domain": number,
        "vmd_pagequeues": queues,
        "vmd_page_count": scale << 24,
        "vmd_free_count": 10 * scale,
        "vmd_free_target": 11 * scale,
        "vmd_free_min": 12 * scale,
        "vmd_free_severe": 13 * scale,
        "vmd_free_reserved": 14 * scale,
        "vmd_inactive_target": 15 * scale,
        "vmd_interrupt_free_min": 16 * scale,
        **members,
    }


def domains(kernel: Counting) -> None:
    """Two memory domains, and one that the kernel does not have."""
    low = domain(0, 1, vmd_minset=1, vmd_laundry_request=2)
    high = domain(1, 5, vmd_severeset=1)
    kernel.variable("struct vm_domain vm_dom[3]", [low, high, domain(2, 77)])


CPUS = """
    vm_context_switches_total 103
    vm_traps_total 203
    vm_system_calls_total 303
    vm_device_interrupts_total 403
    vm_software_interrupts_total 503
    vm_faults_total 603
    vm_io_faults_total 703
    vm_cow_faults_total 803
    vm_cow_optimized_faults_total 903
    vm_zero_filled_pages_total 1003
    vm_prezeroed_pages_total 1103
    vm_swap_pageins_total 1203
    vm_swap_pageouts_total 1303
    vm_swap_in_bytes_total 11493376
    vm_swap_out_bytes_total 12312576
    vm_vnode_pageins_total 1603
    vm_vnode_pageouts_total 1703
    vm_vnode_in_bytes_total 14770176
    vm_vnode_out_bytes_total 15589376
    vm_in_transit_faults_total 2003
    vm_reactivated_pages_total 2103
    vm_pagedaemon_wakeups_total 2203
    vm_pagedaemon_shortfalls_total 2403
    vm_pagedaemon_freed_pages_total 2503
    vm_exit_freed_pages_total 2603
    vm_freed_pages_total 2703
    vm_forks_total{call="fork"} 2803
    vm_forks_total{call="vfork"} 2903
    vm_forks_total{call="rfork"} 3003
    vm_forks_total{call="kthread"} 3103
    vm_fork_pages_total{call="fork"} 3203
    vm_fork_pages_total{call="vfork"} 3303
    vm_fork_pages_total{call="rfork"} 3403
    vm_fork_pages_total{call="kthread"} 3503
    vm_wired_bytes 29515776
    vm_permanent_bytes 30334976
    vm_page_size_bytes 8192
"""

DOMAINS = """
    vm_memory_bytes{domain="0"} 137438953472
    vm_memory_bytes{domain="1"} 687194767360
    vm_free_bytes{domain="0"} 81920
    vm_free_bytes{domain="1"} 409600
    vm_queue_bytes{domain="0",queue="inactive"} 8192
    vm_queue_bytes{domain="1",queue="inactive"} 40960
    vm_queue_bytes{domain="0",queue="active"} 16384
    vm_queue_bytes{domain="1",queue="active"} 81920
    vm_queue_bytes{domain="0",queue="laundry"} 24576
    vm_queue_bytes{domain="1",queue="laundry"} 122880
    vm_queue_bytes{domain="0",queue="unswappable"} 32768
    vm_queue_bytes{domain="1",queue="unswappable"} 163840
    vm_pagedaemon_scanned_pages_total{domain="0",queue="inactive"} 1099511627776
    vm_pagedaemon_scanned_pages_total{domain="1",queue="inactive"} 5497558138880
    vm_pagedaemon_scanned_pages_total{domain="0",queue="active"} 1099511627777
    vm_pagedaemon_scanned_pages_total{domain="1",queue="active"} 5497558138881
    vm_pagedaemon_scanned_pages_total{domain="0",queue="laundry"} 1099511627778
    vm_pagedaemon_scanned_pages_total{domain="1",queue="laundry"} 5497558138882
    vm_pagedaemon_scanned_pages_total{domain="0",queue="unswappable"} 1099511627779
    vm_pagedaemon_scanned_pages_total{domain="1",queue="unswappable"} 5497558138883
    vm_free_target_bytes{domain="0"} 90112
    vm_free_target_bytes{domain="1"} 450560
    vm_free_minimum_bytes{domain="0"} 98304
    vm_free_minimum_bytes{domain="1"} 491520
    vm_free_severe_bytes{domain="0"} 106496
    vm_free_severe_bytes{domain="1"} 532480
    vm_free_reserved_bytes{domain="0"} 114688
    vm_free_reserved_bytes{domain="1"} 573440
    vm_inactive_target_bytes{domain="0"} 122880
    vm_inactive_target_bytes{domain="1"} 614400
    vm_interrupt_free_minimum_bytes{domain="0"} 131072
    vm_interrupt_free_minimum_bytes{domain="1"} 655360
    vm_below_minimum{domain="0"} 1
    vm_below_minimum{domain="1"} 0
    vm_below_severe{domain="0"} 0
    vm_below_severe{domain="1"} 1
"""

OBJECTS = {
    "object_collapses": "vm_object_collapses_total",
    "object_bypasses": "vm_object_bypasses_total",
    "object_collapse_waits": "vm_object_collapse_waits_total",
    "queue_ops": "vm_queue_operations_total",
    "queue_nops": "vm_queue_noops_total",
    "pqstate_commit_retries": "vm_queue_retries_total",
    "vm_reserv_broken": "vm_reservations_broken_total",
    "vm_reserv_freed": "vm_reservations_freed_total",
    "vm_reserv_reclaimed": "vm_reservations_reclaimed_total",
}
MAPPINGS = {
    "pmap_pde_promotions": "vm_superpage_promotions_total",
    "pmap_pde_p_failures": "vm_superpage_promotion_failures_total",
    "pmap_pde_demotions": "vm_superpage_demotions_total",
    "pmap_pde_mappings": "vm_superpage_mappings_total",
    "pmap_pdpe_demotions": "vm_gigapage_demotions_total",
}


def laundry(number: int, state: int) -> dict[str, int]:
    """The states of a laundry thread."""
    names = ("IDLE", "BACKGROUND", "SHORTFALL")
    metric = "kvm_symbol_vm_laundry_request"
    return {
        f'vm_laundry_request{{domain="{number}",{metric}="VM_LAUNDRY_{name}"}}': int(at == state)
        for at, name in enumerate(names)
    }


def test_vm(kernel: Counting) -> None:
    """As vmstat -s: each counter of vm_cnt, each memory domain with its page queues."""
    domains(kernel)
    kernel.variable("u_long vm_user_wire_count", 3)
    for at, symbol in enumerate([*OBJECTS, *MAPPINGS]):
        kernel.variable(f"counter_u64_t {symbol}", kernel.counter([at, 10, 1000]))
    found = answer(kernel, "freebsd-vm")
    assert found.missing == {}
    counted = {
        series: 1010 + at for at, series in enumerate([*OBJECTS.values(), *MAPPINGS.values()])
    }
    told = expected(CPUS + DOMAINS) | {"vm_user_wired_bytes": 24576}
    assert found.series == told | counted | laundry(0, 2) | laundry(1, 0)


def test_superpages_of_other_machines() -> None:
    """riscv64 counts superpages in a u_long each, by the level of its page table."""
    kernel = Counting("aarch64")
    for at, name in enumerate(SUPERPAGES):
        kernel.variable(f"u_long pmap_l2_{name}", 40 + at)
    kernel.variable("counter_u64_t pmap_l1_demotions", kernel.counter([1, 1, 1]))
    found = answer(kernel, "freebsd-vm").series
    assert found == {
        "vm_superpage_promotions_total": 40,
        "vm_superpage_promotion_failures_total": 41,
        "vm_superpage_demotions_total": 42,
        "vm_superpage_mappings_total": 43,
        "vm_gigapage_demotions_total": 3,
    }


MBUFS = """
struct uma_cache_bucket { void *ucb_bucket; int16_t ucb_cnt; int16_t ucb_entries; uint32_t spare; };
struct uma_cache {
    struct uma_cache_bucket uc_freebucket, uc_allocbucket, uc_crossbucket;
    uint64_t uc_allocs, uc_frees;
} __aligned(64);
struct uma_zone_domain { void *uzd_first; long uzd_nitems, uzd_imax; } __aligned(64);
struct uma_domain { long ud_lock[4]; uint32_t ud_pages, ud_free_items; } __aligned(64);
struct uma_keg { void *uk_hash; uint32_t uk_flags; struct uma_domain uk_domain[0]; };
struct uma_zone {
    uint32_t uz_flags, uz_size; uint64_t uz_max_items; struct uma_keg *uz_keg; uint64_t uz_sleeps;
    counter_u64_t uz_allocs, uz_frees, uz_fails; char *uz_name; struct uma_cache uz_cpu[0];
};
struct whole_keg { struct uma_keg keg; struct uma_domain domains[2]; };
struct whole_zone {
    struct uma_zone zone; struct uma_cache cpus[6]; struct uma_zone_domain domains[2];
};
struct sfstat {
    uint64_t sf_syscalls, sf_noiocnt, sf_iocnt, sf_pages_read, sf_pages_valid,
        sf_rhpages_requested, sf_rhpages_read, sf_busy, sf_allocfail, sf_allocwait, sf_pages_bogus;
};
"""

SENDFILE = """
    sendfile_calls_total 6
    sendfile_calls_without_io_total 106
    sendfile_io_requests_total 206
    sendfile_read_pages_total 306
    sendfile_valid_pages_total 406
    sendfile_requested_readahead_pages_total 506
    sendfile_readahead_pages_total 606
    sendfile_busy_pages_total 706
    sendfile_buffer_denied_requests_total 806
    sendfile_buffer_delayed_requests_total 906
    sendfile_bogus_pages_total 1006
"""

ZONES = {
    "zone_mbuf": "mbuf",
    "zone_pack": "mbuf_packet",
    "zone_clust": "mbuf_cluster",
    "zone_jumbop": "mbuf_jumbo_page",
    "zone_jumbo9": "mbuf_jumbo_9k",
    "zone_jumbo16": "mbuf_jumbo_16k",
}
"""Variables and names of kern_mbuf.c."""

SECONDARY = 0x200
BUCKET = 20_000
"""Items in a CPU's bucket: three of them are more than an int16_t holds."""


def zone(kernel: Counting, symbol: str, scale: int, keg: Thing, flags: int = 0) -> None:
    """A zone of mbufs, with its own numbers on each CPU; there is no CPU 1, 3 or 4."""
    whole = kernel.new("struct whole_zone")
    for cpu in range(6):
        there = cpu in kernel.cpus
        whole.put(f"cpus[{cpu}].uc_allocs", scale * (1000 + cpu) if there else 77)
        whole.put(f"cpus[{cpu}].uc_frees", scale * 100 if there else 78)
        for bucket in ("free", "alloc", "cross"):
            whole.put(f"cpus[{cpu}].uc_{bucket}bucket.ucb_cnt", BUCKET if there else 79)
    whole.put("domains[0].uzd_nitems", 30 * scale).put("domains[1].uzd_nitems", 4 * scale)
    made = Thing(kernel.world, "struct uma_zone", whole.address)
    made.set(uz_name=kernel.text(ZONES[symbol]), uz_keg=keg, uz_flags=flags, uz_size=256 * scale)
    made.set(uz_allocs=kernel.counter([5, 6, 7]), uz_frees=kernel.counter([1, 1, 2]))
    made.set(uz_fails=kernel.counter([scale, 0, 1]), uz_sleeps=9 * scale)
    made.set(uz_max_items=(1 << 33) * scale)
    kernel.variable(f"struct uma_zone *{symbol}", made)


def keg(kernel: Counting, scale: int) -> Thing:
    """A keg whose slabs lie in both memory domains."""
    rows = [{"ud_pages": 10 * scale, "ud_free_items": 3}, {"ud_pages": 2, "ud_free_items": scale}]
    whole = kernel.new("struct whole_keg", domains=rows)
    return Thing(kernel.world, "struct uma_keg", whole.address)


def zone_told(name: str, scale: int, *, own_keg: bool) -> dict[str, int]:
    """What a zone's series are."""
    allocations, frees = scale * 3007 + 18, scale * 300 + 4
    cached = 9 * BUCKET + 34 * scale + (3 + scale if own_keg else 0)
    values = {
        "allocations_total": allocations,
        "frees_total": frees,
        "in_use": allocations - frees,
        "denied_requests_total": scale + 1,
        "delayed_requests_total": 9 * scale,
        "cached": cached,
        "limit": (1 << 33) * scale,
        "size_bytes": 256 * scale,
        "memory_bytes": (10 * scale + 2) * 8192 if own_keg else 0,
    }
    return {f'mbuf_{what}{{zone="{name}"}}': value for what, value in values.items()}


def test_mbufs(kernel: Counting) -> None:
    """As netstat -m: each zone's CPUs, memory domains and slabs together, and sendfile."""
    kernel.declare(MBUFS)
    kernel.declare("u_int mp_maxid;")
    kegs = {symbol: keg(kernel, at) for at, symbol in enumerate(ZONES, 1)}
    for at, symbol in enumerate(ZONES, 1):
        second = symbol == "zone_pack"
        zone(kernel, symbol, at, kegs["zone_mbuf" if second else symbol], SECONDARY * second)
    rows = [[100 * at, 2, 4] for at in range(11)]
    kernel.variable("counter_u64_t sfstat[11]", kernel.counters(rows))
    kernel.variable("counter_u64_t snd_tag_count", kernel.counter([5, (1 << 64) - 3, 2]))
    kernel.variable("quad_t maxmbufmem", 1 << 34)
    found = answer(kernel, "freebsd-mbuf")
    assert found.missing == {}
    told = expected(SENDFILE + "mbuf_send_tags 4\n mbuf_maximum_memory_bytes 17179869184")
    for at, (symbol, name) in enumerate(ZONES.items(), 1):
        told |= zone_told(name, at, own_keg=symbol != "zone_pack")
    assert found.series == told
