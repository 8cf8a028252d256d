"""What of a kernel can be read where some of its page tables are not in the dump?  Its image.

A truncated dump, or one whose writer ran out of room, lacks memory somewhere, and page tables lie
anywhere.  But the kernel's image lies in one piece: from its start to the last of the variables
that VMCOREINFO names, addresses need no tables.  They count only where a table is lost: what tables
say comes first, also that there is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.paging import PageTables
from kvm_exporter.kvm.space import Mapped, Mapping, Step
from kvm_exporter.kvm.translation import DirectMap
from kvm_exporter.kvm.vmcore.placing import Placed
from kvm_exporter.kvm.vmcore.probing import is_lost
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

START = "_stext"
LARGEST = 256 << 20
"""Bytes of an image at most."""
END = 0x1000
"""The last variable's page is the image's too."""


@dataclass(frozen=True, slots=True)
class Mended:
    """The kernel's tables, and its image where one of them is lost: a space.Translator."""

    tables: PageTables
    image: DirectMap

    def translate(self, address: int, length: int) -> Mapped:
        """As Translator.translate."""
        try:
            return self.tables.translate(address, length)
        except Fault as error:
            if self._is_lost(error, address):
                return self.image.translate(address, length)
            raise

    def pages(self, address: int, size: int, count: int) -> Sequence[int]:
        """As Translator.pages."""
        try:
            return self.tables.pages(address, size, count)
        except Fault as error:
            if self._is_lost(error, address):
                return self.image.pages(address, size, count)
            raise

    def _is_lost(self, error: Fault, address: int) -> bool:
        return is_lost(error) and self.image.base <= address < self.image.end

    def mappings(self) -> Iterator[Mapping]:
        """What tables there are say."""
        return self.tables.mappings()

    def trace(self, address: int) -> Iterator[Step]:
        """As Translator.trace: the tables that are there, then the image."""
        try:
            yield from self.tables.trace(address)
        except Fault as error:
            if not self._is_lost(error, address):
                raise
            yield from self.image.trace(address)


def image_of(placed: Placed, info: Vmcoreinfo) -> DirectMap | None:
    """Where the kernel's image lies, as far as VMCOREINFO tells; None where it does not."""
    start = info.symbol(START)
    if start is None or start + placed.delta < 0:
        return None
    ends = [start, *(one for one in info.symbols() if start <= one < start + LARGEST)]
    end = (max(ends) | END - 1) + 1
    return DirectMap(start, end, start + placed.delta)
