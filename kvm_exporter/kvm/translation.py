"""What translates addresses besides page tables?  Direct maps, and one translator after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.space import READ, WRITE, Mapped, Mapping, Step, Translator


@dataclass(frozen=True, slots=True)
class DirectMap:
    """Addresses from ``base`` to ``end`` (exclusive) are physical memory from ``physical`` on."""

    base: int
    end: int
    physical: int = 0

    def translate(self, address: int, length: int) -> Mapped:
        """As Translator.translate."""
        if self.base <= address < self.end:
            left = self.end - address
            return Mapped(address - self.base + self.physical, min(length, left))
        raise self._outside(address)

    def pages(self, address: int, size: int, count: int) -> range:
        """As Translator.pages."""
        if self.base <= address < self.end:
            start = address - self.base + self.physical
            return range(start, start + min(size * count, self.end - address) - size + 1, size)
        raise self._outside(address)

    def _outside(self, address: int) -> Fault:
        return Fault(address, f"not in the direct map from {self.base:#x} to {self.end:#x}")

    def mappings(self) -> Iterator[Mapping]:
        """The whole map as one: which of it the dump holds, its Physical knows."""
        yield Mapping(self.base, self.physical, self.end - self.base, READ | WRITE)

    def trace(self, address: int) -> Iterator[Step]:
        """As Translator.trace: one step."""
        self.translate(address, 1)
        yield Step(f"direct map from {self.base:#x} to {self.end:#x} of {self.physical:#x}")

    def virtual(self, physical: int) -> int | None:
        """Where ``physical`` shows up in the map; None where it does not."""
        address = physical - self.physical + self.base
        return address if self.base <= address < self.end else None


@dataclass(frozen=True, slots=True)
class Chain:
    """The first of ``links`` that knows an address answers for it."""

    links: Sequence[Translator]

    def translate(self, address: int, length: int) -> Mapped:
        """As Translator.translate; the last one's Fault where none knows it."""
        faults = []
        for link in self.links:
            try:
                return link.translate(address, length)
            except Fault as e:
                faults.append(e)
        raise faults[-1] if faults else Fault(address, "nothing is mapped at all")

    def pages(self, address: int, size: int, count: int) -> range:
        """As Translator.pages."""
        return self.translate(address, size * count).pages(size)

    def mappings(self) -> Iterator[Mapping]:
        """Those of each link in turn."""
        for link in self.links:
            yield from link.mappings()

    def trace(self, address: int) -> Iterator[Step]:
        """As Translator.trace: the steps of the link that answers, else the last one's."""
        answering = [link for link in self.links if _translates(link, address)]
        for link in (answering or self.links[-1:])[:1]:
            yield from link.trace(address)


def _translates(link: Translator, address: int) -> bool:
    try:
        link.translate(address, 1)
    except Fault:
        return False
    return True
