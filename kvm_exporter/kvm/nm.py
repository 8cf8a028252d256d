"""What does a letter of nm(1) say of a symbol?  As Linux's kallsyms has them, for nlist(3)'s types.

1. An upper-case letter is an external symbol's: a global or weak one of the kernel's, an exported
   one of a module's.
2. Of several symbols of one name an external one comes first, then the one at the lowest address.
3. Linux has no type for what is absolute but ``A``: on x86-64 that is also every per-CPU variable
   of kernels before 6.15, as its address is its offset in each CPU's area.
"""

from __future__ import annotations

N_EXT, N_ABS, N_TEXT, N_DATA, N_BSS = 1, 2, 4, 6, 8
"""n_type of struct nlist (a.out.h)."""

_TYPES = {
    "A": N_ABS,
    "B": N_BSS,
    "D": N_DATA,
    "G": N_DATA,
    "R": N_DATA,
    "S": N_BSS,
    "T": N_TEXT,
    "V": N_DATA,
    "W": N_TEXT,
}


def is_external(letter: int) -> bool:
    """Rule 1; ``letter`` is a byte."""
    return 0x41 <= letter <= 0x5A


def _nlist_type(letter: int) -> int:
    return _TYPES.get(chr(letter).upper(), N_ABS) | (N_EXT if is_external(letter) else 0)


NLIST_TYPES = tuple(map(_nlist_type, range(256)))
"""n_type by letter, as a byte: the section's, and N_EXT."""
