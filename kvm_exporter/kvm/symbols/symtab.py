"""Which symbol of an ELF symbol table has a name?  The bytes of the table are the index.

1. A kernel has 120,000 symbols and is asked for fifty, so nothing is made per symbol: the name is
   searched for in the string table, and its place there in the column of st_name.  Who asks for
   more gets a column of the names' checksums, which takes as long as some twenty such searches.
2. Strings may share their ends (``proc`` lies within ``allproc``), and symbols their string.
   So every place where the name ends a string is looked at.
3. Of several symbols of one name a global one comes before a weak one before a local one, then the
   first in the table: what the running kernel answers, whose linker asks .dynsym first
   (sys/kern/link_elf.c, link_elf_lookup_debug_symbol).
4. Undefined and common symbols are nowhere; section and file symbols are none.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Literal, NamedTuple
from zlib import crc32

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError

STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE = 0, 1, 2, 3, 4
SHN_UNDEF, SHN_ABS, SHN_COMMON = 0, 0xFFF1, 0xFFF2

MOST_SYMBOL_BYTES = 1 << 25
"""Of one table: 1.4 million symbols; a kernel has some 100,000."""

MOST_STRING_BYTES = 1 << 26
"""Of a string table; a kernel has 2 MB to 10 MB."""

MOST_SEARCHES = 16
"""Names searched for in the strings before the checksums are made."""

FEW_PLACES = 4
"""Strings with one ending that are looked at one by one; ``e`` ends some 10,000 of a kernel's."""

MOST_ALIKE = 1 << 12
"""Symbols with one checksum that are looked at: as many have one name at most."""

LONGEST_NAME = 4096
"""Bytes of a name; a longer one is cut off."""

_RANK = {STB_GLOBAL: 0, STB_WEAK: 1, STB_LOCAL: 2}


class Entry(NamedTuple):
    """A symbol as the table has it; ``name`` is its place in the string table."""

    name: int
    value: int
    size: int
    info: int
    section: int

    @property
    def bind(self) -> int:
        """STB_*."""
        return self.info >> 4

    @property
    def type(self) -> int:
        """STT_*."""
        return self.info & 15

    @property
    def found(self) -> bool:
        """Whether it is a symbol with a place (rule 4)."""
        return (
            self.section not in (SHN_UNDEF, SHN_COMMON)
            and self.info & 15 != STT_SECTION
            and self.info & 15 != STT_FILE
        )

    @property
    def rank(self) -> int:
        """The lower, the better: global, weak, local, others (rule 3)."""
        return _RANK.get(self.bind, len(_RANK))


class Form(NamedTuple):
    """One class's Elf_Sym: its struct code, and which of its values is which field of Entry."""

    code: str
    order: tuple[int, ...]
    size: int


FORMS = {
    4: Form("IIIBxH", (0, 1, 2, 3, 4), 16),
    8: Form("IBxHQQ", (0, 3, 4, 1, 2), 24),
}
"""By pointer size (elf(5), Elf32_Sym and Elf64_Sym)."""


class SymbolTable:
    """The symbols in ``entries``, whose names are in ``strings``; FormatError for absurd sizes."""

    def __init__(self, entries: bytes, strings: bytes, abi: Abi) -> None:
        form = FORMS[abi.pointer_size]
        if len(entries) > MOST_SYMBOL_BYTES or len(strings) > MOST_STRING_BYTES:
            raise FormatError(
                f"a symbol table of {len(entries)} and {len(strings)} bytes: at most "
                f"{MOST_SYMBOL_BYTES} and {MOST_STRING_BYTES}"
            )
        self.form = form
        self.abi = abi
        self._entries = entries[: len(entries) - len(entries) % form.size]
        self.strings = strings
        self._searches = 0
        self._decoder = struct.Struct(abi.order + form.code)

    def __len__(self) -> int:
        return len(self._entries) // self.form.size

    def __getitem__(self, index: int) -> Entry:
        """The symbol of that number; index 0 is the empty one."""
        row = self._decoder.unpack_from(self._entries, index * self.form.size)
        return Entry._make([row[at] for at in self.form.order])

    def __iter__(self) -> Iterator[Entry]:
        order = self.form.order
        for row in self._decoder.iter_unpack(self._entries):
            yield Entry._make([row[at] for at in order])

    def name(self, at: int) -> bytes:
        """The string at a place of the string table; empty where there is none."""
        end = self.strings.find(b"\0", at, at + LONGEST_NAME)
        return self.strings[at : end if end >= 0 else at + LONGEST_NAME]

    def is_called(self, entry: Entry, name: bytes) -> bool:
        """Whether a symbol has just that name."""
        return self.strings.startswith(name + b"\0", entry.name)

    def find(self, name: bytes) -> Entry | None:
        """The best symbol of just that name (rule 3); None where there is none."""
        number = self.number(name)
        return None if number is None else self[number]

    def number(self, name: bytes) -> int | None:
        """The number of that symbol."""
        if not name or b"\0" in name:
            return None
        self._searches += 1
        places = self._places(name) if self._searches <= MOST_SEARCHES else None
        numbers: Iterable[int]
        if places is None:
            numbers = self._alike(name)
        else:
            numbers = sorted(number for at in places for number in self._named(at))
        found = [(number, entry) for number in numbers if (entry := self[number]).found]
        best = min(found, key=lambda one: one[1].rank, default=None)
        return best[0] if best else None

    def _places(self, name: bytes) -> list[int] | None:
        """Where the string table has the name, be it at the end of another; None for too many."""
        ended = name + b"\0"
        places: list[int] = []
        at = self.strings.find(ended)
        while at >= 0:
            if len(places) >= FEW_PLACES:
                return None
            places.append(at)
            at = self.strings.find(ended, at + 1)
        return places

    def _named(self, place: int) -> Iterator[int]:
        """The numbers of the symbols whose st_name is ``place``."""
        wanted = struct.pack(self.abi.order + "I", place)
        return islice(numbers_of(self._names, wanted), MOST_ALIKE)

    def _alike(self, name: bytes) -> Iterator[int]:
        """The numbers of the symbols of that name, by their checksums."""
        wanted = struct.pack("=I", crc32(name))
        for number in islice(numbers_of(self._checksums, wanted), MOST_ALIKE):
            if self.is_called(self[number], name):
                yield number

    @cached_property
    def _names(self) -> bytes:
        """The column of st_name, in the file's byte order."""
        return bytes(memoryview(self._entries).cast("I")[:: self.form.size // 4])

    @cached_property
    def _checksums(self) -> bytes:
        """The checksum of each symbol's name; 0 for one that is cut off."""
        strings, find = self.strings, self.strings.find
        ends = ((at, find(b"\0", at, at + LONGEST_NAME)) for at in self.column("I", 0))
        return array("I", [crc32(strings[at:end]) if end >= 0 else 0 for at, end in ends]).tobytes()

    def column(self, code: Literal["I", "Q"], offset: int) -> array[int]:
        """The words (``I`` 4, ``Q`` 8 bytes) that lie ``offset`` bytes within each entry."""
        width = 4 if code == "I" else 8
        words = memoryview(self._entries).cast(code)[offset // width :: self.form.size // width]
        found = array(code, bytes(words))
        if self.abi.byteorder != sys.byteorder:
            found.byteswap()
        return found


def numbers_of(column: bytes, wanted: bytes) -> Iterator[int]:
    """Which of the words of 4 bytes in a column are ``wanted``."""
    at = column.find(wanted)
    while at >= 0:
        if not at % 4:
            yield at // 4
        at = column.find(wanted, at + 1)
