"""What does a kernel's ELF core look like?  Written from elf(5), any class and byte order."""

from __future__ import annotations

import struct
from collections.abc import Sequence

IDENT = struct.Struct("4sBBBBB7x")
# e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags,
# e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
EHDR = {32: "HHIIIIIHHHHHH", 64: "HHIQQQIHHHHHH"}
EHDR_SIZE = {32: 52, 64: 64}
# 32: type offset vaddr paddr filesz memsz flags align; 64: type flags offset vaddr paddr …
PHDR_SIZE = {32: 32, 64: 56}


def core(
    segments: Sequence[tuple[int, bytes]],
    *,
    bits: int = 64,
    order: str = "<",
    header_at: int | None = None,
    note: bytes = b"a note",
) -> bytes:
    """An ET_CORE file: a PT_NOTE, then a PT_LOAD for each (virtual address, bytes)."""
    at = EHDR_SIZE[bits] if header_at is None else header_at
    count = len(segments) + 1
    place = at + count * PHDR_SIZE[bits]
    headers, bodies = [program(bits, order, 4, place, 0, len(note))], [note]
    place += len(note)
    for address, data in segments:
        headers.append(program(bits, order, 1, place, address, len(data)))
        bodies.append(data)
        place += len(data)
    start = file_header(bits, order, at, count)
    return start.ljust(at, b"\0") + b"".join(headers) + b"".join(bodies)


def file_header(bits: int, order: str, at: int, count: int, size: int | None = None) -> bytes:
    """The ELF header that announces ``count`` program headers."""
    ident = IDENT.pack(b"\x7fELF", bits // 32, {"<": 1, ">": 2}[order], 1, 0, 0)
    entry = PHDR_SIZE[bits] if size is None else size
    values = (4, 62, 1, 0, at, 0, 0, EHDR_SIZE[bits], entry, count, 0, 0, 0)
    return ident + struct.pack(order + EHDR[bits], *values)


def program(bits: int, order: str, kind: int, offset: int, address: int, size: int) -> bytes:
    """One program header; p_memsz is larger than p_filesz on purpose."""
    memory = min(size + 4096, 2**bits - 1)
    if bits == 64:
        return struct.pack(order + "IIQQQQQQ", kind, 7, offset, address, 0, size, memory, 4096)
    return struct.pack(order + "IIIIIIII", kind, offset, address, 0, size, memory, 7, 4096)
