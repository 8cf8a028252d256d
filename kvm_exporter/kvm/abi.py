"""How does a machine lay out words?  Its byte order and the width of a pointer."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Abi:
    """``order`` as in the struct module; ``pointer`` and ``long`` are ``pointer_size`` bytes."""

    order: Literal["<", ">"]
    pointer_size: Literal[4, 8]

    @property
    def pointer(self) -> str:
        """The struct module's code of an address, without the order."""
        return "Q" if self.pointer_size == 8 else "I"

    @property
    def address_mask(self) -> int:
        """All bits of an address: sums and differences of addresses are taken modulo this + 1."""
        return (1 << 8 * self.pointer_size) - 1

    @property
    def byteorder(self) -> Literal["little", "big"]:
        """As int.from_bytes wants it."""
        return "little" if self.order == "<" else "big"


NATIVE: Final = Abi(
    "<" if sys.byteorder == "little" else ">", 8 if struct.calcsize("P") == 8 else 4
)
"""That of this program."""
