"""What if memory changes while it is looked at?  Each page is read once, and stays as it was."""

from __future__ import annotations

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.memory import PAGE, Memory

MOST_PAGES = 1 << 14
"""64 MiB; what is read after that is not kept."""


class Still:
    """A Memory (memory.py's) whose pages do not change once they have been read."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._pages: dict[int, bytes] = {}
        self.write = memory.write
        self.place = memory.place
        self.close = memory.close

    def read(self, address: int, length: int) -> bytes:
        """As Memory.read."""
        parts: list[bytes] = []
        at, end = address, address + length
        while at < end:
            within = at % PAGE
            try:
                part = self._page(at - within)[within : within + end - at]
            except Fault:
                part = b""
            if not part:
                break
            parts.append(part)
            at += len(part)
        # what a page has that cannot be read whole, and why there is nothing, its memory tells
        return b"".join(parts) or self._memory.read(address, length)

    def _page(self, start: int) -> bytes:
        page = self._pages.get(start)
        if page is None:
            page = self._memory.read(start, PAGE)
            if len(self._pages) < MOST_PAGES:
                self._pages[start] = page
        return page
