"""Does freebsd-vfs.yml tell what the kernel counts of vnodes, names, buffers and mounts?

Forged kernels of every word size and byte order.
"""

from __future__ import annotations

import pytest
from fakes.module_files import answer, expected
from forge.counting import MACHINES, Counting

VARIABLES = """
    u_long numvnodes vfs_vnodes
    u_long desiredvnodes vfs_vnodes_limit
    long wantfreevnodes vfs_vnodes_free_target
    counter_u64_t vnodes_created vfs_created_vnodes_total
    u_long recycles_count vfs_vnodes_recycled_total
    u_long recycles_free_count vfs_vnodes_free_recycled_total
    counter_u64_t direct_recycles_free_count vfs_vnodes_directly_recycled_total
    u_long deferred_inact vfs_vnode_deferred_inactivations_total
    counter_u64_t vnode_skipped_requeues vfs_vnode_skipped_requeues_total
    u_long vn_alloc_sleeps vfs_vnode_allocation_sleeps_total
    u_long vnlruproc_kicks vfs_vnlru_wakeups_total
    int vnlru_nowhere vfs_vnlru_failed_runs_total
    u_long uma_reclaim_calls vfs_vnlru_memory_reclaims_total
    u_long numcache vfs_namecache_entries
    u_int ncsize vfs_namecache_entries_limit
    u_long numneg vfs_namecache_negative_entries
    counter_u64_t numcachehv vfs_namecache_held_vnodes
    counter_u64_t numposhits vfs_namecache_lookups_total{result="hit"}
    counter_u64_t numneghits vfs_namecache_lookups_total{result="negative_hit"}
    counter_u64_t numposzaps vfs_namecache_lookups_total{result="unwanted_hit"}
    counter_u64_t numnegzaps vfs_namecache_lookups_total{result="unwanted_negative_hit"}
    counter_u64_t nummiss vfs_namecache_lookups_total{result="miss"}
    counter_u64_t nummisszap vfs_namecache_lookups_total{result="unwanted_miss"}
    counter_u64_t numdrops vfs_namecache_dropped_entries_total
    counter_u64_t neg_created vfs_namecache_created_negative_entries_total
    counter_u64_t neg_evicted vfs_namecache_evicted_negative_entries_total
    counter_u64_t neg_evict_skipped_empty vfs_namecache_failed_evictions_total{reason="empty"}
    counter_u64_t neg_evict_skipped_missed vfs_namecache_failed_evictions_total{reason="missed"}
    counter_u64_t neg_evict_skipped_contended vfs_namecache_failed_evictions_total{reason="busy"}
    counter_u64_t symlinktoobig vfs_namecache_long_symlinks_total
    counter_u64_t numfullpathcalls vfs_path_lookups_total
    counter_u64_t numfullpathfound vfs_path_lookups_found_total
    counter_u64_t numfullpathfail2 vfs_path_lookup_failures_total{reason="no_parent"}
    counter_u64_t numfullpathfail4 vfs_path_lookup_failures_total{reason="path_too_long"}
    int nbuf vfs_buffers
    int numfreebuffers vfs_buffers_free
    long maxbufspace vfs_buffer_maximum_bytes
    long hibufspace vfs_buffer_high_bytes
    long lobufspace vfs_buffer_low_bytes
    counter_u64_t bufkvaspace vfs_buffer_address_bytes
    long bufmallocspace vfs_buffer_malloc_bytes
    long runningbufspace vfs_running_io_bytes
    long hirunningspace vfs_running_io_high_bytes
    long lorunningspace vfs_running_io_low_bytes
    int hidirtybuffers vfs_dirty_buffers_high
    int lodirtybuffers vfs_dirty_buffers_low
    int dirtybufthresh vfs_dirty_buffers_threshold
    counter_u64_t getnewbufcalls vfs_buffer_requests_total
    counter_u64_t getnewbufrestarts vfs_buffer_request_restarts_total
    counter_u64_t numbufallocfails vfs_buffer_allocation_failures_total
    counter_u64_t mappingrestarts vfs_buffer_mapping_restarts_total
    counter_u64_t buffreekvacnt vfs_buffer_address_frees_total
    counter_u64_t bufdefragcnt vfs_buffer_defragmentations_total
    counter_u64_t notbufdflushes vfs_buffer_helper_flushes_total
    int dirtybufferflushes vfs_dirty_buffer_flushes_total
    int altbufferflushes vfs_dirty_buffer_fsyncs_total
    int recursiveflushes vfs_buffer_skipped_flushes_total{reason="recursive"}
    int bdwriteskip vfs_buffer_skipped_flushes_total{reason="snapshot"}
    long barrierwrites vfs_barrier_writes_total
    int stat_rush_requests vfs_syncer_rush_requests_total
    int openfiles vfs_open_files
    int maxfiles vfs_open_files_limit
"""
"""Type and name of a variable, and its series (kern/vfs_subr.c, vfs_cache.c, vfs_bio.c ...)."""

BUFFERS = """
struct bufdomain {
    void *bd_subq; long bd_maxbufspace; int bd_lim, bd_wanted; bool bd_shutdown;
    int bd_numdirtybuffers __aligned(64); long bd_bufspace __aligned(64);
} __aligned(64);
"""

