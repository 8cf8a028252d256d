"""Where does a Linux kernel lie in memory, and which of its tables are right?  Tried, and verified.

1. A kernel lies where its names are (names.py): where VMCOREINFO and the architecture say, else
   anywhere.
2. Tables are believed where they map the kernel's own variables (the top table for one) to where
   they are.  In a truncated dump some tables are lost; none that is there may say anything else.
   (powerpc64's that do not map the kernel, where they map memory that is in the dump.)
3. A kernel whose names are where they are told to be is one even if none of its tables can be
   believed.  Then what is told must do: its image, and its direct map, without any tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.formats import Image
from kvm_exporter.kvm.paging import ADDRESSES, PageTables, Paging
from kvm_exporter.kvm.space import PhysicalMemory
from kvm_exporter.kvm.vmcore.machines import MACHINES, Machine
from kvm_exporter.kvm.vmcore.names import VARIABLE, Names
from kvm_exporter.kvm.vmcore.probing import maps, samples
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

ROOTS = ("swapper_pg_dir", "init_top_pgt")
"""The top table: the same address, where there are both (x86_64)."""

MOST_STARTS = 64
"""Runs of memory that the kernel may begin with."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A kernel in memory: physical address = kernel's address + ``delta``.

    ``root``: the top table's physical address.  ``confirmed``: rule 2; None where the tables that
    would tell are lost; False where others than ``tables`` must be meant.
    """

    arch: Arch
    machine: Machine
    paging: Paging
    delta: int
    root: int
    tables: PageTables
    confirmed: bool | None


class Placing:
    """The kernel of ``info`` in the dump ``image``, whose physical memory ``memory`` is.

    ``arch``: one that it may be of (of MACHINES); where the dump does not tell, its names do.
    """

    def __init__(self, image: Image, memory: PhysicalMemory, info: Vmcoreinfo, arch: Arch) -> None:
        self._memory = memory
        self._physical = image.physical
        self._info = info
        self._arch = arch
        self._machine = MACHINES[arch.name]
        sure = image.arch is not None and not self._machine.kin
        self._names = Names(memory, info, None if sure else self._machine.name)
        known = (info.symbol(name) for name in (*ROOTS, VARIABLE))
        self._known = [address for address in known if address is not None]
        roots = (info.symbol(name) for name in ROOTS)
        self._root = next((one for one in roots if one is not None and self._is_address(one)), None)

    def told(self) -> Placed | None:
        """Where VMCOREINFO and the architecture say; None where it is not there."""
        return self._first(self._guesses(), self._names.at)

    def searched(self) -> Placed | None:
        """Where memory has its names and tables confirm it; None if nowhere.

        All of memory is read for that.
        """
        found = self._first(self._names.deltas(self._physical), lambda _: None)
        return found if found and found.confirmed else None

    def _guesses(self) -> Iterator[int]:
        yield from self._machine.deltas(self._info)
        for base in self._machine.bases(self._info):
            for extent in islice(self._physical.extents(), MOST_STARTS):
                yield from (extent.address + into - base for into in self._machine.loaded)

    def _first(self, deltas: Iterator[int], named: Callable[[int], bool | None]) -> Placed | None:
        """What is confirmed, else what rule 3 allows."""
        if self._root is None:
            return None
        second, tried = None, set()
        for delta in deltas:
            there = False if delta in tried else named(delta)
            tried.add(delta)
            for one in self._with(delta, self._root + delta) if there is not False else ():
                confirmed = self._maps(one)
                if confirmed or self._maps_apart(one):
                    return one
                if there and second is None:
                    second = replace(one, confirmed=confirmed)
        return second

    def _is_address(self, address: int) -> bool:
        """Whether the architecture's kernels have such: those of 64 bits are at the upper end."""
        return (address >> 32 > 0) == (self._arch.abi.pointer_size == 8)

    def _with(self, delta: int, root: int) -> Iterator[Placed]:
        """The kernel at that place, with tables of each form."""
        for paging in self._machine.forms(self._info) if root >= 0 else ():
            tables = PageTables(self._memory, paging, root)
            yield Placed(self._arch, self._machine, paging, delta, root, tables, confirmed=True)

    def _maps(self, placed: Placed) -> bool | None:
        """As Placed.confirmed, of tables that have the kernel in them."""
        answers = {maps(placed.tables, one, one + placed.delta) for one in self._known}
        if False in answers:
            return False
        return True if True in answers else None

    def _maps_apart(self, placed: Placed) -> bool:
        """Rule 2, of tables without the direct map: where those are that lie in it."""
        if placed.paging not in self._machine.apart or not self._names.at(placed.delta):
            return False
        first = next(samples(placed.tables, placed.paging, 0, ADDRESSES), None)
        return first is not None and self._is_there(first[1])

    def _is_there(self, physical: int) -> bool:
        try:
            return self._physical.find(physical, 1).length > 0
        except Fault:
            return False
