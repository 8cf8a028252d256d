"""Which of pieces that were written one over another is seen where?  The last one written.

Millions of them are no rarity, so they are kept as numbers in arrays.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Piece(NamedTuple):
    """``length`` bytes for ``start`` of the whole, which lie at ``place``."""

    start: int
    place: int
    length: int


class Pieces:
    """Pieces in the order in which they were added."""

    def __init__(self, pieces: Iterable[Piece] = ()) -> None:
        self.starts = array("Q")
        self.places = array("Q")
        self.lengths = array("Q")
        for piece in pieces:
            self._add(piece)

    def _add(self, piece: Piece) -> None:
        self.starts.append(piece.start)
        self.places.append(piece.place)
        self.lengths.append(piece.length)

    def in_order(self) -> Pieces:
        """What is seen of them where later ones lie over earlier ones: apart, by rising start."""
        order = array("Q", sorted(range(len(self.starts)), key=self.starts.__getitem__))
        apart = self._apart(order)
        return Pieces(map(self._piece, order) if apart else _joined(self._seen(order)))

    def _piece(self, number: int) -> Piece:
        return Piece(self.starts[number], self.places[number], self.lengths[number])

    def _apart(self, order: array[int]) -> bool:
        reached = 0
        for number in order:
            start = self.starts[number]
            if start < reached:
                return False
            reached = start + self.lengths[number]
        return True

    def _seen(self, order: array[int]) -> Iterator[Piece]:
        """Where pieces start or end, another one may be seen: of those there, the last written."""
        at = waiting = 0
        there: list[int] = []
        while there or waiting < len(order):
            if not there:
                at = self.starts[order[waiting]]
            while waiting < len(order) and self.starts[order[waiting]] <= at:
                heapq.heappush(there, -order[waiting])
                waiting += 1
            start, place, length = self._piece(-there[0])
            if start + length <= at:
                heapq.heappop(there)
                continue
            end = start + length
            if waiting < len(order):
                end = min(end, self.starts[order[waiting]])
            yield Piece(at, place + at - start, end - at)
            at = end


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Neighbours that lie side by side as one."""
    last = Piece(0, 0, 0)
    for piece in pieces:
        if last.start + last.length == piece.start and last.place + last.length == piece.place:
            last = last._replace(length=last.length + piece.length)
            continue
        if last.length:
            yield last
        last = piece
    if last.length:
        yield last
