"""How is a page of a kdump file unpacked?  One row for each of the compressions there are.

Nothing is unpacked to more than a page and a byte, or to what so few bytes can become at most: a
page's compressed bytes are never more than the page (makedumpfile stores it plain else).
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType

from kvm_exporter.kvm.containers import zstdlib
from kvm_exporter.kvm.errors import FormatError, Unsupported

PLAIN, ZLIB, LZO, SNAPPY, ZSTD = 0, 0x1, 0x2, 0x4, 0x20
"""makedumpfile's diskdump_mod.h, DUMP_DH_COMPRESSED_*: of a page, and of the file as a whole."""

NAMES: Mapping[int, str] = MappingProxyType(
    {PLAIN: "none", ZLIB: "zlib", LZO: "lzo", SNAPPY: "snappy", ZSTD: "zstd"}
)

Unpack = Callable[[bytes], bytes]
"""A page's stored bytes → what they were.  FormatError where they are damaged."""


def unpacker(name: str, kind: int, page_size: int) -> Unpack:
    """For pages of the compression ``kind`` in the file ``name``.

    Errors: FormatError for one that there is not, Unsupported naming the extra that is missing.
    """
    make = _MAKERS.get(kind)
    if make is None:
        raise FormatError(f"a compression of no known kind, {kind:#x}")
    return make(name, page_size)


def _plain(name: str, page_size: int) -> Unpack:  # noqa: ARG001 - as the others
    return bytes


def _zlib(name: str, page_size: int) -> Unpack:  # noqa: ARG001 - as the others
    most = page_size + 1
    new, error = zlib.decompressobj, zlib.error

    def unpack(data: bytes) -> bytes:
        try:
            return new().decompress(data, most)
        except error as e:
            raise FormatError(str(e)) from e

    return unpack


def _lzo(name: str, page_size: int) -> Unpack:
    module = _extra("lzallright", name, "lzo")
    decompress, error = module.LZOCompressor.decompress, module.LZOError

    def unpack(data: bytes) -> bytes:
        try:
            plain: bytes = decompress(data, page_size)
        except error as e:
            raise FormatError(str(e.args[0]) if e.args else "damaged") from e
        return plain

    return unpack


def _snappy(name: str, page_size: int) -> Unpack:
    module = _extra("cramjam", name, "snappy")
    decompress, error = module.snappy.decompress_raw_into, module.DecompressionError

    def unpack(data: bytes) -> bytes:
        page = bytearray(page_size)
        try:
            size = decompress(data, page)
        except error as e:
            raise FormatError(str(e)) from e
        return bytes(page[:size])

    return unpack


def _zstd(name: str, page_size: int) -> Unpack:
    zstd = zstdlib.load(name)

    def unpack(data: bytes) -> bytes:
        try:
            return zstd.unpack(data, page_size + 1)
        except zstd.error as e:
            raise FormatError(str(e)) from e

    return unpack


def _extra(module: str, name: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise Unsupported(
            f"the pages of {name} are compressed by {extra}, which needs the package {module}: "
            f"pip install 'kvm_exporter[{extra}]'"
        ) from e


_MAKERS: Mapping[int, Callable[[str, int], Unpack]] = MappingProxyType(
    {PLAIN: _plain, ZLIB: _zlib, LZO: _lzo, SNAPPY: _snappy, ZSTD: _zstd}
)
