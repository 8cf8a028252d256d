"""What is a loaded kernel module?  Its name, its place, its symbols and its types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols


class Carved(NamedTuple):
    """A module's own linker set, whose copies were carved from the kernel's set at ``base``."""

    start: int
    stop: int
    base: int

    def move(self, value: int) -> int:
        """Where in the kernel's set a variable is; ``value`` itself outside this set."""
        return value - self.start + self.base if self.start <= value < self.stop else value


@dataclass(frozen=True, slots=True)
class Module:
    """A loaded kernel module, as kldstat(8) lists it.

    ``symbols`` is None where neither memory nor a file has them; ``ctf`` gives its type
    information, uncompressed whatever its header says, None where there is none.
    """

    name: str
    path: str
    id: int
    address: int
    size: int
    symbols: ElfSymbols | None = field(repr=False)
    sets: tuple[Carved, ...] = ()
    ctf: Callable[[], bytes | None] = field(default=lambda: None, repr=False)

    def carved(self, value: int) -> int:
        """An address within the module's sets moved into the kernel's."""
        for one in self.sets:
            value = one.move(value)
        return value
