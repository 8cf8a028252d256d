"""How does an error say it?  English around C's names."""

from __future__ import annotations

import re

from kvm_exporter.kvm.expressions.language.type_syntax import RESERVED

PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*", re.ASCII)
VOWEL = re.compile(r"[aeio]|un")
"""How ``int``, ``enum``, ``unsigned`` begin; ``u_int`` and ``union`` do not sound so."""


def indefinite(type_: str) -> str:
    """A type's name with its article: ``a struct proc``, ``an int``."""
    article = "an" if VOWEL.match(type_) and not type_.startswith("union ") else "a"
    return f"{article} {type_}"


def quoted(name: str) -> str:
    """A name as an expression has it: between backquotes if C would not take it (``x.0``)."""
    return name if PLAIN.fullmatch(name) and name not in RESERVED else f"`{name}`"
