"""What does a kernel's own file tell?  Its architecture, symbols, types, and bytes as linked."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import cached_property

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.arch import Arch, find_by_elf
from kvm_exporter.kvm.debugfile import debug_files
from kvm_exporter.kvm.errors import KvmError, SymbolMissing
from kvm_exporter.kvm.formats import Segment
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols, read_symbols

LONGEST_NOTE = 4096


class KernelFile:
    """The ELF file of a kernel (formats.KernelSymbols); ``close`` gives it back.

    Errors: KvmError where it cannot be opened, FormatError where it is no ELF file, Unsupported
    for an architecture that is not known.
    """

    def __init__(self, path: str) -> None:
        self.source = File(path)
        self._files = ExitStack()
        self._files.callback(self.source.close)
        try:
            self.header = elf.read_header(self.source)
            self.arch: Arch = find_by_elf(self.header.identity)
            self._loads = elf.loads(self.source, self.header)
        except BaseException:
            self.source.close()
            raise

    @property
    def name(self) -> str:
        """Its path."""
        return self.source.name

    @cached_property
    def symbols(self) -> ElfSymbols:
        """Its symbols where they were linked; of a stripped file, those of its kernel.debug.

        Without that the few that the kernel linker needs.  Errors: SymbolMissing where there is no
        symbol at all.
        """
        try:
            own = read_symbols(self.source, self.header)
        except SymbolMissing:
            found = self._debug_symbols()
            if found is None:
                raise
            return found
        return own if own.complete else self._debug_symbols() or own

    def _debug_symbols(self) -> ElfSymbols | None:
        for file in debug_files(self.source, []):
            self._files.callback(file.close)
            with suppress(KvmError):
                return read_symbols(file)
        return None

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Where it was linked to lie."""
        return tuple(Segment(one.virtual, one.physical, one.memory_size) for one in self._loads)

    @property
    def build_note(self) -> tuple[int | None, bytes]:
        """Where the note with its build id was linked to lie, and the note; None, and none."""
        section = elf.named(elf.sections(self.source, self.header), elf.BUILD_ID)
        if section is None or not section.flags & elf.SHF_ALLOC:
            return None, b""
        return section.address, elf.contents(self.source, self.header, section, LONGEST_NOTE)

    def address(self, name: str) -> int | None:
        """The link-time address of just that name; None where there is none."""
        return self.symbols.address(name)

    def read(self, address: int, length: int) -> bytes:
        """Bytes of the file at a link-time address; short, or none, where it has no more."""
        for one in self._loads:
            at = address - one.virtual
            if 0 <= at < one.file_size:
                return self.source.read(one.offset + at, min(length, one.file_size - at))
        return b""

    def close(self) -> None:
        """Give the files back."""
        self._files.close()
