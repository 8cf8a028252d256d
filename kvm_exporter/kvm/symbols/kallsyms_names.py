"""What are the names of a Linux kernel's symbols?  Those of its kallsyms, which are compressed.

From scripts/kallsyms.c and kernel/kallsyms.c of Linux:

1. A name is a length and that many bytes, each the number of a token; the tokens together are the
   letter of nm(1) and the name.  Since Linux 6.1 a length above 127 has two bytes, the lower seven
   bits first, the highest bit of the first one set (73bbb94466fd).
2. There are 256 tokens, texts that end in a NUL; where each of them starts is in an array of 256
   numbers of 16 bits.
3. All names are expanded in one go, as text: a byte is a character that its token replaces, a
   length one that a NUL does.  That takes half the time that a loop over names takes.
4. To find one of a name, its checksum is looked for in the column of these, which takes 0.1 ms
   each; a column sorted by name would take 50 ms to make.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from operator import add
from zlib import crc32

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.nm import is_external
from kvm_exporter.kvm.remembered import Remembered
from kvm_exporter.kvm.symbols.symtab import numbers_of

TOKENS = 256

LONGEST_TOKEN = 512
"""Bytes of a token, its NUL included; KSYM_NAME_LEN bounds a whole name so."""

MOST_TEXT = 1 << 26
"""Bytes of all names; a kernel has 2 MB to 10 MB."""

PIECE = 1 << 16
"""Bytes that are expanded together: 32 MB at most, whatever the tokens are."""

MOST_ALIKE = 1 << 12
"""Symbols with one checksum that are looked at."""

MOST_KNOWN = 1 << 12
"""Remembered answers; then all are forgotten."""

_LENGTH, _MORE = 1, 2
"""Marks of the bytes of lengths (rule 1): what replaces them is no token."""


class Names:
    """Names by number, in the order of their addresses.

    ``text`` has each letter and name, with a NUL behind it; ``offsets`` where each of them starts
    there, and where the last ends; ``checksums`` the CRC-32 of each name, words of the host.
    """

    def __init__(self, text: bytes, offsets: Sequence[int], checksums: bytes) -> None:
        self.text = text
        self.offsets = offsets
        self.checksums = checksums
        self._known: Remembered[bytes, int | None] = Remembered(MOST_KNOWN)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def letter(self, number: int) -> int:
        """The letter of nm(1), as a byte."""
        return self.text[self.offsets[number]]

    def name(self, number: int) -> bytes:
        """The name, without its letter."""
        return self.text[self.offsets[number] + 1 : self.offsets[number + 1] - 1]

    def find(self, name: bytes) -> int | None:
        """The number of the symbol of just that name (nm.py's rule 2); None where there is none."""
        return self._known.of(name, self._search)

    def _search(self, name: bytes) -> int | None:
        numbers = self._all(name)
        first = next(numbers, None)
        if first is None or is_external(self.letter(first)):
            return first
        return next((one for one in numbers if is_external(self.letter(one))), first)

    def _all(self, name: bytes) -> Iterator[int]:
        ended = name + b"\0"
        alike = numbers_of(self.checksums, struct.pack("=I", crc32(name)))
        for number in islice(alike, MOST_ALIKE):
            if self.text.startswith(ended, self.offsets[number] + 1):
                yield number


def read_tokens(table: bytes, index: Sequence[int]) -> list[bytes]:
    """The tokens of rule 2.  Errors: FormatError where there is none at one of the places."""
    tokens = []
    for at in index:
        end = table.find(b"\0", at, at + LONGEST_TOKEN)
        if end < 0:
            raise FormatError(f"kallsyms_token_table: no token at {at} of {len(table)} bytes")
        tokens.append(table[at:end])
    return tokens


def lengths(packed: bytes, count: int) -> tuple[list[int], list[int], int]:
    """Where ``count`` names start, where such lengths have a second byte, and where the last ends.

    Errors: FormatError where there are not as many.
    """
    starts: list[int] = []
    seconds: list[int] = []
    at = 0
    append = starts.append
    try:
        for _ in range(count):
            append(at)
            length = packed[at]
            if length > 0x7F:
                at += 1
                seconds.append(at)
                length = length & 0x7F | (packed[at] & 0x7F) << 7
            at += length + 1
    except IndexError:
        at = len(packed) + 1
    if at > len(packed):
        raise FormatError(f"kallsyms_names: {len(starts)} of {count} names in {len(packed)} bytes")
    return starts, seconds, at


def read_names(packed: bytes, count: int, tokens: Sequence[bytes]) -> Names:
    """The first ``count`` names of ``packed``.

    Errors: FormatError where there are not as many, or they are absurdly long.
    """
    starts, seconds, end = lengths(packed, count)
    # UTF-16: every other byte is a mark
    wide = bytearray(2 * end)
    wide[::2] = packed[:end]
    for at in starts:
        wide[2 * at + 1] = _LENGTH
    for at in seconds:
        wide[2 * at + 1] = _MORE
    text = _expanded(wide, tokens)[1:] + b"\0"
    return _columns(text, count)


def _expanded(wide: bytearray, tokens: Sequence[bytes]) -> bytes:
    """The text, with a NUL before each name."""
    replaced: dict[int, str | None] = {
        number: token.decode("latin-1") for number, token in enumerate(tokens)
    }
    replaced |= dict.fromkeys(range(_LENGTH << 8, _MORE << 8), "\0")
    replaced |= dict.fromkeys(range(_MORE << 8, (_MORE + 1) << 8))
    parts = []
    left = MOST_TEXT
    for at in range(0, len(wide), 2 * PIECE):
        part = wide[at : at + 2 * PIECE].decode("utf-16-le").translate(replaced)
        left -= len(part)
        if left < 0:
            raise FormatError(f"kallsyms_names: more than {MOST_TEXT} bytes of names")
        parts.append(part.encode("latin-1"))
    return b"".join(parts)


def _columns(text: bytes, count: int) -> Names:
    entries = text.split(b"\0", count)[:count]
    offsets = array("I", [0])
    offsets.extend(map(add, accumulate(map(len, entries)), range(1, count + 1)))
    checksums = array("I", [crc32(entry[1:]) for entry in entries])
    return Names(text, offsets, checksums.tobytes())
