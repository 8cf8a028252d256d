"""Where are indexes kept that take long to make, and which of them are believed?

1. In the cache directory: the one given, else ``$XDG_CACHE_HOME/kvm_exporter`` or
   ``~/.cache/kvm_exporter``.
2. One is written under another name first, for its owner only (mode 0600): a reader sees all of it
   or none.  It is read only where its owner is the reader or root.
3. Where nothing can be written, indexes are made each time; nothing else is lost.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.source import File


def cache_directory(given: str | None = None) -> str:
    """The directory of rule 1; it need not be there."""
    if given:
        return given
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "kvm_exporter")


def load(path: str, most: int) -> bytes | None:
    """The first ``most`` bytes of a file; None where none is there, or it is not believed."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            return None
        with File(path) as file:
            return file.read(0, min(file.size, most))
    except (OSError, KvmError, ValueError):
        return None


def keep(path: str, data: bytes) -> None:
    """Write a file (rule 2), or nothing (rule 3)."""
    with contextlib.suppress(OSError, ValueError):
        folder = os.path.dirname(path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        fd, draft = tempfile.mkstemp(".kvmidx", ".", folder)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
            os.replace(draft, path)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            raise
