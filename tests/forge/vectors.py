"""What is written in tests/vectors?  Page tables and their answers, as text.

A file has ``paging WORDS``, ``root ADDRESS``, entries ``TABLE[INDEX] = ENTRY`` and answers:
``VA -> PA SIZE rwx``, or ``VA -> fault LEVEL`` (1 is the last table).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}
ENTRY = re.compile(r"(\w+)\[(\d+)\] = (\w+)")
MAPPED = re.compile(r"(\w+) -> (\w+) (\d+)([KMGT]) ([r-][w-][x-])")
FAULT = re.compile(r"(\w+) -> fault (\d)")


class Answer(NamedTuple):
    """A page, and what may be done with it (``rw-``)."""

    va: int
    pa: int
    size: int
    rights: str


@dataclass
class Vector:
    """One file's contents; ``paging``: the words that say which form it is."""

    paging: tuple[str, ...] = ()
    root: int = 0
    entries: list[tuple[int, int, int]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    faults: list[tuple[int, int]] = field(default_factory=list)

    def memory(self, width: int, order: str) -> tuple[int, bytes]:
        """(address, bytes): the tables, of entries of ``width`` bytes, with zeros after them."""
        low = min(at for at, _, _ in self.entries)
        high = max(at for at, _, _ in self.entries) + (1 << 18)
        ram = bytearray(high - low)
        for at, index, entry in self.entries:
            start = at + index * width - low
            ram[start : start + width] = entry.to_bytes(width, order)
        return low, bytes(ram)


def load(path: Path) -> Vector:
    """Parse a file; every line must be understood."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    vector = Vector(tuple(lines[0].split()[1:]), int(lines[1].removeprefix("root "), 16))
    for line in lines[2:]:
        if found := ENTRY.fullmatch(line):
            vector.entries.append((int(found[1], 16), int(found[2]), int(found[3], 16)))
        elif found := MAPPED.fullmatch(line):
            va, pa, number, unit, rights = found.groups()
            vector.answers.append(
                Answer(int(va, 16), int(pa, 16), int(number) << UNITS[unit], rights)
            )
        else:
            found = FAULT.fullmatch(line)
            assert found, line
            vector.faults.append((int(found[1], 16), int(found[2])))
    return vector
