"""Do freebsd-uma.yml, freebsd-malloc.yml and freebsd-swap.yml tell what the kernel counts?

Forged kernels of every word size and byte order, whose CPUs' numbers have gaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from fakes.module_files import answer, expected
from forge.counting import MACHINES, Counting
from forge.world import Thing

UMA = """
struct uma_cache_bucket { void *ucb_bucket; int16_t ucb_cnt; int16_t ucb_entries; uint32_t spare; };
struct uma_cache {
    struct uma_cache_bucket uc_freebucket, uc_allocbucket, uc_crossbucket;
    uint64_t uc_allocs, uc_frees;
} __aligned(64);
struct uma_zone_domain { void *uzd_first; long uzd_nitems, uzd_imax; } __aligned(64);
struct uma_domain {
    long ud_lock[4]; void *ud_part_slab; uint32_t ud_pages, ud_free_items, ud_free_slabs;
} __aligned(64);
LIST_HEAD(zones, uma_zone);
LIST_HEAD(kegs, uma_keg);
struct uma_keg {
    void *uk_hash; struct zones uk_zones; uint32_t uk_reserve, uk_size, uk_flags; char *uk_name;
    LIST_ENTRY(uma_keg) uk_link; struct uma_domain uk_domain[SOME];
};
struct uma_zone {
    uint32_t uz_flags, uz_size; uint64_t uz_max_items; uint32_t uz_sleepers;
    counter_u64_t uz_xdomain; struct uma_keg *uz_keg; uint64_t uz_sleeps;
    LIST_ENTRY(uma_zone) uz_link; counter_u64_t uz_allocs, uz_frees, uz_fails; char *uz_name;
    int uz_namecnt; struct uma_cache uz_cpu[SOME];
};
"""

SECONDARY = 0x200
"""UMA_ZONE_SECONDARY (vm/uma.h)."""


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine; its CPUs are 0, 2 and 5."""
    return Counting(request.param)


def longer(kernel: Counting, kind: str, array: str, lengths: Mapping[str, int]) -> list[Thing]:
    """A struct whose last member goes on behind it: elements of ``lengths``, one kind after the
    other; with these elements."""
    sizes = {tag: kernel.c.size(f"struct {tag}") for tag in lengths}
    start = kernel.c.offset(f"struct {kind}", array)
    room = sum(sizes[tag] * length for tag, length in lengths.items())
    first = kernel.world.bytes(bytes(start + room))
    found = [Thing(kernel.world, f"struct {kind}", first)]
    at = first + start
    for tag, length in lengths.items():
        found += [Thing(kernel.world, f"struct {tag}", at + sizes[tag] * n) for n in range(length)]
        at += sizes[tag] * length
    return found


def keg(kernel: Counting, name: str, domains: Sequence[dict[str, int]], reserve: int = 0) -> Thing:
    """A keg in two memory domains."""
    made, *parts = longer(kernel, "uma_keg", "uk_domain", {"uma_domain": 2})
    for one, members in zip(parts, domains, strict=True):
        one.set(**members)
    return made.set(uk_name=kernel.text(name), uk_reserve=reserve)


def zone(kernel: Counting, name: str, *, scale: int, keg: Thing | None, **members: object) -> Thing:
    """A zone whose numbers are ``scale`` times as large; there is no CPU 1, 3 or 4."""
    lengths = {"uma_cache": 6, "uma_zone_domain": 2}
    made, *parts = longer(kernel, "uma_zone", "uz_cpu", lengths)
    for cpu, cache in enumerate(parts[:6]):
        there = cpu in kernel.cpus
        cache.put("uc_allocs", scale * (1000 + cpu) if there else 77)
        cache.put("uc_frees", scale * 100 if there else 78)
        for at, bucket in enumerate(("free", "alloc", "cross"), 1):
            cache.put(f"uc_{bucket}bucket.ucb_cnt", at + cpu if there else 79)
    for domain, items in zip(parts[6:], (30 * scale, 4 * scale), strict=True):
        domain.set(uzd_nitems=items)
    made.set(uz_name=kernel.text(name), uz_keg=keg, uz_allocs=kernel.counter([5, 6, 7]))
    made.set(uz_frees=kernel.counter([1, 1, 2]), uz_fails=kernel.counter([scale, 0, 1]))
    made.set(uz_xdomain=kernel.counter([0, scale, 2]), uz_sleeps=9 * scale)
    return made.set(**members)


