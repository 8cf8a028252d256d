"""What does /proc/stat say under which word?  (proc_stat(5))"""

from __future__ import annotations

SOURCE = "stat"


def parse(data: bytes) -> dict[bytes, bytes]:
    """First word of a line → the rest; long lines (``intr``) are left unsplit."""
    rows = {}
    for line in data.split(b"\n"):
        word, space, rest = line.partition(b" ")
        if space:
            rows[word] = rest
    return rows
