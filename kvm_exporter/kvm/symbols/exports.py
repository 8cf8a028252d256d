"""Which variables do modules see?  A kernel's table of exported symbols, where kallsyms have none.

1. Without CONFIG_KALLSYMS_ALL kallsyms have functions only.  But what modules may use is exported:
   the kernel's ``__ksymtab`` has a struct kernel_symbol of each, and that is most of what tells of
   processes, CPUs and memory.  A few more are in VMCOREINFO.
2. No symbol leads there.  In a kernel's image tables and then the strings of their names follow
   the code (RO_DATA in include/asm-generic/vmlinux.lds.h).  A name that all kernels export is
   looked for, then the entry that leads to it, then its neighbours.  Linkers may have made one name
   the end of another, so several are tried.
3. An entry has two words of 32 bits, each relative to itself (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS,
   Linux 4.19), or two addresses; since 5.4 a third, of the namespace.  The form that makes the most
   entries is taken, and believed where functions are where kallsyms have them.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import SymbolMissing
from kvm_exporter.kvm.memory import Memory, before, occurrences

ANCHORS = b"init_task", b"filp_close", b"jiffies_64", b"kmem_cache_alloc"
"""Exported since ever (init/init_task.c, fs/open.c, kernel/time/timer.c, mm/slub.c)."""

START, END = b"_stext", b"_etext"
"""Of the kernel's code."""

MOST_SEARCHED = 1 << 26
"""Bytes behind the code."""

MOST_ANCHORS = 16
"""Strings of that name; in a kernel there are two or three."""

REACH = 1 << 20
"""Bytes between an entry and its name; 8,000 exports and their names have some 600 KB."""

MOST_NAMING, MOST_ENTRIES = 4, 1 << 15
"""Entries that lead to one string; entries on either side of one."""

FEWEST = 64
"""Entries of a table; kernels export thousands."""

CHECKED = 256
"""Functions that are compared with kallsyms; all but a few weak ones must agree."""

NAME = re.compile(rb"[A-Za-z_][\w.$]{0,510}\0", re.ASCII)

Find = Callable[[bytes], int | None]


class Form(NamedTuple):
    """``words`` of ``code`` (array) make an entry; ``relative`` to their own place."""

    code: str
    words: int
    relative: bool


def _forms(abi: Abi) -> Iterator[Form]:
    for words in (3, 2):
        yield Form("i", words, relative=True)
        yield Form(abi.pointer, words, relative=False)


def read_exports(memory: Memory, abi: Abi, end: int, known: Find) -> Mapping[bytes, int]:
    """The exported symbols of the kernel whose code ends at ``end``; ``known`` finds functions.

    Errors: SymbolMissing where no table is found.
    """
    for name in ANCHORS:
        found = occurrences(memory, end, MOST_SEARCHED, b"\0%s\0" % name)
        for nul in islice(found, MOST_ANCHORS):
            region = _Region(memory, abi, nul + 1)
            best = max((region.table(form) for form in _forms(abi)), key=len)
            if len(best) >= FEWEST and _agree(best, known):
                return best
    raise SymbolMissing("the kernel's table of exported symbols was not found in its memory")


def _agree(table: Mapping[bytes, int], known: Find) -> bool:
    """Whether functions are where they are known to be; ARM's have their lowest bit set."""
    pairs = ((value, known(name)) for name, value in table.items())
    both = list(islice(((one, other) for one, other in pairs if other is not None), CHECKED))
    same = sum(one in (other, other | 1) for one, other in both)
    return same * 10 >= len(both) * 9


class Exports:
    """The variables of a kernel whose kallsyms have none, found at the first question.

    ``told`` is what VMCOREINFO has of a name.
    """

    def __init__(self, memory: Memory, abi: Abi, told: Callable[[str], int | None]) -> None:
        self._memory = memory
        self._abi = abi
        self._told = told
        self._table: Mapping[bytes, int] | None = None

    def find(self, name: bytes, known: Find) -> int | None:
        """Where it is; None for what is not exported, and for a kernel that tells by itself."""
        if known(ANCHORS[0]) is not None:
            return None
        told = self._told(name.decode("utf-8", "surrogateescape"))
        return self._exported(known).get(name) if told is None else told

    def _exported(self, known: Find) -> Mapping[bytes, int]:
        if self._table is None:
            self._table = {}
            end = known(END) or known(START)
            if end is not None:
                with suppress(SymbolMissing):
                    self._table = read_exports(self._memory, self._abi, end, known)
        return self._table


class _Region:
    """Memory around a name: tables before it, names on both sides."""

    def __init__(self, memory: Memory, abi: Abi, anchor: int) -> None:
        self._abi = abi
        self._anchor = anchor
        self._before = before(memory, anchor & -8, REACH)
        self._base = (anchor & -8) - len(self._before)
        self._data = self._before + memory.read(anchor & -8, REACH)

    def table(self, form: Form) -> dict[bytes, int]:
        """The entries of that form around the one which names the anchor; none, if none does."""
        words = array(form.code)
        whole = len(self._before) // words.itemsize * words.itemsize
        words.frombytes(self._before[:whole])
        if self._abi.byteorder != sys.byteorder:
            words.byteswap()
        found: dict[bytes, int] = {}
        for number in islice(self._naming(words, form), MOST_NAMING):
            for step in (form.words, -form.words):
                found.update(islice(self._entries(words, form, number - 1, step), MOST_ENTRIES))
        return found

    def _entries(
        self, words: array[int], form: Form, at: int, step: int
    ) -> Iterator[tuple[bytes, int]]:
        """Those from the word number ``at`` on, up to what is none."""
        while entry := self._entry(words, form, at):
            yield entry
            at += step

    def _naming(self, words: array[int], form: Form) -> Iterator[int]:
        """The numbers of words that lead to the anchor."""
        if form.relative:
            target, size = self._anchor - self._base, words.itemsize
            return (n for n, word in enumerate(words) if word + n * size == target)
        return (n for n, word in enumerate(words) if word == self._anchor)

    def _entry(self, words: array[int], form: Form, at: int) -> tuple[bytes, int] | None:
        """(name, value) of the entry whose first word has that number; None where it is none."""
        if not 0 <= at < len(words) - 1:
            return None
        value, name = words[at], words[at + 1]
        if form.relative:
            here = self._base + at * words.itemsize
            value, name = here + value, here + words.itemsize + name
        match = NAME.match(self._data, name - self._base) if name >= self._base else None
        return (match[0][:-1], value & self._abi.address_mask) if match else None
