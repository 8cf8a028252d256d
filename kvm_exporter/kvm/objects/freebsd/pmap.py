"""Where are a process's own pages in a dump?  Through the page tables of its struct pmap.

1. A member of struct pmap (Paging.root_members) points to the top table, by an address of the
   kernel's: as many of the tables as the dump has are walked like the kernel's own.
2. Which form of paging a kernel runs, a variable of its says (Arch.choice).  Where processes have
   the lower half of the addresses for themselves, their tables start at 0 (Paging.lower()).
3. Minidumps hold the kernel's memory only: of processes what it happens to have mapped, such as
   page tables, but hardly ever their pages.
"""

from __future__ import annotations

from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.errors import KvmError, Unsupported
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.paging import PageTables, Paging
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.space import Physical, PhysicalMemory, Translator, VirtualMemory
from kvm_exporter.kvm.target import Target

PMAP = "struct pmap"


class UserSpaces:
    """The memory of processes: ``spaces(address of a struct pmap)``.

    ``physical`` says where the dump in ``source`` has physical memory, ``translator`` which of it
    the kernel's addresses mean.
    """

    def __init__(
        self, target: Target, arch: Arch, source: Source, physical: Physical, translator: Translator
    ) -> None:
        self._target = target
        self._arch = arch
        self._source = source
        self._physical = physical
        self._translator = translator

    def __call__(self, pmap: int) -> Memory:
        """The address space of ``pmap``.

        Errors: Unsupported where the processor walks no tables (powerpc64 before POWER9, mips),
        TypeMissing, Fault.
        """
        paging = self._paging()
        table = self._target.pointer(pmap + self._root_at(paging))
        root = self._translator.translate(table, 1).address
        tables = PageTables(PhysicalMemory(self._source, self._physical), paging.lower(), root)
        return VirtualMemory(self._source, self._physical, tables, self._arch.page_size)

    def _paging(self) -> Paging:
        pagings = self._arch.pagings
        paging = next(iter(pagings.values()), None)
        if self._arch.choice:
            choice = self._arch.choice
            (symbol,) = self._target.symbols.lookup([choice.symbol])
            if symbol:
                chosen = self._target.integer(symbol.value, choice.size)
                paging = pagings.get(choice.names.get(chosen, ""))
        if paging is None or not paging.root_members:
            raise Unsupported(f"{self._arch.name}: this kernel's processes have no page tables")
        return paging

    def _root_at(self, paging: Paging) -> int:
        for member in paging.root_members:
            if self._target.has(PMAP, member):
                return self._target.offset(PMAP, member)
        raise KvmError(f"{PMAP} has no {' or '.join(paging.root_members)} in this kernel")
