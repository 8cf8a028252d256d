"""How do direct maps and a kernel's own map make one address space?  The address decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvm_exporter.kvm.space import Mapped, Mapping, Step, Translator
from kvm_exporter.kvm.translation import DirectMap


@dataclass(frozen=True, slots=True)
class Windowed:
    """What lies in one of ``windows`` is theirs, all else ``rest``'s: a space.Translator.

    Unlike translation.Chain no link has to refuse first, which costs more than the answer.
    """

    windows: Sequence[DirectMap]
    rest: Translator

    def translate(self, address: int, length: int) -> Mapped:
        """As Translator.translate."""
        for window in self.windows:
            if window.base <= address < window.end:
                return window.translate(address, length)
        return self.rest.translate(address, length)

    def pages(self, address: int, size: int, count: int) -> Sequence[int]:
        """As Translator.pages."""
        for window in self.windows:
            if window.base <= address < window.end:
                return window.pages(address, size, count)
        return self.rest.pages(address, size, count)

    def mappings(self) -> Iterator[Mapping]:
        """The windows' and then the rest's."""
        for window in self.windows:
            yield from window.mappings()
        yield from self.rest.mappings()

    def trace(self, address: int) -> Iterator[Step]:
        """As Translator.trace."""
        for window in self.windows:
            if window.base <= address < window.end:
                return window.trace(address)
        return self.rest.trace(address)
