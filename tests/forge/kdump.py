"""Forges kdump files as makedumpfile (diskdump_mod.h) and QEMU (dump/dump.c) write them.

Where a field lies follows from C's rules: each at a multiple of its size, or of what the compiler's
machine aligns at most.  QEMU packs its structs, and pads by hand.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from forge import elf


class Style(NamedTuple):
    """A compiler's machine: bytes of a long and of a time_t, the largest alignment there is."""

    long: int
    time: int
    align: int
    machine: str


STYLES = {
    "lp64": Style(8, 8, 8, "x86_64"),
    "i386": Style(4, 4, 4, "i686"),
    "arm": Style(4, 4, 8, "armv7l"),
    "i386 with a time_t of 64 bits": Style(4, 8, 4, "i686"),
    "arm with a time_t of 64 bits": Style(4, 8, 8, "armv7l"),
    "qemu, 64-bit": Style(8, 11, 1, "x86_64"),
    "qemu, 32-bit": Style(4, 5, 1, "i686"),
}
"""QEMU's timestamp is a char array, twice as long as here a time_t is said to be."""

FLAGS = {"none": 0, "zlib": 1, "lzo": 2, "snappy": 4, "zstd": 32}
INCOMPLETE, NO_VMEMMAP = 8, 16
SUB_FIELDS = (
    ("phys_base", "long", 0),
    ("dump_level", "int", 1),
    ("split", "int", 2),
    ("start_pfn", "long", 2),
    ("end_pfn", "long", 2),
    ("offset_vmcoreinfo", "off_t", 3),
    ("size_vmcoreinfo", "long", 3),
    ("offset_note", "off_t", 4),
    ("size_note", "long", 4),
    ("offset_eraseinfo", "off_t", 5),
    ("size_eraseinfo", "long", 5),
    ("start_pfn_64", "off_t", 6),
    ("end_pfn_64", "off_t", 6),
    ("max_mapnr_64", "off_t", 6),
)
"""struct kdump_sub_header: name, type, the version that brought it."""


class Struct:
    """A C struct that grows: ``places`` remembers where its fields are, and their sizes."""

    def __init__(self, order: str, align: int) -> None:
        self.order = order
        self.align = align
        self.data = bytearray()
        self.places: dict[str, tuple[int, int]] = {}

    def add(self, name: str, value: int | bytes, size: int) -> None:
        """A field: a number, or an array of char."""
        if isinstance(value, int):
            unit = min(size, self.align)
            self.data += bytes(-len(self.data) % unit)
            value = (value % (1 << 8 * size)).to_bytes(
                size, "little" if self.order == "<" else "big"
            )
        self.places[name] = (len(self.data), size)
        self.data += value.ljust(size, b"\0")


class Kdump(NamedTuple):
    """A forged file; ``places``: (offset, size) of each header field by its name in C.

    ``descriptors``: offset of each page's by page number.
    """

    data: bytes
    places: Mapping[str, tuple[int, int]]
    descriptors: Mapping[int, int]


def write_kdump(pages: Mapping[int, bytes], **options: object) -> bytes:
    """The bytes of forge_kdump."""
    return forge_kdump(pages, **options).data  # type: ignore[arg-type]


