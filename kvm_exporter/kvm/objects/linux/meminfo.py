"""What would /proc/meminfo say of a dead Linux?  Its fields, out of memory, in bytes.

1. Most are numbers of pages that vmstat has, too; others are variables, or worked out.  A field
   that this kernel has not, because of its age or its configuration, is absent.
2. Some are told as zeros for old programs' sake since the kernel does not count them any more.

Source: meminfo_proc_show() in fs/proc/meminfo.c, and what it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial

from kvm_exporter.kvm.objects.linux import (
    counters,
    hugepages,
    limits,
    lists,
    swapareas,
    variables,
    zswap,
)
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.linux.vmcounters import in_pages
from kvm_exporter.kvm.objects.linux.zones import NR_FREE_PAGES, Zones, pages
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.target import Target

COUNTED: Mapping[str, tuple[str, ...]] = {
    "MemFree": ("nr_free_pages",),
    "Active": ("nr_active_anon", "nr_active_file"),
    "Inactive": ("nr_inactive_anon", "nr_inactive_file"),
    "Active(anon)": ("nr_active_anon",),
    "Inactive(anon)": ("nr_inactive_anon",),
    "Active(file)": ("nr_active_file",),
    "Inactive(file)": ("nr_inactive_file",),
    "Unevictable": ("nr_unevictable",),
    "Mlocked": ("nr_mlock",),
    "Dirty": ("nr_dirty",),
    "Writeback": ("nr_writeback",),
    "AnonPages": ("nr_anon_pages",),
    "Mapped": ("nr_mapped",),
    "Shmem": ("nr_shmem",),
    "KReclaimable": ("nr_slab_reclaimable", "nr_kernel_misc_reclaimable"),
    "Slab": ("nr_slab_reclaimable", "nr_slab_unreclaimable"),
    "SReclaimable": ("nr_slab_reclaimable",),
    "SUnreclaim": ("nr_slab_unreclaimable",),
    "PageTables": ("nr_page_table_pages",),
    "SecPageTables": ("nr_sec_page_table_pages",),
    "Bounce": ("nr_bounce",),
    "WritebackTmp": ("nr_writeback_temp",),
    "NFS_Unstable": ("nr_unstable",),
    "Unaccepted": ("nr_unaccepted",),
    "Balloon": ("nr_balloon_pages",),
    "VmallocUsed": ("nr_vmalloc",),
    "GPUActive": ("nr_gpu_active",),
    "GPUReclaim": ("nr_gpu_reclaim",),
}
"""Field → names in vmstat, which are added up."""

KIBIBYTES = {"KernelStack": "nr_kernel_stack", "ShadowCallStack": "nr_shadow_call_stack"}
"""Field → name in vmstat of what is counted in KiB."""

TRANSPARENT = {
    "AnonHugePages": "nr_anon_transparent_hugepages",
    "ShmemHugePages": "nr_shmem_hugepages",
    "ShmemPmdMapped": "nr_shmem_pmdmapped",
    "FileHugePages": "nr_file_hugepages",
    "FilePmdMapped": "nr_file_pmdmapped",
}
"""Field → name in vmstat; only of kernels with CONFIG_TRANSPARENT_HUGEPAGE."""

LONGS = {
    "VmallocUsed": "nr_vmalloc_pages",  # since 5.3 (97105f0ab7b8), until vmstat has it
    "HardwareCorrupted": "num_poisoned_pages",
}
"""Field → a long or atomic_long_t, in pages; those that are not there are no fields."""

CMA = "cma_areas"
"""What only a kernel with CONFIG_CMA has."""

ZEROS = ("NFS_Unstable", "Bounce", "WritebackTmp", "VmallocChunk")
"""Since 5.8 (8d92890bd6b8), 6.16, 6.17 and 4.4 (a5ad88ce8c7f)."""


class Meminfo:
    """The fields of one kernel.

    ``values`` are those of VmCounters.read(), nothing where it failed; ``huge`` is how many pages a
    transparent huge page has.
    """

    def __init__(
        self,
        target: Target,
        cpus: PerCpu,
        zones: Zones,
        values: Mapping[str, int],
        page_size: int,
        huge: int,
    ) -> None:
        self._target = target
        self._cpus = cpus
        self._zones = zones
        self._values = values
        self._page_size = page_size
        self._transparent = huge

    def fields(self) -> dict[str, int]:
        """Bytes by name; a field that cannot be had is absent, and counted."""
        pages = self._counted() | self._worked_out()
        whole = "nr_free_pages" in self._values and "nr_file_pages" in self._values
        found = dict.fromkeys(ZEROS, 0) if whole else {}
        found |= {name: count * self._page_size for name, count in pages.items()}
        kib = {name: self._values.get(counter) for name, counter in KIBIBYTES.items()}
        kib["Zswap"] = variables.known(self._target, "meminfo Zswap", self._zswap)
        return found | {name: count * 1024 for name, count in kib.items() if count is not None}

    def huge(self) -> Mapping[str, int]:
        """The HugePages_*, which are numbers of huge pages."""
        return hugepages.numbers(self._pools or ())

    def _counted(self) -> dict[str, int]:
        """Fields that vmstat has."""
        values = self._values
        found = {
            field: sum(values.get(name, 0) for name in names)
            for field, names in COUNTED.items()
            if names[0] in values
        }
        if variables.has(self._target, "transparent_hugepage_flags"):
            huge = {
                field: in_pages(values, name, self._transparent)
                for field, name in TRANSPARENT.items()
            }
            found |= {field: count for field, count in huge.items() if count is not None}
        if variables.has(self._target, CMA):
            found["CmaFree"] = values.get("nr_free_cma", 0)
        return found

    def _worked_out(self) -> dict[str, int]:
        """The other fields, in pages; what fails is counted."""
        known = {
            field: variables.known(self._target, f"meminfo {field}", partial(read, self))
            for field, read in WORKED_OUT.items()
        }
        known |= {field: self._long(field, name) for field, name in LONGS.items()}
        return {field: count for field, count in known.items() if count is not None}

    def _long(self, field: str, name: str) -> int | None:
        target = self._target
        if not variables.has(target, name):
            return None
        return variables.known(target, f"meminfo {field}", lambda: variables.long(target, name))

    def _zswap(self) -> int | None:
        """KiB that zswap takes."""
        if not zswap.is_told(self._values):
            return None
        return zswap.pool_bytes(self._target, self._page_size) // 1024

    @cached_property
    def _pools(self) -> Sequence[Values] | None:
        """None, and counted, where they cannot be had."""
        return variables.known(self._target, "hstates", partial(hugepages.pools, self._target))

    @cached_property
    def _swap(self) -> swapareas.Swap | None:
        if not swapareas.is_built_in(self._target):
            return swapareas.Swap(0, 0)
        return variables.known(self._target, "swap_info", partial(swapareas.totals, self._target))

    @cached_property
    def _block_devices(self) -> int:
        """Pages cached of block devices themselves (nr_blockdev_pages() in block/bdev.c)."""
        target = self._target
        root = variables.unsigned_long(target, "blockdev_superblock")
        inodes = root + target.offset("struct super_block", "s_inodes")
        reader = Struct(target, "struct inode", ("i_mapping",))
        mapping = Struct(target, "struct address_space", ("nrpages",))
        total = 0
        for inode in lists.ring(target, inodes, "struct inode", "i_sb_list"):
            row = reader.at(inode)
            cached = mapping.at(row[0]) if row else None
            total += cached[0] if cached else 0
        return total

    @cached_property
    def _swap_cache(self) -> int:
        found = self._values.get("nr_swapcached")
        return swapareas.cached(self._target) if found is None else found

    def total(self) -> int:
        """MemTotal: what the kernel has not kept to itself."""
        return variables.unsigned_long(self._target, "_totalram_pages", "totalram_pages")

    def available(self) -> int | None:
        """MemAvailable."""
        if not self._values:
            return None
        return limits.available(self._target, self._values, self._zones)

    def cached(self) -> int | None:
        """Cached: pages of files that are no block devices."""
        files = self._values.get("nr_file_pages")
        return None if files is None else max(files - self._swap_cache - self._block_devices, 0)

    def commit_limit(self) -> int | None:
        """CommitLimit (vm_commit_limit() in mm/util.c)."""
        target = self._target
        if self._pools is None or self._swap is None:
            return None
        limit = variables.unsigned_long(target, "sysctl_overcommit_kbytes") * 1024
        if limit:
            limit //= self._page_size
        else:
            plain = self.total() - hugepages.size(self._pools)
            limit = plain * variables.integer(target, "sysctl_overcommit_ratio") // 100
        return limit + self._swap.total

    def committed(self) -> int:
        """Committed_AS; exactly, which /proc does since 5.9 (4e2ee51e8251)."""
        address = self._target.address("vm_committed_as")
        return counters.exact(self._target, self._cpus, address)

    def contiguous(self) -> int | None:
        """CmaTotal."""
        if not variables.has(self._target, CMA):
            return None
        return variables.unsigned_long(self._target, "totalcma_pages")

    def per_cpu(self) -> int | None:
        """Percpu (pcpu_nr_pages() in mm/percpu.c)."""
        target = self._target
        if not variables.has(target, "pcpu_nr_populated"):
            return None
        units = variables.integer(target, "pcpu_nr_units")
        return variables.unsigned_long(target, "pcpu_nr_populated") * units

    def high(self) -> int | None:
        """HighTotal: memory that the kernel does not map."""
        names = ("_totalhigh_pages", "totalhigh_pages")
        if not any(variables.has(self._target, name) for name in names):
            return None
        return variables.unsigned_long(self._target, *names)

    def high_free(self) -> int | None:
        """HighFree."""
        if self.high() is None:
            return None
        return sum(pages(zone, NR_FREE_PAGES) for zone in self._zones.high)

    def low(self) -> int | None:
        """LowTotal."""
        high = self.high()
        return None if high is None else self.total() - high

    def low_free(self) -> int | None:
        """LowFree."""
        high, free = self.high_free(), self._values.get("nr_free_pages")
        return None if high is None or free is None else free - high

    def zswapped(self) -> int | None:
        """Zswapped."""
        return zswap.stored_pages(self._target) if zswap.is_told(self._values) else None

    def pool_page(self) -> int | None:
        """Hugepagesize."""
        return 1 << self._pools[0]["order"] if self._pools else None

    def pool_pages(self) -> int | None:
        """Hugetlb: all pools."""
        return hugepages.size(self._pools) if self._pools else None

    def swap_total(self) -> int | None:
        """SwapTotal."""
        return self._swap.total if self._swap else None

    def swap_free(self) -> int | None:
        """SwapFree."""
        return self._swap.free if self._swap else None

    def swap_cached(self) -> int:
        """SwapCached."""
        return self._swap_cache

    def buffers(self) -> int:
        """Buffers."""
        return self._block_devices


WORKED_OUT: Mapping[str, Callable[[Meminfo], int | None]] = {
    "MemTotal": Meminfo.total,
    "MemAvailable": Meminfo.available,
    "Buffers": Meminfo.buffers,
    "Cached": Meminfo.cached,
    "SwapCached": Meminfo.swap_cached,
    "HighTotal": Meminfo.high,
    "HighFree": Meminfo.high_free,
    "LowTotal": Meminfo.low,
    "LowFree": Meminfo.low_free,
    "SwapTotal": Meminfo.swap_total,
    "SwapFree": Meminfo.swap_free,
    "Zswapped": Meminfo.zswapped,
    "CommitLimit": Meminfo.commit_limit,
    "Committed_AS": Meminfo.committed,
    "Percpu": Meminfo.per_cpu,
    "CmaTotal": Meminfo.contiguous,
    "Hugepagesize": Meminfo.pool_page,
    "Hugetlb": Meminfo.pool_pages,
}
"""Field → what works it out, in pages; None where this kernel has no such field."""