@pytest.mark.parametrize("flexible", ["0", "1"])
def test_zones(kernel: Counting, flexible: str) -> None:
    """As vmstat -z: CPUs' and zones' counts together, free items of a keg once; equal names.

    An array that goes on behind its struct has no element, or before FreeBSD 15 one.
    """
    kernel.declare(UMA.replace("SOME", flexible))
    kernel.world.define("pagesizes", "u_long", [4096, 1 << 21])
    kernel.declare("u_long pagesizes[2]; u_int mp_maxid;")
    kernel.variable("int vm_ndomains", 2)
    mbufs = keg(
        kernel,
        "mbuf",
        [
            {"ud_pages": 10, "ud_free_items": 3, "ud_free_slabs": 1},
            {"ud_pages": 2, "ud_free_items": 5, "ud_free_slabs": 4},
        ],
        reserve=6,
    )
    first = zone(kernel, "mbuf", scale=1, keg=mbufs, uz_size=256, uz_max_items=5000)
    second = zone(kernel, "mbuf_packet", scale=2, keg=mbufs, uz_size=256, uz_flags=SECONDARY)
    alone = zone(kernel, "mbuf", scale=3, keg=None, uz_size=8, uz_sleepers=2, uz_namecnt=1)
    kernel.link_list("LIST", kernel.variable("struct kegs uma_kegs"), [mbufs], "uk_link")
    heads = Thing(kernel.world, "struct zones", mbufs.at("uk_zones"))
    kernel.link_list("LIST", heads, [first, second], "uz_link")
    kernel.link_list("LIST", kernel.variable("struct zones uma_cachezones"), [alone], "uz_link")
    found = answer(kernel, "freebsd-uma")
    assert found.missing == {}
    assert found.series == expected(
        """
        uma_requests_total{number="0",zone="mbuf"} 3025
        uma_requests_total{number="0",zone="mbuf_packet"} 6032
        uma_requests_total{number="1",zone="mbuf"} 9039
        uma_frees_total{number="0",zone="mbuf"} 304
        uma_frees_total{number="0",zone="mbuf_packet"} 604
        uma_frees_total{number="1",zone="mbuf"} 904
        uma_failures_total{number="0",zone="mbuf"} 2
        uma_failures_total{number="0",zone="mbuf_packet"} 3
        uma_failures_total{number="1",zone="mbuf"} 4
        uma_sleeps_total{number="0",zone="mbuf"} 9
        uma_sleeps_total{number="0",zone="mbuf_packet"} 18
        uma_sleeps_total{number="1",zone="mbuf"} 27
        uma_cross_domain_frees_total{number="0",zone="mbuf"} 3
        uma_cross_domain_frees_total{number="0",zone="mbuf_packet"} 4
        uma_cross_domain_frees_total{number="1",zone="mbuf"} 5
        uma_used_items{number="0",zone="mbuf"} 2721
        uma_used_items{number="0",zone="mbuf_packet"} 5428
        uma_used_items{number="1",zone="mbuf"} 8135
        uma_used_bytes{number="0",zone="mbuf"} 696576
        uma_used_bytes{number="0",zone="mbuf_packet"} 1389568
        uma_used_bytes{number="1",zone="mbuf"} 65080
        uma_item_size_bytes{number="0",zone="mbuf"} 256
        uma_item_size_bytes{number="0",zone="mbuf_packet"} 256
        uma_item_size_bytes{number="1",zone="mbuf"} 8
        uma_limit_items{number="0",zone="mbuf"} 5000
        uma_sleeping_threads{number="0",zone="mbuf"} 0
        uma_sleeping_threads{number="0",zone="mbuf_packet"} 0
        uma_sleeping_threads{number="1",zone="mbuf"} 2
        uma_cpu_cached_items{number="0",zone="mbuf"} 39
        uma_cpu_cached_items{number="0",zone="mbuf_packet"} 39
        uma_cpu_cached_items{number="1",zone="mbuf"} 39
        uma_domain_cached_items{domain="0",number="0",zone="mbuf"} 30
        uma_domain_cached_items{domain="1",number="0",zone="mbuf"} 4
        uma_domain_cached_items{domain="0",number="0",zone="mbuf_packet"} 60
        uma_domain_cached_items{domain="1",number="0",zone="mbuf_packet"} 8
        uma_domain_cached_items{domain="0",number="1",zone="mbuf"} 90
        uma_domain_cached_items{domain="1",number="1",zone="mbuf"} 12
        uma_free_items{number="0",zone="mbuf"} 81
        uma_free_items{number="0",zone="mbuf_packet"} 107
        uma_free_items{number="1",zone="mbuf"} 141
        uma_keg_bytes{domain="0",keg="mbuf"} 40960
        uma_keg_bytes{domain="1",keg="mbuf"} 8192
        uma_keg_free_items{domain="0",keg="mbuf"} 3
        uma_keg_free_items{domain="1",keg="mbuf"} 5
        uma_keg_free_slabs{domain="0",keg="mbuf"} 1
        uma_keg_free_slabs{domain="1",keg="mbuf"} 4
        uma_keg_reserved_items{keg="mbuf"} 6
        """
    )


