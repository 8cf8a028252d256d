"""Which part of a dump device is the dump?  And which of a live dump, or of one sent by netdump?

Rules, from sys/kern/kern_shutdown.c (dump_start, dump_write_headers), sys/kern/kern_vnodedumper.c
and sbin/savecore/savecore.c:

1. On a device: first header, key, dump, last header, which is the device's last block.  The first
   header lies one extent, one key and one block before the last.  A compressed dump starts where
   its extent does and does not fill it.
2. A text dump's 512-byte blocks run backwards from the last header.
3. A live dump is its own file: dump, zeros up to a multiple of the block size (the kernel's page),
   then the header's 512 bytes.  savecore cuts them off; the ioctl's other callers need not.
4. A server of netdumps may put the header in front: in 512 bytes, or in a block of its own.
5. Reading the bytes of a device whose header is damaged would give nonsense: that is an error.
"""

from __future__ import annotations

from dataclasses import replace

from kvm_exporter.kvm.containers.header import CLEARED, SIZE, TEXT, parse
from kvm_exporter.kvm.containers.model import Container, DumpHeader, Stage
from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.source import Part, Source, exactly

BLOCKS = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
"""Sector sizes of disks, and the page sizes of kernels that dump themselves live."""

LARGEST_KEY = 64 << 10
"""Bytes of struct kerneldumpkey and its block's padding: KERNELDUMP_ENCKEY_MAX_SIZE is 2 KiB."""

MAGICS = (b"minidump FreeBSD/", b"\x7fELF", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")
"""How dumps begin: mini, full, gzip, zstd."""

TEXT_BLOCK = 512
"""TEXTDUMP_BLOCKSIZE."""


class Backwards:
    """A text dump on its device: ``size`` bytes, whose blocks lie one before the other."""

    def __init__(self, whole: Source, end: int, size: int) -> None:
        self._whole = whole
        self._end = end
        self.name = whole.name
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """As Source.read."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        first, last = offset // TEXT_BLOCK, -(-end // TEXT_BLOCK)
        stored = exactly(
            self._whole, self._end - last * TEXT_BLOCK, (last - first) * TEXT_BLOCK, "a text dump"
        )
        blocks = (stored[at : at + TEXT_BLOCK] for at in range(0, len(stored), TEXT_BLOCK))
        data = b"".join(reversed(list(blocks)))
        return data[offset - first * TEXT_BLOCK : end - first * TEXT_BLOCK]

    def write(self, offset: int, data: bytes) -> int:
        """As Source.write: not possible."""
        return Part(self._whole, self._end, 0).write(offset, data)

    def close(self) -> None:
        """As Source.close."""
        self._whole.close()


def last_header(source: Source) -> tuple[int, bytes] | None:
    """Where the last header lies, and its bytes; None where the file does not end in one."""
    tail = source.read(max(source.size - BLOCKS[-1], 0), BLOCKS[-1])
    for block in BLOCKS:
        data = tail[len(tail) - block :][:SIZE] if block <= len(tail) else b""
        header = parse(data)
        if header and (header.blocksize == block or _live(header, source.size - block, block)):
            return source.size - block, data
    return None


def _live(header: DumpHeader, at: int, block: int) -> bool:
    """Rule 3: is the header just after the dump, and that at the file's start?"""
    if block != SIZE or header.blocksize not in BLOCKS:
        return False
    return at == -(-header.dumplength // header.blocksize) * header.blocksize


def probe(stage: Stage) -> bool:
    """Does it end in a dump header, or begin with one?"""
    if stage.header or stage.sealed is not None:
        return False
    source = stage.source
    return bool(last_header(source) or parse(source.read(0, SIZE)))


def open_kerneldump(stage: Stage) -> Stage:
    """Take the dump's part out of its device or file."""
    found = last_header(stage.source)
    if not found:
        return _leading(stage)
    at, data = found
    header = _checked(stage.source, at, data)
    if header.blocksize != stage.source.size - at:
        return _part(stage, header, 0, "live dump header")
    return _on_device(stage, header, at, data)


def _checked(source: Source, at: int, data: bytes) -> DumpHeader:
    header = parse(data)
    if header is None or not header.parity_ok:
        raise FormatError(
            f"{source.name}: the kernel dump header at {at:#x} is damaged: its parity is wrong"
        )
    return header


def _on_device(stage: Stage, header: DumpHeader, at: int, data: bytes) -> Stage:
    """Rules 1 and 2."""
    source = stage.source
    start = at - header.dumpextent
    first = start - header.keysize - header.blocksize
    if first < 0 or header.dumplength > header.dumpextent or header.keysize > LARGEST_KEY:
        raise FormatError(
            f"{source.name}: the dump header at {at:#x} does not fit its device: a dump of "
            f"{header.dumplength:#x} bytes, extent {header.dumpextent:#x}, key {header.keysize:#x}"
        )
    copy = exactly(source, first, SIZE, "the first dump header")
    if copy[20:] != data[20:] or parse(copy) is None:
        raise FormatError(
            f"{source.name}: the dump headers at {first:#x} and {at:#x} disagree: the dump was not "
            "finished, or something was written over it since (swap, for one)"
        )
    if data.startswith(TEXT) or copy.startswith(TEXT):
        text = Backwards(source, at, header.dumplength)
        return replace(stage, source=text, header=header, layers=(*stage.layers, _named(header)))
    key = exactly(source, start - header.keysize, header.keysize, "the key") or None
    return _part(replace(stage, sealed=key), header, start, _named(header))


def _named(header: DumpHeader) -> str:
    cleared = header.magic.encode() == CLEARED.rstrip(b"\0")
    return "dump device" + (" (already taken by savecore)" if cleared else "")


def _leading(stage: Stage) -> Stage:
    """Rule 4: where the bytes behind the header are those of a dump, or as many as there should."""
    source = stage.source
    header = _checked(source, 0, source.read(0, SIZE))
    if header.keysize > LARGEST_KEY or header.blocksize not in BLOCKS:
        raise FormatError(
            f"{source.name}: a dump header with block size {header.blocksize:#x} and key size "
            f"{header.keysize:#x}"
        )
    for block in (header.blocksize, SIZE):
        start = block + header.keysize
        dump = source.read(start, len(max(MAGICS, key=len)))
        if dump.startswith(MAGICS) or start + header.dumplength == source.size:
            key = exactly(source, block, header.keysize, "the key") or None
            return _part(replace(stage, sealed=key), header, start, "dump header")
    raise FormatError(
        f"{source.name}: begins with the header of a dump of {header.dumplength:#x} bytes, but has "
        f"{source.size:#x}, and no dump behind it; it is truncated or damaged"
    )


def _part(stage: Stage, header: DumpHeader, start: int, layer: str) -> Stage:
    length = min(header.dumplength, max(stage.source.size - start, 0))
    part = Part(stage.source, start, length)
    return replace(stage, source=part, header=header, layers=(*stage.layers, layer))


def _probe(stage: Stage) -> bool:
    try:
        return probe(stage)
    except KvmError:
        return False


CONTAINER = Container("kerneldump", _probe, open_kerneldump)
