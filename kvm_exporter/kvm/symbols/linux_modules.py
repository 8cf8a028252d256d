"""Which modules has a Linux kernel loaded, and what are their symbols?  The list ``modules``.

From kernel/module/ (kernel/module.c before 5.19) and include/linux/module.h:

1. ``modules`` is a list of struct module.  One that is not formed yet (MODULE_STATE_UNFORMED) is
   passed over, as /proc/modules does.
2. Where a module lies: ``mem[]`` since 6.4 (ac3b43283923), ``core_layout`` and ``init_layout``
   since 4.5 (7523e4dc5057).  What was needed for its start only is given back once it runs.
3. Its symbols: a table of Elf_Sym, of which ``kallsyms`` has the place since 4.5 (8244062ef1e5),
   struct module itself before; values are addresses, those of per-CPU variables in the area that
   the module has of each CPU.  The letters of nm(1) are in ``typetab`` since 5.2 (1c7651f43777);
   before they took the place of st_info.
4. /proc/kallsyms shows a letter in upper case where the symbol is in ``syms``: exported with
   EXPORT_SYMBOL, not with EXPORT_SYMBOL_GPL (is_exported() of kernel/kallsyms.c).  Values there are
   relative to their own place where the kernel has PREL32 relocations (7290d5809571).
5. ARM's Thumb functions have odd values; /proc/kallsyms shows the even address of their code.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.symbols.linux_module import Area, LinuxModule, ModuleSymbols
from kvm_exporter.kvm.symbols.symtab import (
    FORMS,
    LONGEST_NAME,
    MOST_STRING_BYTES,
    MOST_SYMBOL_BYTES,
    STB_LOCAL,
    STT_FUNC,
    STT_OBJECT,
    SymbolTable,
)
from kvm_exporter.kvm.tally import Tally

SOURCE = "modules"
"""What failures are counted under."""

MOST_MODULES = 1 << 14
MOST_EXPORTS = 1 << 16
"""Modules, and symbols that one exports, at most."""

MOST_BYTES = 1 << 27
"""Of the symbol tables of all modules: more than all that Linux comes with have together."""

UNFORMED = 3
"""enum module_state (include/linux/module.h)."""

STRUCT = "struct module"

Read = TypeVar("Read")

AREAS = ("core_layout.base", "core_layout.size", "init_layout.base", "init_layout.size")
OLD_AREAS = ("module_core", "core_size", "module_init", "init_size")
"""Rule 2's members: (base, size) twice."""


class Rows(Protocol):
    """target.py's Record."""

    @property
    def size(self) -> int: ...

    def at(self, address: int) -> tuple[Any, ...]: ...


class Elements(Protocol):
    """types/view.py's View."""

    address: int

    def __getitem__(self, key: str) -> Elements: ...

    def elements(self) -> Iterator[Elements]: ...


class Kernel(Protocol):
    """What of target.py's Target is needed here."""

    abi: Abi
    memory: Memory
    tally: Tally

    def address(self, name: str) -> int: ...

    def read(self, address: int, length: int) -> bytes: ...

    def pointer(self, address: int) -> int: ...

    def string(self, address: int) -> str: ...

    def has(self, struct: str, path: str) -> bool: ...

    def offset(self, struct: str, path: str) -> int: ...

    def view(self, address: int, type_: str) -> Elements: ...

    def record(self, struct: str, paths: Sequence[str]) -> Rows: ...

    def chain(self, first: int, next_of: Callable[[int], int], what: str) -> Iterator[int]: ...