STATS = """
struct malloc_type_stats {
    uint64_t mts_memalloced, mts_memfreed, mts_numallocs, mts_numfrees, mts_size, mts_reserved[3];
};
struct malloc_type_internal { uint32_t mti_probes[2]; u_char mti_zone; STATS *mti_stats; };
""".replace("STATS", "struct malloc_type_stats")
SINCE_13 = (
    STATS
    + """
struct malloc_type {
    struct malloc_type *ks_next; u_long ks_version; char *ks_shortdesc;
    struct malloc_type_internal ks_mti;
};
"""
)
BEFORE_13 = (
    STATS
    + """
struct malloc_type {
    struct malloc_type *ks_next; u_long ks_magic; char *ks_shortdesc; void *ks_handle;
};
"""
)
TYPES = """
    malloc_requests_total{type="devbuf"} 60
    malloc_requests_total{type="solaris"} 33
    malloc_frees_total{type="devbuf"} 6
    malloc_frees_total{type="solaris"} 30
    malloc_allocated_bytes_total{type="devbuf"} 6000
    malloc_allocated_bytes_total{type="solaris"} 9663676419
    malloc_freed_bytes_total{type="devbuf"} 600
    malloc_freed_bytes_total{type="solaris"} 3
    malloc_used_allocations{type="devbuf"} 54
    malloc_used_allocations{type="solaris"} 3
    malloc_used_bytes{type="devbuf"} 5400
    malloc_used_bytes{type="solaris"} 9663676416
"""


def stats(kernel: Counting, rows: Sequence[tuple[int, int, int, int]]) -> int:
    """What each CPU counted: bytes allocated and freed, allocations and frees."""
    names = ("mts_memalloced", "mts_memfreed", "mts_numallocs", "mts_numfrees")
    each = [dict(zip(names, row, strict=True)) for row in rows]
    return kernel.allocation("struct malloc_type_stats", each)


def types_of_memory(kernel: Counting, declarations: str) -> list[tuple[Thing, int]]:
    """Two types in their list, each with where its numbers are."""
    kernel.declare(declarations)
    devbuf = [(1000, 100, 10, 1), (2000, 200, 20, 2), (3000, 300, 30, 3)]
    solaris = [(3 * (1 << 30) + one, 1, 11, 10) for one in range(3)]
    made = []
    for name, rows in (("devbuf", devbuf), ("solaris", solaris)):
        one = kernel.new("struct malloc_type").set(ks_shortdesc=kernel.text(name))
        made.append((one, stats(kernel, rows)))
    made[0][0].set(ks_next=made[1][0])
    kernel.variable("struct malloc_type *kmemstatistics", made[0][0])
    return made


def test_types_of_memory(kernel: Counting) -> None:
    """As vmstat -m: what one CPU allocated another one freed."""
    for one, numbers in types_of_memory(kernel, SINCE_13):
        one.put("ks_mti.mti_stats", numbers)
    kernel.variable("u_long uma_kmem_total", 123456)
    kernel.variable("u_long uma_kmem_limit", 1 << 30)
    kernel.variable("u_long vm_kmem_size", (1 << 31) - 1)
    kernel.variable("int kmemcount", 2)
    found = answer(kernel, "freebsd-malloc")
    assert found.missing == {}
    assert found.series == expected(
        f"""
        kmem_used_bytes 123456
        kmem_limit_bytes 1073741824
        kmem_size_bytes 2147483647
        malloc_types 2
        {TYPES}
        """
    )


