"""What do the module files of network protocols answer to a kernel whose counters are forged?

Every counter of every network stack counts something else, and that on several CPUs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fakes.module_files import expected
from forge.cdecl import size_of
from forge.counting import Counting
from forge.protocols import STRUCTS

STACKS = {"": 1_000_000, "web": 3_000_000}
"""Jails with a network stack, and what their first CPU counts at least."""

CPUS = (0, 2, 5)
OTHERS = (1 << 32, 7)
"""What the first CPU counts is told by the stack and the counter; these the others."""

SPARE = 99
"""What counters count that nobody asks for."""


class Protocols:
    """A kernel with network stacks that count; ``text`` declares their structs."""

    def __init__(self, machine: str, text: str = STRUCTS) -> None:
        self.kernel = Counting(machine, cpus=CPUS, jails={"web": 4})
        self.kernel.declare(text)
        self._c = self.kernel.c
        self._order = "little" if self._c.abi.order == "<" else "big"
        self._sums: dict[tuple[str, str], list[int]] = {}

    def count(self, struct: str, members: Iterable[str]) -> None:
        """A struct's counters, of which those of ``members`` differ."""
        spans = [self._span(f"{struct}.{member}") for member in members]
        own = sorted({at // 8 for start, stop in spans for at in range(start, stop)})
        self.array(struct, self._c.size(f"struct {struct}") // 8, own)

    def array(self, name: str, count: int, own: Iterable[int]) -> None:
        """A VNET array of counters, of which ``own`` differ."""
        pointers = {stack: self._forged(name, stack, count, list(own)) for stack in STACKS}
        self.kernel.vnet(f"counter_u64_t {name}[{count}]", pointers)

    def told(self, table: Iterable[tuple[str, str]]) -> dict[str, int | float]:
        """Each series with the value of its ``struct.member``, of each stack."""
        rows = (row for series, member in table for row in self._rows(series, member))
        return expected("\n".join(rows))

    def value(self, stack: str, member: str) -> int:
        """As the sysctl has it: the sums of all counters in a row, seen as the struct."""
        start, stop = self._span(member)
        sums = self._sums[member.partition(".")[0], stack]
        data = b"".join(one.to_bytes(8, self._order) for one in sums)
        return int.from_bytes(data[start:stop], self._order)

    def sums(self, name: str, stack: str) -> list[int]:
        """What each counter of an array amounts to."""
        return self._sums[name, stack]

    def _span(self, member: str) -> tuple[int, int]:
        struct, _, path = member.partition(".")
        place = self._c.place(f"struct {struct}", path)
        return place.offset, place.offset + size_of(place.type)

    def _rows(self, series: str, member: str) -> Iterator[str]:
        name, _, labels = series.rstrip("}").partition("{")
        for stack in STACKS:
            given = sorted([*filter(None, labels.split(",")), f'jail="{stack}"'])
            yield f"{name}{{{','.join(given)}}} {self.value(stack, member)}"

    def _forged(self, name: str, stack: str, count: int, own: list[int]) -> list[int]:
        """Pointers to counters; what these amount to is remembered."""
        block = f"counters_{len(self._sums)}"
        self.kernel.declare(f"struct {block} {{ uint64_t each[{len(own)}]; }};")
        rows = [[STACKS[stack] + at for at in own], *([other] * len(own) for other in OTHERS)]
        start = self.kernel.allocation(f"struct {block}", [{"each": row} for row in rows])
        pointers = [self.kernel.counter([SPARE, 0, 0])] * count
        sums = [SPARE] * count
        for place, at in enumerate(own):
            pointers[at] = start + 8 * place
            sums[at] = sum(row[place] for row in rows)
        self._sums[name, stack] = sums
        return pointers


def rows(text: str, struct: str = "") -> list[tuple[str, str]]:
    """Lines of ``series member`` of a struct, as they are written in a test."""
    pairs = (line.split() for line in text.strip().splitlines())
    return [(series, f"{struct}.{member}") for series, member in pairs]
