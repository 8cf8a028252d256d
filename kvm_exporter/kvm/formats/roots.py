"""Where are the page tables of a dump that does not tell?  Found with the kernel file's help.

1. Where the kernel lies, placing.py finds.  So its variables can be read: those that hold the top
   table's address, or are the table (recipes.py).
2. As struct pmap differs from release to release, each word of kernel_pmap_store is tried as well:
   as a physical address, as a page's number, as a pointer into the kernel or the direct map.
3. A root is believed where it maps the kernel's version string, and kernel_pmap_store, to where
   they are.  So is a form of paging, a page size, a direct map: what fits is what there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from kvm_exporter.kvm.arch import Arch, arches
from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.formats.model import Image, KernelSymbols
from kvm_exporter.kvm.formats.placing import deltas, mark
from kvm_exporter.kvm.formats.recipes import RECIPES, Recipe
from kvm_exporter.kvm.formats.windowed import Windowed
from kvm_exporter.kvm.hashed import Area, HashedPages
from kvm_exporter.kvm.paging import PageTables
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.space import PhysicalMemory, Translator
from kvm_exporter.kvm.translation import Chain, DirectMap

PMAP = "kernel_pmap_store"
LARGEST_PMAP = 1024
"""Bytes of struct pmap that are looked at; it has 300 to 500, its tables near the start."""

MOST_COPIES = 64
"""Places in memory that begin like the kernel: those of the loader and of boots before are few."""

PAGE = 0xFFF
KERNEL_SPAN = 1 << 35
"""Of powerpc64's kernel address space outside the direct map (include/vmparam.h)."""

GROUP_SIZE = 128
SATP_PAGE = (1 << 44) - 1
"""riscv's satp: the number of the root's page."""

Fitting = tuple[Arch, Translator, tuple[tuple[str, str], ...]]
"""The architecture with its page size, what translates, and facts."""


def complete(image: Image, source: Source, arch: Arch, kernel: KernelSymbols) -> Image:
    """``image`` with a translator (itself if it has one), and what else was learnt on the way.

    ``arch`` is the kernel's.  Errors: FormatError where kernel and dump do not fit together.
    """
    if image.translator is not None:
        return image
    memory = PhysicalMemory(source, image.physical)
    recipe = RECIPES.get(arch.machine, Recipe())
    placed = False
    for delta in islice(deltas(image, memory, arch, kernel, recipe.alignment), MOST_COPIES):
        placed = True
        found = _Kernel(image, memory, arch, kernel, recipe, delta).complete()
        if found is not None:
            return found
    if placed and image.windows:
        return replace(image, translator=image.windows[0])
    if placed:
        raise FormatError(
            f"{source.name}: the kernel is in there, but nothing that it names leads to page "
            "tables which map it: the dump is damaged, or the kernel file another build's"
        )
    raise FormatError(
        f"{source.name}: the kernel file's version string is nowhere in the dump: the dump is of "
        "another kernel (inspect info shows which), or incomplete"
    )


