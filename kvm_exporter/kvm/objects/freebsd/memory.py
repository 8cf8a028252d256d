"""Where is FreeBSD's memory?  The page queues and counters of vm.stats.vm (sys/vm/vm_meter.c).

v_cache_count and v_tcached are left out: since FreeBSD 12 they are zeros for old programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvm_exporter.kvm.objects.freebsd.answers import Numbers
from kvm_exporter.kvm.objects.model import Memory

QUEUES = {
    "active": "v_active_count",
    "inactive": "v_inactive_count",
    "laundry": "v_laundry_count",
    "wired": "v_wire_count",
    "free": "v_free_count",
}
"""Pages by queue; each page is on one of them."""

FIELDS = {"user_wire": "v_user_wire_count", "nofree": "v_nofree_count"}
"""Pages that other queues count as well: wired by mlock(2), and never given back."""

LEVELS = (
    "free_target",
    "free_min",
    "free_reserved",
    "free_severe",
    "inactive_target",
    "interrupt_free_min",
    "pageout_free_min",
)
"""What the page daemon steers by, in pages."""

COUNTERS = (
    "vm_faults",
    "io_faults",
    "cow_faults",
    "cow_optim",
    "zfod",
    "ozfod",
    "intrans",
    "reactivated",
    "swapin",
    "swapout",
    "swappgsin",
    "swappgsout",
    "vnodein",
    "vnodeout",
    "vnodepgsin",
    "vnodepgsout",
    "pdwakeups",
    "pdpages",
    "pdshortfalls",
    "dfree",
    "pfree",
    "tfree",
    "forks",
    "vforks",
    "rforks",
    "kthreads",
    "forkpages",
    "vforkpages",
    "rforkpages",
    "kthreadpages",
)
"""Events since boot."""


def from_numbers(numbers: Numbers, page_size: int) -> Memory:
    """The queues in bytes, the rest in the kernel's units; a missing one is left out.

    ``numbers`` are a running kernel's answers or a dead one's variables.
    FreeBSD makes no estimate of what is available, so ``available_bytes`` is None.
    """
    return Memory(
        size_bytes=numbers.number("hw.physmem"),
        available_bytes=None,
        queues=_pages(numbers, QUEUES, page_size),
        fields=_pages(numbers, FIELDS, page_size),
        counters=_numbers(numbers, COUNTERS),
        levels=_numbers(numbers, LEVELS),
    )


def _pages(numbers: Numbers, rows: Mapping[str, str], page_size: int) -> dict[str, int]:
    found = ((name, numbers.number(f"vm.stats.vm.{row}")) for name, row in rows.items())
    return {name: pages * page_size for name, pages in found if pages is not None}


def _numbers(numbers: Numbers, names: Sequence[str]) -> dict[str, int]:
    found = ((name, numbers.number(f"vm.stats.vm.v_{name}")) for name in names)
    return {name: value for name, value in found if value is not None}
