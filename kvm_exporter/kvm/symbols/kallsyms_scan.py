"""Where are the tables of a Linux kernel's symbols, where nobody tells?  Found by what they are.

From scripts/kallsyms.c, write_src():

1. Every table begins at a multiple of a pointer's size.  All are in .rodata, behind the code:

       until 6.3: values, [relative_base], num_syms, names, markers, [seqs_of_names], token_table,
                  token_index
       since 6.4: num_syms, names, markers, token_table, token_index, values, [relative_base],
                  seqs_of_names (404bad70fcf7)

2. The token of a character that names use is that character.  So the table of tokens has the ten
   digits, one behind the other; and token_index has the place of each of its 256 texts.
3. ``markers`` are where every 256th name starts, from 0 on: words of 32 bits since 4.20
   (80ffbaa5b1bd), longs before.  Names lie right before them, and before these their count, in as
   many bytes as a pointer has.
4. Where values are follows from the count.  Which form they have is for the caller to find out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, FormatError, SymbolMissing
from kvm_exporter.kvm.memory import Memory, before, exactly, occurrences
from kvm_exporter.kvm.symbols.kallsyms_names import LONGEST_TOKEN, TOKENS, lengths, read_tokens
from kvm_exporter.kvm.symbols.kallsyms_tables import MOST_SYMBOLS, Tables
from kvm_exporter.kvm.symbols.kallsyms_values import Column, Form

DIGITS = b"".join(b"%d\0" % digit for digit in range(10))

MOST_SCANNED = 1 << 27
"""Bytes that are searched; a kernel with all its checks on has 80 MB of code."""

WINDOWS = 1 << 22, 1 << 25
"""Bytes before the tokens that have names and markers: a kernel's 2 MB, or many more."""

ZERO = bytes(4)
MOST_ZEROS = 1 << 16
"""Words that may be the first marker; of a kernel's, a few hundred are looked at."""

MOST_MARKED = 1 << 6
"""Places with markers that names are looked for before; in a kernel one of the first has them."""

MOST_TOKENS = 16
"""Tables of tokens; a kernel has one."""

STEP = 256
"""Names from marker to marker."""

LONGEST = 515
"""Bytes of a name and its length (KSYM_NAME_LEN is 512)."""


def find_tables(memory: Memory, abi: Abi, start: int) -> Iterator[Tables]:
    """Whatever looks like kallsyms in the kernel whose code begins at ``start``.

    Errors: SymbolMissing where nothing does.
    """
    found = False
    digits = occurrences(memory, start, MOST_SCANNED, DIGITS)
    known = (_tokens_around(memory, abi, address) for address in digits)
    for tokens in islice(filter(None, known), MOST_TOKENS):
        tables = _tables(memory, abi, start, tokens)
        if tables:
            found = True
            yield tables
    if not found:
        raise SymbolMissing(
            f"no kallsyms within {MOST_SCANNED:#x} bytes from {start:#x}: the kernel was built "
            "without CONFIG_KALLSYMS, or the core lacks its pages; name its vmlinux"
        )


class _Tokens(NamedTuple):
    """Where the table of tokens is, and that of their places."""

    table: int
    places: int


def _tokens_around(memory: Memory, abi: Abi, digits: int) -> _Tokens | None:
    """The table of tokens that has the digits there (rule 2); None where there is none."""
    size = (TOKENS - ord("0")) * LONGEST_TOKEN
    try:
        data = memory.read(digits, size)
        end = _behind_texts(data, TOKENS - ord("0"))
        index_at = _aligned(digits + end, abi)
        index = struct.unpack(f"{abi.order}{TOKENS}H", exactly(memory, index_at, 2 * TOKENS))
        table = digits - index[ord("0")]
        texts = exactly(memory, table, digits + end - table)
        tokens = read_tokens(texts, index)
    except (Fault, FormatError):
        return None
    right = texts == b"".join(token + b"\0" for token in tokens)
    return _Tokens(table, index_at) if right else None


def _behind_texts(data: bytes, count: int) -> int:
    at = 0
    for _ in range(count):
        at = data.find(b"\0", at, at + LONGEST_TOKEN) + 1
        if not at:
            raise FormatError("not as many texts")
    return at


