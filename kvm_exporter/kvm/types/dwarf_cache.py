"""Where is the index of a kernel's DWARF kept?  In the cache directory, named by its build id.

1. The directory is that of kept.py.  Where it cannot be written, the pass over all DIEs (some
   seconds) is made each time.
2. A file is compressed JSON: what it is, the key, and names with their offsets.  The key is the
   build id, or a digest of the abbreviations, and the size of .debug_info: another kernel's index,
   a damaged one and one of another version do not match and are made anew.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import Final

from kvm_exporter.kvm import kept
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.types.dwarf_file import DwarfFile
from kvm_exporter.kvm.types.dwarf_scan import Names, Progress, scan

VERSION: Final = "kvm_exporter DWARF index 2"
LARGEST = 1 << 26
"""Bytes of an index, decompressed; a kernel's has some 2 MB."""


def kept_names(
    file: DwarfFile, directory: str | None = None, progress: Progress | None = None
) -> Names:
    """The index of ``file``: read where it is kept, else made and kept."""
    key: list[str | int] = [VERSION, file.identity, file.size]
    path = os.path.join(kept.cache_directory(directory), f"{file.identity}.dwarf.kvmidx")
    found = _load(path, key)
    if found is None:
        found = scan(file, progress)
        _keep(path, key, found)
    return found


def _load(path: str, key: list[str | int]) -> Names | None:
    data = kept.load(path, LARGEST)
    if data is None:
        return None
    try:
        found, *offsets = json.loads(zlib.decompressobj().decompress(data, LARGEST))
        types, variables, bare = map(_offsets, offsets)
        return Names(types, variables, bare) if found == key else None
    except (FormatError, ValueError, TypeError, RecursionError, zlib.error):
        return None  # damaged: it is made anew


def _offsets(names: object) -> dict[str, int]:
    if not isinstance(names, dict) or not all(type(at) is int for at in names.values()):
        raise FormatError("an index of DWARF that holds no offsets")
    return names


def _keep(path: str, key: list[str | int], names: Names) -> None:
    told = [key, names.types, names.variables, names.bare]
    kept.keep(path, zlib.compress(json.dumps(told).encode(), 1))
