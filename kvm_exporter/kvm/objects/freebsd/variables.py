"""Which variable of a dead kernel is behind a sysctl's number?  Tables, and how each kind is read.

1. Most are plain integers.
2. vm.stats.*: members of struct vmmeter.  A pointer is a counter(9); an integer is the number
   itself, to which kernels before 12 add each CPU's own (struct pcpu's pc_cnt).
3. Pages by queue are no members since 12: each memory domain counts its own (struct vm_domain).

Sources: sys/vm/vm_meter.c, sys/vm/vm_page.h (PQ_*), and the files named beside the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from kvm_exporter.kvm.errors import FormatError, KvmError, SymbolMissing, TypeMissing
from kvm_exporter.kvm.objects.freebsd.percpu import PCPU, PerCpu
from kvm_exporter.kvm.target import Record, Target
from kvm_exporter.kvm.types.flatten import Place, composite, member, size_of
from kvm_exporter.kvm.types.model import Pointer, resolve

INT, LONG = 4, 0
"""C types of variables, as bytes; a long is as wide as a pointer.  A symbol's own size is surer."""

INTEGERS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "hz": (INT, ("hz",)),
    "stathz": (INT, ("stathz",)),
    "hw.physmem": (LONG, ("physmem",)),  # in pages: kern_mib.c
    "kern.openfiles": (INT, ("openfiles",)),  # kern_descrip.c
    "kern.maxfiles": (INT, ("maxfiles",)),
    "kern.maxproc": (INT, ("maxproc",)),
    "kern.maxthread": (INT, ("maxthread",)),  # kern_thread.c
    "kern.maxvnodes": (LONG, ("desiredvnodes",)),  # vfs_subr.c; an int until 12
    "vfs.numvnodes": (LONG, ("numvnodes",)),
    "vm.stats.vm.v_user_wire_count": (LONG, ("vm_user_wire_count",)),
    # swap_pager.c: dmmax until 12
    "vm.dmmax": (INT, ("nsw_cluster_max", "dmmax")),
    "vm_severe_waiters": (INT, ("vm_severe_waiters",)),
    "vm_min_waiters": (INT, ("vm_min_waiters",)),
    "vm_pageproc_waiters": (INT, ("vm_pageproc_waiters",)),
}
"""Sysctl (or the variable itself) → its C type, and its names, the newest first."""

IN_PAGES = frozenset({"hw.physmem"})
"""Numbers that the sysctl gives in bytes, the variable in pages."""

METER = "struct vmmeter"
DOMAIN = "struct vm_domain"
QUEUE = "struct vm_pagequeue"

QUEUES = {
    "v_inactive_count": (0,),
    "v_active_count": (1,),
    "v_laundry_count": (2, 3),  # PQ_LAUNDRY and PQ_UNSWAPPABLE
}
"""Member of struct vmmeter until 12 → PQ_* of struct vm_domain's queues since."""

NARROW = frozenset({"v_wire_count", "v_nofree_count"})
"""Counters of which sysctl gives 32 bits."""

MOST_DOMAINS = 256
"""More than MAXMEMDOM of any kernel (sys/*/include/param.h)."""

MOST_QUEUES = 16
"""More than PQ_COUNT of any kernel."""