def test_types_of_memory_before_13(kernel: Counting) -> None:
    """A type's numbers are behind ks_handle; what the kernel does not have is missing alone."""
    for one, numbers in types_of_memory(kernel, BEFORE_13):
        inner = kernel.new("struct malloc_type_internal").set(mti_stats=numbers)
        one.set(ks_handle=inner)
    found = answer(kernel, "freebsd-malloc")
    assert set(found.missing) == {
        "kmem_used_bytes",
        "kmem_limit_bytes",
        "kmem_size_bytes",
        "malloc_types",
    }
    assert found.series == expected(TYPES)


SWAP = """
struct cdev { void *si_spare; char si_name[64]; };
struct vnode { int v_state; union { struct cdev *v_rdev; void *v_fifo; }; };
TAILQ_HEAD(swdevts, swdevt);
struct swdevt {
    int sw_flags, sw_nblks, sw_used; dev_t sw_dev; struct vnode *sw_vp; TAILQ_ENTRY(swdevt) sw_list;
};
"""


def swap_device(kernel: Counting, device: str, **members: int) -> Thing:
    """A swap device, or with an empty name a file."""
    named = kernel.new("struct cdev", si_name=device.encode()) if device else None
    node = kernel.new("struct vnode").set(v_rdev=named)
    number = 0x57 if device else 0xFFFFFFFFFFFFFFFF
    return kernel.new("struct swdevt", sw_dev=number, **members).set(sw_vp=node)


def test_swap_space(kernel: Counting) -> None:
    """As swapinfo(8), in bytes: devices by their names, files together."""
    kernel.declare(SWAP)
    kernel.world.define("pagesizes", "u_long", [8192, 0])
    kernel.declare("u_long pagesizes[2];")
    devices = [
        swap_device(kernel, "ada0p3", sw_nblks=1000, sw_used=10),
        swap_device(kernel, "", sw_nblks=7, sw_used=1),
        swap_device(kernel, "", sw_nblks=8, sw_used=2),
        swap_device(kernel, "gpt/swap1", sw_nblks=300, sw_used=300, sw_flags=5),
    ]
    head = kernel.variable("struct swdevts swtailq")
    kernel.link_list("TAILQ", head, devices, "sw_list")
    kernel.variable("int nswapdev", 4)
    kernel.variable("u_long swap_total", 1315)
    kernel.variable("u_long swap_reserved", 2000)
    kernel.variable("u_long swap_maxpages", 100000)
    kernel.variable("int swap_pager_avail", 1002)
    kernel.variable("bool swap_pager_full", 0)
    kernel.variable("bool swap_pager_almost_full", 1)
    kernel.variable("int nsw_wcount_async", 3)
    kernel.variable("int nsw_wcount_async_max", 4)
    kernel.variable("counter_u64_t swap_free_deferred", kernel.counter([1, 2, 3]))
    kernel.variable("counter_u64_t swap_free_completed", kernel.counter([1, 1, 1]))
    found = answer(kernel, "freebsd-swap")
    assert found.missing == {}
    assert found.series == expected(
        """
        swap_pager_devices 4
        swap_pager_size_bytes 10772480
        swap_pager_free_bytes 8208384
        swap_pager_reserved_bytes 16384000
        swap_pager_max_bytes 819200000
        swap_pager_full 0
        swap_pager_almost_full 1
        swap_pager_async_writes_free 3
        swap_pager_async_writes_max 4
        swap_pager_deferred_frees_total 6
        swap_pager_completed_frees_total 3
        swap_device_size_bytes{device="ada0p3"} 8192000
        swap_device_size_bytes{device="gpt/swap1"} 2457600
        swap_device_size_bytes{device="[file]"} 122880
        swap_device_used_bytes{device="ada0p3"} 81920
        swap_device_used_bytes{device="gpt/swap1"} 2457600
        swap_device_used_bytes{device="[file]"} 24576
        swap_device_closing{device="ada0p3"} 0
        swap_device_closing{device="gpt/swap1"} 1
        swap_device_closing{device="[file]"} 0
        """
    )
