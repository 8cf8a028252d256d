"""Which symbols has a Linux kernel?  Its own kallsyms, its modules' tables, a vmlinux's.

1. Nothing is read before the first name or address is asked for.
2. A name is looked for as it is, in the kernel and then in its modules in the order of its list;
   then, as kvm_nlist(3) has it, without one leading ``_``.
3. Of several symbols of one name, nm.py's rule 2 says which.  ``iter`` gives all.
4. A vmlinux is asked for what kallsyms have not: everything where the kernel has none
   (CONFIG_KALLSYMS), variables where they are left out (CONFIG_KALLSYMS_ALL).  Of these, those
   that are exported are found without it (exports.py).
5. The value of a per-CPU variable is such that value + __per_cpu_offset[cpu] is its address, in
   the kernel and in modules.
6. A size is the distance to the next address that has a name, padding included.
7. What /proc/kallsyms has of ftrace's trampolines, kprobes and BPF programs is not here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property

from kvm_exporter.kvm.errors import KvmError, SymbolMissing
from kvm_exporter.kvm.linkersets import encoded
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.nm import NLIST_TYPES
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols, Place
from kvm_exporter.kvm.symbols.exports import Exports
from kvm_exporter.kvm.symbols.kallsyms_names import Names
from kvm_exporter.kvm.symbols.kallsyms_values import Values
from kvm_exporter.kvm.symbols.linux_module import LinuxModule
from kvm_exporter.kvm.tally import Tally

SOURCE = "kallsyms"
"""What failures are counted under."""

EXPORTED = NLIST_TYPES[ord("D")]
"""What is said of a variable that modules may use."""

MOST_ALIASES = 1 << 8
"""Symbols at one address that are named."""


class Kallsyms:
    """A kernel's symbols: ``names`` and ``values`` have the same numbers."""

    def __init__(self, names: Names, values: Values) -> None:
        self.names = names
        self.values = values

    def __len__(self) -> int:
        return len(self.names)

    def find(self, name: bytes) -> Symbol | None:
        """The symbol of just that name (rule 3)."""
        number = self.names.find(name)
        return None if number is None else self.symbol(number)

    def address(self, name: bytes) -> int | None:
        """Where that symbol lies."""
        number = self.names.find(name)
        return None if number is None else self.values[number]

    def symbol(self, number: int) -> Symbol:
        """The symbol of a number, with its size (rule 6)."""
        value = self.values[number]
        beyond = bisect_right(self.values, value, number, self._last(number))
        size = self.values[beyond] - value if beyond < self._last(number) else None
        return self._symbol(number, value, size)

    def _last(self, number: int) -> int:
        """Behind the last of the absolute symbols, or of the others."""
        return self.values.first if number < self.values.first else len(self)

    def _symbol(self, number: int, value: int, size: int | None) -> Symbol:
        name = self.names.name(number).decode("utf-8", "surrogateescape")
        return Symbol(name, value, NLIST_TYPES[self.names.letter(number)], size)

    def at(self, address: int) -> Place | None:
        """The symbol with the highest address up to ``address``; None outside the kernel.

        Of several there the first is it, as for kallsyms_lookup(9): scripts/kallsyms.c sorts so.
        """
        if not self._start <= address < self._end:
            return None
        numbers = self._numbers(bisect_right(self.values, address, self.values.first))
        if not numbers:
            return None
        symbol, *others = map(self.symbol, numbers)
        aliases = dict.fromkeys(one.name for one in others if one.name != symbol.name)
        return Place(symbol, address - symbol.value, tuple(aliases))

    def _numbers(self, stop: int) -> range:
        """The symbols with the value of the last one before number ``stop``."""
        start = stop
        least = max(self.values.first, stop - MOST_ALIASES)
        while start > least and self.values[start - 1] == self.values[stop - 1]:
            start -= 1
        return range(start, stop)

    @cached_property
    def _start(self) -> int:
        return self.values[self.values.first] if self.values.first < len(self) else 0

    @cached_property
    def _end(self) -> int:
        """Behind the kernel; behind its last symbol where variables are left out."""
        end = self.address(b"_end")
        if end is None:
            end = self.values[len(self) - 1] + 1 if len(self) else 0
        return end

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol, by rising address."""
        values = list(self.values)
        size: int | None = None
        sizes: list[int | None] = [None] * len(values)
        for number in range(len(values) - 2, -1, -1):
            step = values[number + 1] - values[number]
            size = step if step > 0 else size
            if number + 1 == self.values.first:
                size = None
            sizes[number] = size
        for number, value in enumerate(values):
            yield self._symbol(number, value, sizes[number])


class KernelSymbols:
    """The symbols of the kernel itself, without its modules' (memory.py's Symbols).

    ``read`` gives its kallsyms (kallsyms_reading.py); ``vmlinux`` the symbols of its file, with the
    displacement that it runs with, None for no file; ``exports`` what stands in for it (rule 4).
    """

    def __init__(
        self,
        read: Callable[[], Kallsyms],
        tally: Tally,
        vmlinux: Callable[[], ElfSymbols] | None = None,
        exports: Exports | None = None,
    ) -> None:
        self._exports = exports
        self._read: Callable[[], Kallsyms] | None = read
        self._read_vmlinux = vmlinux
        self._tally = tally
        self._kallsyms: Kallsyms | None = None
        self._vmlinux: ElfSymbols | None = None
        self._error: KvmError | None = None

    @property
    def kallsyms(self) -> Kallsyms | None:
        """The kernel's own; None where it has none and a vmlinux serves.

        Errors: those of reading them where there is no vmlinux either.
        """
        read, self._read = self._read, None
        if read is not None:
            try:
                self._kallsyms = read()
            except KvmError as error:
                self._tally.add(SOURCE, None)
                self._error = error
        if self._error and self.vmlinux is None:
            raise self._error
        return self._kallsyms

    @property
    def vmlinux(self) -> ElfSymbols | None:
        """Those of its file; None where there is no file, or it has none."""
        read, self._read_vmlinux = self._read_vmlinux, None
        if read is not None:
            with suppress(SymbolMissing):
                self._vmlinux = read()
        return self._vmlinux

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """As LinuxSymbols.lookup, in the kernel only."""
        return [named(name, self.find) for name in names]

    def find(self, name: bytes) -> Symbol | None:
        """The symbol of just that name."""
        found = self.kallsyms.find(name) if self.kallsyms else None
        if found is None and self.vmlinux is not None:
            entry = self.vmlinux.entry(name)
            found = self.vmlinux.symbol(entry) if entry else None
        return found or self._exported(name)

    def _exported(self, name: bytes) -> Symbol | None:
        """What is known of it without a vmlinux, where kallsyms have functions only (rule 4)."""
        if self._exports is None or self.kallsyms is None:
            return None
        value = self._exports.find(name, self.kallsyms.address)
        text = name.decode("utf-8", "surrogateescape")
        return None if value is None else Symbol(text, value, EXPORTED)

    def at(self, address: int) -> Place | None:
        """What lies at an address; None outside the kernel."""
        if self.kallsyms is not None:
            return self.kallsyms.at(address)
        found, start = self.vmlinux and self.vmlinux.at(address), self.find(b"_text")
        return found if found and start and found.symbol.value >= start.value else None

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol: of kallsyms by rising address, of a vmlinux in its table's order."""
        return iter(self.kallsyms or self.vmlinux or ())


