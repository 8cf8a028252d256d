"""What may a dead Linux's VMCOREINFO tell?  The questions that the objects ask it."""

from __future__ import annotations

from typing import Protocol


class Told(Protocol):
    """VMCOREINFO, as vmcore/vmcoreinfo.py reads it; None is what it does not tell."""

    def value(self, key: str) -> str | None:
        """What stands behind ``KEY=``."""

    def number(self, name: str) -> int | None:
        """A constant's or a variable's value."""

    def offset(self, path: str) -> int | None:
        """Bytes from a struct's start to a member: ``list_head.next``."""

    def size(self, name: str) -> int | None:
        """Bytes of a type."""
