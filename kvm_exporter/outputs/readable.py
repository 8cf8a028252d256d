"""How does a name that is not UTF-8 read, where only UTF-8 may be sent?

Python holds a byte that could not be decoded as a lone surrogate (PEP 383); no output may send
one.  Byte 0xff reads as ``\\xff``, as in C, any other lone surrogate as ``\\ud800``.  Two such
names stay two names, as they would not behind one replacement character.
"""

from __future__ import annotations

UNDECODABLE = {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)} | {
    0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)
}
"""Each surrogate's code point and how it reads, for ``str.translate``."""


def readable(text: str) -> str:
    """The text with no surrogate in it; nearly always the text itself."""
    return text if text.isascii() else text.translate(UNDECODABLE)