class LinuxSymbols:
    """The symbols of a Linux kernel in a core, and of its modules (memory.py's Symbols).

    The arguments are those of KernelSymbols: ``kernel`` has the kernel's symbols alone, which take
    no types to be found.
    """

    def __init__(
        self,
        read: Callable[[], Kallsyms],
        tally: Tally,
        vmlinux: Callable[[], ElfSymbols] | None = None,
        exports: Exports | None = None,
    ) -> None:
        self.kernel = KernelSymbols(read, tally, vmlinux, exports)
        self._tally = tally
        self._find_modules: Callable[[], Iterable[LinuxModule]] | None = None
        self._modules: tuple[LinuxModule, ...] = ()

    def find_modules_with(self, find: Callable[[], Iterable[LinuxModule]]) -> None:
        """Where modules come from (linux_modules.py); ``find`` is called when they are needed.

        Its own look-ups see the kernel's symbols only.
        """
        self._find_modules = find

    @property
    def modules(self) -> tuple[LinuxModule, ...]:
        """The loaded modules; none where they could not be found, which is counted."""
        find, self._find_modules = self._find_modules, None
        if find is not None:
            try:
                self._modules = tuple(find())
            except KvmError:
                self._tally.add("modules", None)
        return self._modules

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """Each name's symbol, called as it was asked for; None for a missing one (rule 2).

        Errors: those of ``KernelSymbols.kallsyms``.
        """
        return [named(name, self._find) for name in names]

    def _find(self, name: bytes) -> Symbol | None:
        found = self.kernel.find(name)
        for module in () if found else self.modules:
            found = module.symbols.find(name) if module.symbols else None
            if found is not None:
                break
        return found

    def at(self, address: int) -> Place | None:
        """What lies at an address: of a module within its bounds, else of the kernel."""
        for module in self.modules:
            if module.holds(address):
                return module.at(address)
        return self.kernel.at(address)

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol of the kernel, then of each module."""
        yield from self.kernel
        for module in self.modules:
            yield from module.symbols or ()

    def search(self, pattern: re.Pattern[str]) -> Iterator[Symbol]:
        """The symbols whose whole name matches; fnmatch.translate makes patterns of globs."""
        return (symbol for symbol in self if pattern.fullmatch(symbol.name))


def named(name: str, find: Callable[[bytes], Symbol | None]) -> Symbol | None:
    """What ``find`` has of a name, else without one leading ``_`` (rule 2); called as asked for."""
    for spelling in dict.fromkeys((name, name.removeprefix("_"))):
        exact = encoded(spelling)
        found = find(exact) if exact else None
        if found is not None:
            return found._replace(name=name)
    return None
