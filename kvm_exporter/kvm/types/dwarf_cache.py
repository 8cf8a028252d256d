"""Where is the index of a kernel's DWARF kept?  In the cache directory, named by its build id.

1. The directory is the one given, else ``$XDG_CACHE_HOME/kvm_exporter`` or
   ``~/.cache/kvm_exporter``.  Where it cannot be written, the pass over all DIEs (some seconds) is
   made each time; nothing else is lost.
2. A file is compressed JSON: what it is, the key, and names with their offsets.  The key is the
   build id, or a digest of the abbreviations, and the size of .debug_info: another kernel's index,
   a damaged one and one of another version do not match and are made anew.
3. It is written under another name first, for its owner only (mode 0600), and read only where its
   owner is the reader or root.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
import zlib
from typing import Final

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.types.dwarf_file import DwarfFile
from kvm_exporter.kvm.types.dwarf_scan import Names, Progress, scan

VERSION: Final = "kvm_exporter DWARF index 1"
LARGEST = 1 << 26
"""Bytes of an index, decompressed; a kernel's has some 2 MB."""


def kept_names(
    file: DwarfFile, directory: str | None = None, progress: Progress | None = None
) -> Names:
    """The index of ``file``: read where it is kept, else made and kept."""
    key: list[str | int] = [VERSION, file.identity, file.size]
    path = os.path.join(directory or _directory(), f"{file.identity}.dwarf.kvmidx")
    found = _load(path, key)
    if found is None:
        found = scan(file, progress)
        with contextlib.suppress(OSError):
            _keep(path, key, found)
    return found


def _directory() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "kvm_exporter")


def _load(path: str, key: list[str | int]) -> Names | None:
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            return None
        with File(path) as file:
            data = zlib.decompressobj().decompress(file.read(0, LARGEST), LARGEST)
        found, types, variables = json.loads(data)
        return Names(_offsets(types), _offsets(variables)) if found == key else None
    except (OSError, KvmError, ValueError, TypeError, RecursionError, zlib.error):
        return None  # not there, or damaged: it is made anew


def _offsets(names: object) -> dict[str, int]:
    if not isinstance(names, dict) or not all(type(at) is int for at in names.values()):
        raise FormatError("an index of DWARF that holds no offsets")
    return names


def _keep(path: str, key: list[str | int], names: Names) -> None:
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    data = zlib.compress(json.dumps([key, names.types, names.variables]).encode(), 1)
    fd, draft = tempfile.mkstemp(".kvmidx", ".", folder)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise
