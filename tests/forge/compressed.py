"""Forges compressed dumps as sys/kern/subr_compressor.c and the usual programs write them."""

from __future__ import annotations

import struct
import zlib


def kernel_gzip(data: bytes, *, level: int = 6, flushed: int | None = None) -> bytes:
    """One member with the kernel's ten bytes of header; every ``flushed`` bytes a block ends."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    pieces = [
        deflate.compress(data[at : at + (flushed or len(data))])
        + (deflate.flush(zlib.Z_BLOCK) if flushed else b"")
        for at in range(0, len(data), flushed or len(data) or 1)
    ]
    body = b"".join(pieces) + deflate.flush()
    return (
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
        + body
        + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    )


def one_block_of_zeros(length: int) -> bytes:
    """A gzip member whose one deflate block, of fixed codes, gives ``length`` (+1) zeros.

    Such a block need not end: nothing in its middle is a place to start from.
    """
    bits, count = [], 0

    def put(value: int, width: int) -> None:
        bits.extend(value >> number & 1 for number in range(width))

    put(1, 1)  # last block
    put(1, 2)  # fixed codes
    bits.extend(int(digit) for digit in f"{0x30:08b}")  # a literal zero
    count = 1
    while count < length:
        bits.extend(int(digit) for digit in f"{0xC5:08b}")  # length 258
        bits.extend((0, 0, 0, 0, 0))  # distance 1
        count += 258
    bits.extend((0,) * 7)  # end of block
    bits.extend((0,) * (-len(bits) % 8))
    packed = bytes(
        sum(bit << number for number, bit in enumerate(bits[at : at + 8]))
        for at in range(0, len(bits), 8)
    )
    whole = bytes(count)
    return (
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + packed + struct.pack("<II", zlib.crc32(whole), len(whole))
    )


def zstd_raw(blocks: list[bytes], *, content: int | None = None, window: int = 0x38) -> bytes:
    """A zstd frame of raw blocks, by hand (RFC 8878): ``content`` as its size, None for none."""
    if content is None:
        head = b"\x28\xb5\x2f\xfd\x00" + bytes((window,))
    else:
        head = b"\x28\xb5\x2f\xfd\xc0" + bytes((window,)) + struct.pack("<Q", content)
    body = b""
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        body += (len(block) << 3 | last).to_bytes(3, "little") + block
    return head + body


def zstd_rle(value: int, lengths: list[int], *, content: int | None = None) -> bytes:
    """A zstd frame that gives runs of one byte: four bytes for up to 128 KiB each."""
    head = zstd_raw([], content=content)
    body = b""
    for number, length in enumerate(lengths):
        last = number == len(lengths) - 1
        body += (length << 3 | 1 << 1 | last).to_bytes(3, "little") + bytes((value,))
    return head + body


def skippable(data: bytes) -> bytes:
    """A frame that decompressors pass over."""
    return b"\x5e\x2a\x4d\x18" + struct.pack("<I", len(data)) + data


def kernel_zstd(data: bytes) -> bytes:
    """One frame of unknown size with a checksum, as ZSTD_compressStream writes it."""
    import zstandard  # noqa: PLC0415 an extra that not every machine has

    compressor = zstandard.ZstdCompressor(write_content_size=False, write_checksum=True)
    stream = compressor.compressobj()
    return stream.compress(data) + stream.flush()


def zstd_frames(data: bytes, size: int) -> bytes:
    """A frame for every ``size`` bytes, each of which tells its size (pzstd, seekable files)."""
    import zstandard  # noqa: PLC0415 an extra that not every machine has

    compressor = zstandard.ZstdCompressor(write_content_size=True)
    return b"".join(compressor.compress(data[at : at + size]) for at in range(0, len(data), size))
