"""What did a dead Linux keep compressed in memory instead of writing it to swap?  zswap's pools.

1. /proc/meminfo tells it since 5.19 (f6498b776d28), when zswpin came into vmstat, too.
2. The bytes that it takes are zswap_pool_total_size until 6.8; since then those of each pool on the
   list zswap_pools: of zsmalloc pages_allocated, which 6.18 has left alone of several kinds.

Source: mm/zswap.c, mm/zsmalloc.c, mm/zpool.c.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.objects.linux import lists, variables
from kvm_exporter.kvm.objects.structs import read_numbers
from kvm_exporter.kvm.target import Target

POOL, ZSMALLOC = "struct zswap_pool", "struct zs_pool"
KIND = "zsmalloc"
TOTAL = "zswap_pool_total_size"


def is_told(values: Mapping[str, int]) -> bool:
    """Whether this kernel's meminfo has Zswap and Zswapped; ``values`` are vmstat's."""
    return "zswpin" in values


def pool_bytes(target: Target, page_size: int) -> int:
    """Zswap: the bytes that it takes.  TypeMissing for pools that are no zsmalloc's; KvmError."""
    if variables.has(target, TOTAL):
        return target.integer(target.address(TOTAL), 8)
    pools = lists.ring(target, target.address("zswap_pools"), POOL, "list")
    return sum(_pages(target, pool) for pool in pools) * page_size


def stored_pages(target: Target) -> int | None:
    """Zswapped, in pages; None where it is not known how wide the number is.

    It is a long since 6.12, an int before: the same where the least byte comes first.
    """
    if target.abi.order == ">" and target.abi.pointer_size != variables.INT:
        return None
    return variables.unsigned(target, "zswap_stored_pages")


def _pages(target: Target, pool: int) -> int:
    if target.has(POOL, "zs_pool"):
        (allocator,) = read_numbers(target, POOL, ("zs_pool",), pool)
    else:
        (pool,) = read_numbers(target, POOL, ("zpool",), pool)
        driver, allocator = read_numbers(target, "struct zpool", ("driver", "pool"), pool)
        (kind,) = read_numbers(target, "struct zpool_driver", ("type",), driver)
        if target.string(kind, 32) != KIND:
            raise TypeMissing("zswap: what its pool takes is known of zsmalloc only")
    (pages,) = read_numbers(target, ZSMALLOC, ("pages_allocated.counter",), allocator)
    return int(pages)