class LinuxModules:
    """The modules of ``kernel``; ``even`` as ModuleSymbols has it, on ARM.

    Errors: TypeMissing where the kernel's types are not known.
    """

    def __init__(self, kernel: Kernel, *, even: bool = False) -> None:
        self._kernel = kernel
        self._even = even
        self._left = MOST_BYTES
        self._next = kernel.record("struct list_head", ("next",))
        self._module = kernel.record(STRUCT, ("state", "name[]", "syms", "num_syms"))
        self._exported = _exported(kernel)
        self._tables = _tables(kernel)
        self._areas = _areas(kernel)
        self._percpu = kernel.offset(STRUCT, "percpu") if kernel.has(STRUCT, "percpu") else None

    def __iter__(self) -> Iterator[LinuxModule]:
        """Each module, the last one loaded first; one that cannot be read is counted."""
        head, within = self._kernel.address("modules"), self._kernel.offset(STRUCT, "list")
        nodes = self._kernel.chain(
            self._after(head, head), lambda at: self._after(at, head), SOURCE
        )
        for node in islice(nodes, MOST_MODULES):
            module = self._counted(partial(self._read, node - within))
            if module is not None:
                yield module

    def _after(self, node: int, head: int) -> int:
        """The next node of the list; 0 at its end."""
        (found,) = self._next.at(node)
        return 0 if found == head else int(found)

    def _read(self, address: int) -> LinuxModule | None:
        state, name, _, _ = self._module.at(address)
        if state == UNFORMED:
            return None
        areas = [area for area in self._areas(address) if area.start and area.size]
        percpu = 0 if self._percpu is None else self._kernel.pointer(address + self._percpu)
        text = name.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        read = partial(self._counted, partial(self._symbols, address))
        return LinuxModule(text, address, areas, percpu, read)

    def _counted(self, read: Callable[[], Read]) -> Read | None:
        """What ``read`` gives; None where it fails, which is counted."""
        try:
            return read()
        except KvmError:
            self._kernel.tally.add(SOURCE, None)
            return None

    def _symbols(self, address: int) -> ModuleSymbols:
        places = self._tables(address)
        abi = self._kernel.abi
        length = places.size * FORMS[abi.pointer_size].size
        if not 0 < length <= MOST_SYMBOL_BYTES:
            raise FormatError(f"a module's symbol table of {places.size} symbols")
        self._spend(length)
        entries, letters = self._entries(places, length)
        strings = self._strings(SymbolTable(entries, b"", abi).column("I", 0), places.strings)
        table = SymbolTable(entries, strings, abi)
        for name, value in self._exports(address):
            number = table.number(name)
            if number is not None and table[number].value == value:
                letters[number : number + 1] = letters[number : number + 1].upper()
        return ModuleSymbols(table, bytes(letters), even=self._even)

    def _entries(self, places: Places, length: int) -> tuple[bytes, bytearray]:
        """The table and its letters; where those are in st_info, that becomes what it was."""
        data = self._kernel.read(places.symbols, length)
        if places.letters is not None:
            return data, bytearray(self._kernel.read(places.letters, places.size))
        size = length // places.size
        column, entries = slice(INFO[size], None, size), bytearray(data)
        letters = entries[column]
        entries[column] = letters.translate(_INFO_OF)
        return bytes(entries), letters

    def _strings(self, names: array[int], address: int) -> bytes:
        """The table of strings, as far as the names reach; nobody tells its size."""
        end = max(names) + LONGEST_NAME
        if end > MOST_STRING_BYTES:
            raise FormatError(f"a module's symbol table with a name at {max(names):#x}")
        self._spend(end)
        return self._kernel.memory.read(address, end)

    def _spend(self, count: int) -> None:
        """FormatError, from then on, when modules have more bytes than there can be."""
        self._left -= count
        if self._left < 0:
            raise FormatError(f"symbol tables of modules of more than {MOST_BYTES} bytes")

    def _exports(self, address: int) -> Iterator[tuple[bytes, int]]:
        """The name and value of each symbol in ``syms`` (rule 4)."""
        *_, start, count = self._module.at(address)
        if start and count <= MOST_EXPORTS:
            yield from self._exported(start, count)


class Places(NamedTuple):
    """Where the tables of a module's ``size`` symbols are; ``letters`` None for st_info."""

    symbols: int
    strings: int
    size: int
    letters: int | None


def _tables(kernel: Kernel) -> Callable[[int], Places]:
    """Where they are for a struct module at an address: rule 3."""
    if kernel.has(STRUCT, "symtab"):
        own = kernel.record(STRUCT, TABLES)

        def own_places(address: int) -> Places:
            symbols, strings, size = own.at(address)
            return Places(symbols, strings, size, None)

        return own_places
    pointer = kernel.offset(STRUCT, "kallsyms")
    typed = kernel.has("struct mod_kallsyms", "typetab")
    more = ("typetab",) if typed else ()
    record = kernel.record("struct mod_kallsyms", (*TABLES, *more))

    def places(address: int) -> Places:
        symbols, strings, size, *letters = record.at(kernel.pointer(address + pointer))
        return Places(symbols, strings, size, letters[0] if letters else None)

    return places


def _areas(kernel: Kernel) -> Callable[[int], Iterator[Area]]:
    """Where a module lies whose struct is at an address: rule 2."""
    if kernel.has(STRUCT, "mem"):
        elements = kernel.view(0, STRUCT)["mem"].elements()
        places = [one.address for one in elements]
        memory = kernel.record("struct module_memory", ("base", "size"))
        return lambda address: (Area(*memory.at(address + at)) for at in places)
    members = AREAS if kernel.has(STRUCT, AREAS[0]) else OLD_AREAS
    record = kernel.record(STRUCT, members)

    def areas(address: int) -> Iterator[Area]:
        start, size, *init = record.at(address)
        yield Area(start, size)
        yield Area(*init)

    return areas


def _exported(kernel: Kernel) -> Callable[[int, int], Iterator[tuple[bytes, int]]]:
    """The (name, value) of ``count`` of struct kernel_symbol at an address: rule 4."""
    struct = "struct kernel_symbol"
    mask = kernel.abi.address_mask
    if not kernel.has(struct, "value_offset"):
        record = kernel.record(struct, ("value", "name"))
        return lambda start, count: (
            (_bytes(kernel, name), value)
            for value, name in map(
                record.at, range(start, start + count * record.size, record.size)
            )
        )
    value_at, name_at = kernel.offset(struct, "value_offset"), kernel.offset(struct, "name_offset")
    offsets = kernel.record(struct, ("value_offset", "name_offset"))

    def exported(start: int, count: int) -> Iterator[tuple[bytes, int]]:
        for at in range(start, start + count * offsets.size, offsets.size):
            value, name = offsets.at(at)
            yield _bytes(kernel, at + name_at + name & mask), at + value_at + value & mask

    return exported


def _bytes(kernel: Kernel, address: int) -> bytes:
    return kernel.memory.read(address, LONGEST_NAME).partition(b"\0")[0]


def _info(letter: int) -> int:
    """The st_info of a symbol that has a letter of nm(1), as far as it can still be told."""
    return STB_LOCAL << 4 | (STT_FUNC if chr(letter) in "tTwW" else STT_OBJECT)


_INFO_OF = bytes(map(_info, range(256)))
INFO = {16: 12, 24: 4}
"""Where st_info is, by the size of an Elf_Sym."""

TABLES = "symtab", "strtab", "num_symtab"
