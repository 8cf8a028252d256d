"""What is in a textdump?  A tar without its end, as sys/ddb/db_textdump.c writes it."""

from __future__ import annotations

from dataclasses import fields, replace

from kvm_exporter.kvm.containers.model import Container, Stage, Textdump, head
from kvm_exporter.kvm.source import Source

BLOCK = 512
"""TEXTDUMP_BLOCKSIZE, and that of every ustar."""

FILES = {f"{field.name}.txt": field.name for field in fields(Textdump)}

LONGEST = 16 << 20
"""Bytes kept of a file: ddb's buffer has at most 5 MiB, the message buffer rarely 1."""

MOST = 64
"""Members looked at; the kernel writes at most one of each."""


def members(source: Source) -> dict[str, str]:
    """The texts by their names in Textdump, up to what is damaged or cut off."""
    found: dict[str, str] = {}
    at = 0
    for _ in range(MOST):
        member = _member(source.read(at, BLOCK))
        if member is None:
            break
        name, size = member
        if name in FILES:
            data = source.read(at + BLOCK, min(size, LONGEST))
            found[FILES[name]] = data.decode("utf-8", "replace")
        at += BLOCK + -(-size // BLOCK) * BLOCK
    return found


def _member(block: bytes) -> tuple[str, int] | None:
    """A ustar header's name and size; None where it is none."""
    if len(block) < BLOCK or block[257:262] != b"ustar":
        return None
    counted = sum(block) - sum(block[148:156]) + 8 * 0x20
    size = _octal(block[124:136])
    if size is None or _octal(block[148:156]) != counted:
        return None
    return block[:100].split(b"\0", 1)[0].decode("utf-8", "replace"), size


def _octal(field: bytes) -> int | None:
    digits = field.split(b"\0", 1)[0].strip(b" ")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


def probe(stage: Stage) -> bool:
    """A tar whose first file is one of a textdump's, or what a header says is one?"""
    if stage.textdump:
        return False
    member = _member(head(stage, BLOCK))
    on_device = stage.header is not None and stage.header.magic == "FreeBSD Text Dump"
    return on_device or (member is not None and member[0] in FILES)


def open_textdump(stage: Stage) -> Stage:
    """Its files; the source stays the tar."""
    textdump = Textdump(**members(stage.source))
    return replace(stage, textdump=textdump, layers=(*stage.layers, "textdump"))


CONTAINER = Container("textdump", probe, open_textdump)