@dataclass(frozen=True, slots=True)
class _Kernel:
    """A kernel at a place: physical address = link-time address + ``delta``."""

    image: Image
    memory: PhysicalMemory
    arch: Arch
    file: KernelSymbols
    recipe: Recipe
    delta: int

    def complete(self) -> Image | None:
        """The image with the first tables that fit; None where there are none."""
        fitting = self._fixed() or self._hashed() or self._tables()
        if fitting is None:
            return None
        arch, translator, told = fitting
        windows = self.image.windows or self._direct_maps(translator)
        place = f"{mark(self.file)[0] + self.delta:#x}"
        return replace(
            self.image,
            arch=arch,
            abi=arch.abi,
            page_size=arch.page_size,
            translator=translator,
            windows=windows,
            displacement=self._displacement(),
            facts=(*self.image.facts, ("kernel's version at physical", place), *told),
        )

    def _displacement(self) -> int:
        return 0 if self.recipe.runs_at is None else self.recipe.runs_at + self.delta

    def _fits(self, translator: Translator) -> bool:
        """Whether known addresses are mapped to where they are."""
        pmap = self.file.address(PMAP)
        known = (mark(self.file)[0], *(() if pmap is None else (pmap,)))
        try:
            return all(
                translator.translate(address + self._displacement(), 1).address
                == address + self.delta
                for address in known
            )
        except Fault:
            return False

    def _fixed(self) -> Fitting | None:
        """Architectures whose processors have fixed windows and no tables (mips)."""
        windows = self.arch.windows
        chain = Chain(windows)
        if not windows or not self._fits(chain):
            return None
        told = ("page tables", "none: kernel memory outside the fixed windows is not translated")
        return self.arch, chain, (told,)

    def _hashed(self) -> Fitting | None:
        """powerpc64 before POWER9: the direct map, and a hash table beside it."""
        if self.recipe.hashed is None:
            return None
        table, groups = (self._variable(name) for name in self.recipe.hashed)
        if not table or not groups or groups & groups - 1:
            return None
        start = table % self.recipe.direct_maps[0][0]
        areas = (Area(self.arch.kernel_base, self.arch.kernel_base + KERNEL_SPAN),)

        def read(offset: int, length: int) -> bytes:
            return self.memory.read(start + offset, length)

        direct = [DirectMap(*bounds) for bounds in self.recipe.direct_maps]
        chain = Windowed(direct, HashedPages(read, groups * GROUP_SIZE, areas))
        told = ("page tables", f"{groups} hashed groups at {start:#x}")
        return (self.arch, chain, (told,)) if self._fits(chain) else None

    def _tables(self) -> Fitting | None:
        """The first root, form of paging and page size that fit."""
        variants = [one for one in arches() if one.name == self.arch.name]
        tried = set()
        for root in self._roots():
            if root in tried or root <= 0 or root & PAGE:
                continue
            tried.add(root)
            for arch in variants:
                for paging in arch.pagings.values():
                    tables = PageTables(self.memory, paging, root)
                    if self._fits(tables):
                        told = ("page tables", f"{paging.name}, root at {root:#x}")
                        return arch, self._behind_windows(tables), (told,)
        return None

    def _behind_windows(self, tables: Translator) -> Translator:
        windows = self.image.windows
        return Windowed(windows, tables) if windows else tables

    def _roots(self) -> Iterator[int]:
        """Every physical address that may be the top table's."""
        for name in self.recipe.roots:
            address = self.file.address(name)
            if address is not None:
                yield address + self.delta
                yield from self._meanings(self._word(address))
        pmap = self.file.address(PMAP)
        if pmap is not None:
            for word in range(0, LARGEST_PMAP, self.arch.abi.pointer_size):
                yield from self._meanings(self._word(pmap + word))

    def _meanings(self, word: int | None) -> Iterator[int]:
        """What physical page a word may name."""
        if not word:
            return
        yield word & ~PAGE
        yield (word & SATP_PAGE) << 12
        yield (word + self.delta) & ~PAGE
        yield from (word - one.base + one.physical & ~PAGE for one in self._possible_direct_maps())

    def _word(self, address: int) -> int | None:
        """The word at a link-time address; None where memory has none."""
        abi = self.arch.abi
        try:
            data = self.memory.read(address + self.delta, abi.pointer_size)
        except Fault:
            return None
        return int.from_bytes(data, abi.byteorder)

    def _variable(self, name: str) -> int | None:
        address = self.file.address(name)
        return None if address is None else self._word(address)

    def _possible_direct_maps(self) -> Iterator[DirectMap]:
        name = self.recipe.direct_base
        base = self._variable(name) if name else None
        for start, end in self.recipe.direct_maps:
            for physical in {base or 0, 0}:
                yield DirectMap(start, end, physical)

    def _direct_maps(self, translator: Translator) -> tuple[DirectMap, ...]:
        """Where the tables map the kernel's own page a second time; none on most 32-bit kernels."""
        physical = mark(self.file)[0] + self.delta
        for one in self._possible_direct_maps():
            address = one.virtual(physical)
            try:
                if address is not None and translator.translate(address, 1).address == physical:
                    return (one,)
            except Fault:
                continue
        return ()
