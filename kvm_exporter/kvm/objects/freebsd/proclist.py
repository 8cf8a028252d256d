"""Where are a dead kernel's processes?  Addresses of struct proc, in the order kern.proc has.

1. Since 13 the kernel goes through the table of pids (pidhashtbl), where zombies stay until they
   are waited for.  Its chains have pidhashlock + 1 locks; those of one lock are met together
   (proc_iterate(), sys/kern/kern_proc.c).
2. Before, and where that table is damaged, through the list of all processes; zombies then had a
   list of their own, zombproc.
3. A process that a damaged chain has lost is still on the list of all, which is met last.
4. Each process is given once, however the lists are damaged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from kvm_exporter.kvm.errors import Fault, FormatError, KvmError, ProcessGone
from kvm_exporter.kvm.target import Target

MOST_CHAINS = 1 << 20
MOST_PROCESSES = 1 << 20
"""Ten times what any kernel has."""


class _Hash(NamedTuple):
    """The table of pids: ``chains`` pointers at ``address``, of which every ``locks``th is met."""

    address: int
    chains: int
    locks: int


class ProcessList:
    """The processes of ``target``.  Errors: SymbolMissing, TypeMissing, Fault.

    Not ``hashed``: in the order of the list of all processes, since 13 without zombies.
    """

    def __init__(self, target: Target, *, hashed: bool = True) -> None:
        self._target = target
        self._hash = _find_hash(target) if hashed else None
        self._pid = target.offset("struct proc", "p_pid")
        self._heads = () if self._hash else _heads(target)
        self._in_list = target.offset("struct proc", "p_list.le_next")
        self._in_hash = target.offset("struct proc", "p_hash.le_next") if self._hash else 0

    def addresses(self) -> Iterator[int]:
        """Every process, those that fork(2) is still making among them."""
        seen: set[int] = set()
        for first in self._firsts():
            for address in self._chain(first):
                if address in seen or len(seen) >= MOST_PROCESSES:
                    self._target.tally.add("struct proc", None)
                    break
                seen.add(address)
                yield address
        if self._hash:
            yield from self._lost(seen)

    def _lost(self, seen: set[int]) -> Iterator[int]:
        """Processes of the list of all that no chain had."""
        (head,) = self._target.symbols.lookup(["allproc"])
        try:
            first = self._target.pointer(head.value) if head else 0
        except Fault:
            self._target.tally.add("struct proc", None)
            return
        found = islice(self._follow(first, self._in_list), MOST_PROCESSES)
        yield from (address for address in found if address not in seen)

    def find(self, pid: int) -> int:
        """The process of that pid; ProcessGone if there is none."""
        for first in self._firsts(pid):
            for address in self._chain(first):
                if self._is(address, pid):
                    return address
        raise ProcessGone(f"there is no process {pid} in this dump")

    def _firsts(self, pid: int | None = None) -> Sequence[int]:
        """The first process of each chain, or of the one that ``pid`` is in."""
        if self._hash is None:
            return self._heads
        address, chains, locks = self._hash
        first, count = 0, chains
        if pid is not None:
            first, count, locks = pid & chains - 1, 1, 1
        abi = self._target.abi
        try:
            size = abi.pointer_size
            data = self._target.read(address + first * size, count * size)
        except Fault:
            self._target.tally.add("pidhashtbl", None)
            self._hash, self._heads = None, _heads(self._target)
            return self._heads
        found = struct.unpack(f"{abi.order}{count}{abi.pointer}", data)
        return [one for lock in range(locks) for one in found[lock::locks]]

    def _is(self, address: int, pid: int) -> bool:
        try:
            return self._target.integer(address + self._pid, 4, signed=True) == pid
        except Fault:
            self._target.tally.add("struct proc", None)
            return False

    def _chain(self, first: int) -> Iterator[int]:
        return self._follow(first, self._in_hash if self._hash else self._in_list)

    def _follow(self, first: int, member: int) -> Iterator[int]:
        pointer = self._target.pointer
        return self._target.chain(first, lambda address: pointer(address + member), "struct proc")


def _find_hash(target: Target) -> _Hash | None:
    """None where there is no such table, where zombies are not in it, or where it is damaged."""
    names = ["pidhashtbl", "pidhash", "pidhashlock", "zombproc"]
    table, mask, lock, zombies = target.symbols.lookup(names)
    if zombies or not table or not mask:
        return None
    try:
        chains = target.pointer(mask.value) + 1
        locks = target.pointer(lock.value) + 1 if lock else 1
        if chains & chains - 1 or not 1 < chains <= MOST_CHAINS or locks > chains:
            raise FormatError(f"{chains} chains of processes, {locks} locks")
        return _Hash(target.pointer(table.value), chains, locks)
    except KvmError:
        target.tally.add("pidhashtbl", None)
        return None


def _heads(target: Target) -> Sequence[int]:
    """The first of all processes, and the first of the zombies that have a list of their own."""
    (zombies,) = target.symbols.lookup(["zombproc"])
    heads = [target.address("allproc")] + ([zombies.value] if zombies else [])
    return [target.pointer(head) for head in heads]
