"""How full are a dead Linux's swap areas?  swap_info, as /proc/swaps and /proc/meminfo tell it.

1. swap_info has a pointer for each area that there ever was, nr_swapfiles of them.  One that is in
   use has SWP_USED, one that takes pages SWP_WRITEOK; between swapon(8) and swapoff(8) both.
2. What is in use of an area is an atomic_long_t since 6.13, of which the last bit but one means
   that the area is full and off the list: first counted in an int's 32 bits, then in a long's.
   Before, it is a plain integer.
3. An area that is being emptied by swapoff(8) counts as what is still in it (si_swapinfo()).

Source: mm/swapfile.c, include/linux/swap.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError, KvmError, TypeMissing
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.model import SwapDevice
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.target import Target

SWAP = "struct swap_info_struct"
NEEDED = ("flags", "pages", "inuse_pages")
MEMBERS = ("flags", "pages", "inuse_pages|inuse_pages.counter", "prio", "swap_file")

SWP_USED, SWP_WRITEOK = 1, 2

OFF_LIST = (1 << 62, 1 << 30)
"""SWAP_USAGE_OFFLIST_BIT, either way."""

SPACE = "struct address_space"
MOST_SPACES = 1 << 16
"""Of an area of 4 TiB."""

MOST_AREAS = 1 << 8
"""More than MAX_SWAPFILES of any kernel (32)."""

FilePath = Callable[[int], str]
"""The path of a struct file, as /proc tells it; KvmError."""


class Swap(NamedTuple):
    """SwapTotal and SwapFree, in pages."""

    total: int
    free: int


def from_memory(target: Target, page_size: int, path_of: FilePath) -> tuple[SwapDevice, ...]:
    """Every swap area in the kernel's order; none of a kernel without CONFIG_SWAP.

    Errors: TypeMissing, Fault, FormatError.
    """
    if not is_built_in(target):
        return ()
    used = (area for area in _areas(target) if area["flags"] & SWP_USED)
    return tuple(_device(target, area, page_size, path_of) for area in used)


def is_built_in(target: Target) -> bool:
    """Whether this kernel has CONFIG_SWAP."""
    return variables.has(target, "swap_info", "si_swapinfo")


def totals(target: Target) -> Swap:
    """What there is and what is free of all areas.  Errors: as from_memory, SymbolMissing."""
    leaving = sum(area["inuse_pages"] for area in _areas(target) if area["flags"] & 3 == SWP_USED)
    total = variables.long(target, "total_swap_pages")
    free = variables.long(target, "nr_swap_pages")
    return Swap(total + leaving, free + leaving)


def _areas(target: Target) -> Iterator[Values]:
    count = variables.unsigned(target, "nr_swapfiles")
    if count > MOST_AREAS:
        raise FormatError(f"nr_swapfiles: there cannot be {count} swap areas")
    reader = Struct(target, SWAP, MEMBERS)
    if lacking := [name for name in NEEDED if name not in reader.names]:
        raise TypeMissing(f"{SWAP} has no {', '.join(lacking)} in this kernel")
    atomic = target.has(SWAP, "inuse_pages.counter")
    table, width = target.address("swap_info"), target.abi.pointer_size
    for index in range(count):
        area = reader.values(target.pointer(table + index * width))
        if area and atomic:
            area["inuse_pages"] = _count(area["inuse_pages"], area["pages"])
        if area:
            yield area


def _count(usage: int, pages: int) -> int:
    """The pages in ``usage``: of an area of ``pages`` there cannot be more (rule 2)."""
    for bit in OFF_LIST:
        if usage > pages:
            usage &= ~bit
    return usage


def _device(target: Target, area: Values, page_size: int, path_of: FilePath) -> SwapDevice:
    size = area["pages"] * page_size
    return SwapDevice(
        name=_name(target, area["swap_file"], path_of),
        size_bytes=size,
        used_bytes=area["inuse_pages"] * page_size,
        usable_bytes=size,
        priority=area["prio"],
    )


def _name(target: Target, file: int, path_of: FilePath) -> str:
    try:
        return path_of(file)
    except KvmError:
        target.tally.add("swap_info", None)
        return f"#F:{file:#x}"


def cached(target: Target) -> int:
    """Pages in the swap cache of a kernel before 5.12 (b6038942480e), which does not count them.

    Errors: KvmError.
    """
    if not is_built_in(target):
        return 0
    count = min(variables.unsigned(target, "nr_swapfiles"), MOST_AREAS)
    spaces, width = target.address("swapper_spaces"), target.abi.pointer_size
    numbers = target.address("nr_swapper_spaces")
    return sum(
        _cached_of(target, target.pointer(spaces + width * at), target.integer(numbers + 4 * at, 4))
        for at in range(count)
    )


def _cached_of(target: Target, first: int, count: int) -> int:
    """Of one area, which has an address space for each 64 MiB."""
    if not first:
        return 0
    if count > MOST_SPACES:
        raise FormatError(f"nr_swapper_spaces: there cannot be {count} address spaces")
    within, size = target.offset(SPACE, "nrpages"), target.view(0, SPACE).size
    return sum(target.pointer(first + within + size * at) for at in range(count))
