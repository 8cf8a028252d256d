"""Which kernel.debug belongs to a kernel's file?

1. It is looked for where FreeBSD puts it (sys/conf/kern.post.mk): beside the kernel, and below
   /usr/lib/debug.
2. It must have the kernel's build id; where the kernel has none, its .gnu_debuglink's checksum.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.source import File, Source

DEBUG_ROOT = "/usr/lib/debug"
PIECE = 1 << 20
LONGEST_LINK = 4096


def debug_files(kernel: Source, reasons: list[str]) -> Iterator[File]:
    """Each that is the kernel's own, open; ``reasons`` gets a phrase for one that is not.

    Errors: FormatError for a kernel that is no ELF file.
    """
    header = elf.read_header(kernel)
    link = elf.named(elf.sections(kernel, header), ".gnu_debuglink")
    data = elf.contents(kernel, header, link, LONGEST_LINK) if link else b""
    for path in _paths(kernel.name, data):
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(File(path))
            if _is_of(file, kernel, data, header):
                stack.pop_all()
                yield file
            else:
                reasons.append(f"{path} is of another kernel")


def _paths(kernel: str, link: bytes) -> Iterator[str]:
    folder, base = os.path.split(os.path.realpath(kernel))
    linked = os.path.basename(os.fsdecode(link.partition(b"\0")[0]))
    for name in dict.fromkeys(filter(None, (linked, f"{base}.debug"))):
        for place in (folder, os.path.join(folder, ".debug"), DEBUG_ROOT + folder):
            path = os.path.join(place, name)
            if os.path.isfile(path):
                yield path


def _is_of(file: Source, kernel: Source, link: bytes, header: elf.Header) -> bool:
    own = elf.build_id(kernel, header)
    try:
        if own:
            return elf.build_id(file) == own
        checksum = 0
        for at in range(0, file.size, PIECE):
            checksum = zlib.crc32(file.read(at, PIECE), checksum)
    except KvmError:
        return False
    return link[-4:] == checksum.to_bytes(4, header.abi.byteorder)