MOUNTS = """
struct statfs {
    uint32_t f_version, f_type; uint64_t f_flags, f_bsize, f_iosize, f_blocks, f_bfree;
    int64_t f_bavail; uint64_t f_files; int64_t f_ffree;
    uint64_t f_syncwrites, f_asyncwrites, f_syncreads, f_asyncreads;
    char f_fstypename[16], f_mntfromname[64], f_mntonname[64];
};
TAILQ_HEAD(mntlist, mount);
struct mount {
    int mnt_vfs_ops, mnt_kern_flag; uint64_t mnt_flag; TAILQ_ENTRY(mount) mnt_list;
    int mnt_nvnodelistsize; struct statfs mnt_stat; int mnt_lazyvnodelistsize;
};
"""
ROOT = 'device="/dev/ufs/root",fstype="ufs",mountpoint="/"'
OTHER = 'device="srv:/home "x"",fstype="nfs",mountpoint="/home/\\xff"'


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine; its CPUs are 0, 2 and 5."""
    return Counting(request.param)


def variables(kernel: Counting, text: str) -> dict[str, int]:
    """Make variables, each with a number of its own; the series that tell them."""
    series = {}
    for at, line in enumerate(text.strip().splitlines(), 1):
        type_, name, told = line.split()
        counted = [1000 * at, 1, (1 << 64) - 3] if type_ == "counter_u64_t" else []
        value = sum(counted) % (1 << 64) if counted else 1000 * at + 7
        kernel.variable(f"{type_} {name}", kernel.counter(counted) if counted else value)
        series[told] = value
    return series


def mount(
    kernel: Counting, names: tuple[bytes, bytes, bytes], scale: int, **members: int
) -> object:
    """A mounted file system whose numbers are ``scale`` times as large."""
    kind, device, place = names
    made = kernel.new("struct mount", mnt_nvnodelistsize=20 * scale, **members)
    numbers = {
        "f_bsize": 4096,
        "f_blocks": (1 << 33) * scale,
        "f_bfree": 100 * scale,
        "f_bavail": -5 * scale,
        "f_files": 1000 * scale,
        "f_ffree": 900 * scale,
        "f_syncwrites": scale,
        "f_asyncwrites": 2 * scale,
        "f_syncreads": 3 * scale,
        "f_asyncreads": 4 * scale,
    }
    for name, value in numbers.items():
        made.put(f"mnt_stat.{name}", value)
    made.put("mnt_stat.f_fstypename", kind).put("mnt_stat.f_mntfromname", device)
    return made.put("mnt_stat.f_mntonname", place).put("mnt_lazyvnodelistsize", 6 * scale)


def mounted(labels: str, scale: int, *, read_only: int) -> dict[str, int]:
    """The series of such a file system."""
    values = {
        "size_bytes": (1 << 45) * scale,
        "free_bytes": 409600 * scale,
        "available_bytes": -20480 * scale,
        "files": 1000 * scale,
        "files_free": 900 * scale,
        "read_only": read_only,
        "vnodes": 20 * scale,
        "lazy_vnodes": 6 * scale,
    }
    plain = {f"vfs_mount_{what}{{{labels}}}": value for what, value in values.items()}
    device, rest = labels.split(",", 1)
    fstype, place = rest.split(",", 1)
    kinds = {
        ("writes", "sync"): 1,
        ("writes", "async"): 2,
        ("reads", "sync"): 3,
        ("reads", "async"): 4,
    }
    return plain | {
        f'vfs_mount_{what}_total{{{device},{fstype},kind="{kind}",{place}}}': times * scale
        for (what, kind), times in kinds.items()
    }


def test_vfs(kernel: Counting) -> None:
    """As the sysctls of vfs and df tell: variables, buffer domains, and mounts."""
    told = variables(kernel, VARIABLES)
    kernel.variable("long freevnodes", 500)
    for cpu, thing in kernel.pcpu.items():
        thing.put("pc_vfs_freevnodes", {0: -120, 2: -100, 5: 2}[cpu])
    kernel.declare("struct pcpu *cpuid_to_pcpu[9];")
    kernel.declare(BUFFERS)
    rows = [
        {"bd_bufspace": 5 << 20, "bd_numdirtybuffers": 3},
        {"bd_bufspace": 7},
        {"bd_bufspace": 8},
    ]
    kernel.variable("struct bufdomain bdomain[8]", rows)
    kernel.variable("int buf_domains", 2)
    kernel.variable("int syncer_worklist_len", 12)
    kernel.variable("int sync_vnode_count", 5)
    kernel.declare(MOUNTS)
    head = kernel.variable("struct mntlist mountlist")
    first = mount(kernel, (b"ufs", b"/dev/ufs/root", b"/"), 1)
    second = mount(kernel, (b"nfs", b'srv:/home "x"', b"/home/\xff"), 3, mnt_flag=0x1001)
    kernel.link_list("TAILQ", head, [first, second], "mnt_list")
    found = answer(kernel, "freebsd-vfs")
    assert found.missing == {}
    told |= expected(
        """
        vfs_vnodes_free 282
        vfs_buffer_bytes{domain="0"} 5242880
        vfs_buffer_bytes{domain="1"} 7
        vfs_dirty_buffers{domain="0"} 3
        vfs_dirty_buffers{domain="1"} 0
        vfs_syncer_work_items 7
        """
    )
    assert found.series == told | mounted(ROOT, 1, read_only=0) | mounted(OTHER, 3, read_only=1)


def test_older_kernels() -> None:
    """The CPUs' free vnodes are in a DPCPU variable, recycled ones in a counter."""
    kernel = Counting("amd64")
    kernel.variable("long freevnodes", 500)
    kernel.declare("struct vdbatch { u_int index; long freevnodes; void *tab[8]; };")
    batches = {cpu: {"index": 1, "freevnodes": -10 * cpu} for cpu in kernel.cpus}
    kernel.percpu("struct vdbatch vd", batches)
    kernel.variable("counter_u64_t recycles_count", kernel.counter([1, 2, 3]))
    found = answer(kernel, "freebsd-vfs").series
    assert found == {"vfs_vnodes_free": 430, "vfs_vnodes_recycled_total": 6}
