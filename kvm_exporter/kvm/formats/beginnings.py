"""What is a file that no format claims?  Said to its user, with what to do about it."""

from __future__ import annotations

from typing import Literal

from kvm_exporter.kvm.source import Source

LONGEST = 512

KNOWN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1f\x8b", "a gzip stream that holds no dump"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard stream that holds no dump"),
    (0, b"BZh", "a bzip2 file: unpack it first (bunzip2)"),
    (0, b"\xfd7zXZ\0", "an xz file: unpack it first (unxz)"),
    (0, b"FreeBSD Text Dump", "the header of a textdump, which has no memory in it"),
    (0, b"FreeBSD Kernel Dump", "a dump header without its dump (a copy of info?)"),
    (0, b"Dump header from device", "savecore's info file: open the vmcore beside it"),
    (257, b"ustar", "a tar archive (a textdump has no memory in it: ddb.txt, msgbuf.txt …)"),
    (0, b"makedumpfile", "a flattened Linux dump of no known version (try makedumpfile -R)"),
    (0, b"minidump FreeBSD/", "a minidump of an architecture that is not known"),
)
"""(offset, bytes there, what that is).  Sources: sys/sys/kerneldump.h, makedumpfile(8), tar(5)."""

ELF_TYPES = {1: "object", 2: "program", 3: "shared object", 4: "core"}


def describe(source: Source) -> str:
    """A phrase: ``an empty file``, ``a tar archive …``, ``begins with 0011…``."""
    head = source.read(0, LONGEST)
    if not head:
        return "an empty file"
    for offset, magic, meaning in KNOWN:
        if head[offset : offset + len(magic)] == magic:
            return meaning
    if head[:4] == b"\x7fELF":
        return _elf(head)
    if not head.strip(b"\0"):
        return "begins with zeros only: a dump that was never written, or a device without one"
    shown = f"begins with {head[:16].hex()}, which no known dump does"
    return f"{shown} (an encrypted dump needs its key.N beside it)"


def _elf(head: bytes) -> str:
    order: Literal["little", "big"] = "big" if head[5:6] == b"\2" else "little"
    kind = ELF_TYPES.get(int.from_bytes(head[16:18], order), "file of unknown type")
    return f"an ELF {kind}, not a core of a kernel's memory (is it the kernel itself?)"