class Variables:
    """Sysctl's numbers, out of a kernel's memory."""

    def __init__(self, target: Target, cpus: PerCpu, page_size: int) -> None:
        self._target = target
        self._cpus = cpus
        self._page_size = page_size

    def number(self, name: str) -> int | None:
        """What sysctl ``name`` would say; None, and tallied, where it cannot be had."""
        try:
            return self.required_number(name)
        except KvmError:
            self._target.tally.add(name, None)
            return None

    def required_number(self, name: str) -> int:
        """As ``number``; KvmError where it cannot be had."""
        if name in INTEGERS:
            value = self._integer(*INTEGERS[name])
            return value * self._page_size if name in IN_PAGES else value
        if name.startswith("vm.stats."):
            return self._statistic(name.rpartition(".")[2])
        raise SymbolMissing(f"{name}: no variable is known for this sysctl")

    def _integer(self, width: int, names: tuple[str, ...]) -> int:
        target = self._target
        for symbol in target.symbols.lookup(names):
            if symbol:
                told = symbol.size if symbol.size in {4, 8} else width
                return target.integer(symbol.value, told or target.abi.pointer_size)
        raise SymbolMissing(f"the kernel has no symbol {' or '.join(names)}")

    def _statistic(self, name: str) -> int:
        place = self._meters.get(name)
        if place:
            return self._meter(name, place)
        if name == "v_free_count":
            return sum(row[0] for row in self._domains(("vmd_free_count",))) % 2**32
        if name in QUEUES:
            return sum(self._queued(kind) for kind in QUEUES[name]) % 2**32
        raise TypeMissing(f"{METER} has no member {name} in this kernel")

    def _meter(self, name: str, place: Place) -> int:
        address = self._meter_address + place.bit_offset // 8
        if isinstance(resolve(place.type), Pointer):
            count = self._cpus.counter(self._target.pointer(address))
            if name == "v_pdpages":
                return (count + self._scanned()) % 2**64
            return count % 2**32 if name in NARROW else count
        size = size_of(place.type) or INT
        own: list[int] = [self._target.integer(address, size)]
        if self._target.has(PCPU, f"pc_cnt.{name}"):
            record = self._target.record(PCPU, (f"pc_cnt.{name}",))
            own += [record.at(cpu)[0] for cpu in self._cpus.addresses.values()]
        return sum(own) % (1 << 8 * size)

    @cached_property
    def _meters(self) -> Mapping[str, Place]:
        """Where struct vmmeter's members lie."""
        meter = composite(self._target.types, METER)
        places = ((one.name, member(meter, one.name)) for one in meter.members)
        return {name: place for name, place in places if place}

    @cached_property
    def _meter_address(self) -> int:
        for symbol in self._target.symbols.lookup(("vm_cnt", "cnt")):
            if symbol:
                return symbol.value
        raise SymbolMissing("the kernel has no symbol vm_cnt")

    def _domains(self, paths: tuple[str, ...]) -> Iterator[tuple[int, ...]]:
        """Members of each memory domain's struct."""
        record = self._target.record(DOMAIN, paths)
        return (record.at(start) for start in self._domain_starts(record.size))

    def _domain_starts(self, size: int) -> list[int]:
        target = self._target
        count = target.integer(target.address("vm_ndomains"), 4, signed=True)
        if not 0 < count <= MOST_DOMAINS:
            raise FormatError(f"vm_ndomains: there cannot be {count} memory domains")
        first = target.address("vm_dom")
        return [first + size * at for at in range(count)]

    def _queue_starts(self, record: Record) -> Iterator[list[int]]:
        """The addresses of each domain's queues."""
        types, within = self._target.types, self._target.offset(DOMAIN, "vmd_pagequeues")
        domain = composite(types, DOMAIN)
        place = member(domain, "vmd_pagequeues")
        count = min((size_of(place.type) or 0) // record.size, MOST_QUEUES) if place else 0
        for start in self._domain_starts(domain.size):
            yield [start + within + record.size * at for at in range(count)]

    def _queued(self, kind: int) -> int:
        record = self._target.record(QUEUE, ("pq_cnt",))
        queues = self._queue_starts(record)
        return sum(record.at(starts[kind])[0] for starts in queues if kind < len(starts))

    def _scanned(self) -> int:
        """Pages that the page daemon looked at; 64 bits wide since they are part of v_pdpages."""
        place = member(composite(self._target.types, QUEUE), "pq_pdpages")
        if place is None or size_of(place.type) != 8:
            return 0
        record = self._target.record(QUEUE, ("pq_pdpages",))
        starts = (start for queues in self._queue_starts(record) for start in queues)
        return sum(int(record.at(start)[0]) for start in starts)
