"""Forges dump devices and live dumps: sys/sys/kerneldump.h, sys/kern/kern_shutdown.c."""

from __future__ import annotations

import struct

FIELDS = {
    1: "20s 12s I I Q Q I 64s 192s 192s",
    2: "20s 12s I I Q Q I I 64s 192s 188s",
    3: "20s 12s I I Q Q Q I I B 64s 192s 179s",
    4: "20s 12s I I Q Q I I 64s 192s 175s B Q 4s",
}
"""As struct format characters, packed and big-endian; the parity follows."""

METADATA = 64 * 1024
"""The bytes of a swap partition that a dump never touches."""


def header(
    dump_length: int,
    *,
    magic: str = "FreeBSD Kernel Dump",
    architecture: str = "amd64",
    version: int = 4,
    archversion: int = 2,
    extent: int | None = None,
    when: int = 1_700_000_000,
    keysize: int = 0,
    blocksize: int = 512,
    host: str = "forge.example.org",
    text: str = "FreeBSD 15.1-RELEASE #0: Thu\n    root@forge:/usr/obj GENERIC\n",
    panic: str = "page fault",
    compression: int = 0,
) -> bytes:
    """512 bytes whose words' exclusive or is zero."""
    reserved = dump_length if extent is None else extent
    first = (magic.encode(), architecture.encode(), version, archversion, dump_length)
    texts = (host.encode(), text.encode(), panic.encode())
    rows = {
        1: (*first, when, blocksize, *texts),
        2: (*first, when, keysize, blocksize, *texts),
        3: (*first, reserved, when, keysize, blocksize, compression, *texts),
        4: (*first, when, keysize, blocksize, *texts, compression, reserved, b""),
    }
    body = struct.pack(">" + FIELDS[version].replace(" ", ""), *rows[version])
    assert len(body) == 508
    return with_parity(body)


def with_parity(body: bytes) -> bytes:
    """The first 508 bytes, and what makes the parity right."""
    parity = 0
    for at in range(0, 508, 4):
        parity ^= int.from_bytes(body[at : at + 4], "big")
    return body[:508] + parity.to_bytes(4, "big")


def device(
    dump: bytes,
    *,
    blocksize: int = 512,
    key: bytes = b"",
    extent: int | None = None,
    before: int = METADATA,
    cleared: bool = False,
    **fields: object,
) -> bytes:
    """A partition: old swap, header, key, dump, header; ``extent`` leaves room behind the dump."""
    rest = -len(key) % blocksize
    room = extent if extent is not None else -(-len(dump) // blocksize) * blocksize
    keyed = key + bytes(rest)
    fields.setdefault("version", 4)
    if fields["version"] in (1, 2):
        assert room == len(dump)
    head = header(len(dump), blocksize=blocksize, keysize=len(keyed), extent=room, **fields)
    block = head + bytes(blocksize - 512)
    last = (b"Cleared Kernel Dump\0" + head[20:] if cleared else head) + bytes(blocksize - 512)
    filling = bytes(range(256)) * (room // 256 + 1)
    return b"\xa5" * before + block + keyed + (dump + filling)[:room] + last


def live(dump: bytes, *, page: int = 4096, **fields: object) -> bytes:
    """What MEM_KERNELDUMP leaves: the dump, zeros up to a page, the header."""
    return dump + bytes(-len(dump) % page) + header(len(dump), blocksize=page, **fields)


def leading(dump: bytes, *, block: int = 512, key: bytes = b"", **fields: object) -> bytes:
    """A file whose header is in front."""
    head = header(len(dump), blocksize=fields.pop("blocksize", 4096), keysize=len(key), **fields)
    return head + bytes(block - 512) + key + dump
