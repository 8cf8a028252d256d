"""How does /proc tell times of the kernel's?  In whole ticks, of which a second has 100."""

from __future__ import annotations

USER_HZ = 100
TICK = 1_000_000_000 // USER_HZ
"""Nanoseconds of a tick, on every architecture that there is here
(include/uapi/asm-generic/param.h)."""


def seconds(nanoseconds: int) -> float:
    """Seconds of whole ticks (nsec_to_clock_t())."""
    return nanoseconds // TICK / USER_HZ
