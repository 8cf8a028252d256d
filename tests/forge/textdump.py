"""Forges text dumps: sys/ddb/db_textdump.c."""

from __future__ import annotations

from forge.kerneldump import METADATA, header


def member(name: str, data: bytes, *, size: int | None = None) -> bytes:
    """A file as textdump_mkustar and its callers write it: size in octal without leading zeros."""
    block = bytearray(512)
    for at, text in (
        (0, name),
        (100, "0600"),
        (108, "0"),
        (116, "0"),
        (124, f"{len(data) if size is None else size:o}"),
        (136, f"{1_700_000_000:o}"),
        (257, "ustar"),
        (265, "root"),
        (297, "wheel"),
    ):
        block[at : at + len(text)] = text.encode()
    block[148:156] = b" " * 8
    total = f"{sum(block):6o}".encode()
    block[148:156] = total + bytes(8 - len(total))
    return bytes(block) + data + bytes(-len(data) % 512)


def archive(files: dict[str, bytes]) -> bytes:
    """textdump.tar.N: the files one after the other, and no end."""
    return b"".join(member(name, data) for name, data in files.items())


def device(files: dict[str, bytes], *, before: int = METADATA, cleared: bool = False) -> bytes:
    """On its partition: block by block from the end, each before the one written last."""
    tar = archive(files)
    head = header(len(tar), magic="FreeBSD Text Dump", archversion=4)
    blocks = [tar[at : at + 512] for at in range(0, len(tar), 512)]
    last = b"Cleared Kernel Dump\0" + head[20:] if cleared else head
    return bytes(before) + head + b"".join(reversed(blocks)) + last
