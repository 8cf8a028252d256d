"""How are a Linux kernel's symbols read from its memory?  Tables found, names expanded, or kept.

1. The tables are where VMCOREINFO says, else they are found in memory.
2. The names are expanded, unless they are kept from the last time (kallsyms_index.py).
3. Which form the values have is tried: ``_stext`` must be where VMCOREINFO has it, and addresses
   must rise.
"""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, FormatError, SymbolMissing
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.symbols.kallsyms import Kallsyms
from kvm_exporter.kvm.symbols.kallsyms_index import (
    Index,
    fingerprint,
    index_path,
    keep_index,
    load_index,
)
from kvm_exporter.kvm.symbols.kallsyms_names import Names
from kvm_exporter.kvm.symbols.kallsyms_scan import find_tables
from kvm_exporter.kvm.symbols.kallsyms_tables import Tables, Told, names_of, tokens_of, told_tables
from kvm_exporter.kvm.symbols.kallsyms_values import Column, Values, read_values

START = "_stext"
"""Where the kernel's code begins; VMCOREINFO always has it."""


def read_kallsyms(
    memory: Memory, abi: Abi, info: Told, cache_directory: str | None = None
) -> Kallsyms:
    """The symbols of the kernel in ``memory``, as ``info`` helps to find them.

    Errors: SymbolMissing where there are none; FormatError where they are damaged; Fault where
    their memory is not there.
    """
    reading = Reading(memory, abi, info.symbol(START))
    path = index_path(info, cache_directory)
    found = reading.kept(path) if path else None
    if found is None:
        tables = told_tables(memory, abi, info)
        index, found = reading.first(iter((tables,)) if tables else reading.found())
        if path and reading.start is not None:
            keep_index(path, reading.start, index)
    return found


class Reading:
    """How one kernel's are read; ``start`` is where its code begins, None if that is not known."""

    def __init__(self, memory: Memory, abi: Abi, start: int | None) -> None:
        self._memory = memory
        self._abi = abi
        self.start = start

    def found(self) -> Iterator[Tables]:
        """Tables that nobody tells of.  Errors: SymbolMissing where there are none."""
        if self.start is None:
            raise SymbolMissing("the core's VMCOREINFO tells nothing of its kernel's symbols")
        return find_tables(self._memory, self._abi, self.start)

    def kept(self, path: str) -> Kallsyms | None:
        """From an index; None where none is kept that is this kernel's."""
        index = load_index(path, self.start or 0)
        if index is None:
            return None
        try:
            values = self._values(index.tables.columns[0], index.tables, index.names)
            tokens = tokens_of(self._memory, self._abi, index.tables)
        except (Fault, FormatError):
            return None
        right = values and fingerprint(tokens, values) == index.fingerprint
        return Kallsyms(index.names, values) if right and values else None

    def first(self, candidates: Iterator[Tables]) -> tuple[Index, Kallsyms]:
        """From the first tables that are right, with what to keep of them."""
        error: Fault | FormatError | None = None
        for tables in candidates:
            try:
                return self._read(tables)
            except (Fault, FormatError) as one:
                error = one
        raise error or SymbolMissing("no kallsyms")

    def _read(self, tables: Tables) -> tuple[Index, Kallsyms]:
        tokens = tokens_of(self._memory, self._abi, tables)
        names = names_of(self._memory, tables, tokens)
        fault: Fault | None = None
        for column in tables.columns:
            try:
                values = self._values(column, tables, names)
            except Fault as error:
                fault = error
                continue
            if values is not None:
                tables = tables._replace(columns=(column,))
                return Index(tables, fingerprint(tokens, values), names), Kallsyms(names, values)
        raise fault or FormatError(
            f"the addresses of {tables.size} kernel symbols do not rise, or {START} is not where "
            "VMCOREINFO has it: the core is damaged, or its kernel newer than this program"
        )

    def _values(self, column: Column, tables: Tables, names: Names) -> Values | None:
        """The values there; None where they are not right (rule 3)."""
        values = read_values(self._memory, self._abi, column, tables.size)
        number = names.find(START.encode())
        if None not in (number, self.start) and values[number or 0] != self.start:
            return None
        return values if values.rise() else None