def forge_kdump(
    pages: Mapping[int, bytes],
    *,
    style: str = "lp64",
    order: str = "<",
    version: int = 6,
    page: int = 4096,
    compression: str = "zlib",
    packed: Mapping[int, tuple[str, bytes]] | None = None,
    filtered: Iterable[int] = (),
    level: int = 0,
    split: tuple[int, int] | None = None,
    mapnr: int | None = None,
    bitmaps: int = 2,
    status: int = 0,
    machine: str | None = None,
    release: str = "6.1.0",
    stamp: tuple[int, int] = (1_700_000_000, 250_000),
    vmcoreinfo: bytes = b"",
    notes: bytes = b"",
    signature: bytes = b"KDUMP   ",
    fields: Mapping[str, int] | None = None,
    pack: Callable[[bytes], bytes] | None = None,
) -> Kdump:
    """A dump of ``pages``, by page number; shorter ones are padded with zeros.

    ``filtered``: pages that are memory and were left out; ``split``: this file's (first, end);
    ``packed``: pages that are stored as (compression, bytes) whatever they are.  ``fields``
    overwrites header fields by their names in C.
    """
    pages = {number: data.ljust(page, b"\0") for number, data in pages.items()}
    memory = {*pages, *filtered}
    mapnr = mapnr or max(memory, default=0) + 1
    text = elf.note(order, b"VMCOREINFO\0", 0, vmcoreinfo) if vmcoreinfo else b""
    notes_at = page + 104
    bitmap_blocks = -(-mapnr // (8 * page)) * bitmaps
    sub_blocks = -(-(104 + len(notes + text)) // page)
    head = Struct(order, STYLES[style].align)
    head.add("signature", signature, 8)
    head.add("header_version", version, 4)
    _add_names(head, STYLES[style], machine, release, stamp)
    words = {
        "status": status | FLAGS[compression],
        "block_size": page,
        "sub_hdr_size": sub_blocks,
        "bitmap_blocks": bitmap_blocks,
        "max_mapnr": min(mapnr, 0xFFFFFFFF),
        "total_ram_blocks": 0,
        "device_blocks": 0,
        "written_blocks": 0,
        "current_cpu": 0,
        "nr_cpus": 2,
    }
    for name, value in words.items():
        head.add(name, (fields or {}).get(name, value), 4)
    first, end = split or (0, 0)
    values = {
        "phys_base": 0x1000000,
        "dump_level": level,
        "split": int(split is not None),
        "start_pfn": first,
        "end_pfn": end,
        "offset_vmcoreinfo": notes_at + len(notes) + 24 if vmcoreinfo else 0,
        "size_vmcoreinfo": len(vmcoreinfo),
        "offset_note": notes_at if notes or vmcoreinfo else 0,
        "size_note": len(notes + text),
        "start_pfn_64": first,
        "end_pfn_64": end,
        "max_mapnr_64": mapnr,
    }
    sub = _sub_header(STYLES[style], order, version, {**values, **(fields or {})})
    bitmap_at = (1 + sub_blocks) * page
    out = bytearray(bitmap_at + bitmap_blocks * page)
    for at, data in ((0, head.data), (page, sub.data), (notes_at, notes + text)):
        out[at : at + len(data)] = data
    for number, bits in enumerate((memory, set(pages))[2 - bitmaps :]):
        at = bitmap_at + number * bitmap_blocks // bitmaps * page
        for bit in bits:
            out[at + bit // 8] |= 1 << bit % 8
    here = {
        number: packed[number] if packed and number in packed else _packed(data, compression, pack)
        for number, data in sorted(pages.items())
        if split is None or first <= number < end
    }
    descriptors = _add_pages(out, order, here, share=_packed(bytes(page), compression, pack))
    moved = {name: (at + page, size) for name, (at, size) in sub.places.items()}
    return Kdump(bytes(out), {**head.places, **moved}, descriptors)


def _add_names(
    head: Struct, like: Style, machine: str | None, release: str, stamp: tuple[int, int]
) -> None:
    """Utsname and timestamp; QEMU leaves out most of it."""
    for name, value in (
        ("sysname", "Linux"),
        ("nodename", "forged"),
        ("release", release),
        ("version", "#1 SMP"),
        ("machine", like.machine if machine is None else machine),
        ("domainname", "(none)"),
    ):
        head.add(name, value.encode() if like.align > 1 or name == "machine" else b"", 65)
    if like.align == 1:
        head.add("timestamp", b"", like.time * 2)
    else:
        head.add("tv_sec", stamp[0], like.time)
        head.add("tv_usec", stamp[1], like.time)


def _sub_header(like: Style, order: str, version: int, values: Mapping[str, int]) -> Struct:
    sub = Struct(order, like.align)
    sizes = {"long": like.long, "int": 4, "off_t": 8}
    for name, kind, since in SUB_FIELDS:
        if since <= version:
            sub.add(name, values.get(name, 0), sizes[kind])
    return sub


def _add_pages(
    out: bytearray,
    order: str,
    pages: Mapping[int, tuple[str, bytes]],
    share: tuple[str, bytes],
) -> dict[int, int]:
    """Descriptors and pages; those that are ``share`` share their bytes.  Where the former are."""
    start = len(out)
    out += bytes(24 * len(pages))
    shared: tuple[int, int] | None = None
    places = {}
    for index, (number, (kind, data)) in enumerate(pages.items()):
        place = len(out), len(data)
        if (kind, data) == share:
            place = shared = shared or place
        if place[0] == len(out):
            out += data
        flags = FLAGS[kind] if kind in FLAGS else int(kind)
        places[number] = start + 24 * index
        struct.pack_into(f"{order}qIIQ", out, places[number], *place, flags, 0)
    return places


def _packed(
    data: bytes, compression: str, pack: Callable[[bytes], bytes] | None
) -> tuple[str, bytes]:
    """A page as it is stored: plain where packing it does not pay."""
    stored = (pack or PACKERS[compression])(data)
    return (compression, stored) if len(stored) < len(data) else ("none", data)


def lzo_literal(data: bytes) -> bytes:
    """An LZO1X stream (Documentation/staging/lzo.rst): a literal, and a match for its zeros."""
    literal = (data.rstrip(b"\0") + b"\0").ljust(19, b"\0")
    zeros = len(data) - len(literal)
    if zeros < 34:
        literal, zeros = data, 0
    # 001 00000: a match of 33 bytes and more, at a distance of 1, with no literal behind it
    match = b"\x20" + _lzo_length(zeros - 2, 31) + b"\0\0" if zeros else b""
    return b"\0" + _lzo_length(len(literal) - 3, 15) + literal + match + b"\x11\0\0"


def _lzo_length(length: int, base: int) -> bytes:
    """A length that does not fit into its instruction: zeros of 255 each, and the rest."""
    rest = length - base
    zeros = (rest - 1) // 255
    return bytes(zeros) + bytes((rest - 255 * zeros,))


def snappy_raw(data: bytes) -> bytes:
    """A raw snappy stream (format_description.txt): literals, and copies of runs of zeros."""
    out = bytearray()
    length = len(data)
    while length >= 128:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    body = data.rstrip(b"\0") + b"\0"
    body = body[: len(data)]
    for at in range(0, len(body), 60):
        piece = body[at : at + 60]
        out.append(len(piece) - 1 << 2)
        out += piece
    zeros = len(data) - len(body)
    while zeros > 0:
        run = min(zeros, 64)
        out += bytes((run - 1 << 2 | 2, 1, 0))  # a copy with an offset of two bytes
        zeros -= run
    return bytes(out)


def zstd_frame(data: bytes) -> bytes:
    """A zstd frame that tells its size: a raw block, and an RLE block of zeros (RFC 8878)."""
    body = data.rstrip(b"\0")
    zeros = len(data) - len(body)
    out = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(data))
    out += (len(body) << 3 | (not zeros)).to_bytes(3, "little") + body
    return out + ((zeros << 3 | 2 | 1).to_bytes(3, "little") + b"\0" if zeros else b"")


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "zlib": lambda data: zlib.compress(data, 1),
    "lzo": lzo_literal,
    "snappy": snappy_raw,
    "zstd": zstd_frame,
}
