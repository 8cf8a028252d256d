"""How often did a running kernel say no?  Counted by source and errno, never logged here."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Mapping


class Tally:
    """Refused and failed reads of one handle, by (source, errno name)."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, source: str, error: int | None) -> None:
        """Count one failure of ``source`` (``proc io``, ``kern.proc.env``) with errno ``error``."""
        self._counts[source, errno.errorcode.get(error or 0, "unknown")] += 1

    def counts(self) -> Mapping[tuple[str, str], int]:
        """A copy: (source, errno name) → failures since the handle was opened."""
        return dict(self._counts)
