"""What a core says of its kernel, as symbols/kallsyms_tables.py's Told has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Told:
    """SYMBOL() lines, BUILD-ID and OSRELEASE."""

    symbols: Mapping[str, int] = field(default_factory=dict)
    build_id: str | None = None
    release: str | None = "6.1.0-forged"

    def symbol(self, name: str) -> int | None:
        return self.symbols.get(name)