def _aligned(address: int, abi: Abi) -> int:
    return address + -address % abi.pointer_size


def _tables(memory: Memory, abi: Abi, start: int, tokens: _Tokens) -> Tables | None:
    for size in WINDOWS:
        window = _Window(memory, abi, tokens.table, min(size, tokens.table - start))
        for count, names in window.names():
            columns = tuple(_columns(abi, count, names, tokens))
            return Tables(count, names, tokens.table, tokens.places, columns)
    return None


def _columns(abi: Abi, count: int, names: int, tokens: _Tokens) -> Iterator[Column]:
    """Rule 1's places of values; rule 4."""
    pointer = abi.pointer_size
    size = count * 4 + -count * 4 % pointer
    num_syms = names - pointer
    behind = _aligned(tokens.places + 2 * TOKENS, abi)
    for offsets, base in (
        (num_syms - pointer - size, num_syms - pointer),
        (behind, behind + size),
    ):
        yield Column(Form.OFFSETS, offsets, base)
        yield Column(Form.PERCPU_OFFSETS, offsets, base)
    yield Column(Form.ADDRESSES, num_syms - count * pointer)
    yield Column(Form.ADDRESSES, behind)
    yield Column(Form.SELF_OFFSETS, behind)


class _Window:
    """The memory right before the tokens, up to ``size`` bytes of it."""

    def __init__(self, memory: Memory, abi: Abi, end: int, size: int) -> None:
        self._abi = abi
        self._data = before(memory, end, size)
        self._start = end - len(self._data)

    def names(self) -> Iterator[tuple[int, int]]:
        """The count of names and their address, of each place that has markers behind (rule 3)."""
        for at, markers in islice(self._marked(), MOST_MARKED):
            # what follows the last one may look like one more
            for number in range(len(markers), max(len(markers) - 2, 1), -1):
                yield from self._names_before(at, markers[:number])

    def _marked(self) -> Iterator[tuple[int, list[int]]]:
        """Each place of two markers or more, and these."""
        words = [struct.Struct(self._abi.order + code) for code in "IQ"]
        for at in islice(self._zeros(), MOST_ZEROS):
            for word in words[: self._abi.pointer_size // 4]:
                markers = self._markers(at, word)
                if len(markers) > 1:
                    yield at, markers

    def _zeros(self) -> Iterator[int]:
        """Where words of 32 bits are 0, the last one first."""
        at = self._data.rfind(ZERO)
        while at >= 0:
            at -= (self._start + at) % len(ZERO)
            if self._data.startswith(ZERO, max(at, 0)):
                yield at
            at = self._data.rfind(ZERO, 0, max(at + len(ZERO) - 1, 0))

    def _markers(self, at: int, word: struct.Struct) -> list[int]:
        """The words from ``at`` on that may be markers; none where the first is not 0."""
        found: list[int] = []
        least = most = 0
        for place in range(at, len(self._data) - word.size + 1, word.size):
            (value,) = word.unpack_from(self._data, place)
            if not least <= value <= most:
                break
            found.append(value)
            least, most = value + 2 * STEP, value + LONGEST * STEP
        return found

    def _names_before(self, at: int, markers: Sequence[int]) -> Iterator[tuple[int, int]]:
        """The count and address of the names that end before ``at`` and have these markers."""
        pointer, last = self._abi.pointer_size, markers[-1]
        before = (len(markers) - 1) * STEP
        first = at - last - 1
        first -= (self._start + first) % pointer
        for names in range(first, max(first - LONGEST * STEP, pointer - 1), -pointer):
            # one of the two words of a count of 64 bits is 0
            count = sum(self._words(names - pointer, pointer // 4))
            if before < count <= min(before + STEP, MOST_SYMBOLS) and self._ends(
                names + last, count - before, at
            ):
                yield count, self._start + names

    def _words(self, at: int, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f"{self._abi.order}{count}I", self._data, at)

    def _ends(self, at: int, count: int, stop: int) -> bool:
        """Whether ``count`` names from ``at`` on end right before ``stop``."""
        try:
            *_, end = lengths(self._data[at:stop], count)
        except FormatError:
            return False
        return stop - at - end < self._abi.pointer_size
