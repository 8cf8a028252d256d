"""What did every collector say at one instant?"""

from __future__ import annotations

from dataclasses import dataclass

from kvm_exporter.metric import Family


@dataclass(frozen=True, slots=True)
class Part:
    """One collector's families, already cut to its series budget."""

    collector: str
    families: tuple[Family, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All collectors' last word at Unix time ``time_seconds``.

    Self-metrics are the part named ``exporter``.
    """

    time_seconds: float
    parts: tuple[Part, ...]
