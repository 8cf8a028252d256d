"""How are the types of a file with DWARF opened?  Its names indexed, or read where that is kept."""

from __future__ import annotations

from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.types.dwarf import Dwarf
from kvm_exporter.kvm.types.dwarf_cache import kept_names
from kvm_exporter.kvm.types.dwarf_file import DwarfFile
from kvm_exporter.kvm.types.dwarf_scan import Progress
from kvm_exporter.kvm.types.origin import Origin


def open_dwarf(file: Source, cache_directory: str | None, progress: Progress | None) -> Origin:
    """The types of ``file``; TypeMissing where it has no DWARF, and as DwarfFile."""
    dwarf = DwarfFile(file)
    names = kept_names(dwarf, cache_directory, progress)
    words = f"DWARF of {file.name}, {len(names.types)} named types"
    return Origin(Dwarf(dwarf, names), words, file)
