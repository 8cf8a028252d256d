"""Modules of symbols on a kernel that tells functions only (no CONFIG_KALLSYMS_ALL).

Debian's arm64 of 6.1 has BTF, but no variables in its kallsyms: what modules may use is found, the
rest is missing, and the reason says so.  With its vmlinux everything is there.
"""

from __future__ import annotations

import re

import pytest
from system.guests.counted import LINUX, count

pytestmark = [
    pytest.mark.system,
    pytest.mark.parametrize("guest", ["arm64"], indirect=True),
]

# The variables that modules ask for, and that nobody tells; a few are in no such kernel at all.
UNTOLD = {
    "vm": {"hugetlb_max_hstate", "ksm_pages_shared", "ksm_pages_sharing", "ksm_pages_unshared",
           "ksm_rmap_items", "nr_memmap_boot_pages", "nr_memmap_pages", "nr_vmalloc_pages",
           "total_swap_pages", "vm_committed_as", "zswap_pool_limit_hit",
           "zswap_reject_alloc_fail", "zswap_reject_compress_poor", "zswap_reject_reclaim_fail",
           "zswap_stored_pages", "zswap_written_back_pages"},
    "net": set(),
    "slab": {"slab_caches"},
    "scheduler": {"calc_load_tasks", "hrtimer_bases", "nr_threads", "psi_system", "runqueues",
                  "tick_cpu_sched", "total_forks"},
    "sockets": {"proto_list", "raw_prot", "rawv6_prot", "udplitev6_prot", "udpv6_prot",
                "unix_nr_socks", "unix_tot_inflight"},
}  # fmt: skip
WORDS = re.compile(r"has no variable(?:, and no constant,)? (\w+): (.*?CONFIG_KALLSYMS_ALL)")


def series(found):
    """Every series with its labels."""
    return {
        (name, *sorted(labels.items())): value
        for name, rows in found.metrics.items()
        for labels, value in rows
    }


@pytest.mark.parametrize("module", LINUX)
def test_what_is_missing_is_said(guest, module):
    """Just these variables, with that reason; all else is what the kernel itself lacks."""
    core = guest.cores[guest.recipe.forms[0]]
    alone, helped = count(core, None, module), count(core, guest.debug, module)
    untold = [WORDS.findall(reason) for _, reason in alone.missing]
    assert {name for found in untold for name, _ in found} == UNTOLD[module]
    others = {name for (name, _), found in zip(alone.missing, untold, strict=True) if not found}
    assert others <= {name for name, _ in helped.missing}


@pytest.mark.parametrize("module", LINUX)
def test_what_is_there_is_right(guest, module):
    """What is found without the vmlinux has the values that are found with it."""
    core = guest.cores[guest.recipe.forms[0]]
    alone, helped = (series(count(core, kernel, module)) for kernel in (None, guest.debug))
    assert alone.items() <= helped.items()
    assert bool(alone) == (module != "slab")
