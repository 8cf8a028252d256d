"""How does an error say it?  English around C's names."""

from __future__ import annotations

import re

VOWEL = re.compile(r"[aeio]|un")
"""How ``int``, ``enum``, ``unsigned`` begin; ``u_int`` and ``union`` do not sound so."""


def indefinite(type_: str) -> str:
    """A type's name with its article: ``a struct proc``, ``an int``."""
    article = "an" if VOWEL.match(type_) and not type_.startswith("union ") else "a"
    return f"{article} {type_}"
