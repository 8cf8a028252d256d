"""How do the headers of a kdump file lie?  As the C compiler of the program that wrote it had them.

1. struct disk_dump_header: signature, version, utsname, a struct timeval, and words of 32 bits.
   The timeval's width and alignment decide where those words are.
2. struct kdump_sub_header: words of the machine's width, file offsets of 64 bits; whether these are
   aligned to 8 bytes, the machine decides (arm does, i386 and QEMU do not).
3. Each version added fields at the end.  Fields that a version has not are not read.

Sources: makedumpfile's diskdump_mod.h; QEMU's include/sysemu/dump.h; crash's diskdump.h.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

SIGNATURES = (b"KDUMP   ", b"DISKDUMP")
"""makedumpfile's and QEMU's; that of its predecessor, with the same header."""

HEAD = "8sI65s65s65s65s65s65s"
"""Signature, version, struct new_utsname."""

WORDS = "5I"
"""status, block_size, sub_hdr_size, bitmap_blocks, max_mapnr."""

LONGEST_HEAD = 512
"""Bytes that hold all of it, whichever layout it has."""


class Layout(NamedTuple):
    """Offsets of ``stamp`` (struct timeval) and ``words`` in the header; ``sub``: the sub-header.

    Codes are the struct module's, without the byte order; ``width`` is that of a C long.
    """

    name: str
    width: Literal[4, 8]
    stamp_at: int
    stamp: str
    words_at: int
    sub: str


_SUB_64 = "Q2i2Q qQqQqQ 3Q"
_SUB_PACKED = "I2i2I qIqIqI 3Q"
_SUB_ALIGNED = "I2i2I4x qI4xqI4xqI4x 3Q"

LAYOUTS: tuple[Layout, ...] = (
    Layout("64-bit", 8, 408, "2q", 424, _SUB_64),
    Layout("32-bit", 4, 404, "2i", 412, _SUB_PACKED),
    Layout("32-bit, aligned", 4, 404, "2i", 412, _SUB_ALIGNED),
    # programs of a 32-bit Debian 13, whose time_t has 64 bits
    Layout("32-bit, time of 64", 4, 404, "2q", 420, _SUB_PACKED),
    Layout("32-bit, aligned, time of 64", 4, 408, "2q", 424, _SUB_ALIGNED),
)
"""Those there are, in the order in which they are tried."""


class SubHeader(NamedTuple):
    """struct kdump_sub_header; 0 for what the file's version has not.

    ``start``, ``end`` and ``pages`` are numbers of pages: those of a split set's member, and one
    more than the highest there is; those with ``short`` have 32 bits on 32-bit machines.
    """

    phys_base: int
    dump_level: int
    split: int
    short_start: int
    short_end: int
    vmcoreinfo_at: int
    vmcoreinfo_size: int
    notes_at: int
    notes_size: int
    erased_at: int
    erased_size: int
    start: int
    end: int
    pages: int


FIELDS = (1, 2, 5, 7, 9, 11, 14)
"""How many fields of SubHeader versions 0 to 6 have."""
