"""What does the handler of a dead FreeBSD's sysctl have at hand?  Memory, arguments, copies."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from struct import calcsize

from kvm_exporter.kvm.errors import FormatError, SymbolMissing
from kvm_exporter.kvm.objects.copies import Copies
from kvm_exporter.kvm.objects.freebsd.oidtree import Oid
from kvm_exporter.kvm.objects.freebsd.percpu import PerCpu
from kvm_exporter.kvm.objects.freebsd.sysctlkinds import CODES, LONGS, OF_VNET, TYPE_MASK
from kvm_exporter.kvm.target import Record, Target
from kvm_exporter.kvm.types.flatten import composite
from kvm_exporter.kvm.types.flatten import member as member_of
from kvm_exporter.kvm.types.model import Pointer, resolve


class Kernel:
    """The kernel in ``target``, as a handler sees it.

    ``number`` gives a number that has no variable of its own by its sysctl's name (variables.py);
    ``find_copies`` the network stacks, when one is wanted.
    """

    def __init__(
        self,
        target: Target,
        cpus: PerCpu,
        number: Callable[[str], int],
        find_copies: Callable[[], Copies],
    ) -> None:
        self.target = target
        self.cpus = cpus
        self.number = number
        self._find_copies = find_copies
        self._records: dict[tuple[str, str], Record] = {}
        self._offsets: dict[tuple[str, str], int] = {}
        self._pointers: dict[tuple[str, str], bool] = {}

    @cached_property
    def copies(self) -> Copies:
        """Network stacks and CPUs' variables."""
        return self._find_copies()

    def member(self, struct: str, member: str, address: int) -> int:
        """A member of the struct at an address."""
        (value,) = self.record(struct, member).at(address)
        return int(value)

    def counted(self, struct: str, member: str, address: int) -> int:
        """What such a member has counted: a counter(9) since 12, a number of its own before; 0 for
        a counter that is not allocated yet.
        """
        value = self.member(struct, member, address)
        if (struct, member) not in self._pointers:
            place = member_of(composite(self.target.types, struct), member)
            pointer = place is not None and isinstance(resolve(place.type), Pointer)
            self._pointers[struct, member] = pointer
        if not self._pointers[struct, member]:
            return value
        return self.cpus.counter(value) if self.cpus.allocated(value) else 0

    def record(self, struct: str, member: str) -> Record:
        """A reader of a struct's member, made once."""
        found = self._records.get((struct, member))
        if found is None:
            found = self._records[struct, member] = self.target.record(struct, (member,))
        return found

    def offset(self, struct: str, member: str) -> int:
        """Bytes from a struct's start to a member, looked up once."""
        if (struct, member) not in self._offsets:
            self._offsets[struct, member] = self.target.offset(struct, member)
        return self._offsets[struct, member]

    def address(self, oid: Oid) -> int:
        """Where arg1 points; where it is a template (CTLFLAG_VNET), to the host's copy."""
        if not oid.kind & OF_VNET or not oid.arg1:
            return oid.arg1
        stacks = self.copies.vnets()
        return self.copies.of_vnet(oid.arg1, stacks[0]) if stacks else oid.arg1

    def variable(self, name: str) -> tuple[int, int | None]:
        """Where a variable is, the host's of network stacks' ones, and its size; KvmError."""
        found = self.copies.variable(name)
        if found is None or found.kind == "percpu":
            raise SymbolMissing(f"the kernel has no variable {name}")
        stacks = self.copies.vnets() if found.kind == "vnet" else ()
        address = self.copies.of_vnet(found.address, stacks[0]) if stacks else found.address
        return address, found.size

    def size(self, oid: Oid) -> int:
        """Bytes of a number of the sysctl's kind."""
        code = CODES.get(oid.kind & TYPE_MASK)
        if code is None:
            raise FormatError(f"{'.'.join(oid.parts)}: no number, by its kind {oid.kind:#x}")
        return calcsize("<" + LONGS[self.target.abi.pointer_size].get(code, code))

    def spelled(self, value: int, size: int) -> bytes:
        """An integer of ``size`` bytes, as C would cut it."""
        return (value % (1 << 8 * size)).to_bytes(size, self.target.abi.byteorder)

    def signed(self, oid: Oid, size: int) -> int:
        """The signed integer at arg1."""
        return self.target.integer(self.address(oid), size, signed=True)

    def pointer(self, oid: Oid) -> int:
        """The pointer at arg1."""
        return self.target.pointer(self.address(oid))


Answer = Callable[[Kernel, Oid], bytes]
"""What a handler copies out; KvmError where what it reads is not there."""

INT, QUAD = 4, 8
