"""Which zstd is there?  Python's own (3.14 on), or the package zstandard, imported when needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

from kvm_exporter.kvm.errors import Unsupported

LEVEL = 1
"""What is packed here is packed to be read again soon."""

MODULES = ("compression.zstd", "zstandard")


class Decompressor(Protocol):
    """Of one frame."""

    def decompress(self, data: bytes, /) -> bytes:
        """All that comes out of these bytes."""


@dataclass(frozen=True, slots=True)
class Zstd:
    """``frame`` makes the decompressor of one frame; ``error`` is what it raises.

    ``pack`` makes a frame of its own, ``unpack`` gives at most so many bytes of it.
    """

    frame: Callable[[], Decompressor]
    error: type[Exception]
    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes, int], bytes]


def load(name: str) -> Zstd:
    """For the file ``name``; Unsupported where there is none."""
    for module in MODULES:
        try:
            return _made(importlib.import_module(module))
        except ImportError:
            continue
    raise Unsupported(
        f"{name} is compressed by zstd, which this Python cannot read: "
        "pip install 'kvm_exporter[zstd]'"
    )


def _made(module: ModuleType) -> Zstd:
    make = module.ZstdDecompressor
    if module.__name__ == "zstandard":
        return Zstd(
            frame=lambda: make().decompressobj(),
            error=module.ZstdError,
            pack=module.ZstdCompressor(LEVEL).compress,
            unpack=lambda data, most: make().stream_reader(data).read(most),
        )
    return Zstd(
        frame=make,
        error=module.ZstdError,
        pack=lambda data: module.compress(data, LEVEL),
        unpack=lambda data, most: make().decompress(data, most),
    )
