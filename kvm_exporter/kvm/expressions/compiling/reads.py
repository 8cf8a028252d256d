"""What does a program read?  Each value of memory once, however many expressions use it."""

from __future__ import annotations

from kvm_exporter.kvm.expressions.program import Read


class Reads:
    """The reads of a program to be, in the order in which they were asked for.

    ``apart``: those of each CPU are read one by one, for who wants to see them (strides.py).
    """

    def __init__(self, *, apart: bool = False) -> None:
        self.apart = apart
        self._numbers: dict[Read, int] = {}
        self._distances: dict[tuple[int, ...], tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, read: Read) -> int:
        """Its number, a new one or that of the same read before."""
        return self._numbers.setdefault(read, len(self._numbers))

    def same(self, distances: tuple[int, ...]) -> tuple[int, ...]:
        """These distances of copies, as the tuple that other reads have: there may be hundreds of
        CPUs, and thousands of reads."""
        return self._distances.setdefault(distances, distances)

    def forget(self, count: int) -> None:
        """Leave only the first ``count``: what followed was for nothing."""
        while len(self._numbers) > count:
            self._numbers.popitem()

    @property
    def all(self) -> tuple[Read, ...]:
        """All of them, by their numbers."""
        return tuple(self._numbers)
