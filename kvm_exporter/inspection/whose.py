"""Whose copy is it that lies behind a pointer?  A CPU's, if those of all CPUs are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Whose(NamedTuple):
    """``offset`` bytes into a CPU's copy, or (None) into what the pointer itself leads to."""

    cpu: int | None
    offset: int


def whose(offset: int, others: set[int], distances: Mapping[int, int], mask: int) -> Whose:
    """What is read ``offset`` bytes from a pointer, from which ``others`` are read as well.

    ``distances`` of each CPU's copy from the pointer; all modulo ``mask`` + 1.
    """
    if not any(distances.values()):
        return Whose(None, offset)
    within, cpu = min((offset - one & mask, cpu) for cpu, one in distances.items())
    if all(one + within & mask in others for one in distances.values()):
        return Whose(cpu, within)
    return Whose(None, offset)
