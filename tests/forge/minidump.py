"""Forges minidumps: sys/ARCH/ARCH/minidump_machdep.c, from a model of a machine's memory.

The model: ``pages`` {physical page number: its bytes, or None for zeros}; ``mappings`` [(virtual
address, physical address, bytes, protection)] with protection of 1 read, 2 write, 4 execute;
``dump_avail`` [(start, end)] of physical addresses; the text of the message buffer.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from forge.pagetables import Page, hash_table

Span = tuple[int, int, int, int]
"""(virtual, physical, bytes, protection)"""

W, X = 2, 4


@dataclass(frozen=True)
class Row:
    """What differs between architectures."""

    magic: bytes
    order: str
    header: tuple[tuple[str, str, int], ...]
    kernbase: int
    dmap: tuple[int, int]
    leaf: Callable[[int, int], int]
    leaf_size: int = 8
    chunk: int = 1
    word: str = "Q"
    page: int = 4096
    magic_size: int = 24
    extra: Mapping[str, int] = field(default_factory=dict)


def _amd64(pa: int, prot: int) -> int:
    return pa | 0x61 | (2 if prot & W else 0) | (0 if prot & X else 1 << 63)


def _i386(pa: int, prot: int) -> int:
    return pa | 0x61 | (2 if prot & W else 0)


def _arm64(pa: int, prot: int) -> int:
    never = 0 if prot & X else 0b11 << 53
    return pa | 0x703 | (0 if prot & W else 0x80) | never


def _riscv(pa: int, prot: int) -> int:
    return pa >> 12 << 10 | 0xE3 | (4 if prot & W else 0) | (8 if prot & X else 0)


def _arm(pa: int, prot: int) -> int:
    return pa | 0x412 | (0 if prot & W else 0x80) | (0 if prot & X else 1)


def _mips(pa: int, prot: int) -> int:
    return pa >> 12 << 6 | 0x1B | (4 if prot & W else 0)


COMMON = (("version", "I", 24), ("msgbufsize", "I", 28), ("bitmapsize", "I", 32))
AMD64 = (
    *COMMON,
    ("pmapsize", "I", 36),
    ("kernbase", "Q", 40),
    ("dmapbase", "Q", 48),
    ("dmapend", "Q", 56),
    ("dumpavailsize", "I", 64),
)
ARM64 = (
    *COMMON,
    ("pmapsize", "I", 36),
    ("kernbase", "Q", 40),
    ("dmapphys", "Q", 48),
    ("dmapbase", "Q", 56),
    ("dmapend", "Q", 64),
    ("dumpavailsize", "I", 72),
    ("flags", "I", 76),
)
I386 = (
    *COMMON,
    ("pmapsize", "I", 36),
    ("kernbase", "I", 40),
    ("paemode", "I", 44),
    ("dumpavailsize", "I", 48),
)
ARM = (
    *COMMON,
    ("pmapsize", "I", 36),
    ("kernbase", "I", 40),
    ("arch", "I", 44),
    ("mmuformat", "I", 48),
    ("dumpavailsize", "I", 52),
)
POWERPC = (
    ("version", "I", 64),
    ("msgbufsize", "I", 68),
    ("bitmapsize", "I", 72),
    ("pmapsize", "I", 76),
    ("kernbase", "Q", 80),
    ("kernend", "Q", 88),
    ("dmapbase", "Q", 96),
    ("dmapend", "Q", 104),
    ("hw_direct_map", "I", 112),
    ("startkernel", "Q", 120),
    ("endkernel", "Q", 128),
    ("dumpavailsize", "I", 136),
)
AMD64_DMAP = (0xFFFFF80000000000, 0xFFFFF80400000000)
MIPS32_DMAP = (0x80000000, 0xA0000000)
MIPS64_DMAP = (0x9800000000000000, 0xA000000000000000)
POWERPC_DMAP = (0xC000000000000000, 0xC007FFFFFFFFFFFF)

ROWS = {
    "amd64": Row(
        b"minidump FreeBSD/amd64", "<", AMD64, 0xFFFFFE0000000000, AMD64_DMAP, _amd64, chunk=512
    ),
    "aarch64": Row(
        b"minidump FreeBSD/arm64",
        "<",
        ARM64,
        0xFFFF000000000000,
        (0xFFFFA00000000000, 0xFFFFA08000000000),
        _arm64,
        chunk=512,
        extra={"dmapphys": 0x40000000},
    ),
    "aarch64-16k": Row(
        b"minidump FreeBSD/arm64",
        "<",
        ARM64,
        0xFFFF000000000000,
        (0xFFFFA00000000000, 0xFFFFA08000000000),
        _arm64,
        chunk=2048,
        page=16384,
        extra={"dmapphys": 0x40000000, "flags": 1},
    ),
    "riscv64": Row(
        b"minidump FreeBSD/riscv",
        "<",
        ARM64[:-1],
        0xFFFFFFC000000000,
        (0xFFFFFFD000000000, 0xFFFFFFF000000000),
        _riscv,
        chunk=512,
        extra={"dmapphys": 0x80000000},
    ),
    "i386": Row(
        b"minidump FreeBSD/i386", "<", I386, 0x800000, (0, 0), _i386, leaf_size=4, chunk=1024
    ),
    "i386-pae": Row(
        b"minidump FreeBSD/i386",
        "<",
        I386,
        0x800000,
        (0, 0),
        _amd64,
        chunk=512,
        extra={"paemode": 1},
    ),
    "armv7": Row(
        b"minidump FreeBSD/arm",
        "<",
        ARM,
        0xC0000000,
        (0, 0),
        _arm,
        leaf_size=4,
        chunk=1024,
        extra={"arch": 7, "mmuformat": 2},
    ),
    "mips": Row(
        b"minidump FreeBSD/mips", ">", AMD64, 0xC0000000, MIPS32_DMAP, _mips, 4, 1024, word="I"
    ),
    "mipsel": Row(
        b"minidump FreeBSD/mips", "<", AMD64, 0xC0000000, MIPS32_DMAP, _mips, 4, 1024, word="I"
    ),
    "mips64": Row(
        b"minidump FreeBSD/mips", ">", AMD64, 0xC000000000000000, MIPS64_DMAP, _mips, 8, 512
    ),
    "powerpc64": Row(
        b"minidump FreeBSD/powerpc64",
        ">",
        POWERPC,
        0xC008000000000000,
        POWERPC_DMAP,
        _amd64,
        magic_size=32,
        extra={"kernend": 0xC0080007FFFFFFFF, "hw_direct_map": 1},
    ),
    "powerpc64le": Row(
        b"minidump FreeBSD/powerpc64",
        "<",
        POWERPC,
        0xC008000000000000,
        POWERPC_DMAP,
        _amd64,
        magic_size=32,
        extra={"kernend": 0xC0080007FFFFFFFF, "hw_direct_map": 1},
    ),
}

AVAIL_SINCE = {"amd64": 3}
"""The version that brought dump_avail; 2 elsewhere."""

STARTKERNEL = 0xC000000000100100
LINKED = 0x100100
"""Where powerpc64 kernels run and where they are linked to (sys/powerpc/include/vmparam.h)."""


def write_minidump(
    arch: str = "amd64",
    version: int = 3,
    *,
    pages: Mapping[int, bytes | None],
    mappings: Iterable[Span] = (),
    dump_avail: Sequence[tuple[int, int]] | None = None,
    msgbuf: bytes = b"",
    kernbase: int | None = None,
    dmap: tuple[int, int] | None = None,
    mmu: str = "mmu_g5",
    fields: Mapping[str, int] | None = None,
    out: BinaryIO | None = None,
) -> bytes:
    """A minidump; into ``out`` (zero pages as holes) where given, then b"" is returned.

    ``arch``: a key of ROWS.  ``kernbase`` and ``dmap`` (base, end) where they are not the
    architecture's usual ones; ``fields`` overrides any header field, last of all.  ``dump_avail``
    None: one range around all pages.  amd64 versions 2 and 3 keep page-table pages among the
    pages: they are added after the last given page.  ``mmu``: powerpc64's mmu_name.
    """
    row = ROWS[arch]
    spans = list(mappings)
    base = row.kernbase if kernbase is None else kernbase
    pages = dict(pages)
    if arch.startswith("powerpc"):
        table = _hashed(spans, row.order, mmu)
    elif arch == "amd64" and version >= 2:
        table = _directory(spans, base, pages)
    else:
        table = _leaves(row, spans, base)
    with_avail = version >= AVAIL_SINCE.get(arch, 2)
    if dump_avail is None:
        first, last = (min(pages), max(pages) + 1) if pages else (0, 1)
        dump_avail = [(first * row.page, last * row.page)]
    numbers = _kept(row, pages, dump_avail) if with_avail else sorted(pages)
    avail = b""
    if with_avail:
        flat = [end for pair in dump_avail for end in pair]
        avail = _padded(struct.pack(f"{row.order}{len(flat)}Q", *flat), row.page, 16)
    bitmap = _bitmap(row, numbers, dump_avail if with_avail else None)
    low, high = row.dmap if dmap is None else dmap
    known = {
        "version": version,
        "msgbufsize": len(msgbuf),
        "bitmapsize": len(bitmap),
        "pmapsize": len(table),
        "kernbase": base,
        "dmapbase": low,
        "dmapend": high,
        "dumpavailsize": len(avail),
        "startkernel": STARTKERNEL,
        "endkernel": STARTKERNEL + 0x2000000,
        **row.extra,
        **(fields or {}),
    }
    header = _header(row, known, mmu if row.magic_size == 32 else None)
    parts = [_padded(header, row.page), _padded(msgbuf, row.page), avail, bitmap]
    target = io.BytesIO() if out is None else out
    target.write(b"".join((*parts, _padded(table, row.page))))
    for number in numbers:
        data = pages[number]
        if data is None:
            target.seek(row.page, io.SEEK_CUR)
        else:
            target.write(data.ljust(row.page, b"\0"))
    target.truncate()
    return b"" if out is not None else target.getvalue()


def _header(row: Row, known: Mapping[str, int], mmu: str | None) -> bytes:
    header = bytearray(row.magic.ljust(row.magic_size, b"\0"))
    if mmu is not None:
        header += mmu.encode().ljust(32, b"\0")
    for name, code, offset in row.header:
        header.extend(bytes(max(0, offset + struct.calcsize(code) - len(header))))
        struct.pack_into(row.order + code, header, offset, known.get(name, 0))
    return bytes(header)


def _padded(data: bytes, page: int, at_least: int = 0) -> bytes:
    data = data.ljust(len(data) + at_least, b"\0")
    return data.ljust(-(-len(data) // page) * page, b"\0")


def _kept(
    row: Row, pages: Mapping[int, bytes | None], ranges: Sequence[tuple[int, int]]
) -> list[int]:
    """Only what dump_avail covers is dumped: vm_page_dump_add ignores the rest."""
    spans = [(low // row.page, -(-high // row.page)) for low, high in ranges]
    return sorted({n for n in pages if any(low <= n < high for low, high in spans)})


def _bitmap(row: Row, numbers: list[int], ranges: Sequence[tuple[int, int]] | None) -> bytes:
    """One bit a page, in words of the machine's long."""
    if ranges is None:
        ranges = [(0, (max(numbers, default=0) + 1) * row.page)]
    bits = bytearray()
    first = 0
    starts = []
    for low, high in ranges:
        starts.append((low // row.page, -(-high // row.page), first))
        first += -(-high // row.page) - low // row.page
    bits = bytearray(-(-first // 64) * 8)
    at = 0
    for number in numbers:
        while number >= starts[at][1]:
            at += 1
        low, _, before = starts[at]
        bit = before + number - low
        bits[bit >> 3] |= 1 << (bit & 7)
    if row.order == ">":
        width = struct.calcsize(row.word)
        for word in range(0, len(bits), width):
            bits[word : word + width] = bits[word : word + width][::-1]
    return _padded(bytes(bits), row.page)


def _pages_of(spans: Iterable[Span], page: int) -> Iterable[tuple[int, int, int]]:
    for va, pa, size, prot in spans:
        for step in range(0, size, page):
            yield va + step, pa + step, prot


def _leaves(row: Row, spans: list[Span], base: int) -> bytes:
    """An entry a page from ``base`` on, in whole page tables; superpages are spelt out."""
    entries = [
        ((va - base) // row.page, row.leaf(pa, prot)) for va, pa, prot in _pages_of(spans, row.page)
    ]
    count = max((index + 1 for index, _ in entries), default=0)
    count = -(-count // row.chunk) * row.chunk
    table = bytearray(count * row.leaf_size)
    code = row.order + ("Q" if row.leaf_size == 8 else "I")
    for index, entry in entries:
        struct.pack_into(code, table, index * row.leaf_size, entry)
    return bytes(table)


def _directory(spans: list[Span], base: int, pages: dict[int, bytes | None]) -> bytes:
    """amd64's page directories from ``base`` on, a page a GB; tables go among the ``pages``."""
    big = 1 << 21
    entries: dict[int, int] = {}
    tables: dict[int, bytearray] = {}
    free = max(pages, default=0) + 1
    for va, pa, size, prot in spans:
        step = 0
        while step < size:
            index = (va + step - base) // big
            if not (va + step) % big and not (pa + step) % big and size - step >= big:
                entries[index] = _amd64(pa + step, prot) | 0x80
                step += big
                continue
            if index not in tables:
                tables[index] = bytearray(4096)
                entries[index] = _amd64((free + len(tables) - 1) << 12, W | X)
            slot = (va + step) >> 12 & 511
            struct.pack_into("<Q", tables[index], slot * 8, _amd64(pa + step, prot))
            step += 4096
    for number, table in enumerate(tables.values()):
        pages[free + number] = bytes(table)
    top = max(entries, default=0) // 512 + 1
    directory = bytearray(top * 4096)
    for index, entry in entries.items():
        struct.pack_into("<Q", directory, index * 8, entry)
    return bytes(directory)


def _hashed(spans: list[Span], order: str, mmu: str) -> bytes:
    """powerpc64: the hash table, none with radix trees; big-endian, or from the hypervisor's hands
    ("phyp", which gives numbers) in the machine's order.
    """
    if mmu == "mmu_radix":
        return b""
    found = hash_table(_hash_pages(spans), 2048)
    if mmu == "mmu_phyp" and order == "<":
        words = struct.unpack(f">{len(found) // 8}Q", found)
        return struct.pack(f"<{len(words)}Q", *words)
    return found


def _hash_pages(spans: list[Span]) -> Iterable[Page]:
    for va, pa, prot in _pages_of(spans, 4096):
        yield Page(va, pa, 4096, bool(prot & W), bool(prot & X))
