"""How does a kernel's text become a label?  Only what may be shown, and without doubt what it was.

1. A text ends at its first NUL; what lies behind it is not the text's.
2. Printable characters of UTF-8 stand for themselves.  A byte that is not UTF-8, and each byte of a
   character that is not printable (a newline, an escape), is ``\\xNN``.
3. A backslash is doubled: so no two texts look the same.
"""

from __future__ import annotations

BACKSLASH = "\\"


def text(data: bytes) -> str:
    """The text at the beginning of ``data``."""
    found = data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    if found.isprintable() and BACKSLASH not in found:
        return found
    return "".join(map(_shown, found))


def _shown(character: str) -> str:
    if character == BACKSLASH:
        return BACKSLASH * 2
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
