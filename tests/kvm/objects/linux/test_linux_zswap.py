"""Is what zswap keeps read of each kind of kernel that tells it?"""

from __future__ import annotations

import pytest
from fakes.world import target
from forge import cdecl
from forge.linux_paths import ring
from forge.world import World

from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.objects.linux import zswap

BEFORE_6_18 = """
struct list_head { struct list_head *next, *prev; };
typedef struct { long counter; } atomic_long_t;
struct zpool_driver { char *type; };
struct zpool { struct zpool_driver *driver; void *pool; };
struct zs_pool { char *name; atomic_long_t pages_allocated; };
struct zswap_pool { struct zpool *zpool; struct list_head list; };
"""
SINCE_6_18 = """
struct list_head { struct list_head *next, *prev; };
typedef struct { long counter; } atomic_long_t;
struct zs_pool { atomic_long_t pages_allocated; };
struct zswap_pool { struct zs_pool *zs_pool; struct list_head list; };
"""
ABIS = [cdecl.AMD64, cdecl.POWERPC]


def pooled(declarations: str, abi: cdecl.Abi, kind: str = "zsmalloc") -> World:
    """A kernel with two pools, of 3 and of 4 pages."""
    world = World(declarations, abi)
    pools = []
    for count in (3, 4):
        allocator = world.new("struct zs_pool")
        allocator.put("pages_allocated.counter", count)
        pool = world.new("struct zswap_pool")
        if "zpool" in declarations:
            driver = world.new("struct zpool_driver", type=world.text(kind))
            pool.set(zpool=world.new("struct zpool", driver=driver, pool=allocator))
        else:
            pool.set(zs_pool=allocator)
        pools.append(pool)
    ring(world.define("zswap_pools", "struct list_head", {}).address, pools, "list")
    return world


def test_only_kernels_with_zswap_in_vmstat_tell_it() -> None:
    """Since 5.19."""
    assert zswap.is_told({"zswpin": 0})
    assert not zswap.is_told({"pswpin": 0})


@pytest.mark.parametrize("abi", ABIS)
def test_an_older_kernel_keeps_the_sum(abi: cdecl.Abi) -> None:
    """In bytes."""
    world = World(SINCE_6_18, abi)
    world.define("zswap_pool_total_size", "int64_t", 123456)
    assert zswap.pool_bytes(target(world), 4096) == 123456


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("declarations", [BEFORE_6_18, SINCE_6_18])
def test_pools_are_added_up(declarations: str, abi: cdecl.Abi) -> None:
    """Pages of each pool's allocator."""
    assert zswap.pool_bytes(target(pooled(declarations, abi)), 4096) == 7 * 4096


def test_a_pool_of_another_kind_is_not_known() -> None:
    """Nothing is made up."""
    with pytest.raises(TypeMissing, match="zsmalloc"):
        zswap.pool_bytes(target(pooled(BEFORE_6_18, cdecl.AMD64, "zbud")), 4096)


def test_how_much_is_stored_is_known_where_the_width_does_not_matter() -> None:
    """An int or a long: the same on little endian, and where they are as wide."""
    found = []
    for abi in (cdecl.AMD64, cdecl.POWERPC, cdecl.POWERPC64):
        world = World(SINCE_6_18, abi)
        world.define("zswap_stored_pages", "long", 99)
        found.append(zswap.stored_pages(target(world)))
    assert found == [99, 99, None]
