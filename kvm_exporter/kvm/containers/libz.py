"""How is a deflate stream entered in its middle?  zlib's inflatePrime and friends, by ctypes.

The standard library's zlib has no Z_BLOCK, no inflatePrime and no inflateSetDictionary (zlib.h,
examples/zran.c of zlib's distribution).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Self

from kvm_exporter.kvm.errors import KvmError

NAMES = ("libz.so.1", "libz.so.6", "libz.so", "libz.1.dylib", "libz.dylib")
"""Linux and the BSDs' packages, FreeBSD's own, any, macOS."""

WINDOW = 32 << 10
"""How far back a deflate stream may refer (RFC 1951)."""

RAW, GZIP = -15, 31
"""windowBits: a bare deflate stream, and one in gzip's wrapping (checked by its CRC)."""

NO_FLUSH, BLOCK = 0, 5
OK, STREAM_END, BUF_ERROR = 0, 1, -5
LAST_BLOCK, AT_BLOCK = 64, 128
"""Bits of data_type after inflate(Z_BLOCK); the low three are the unused bits of the last byte."""


class ZStream(ctypes.Structure):
    """z_stream (zlib.h)."""

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_uint),
        ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint),
        ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p),
        ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("adler", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong),
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What one call of inflate did: bytes taken and given, and whether the stream ended there.

    ``bits`` are those of the last byte taken that still belong to what follows, where a block
    ended just there and another follows; None elsewhere.  ``error`` says why nothing follows.
    """

    taken: int
    data: bytes
    ended: bool
    bits: int | None
    error: str | None


class Libz:
    """The shared library; KvmError where there is none."""

    def __init__(self) -> None:
        self.c = _load()
        try:
            self._declare()
        except AttributeError as e:
            raise KvmError(f"the libz here is too old: {e}") from e

    def _declare(self) -> None:
        self.c.zlibVersion.restype = ctypes.c_char_p
        stream, number = ctypes.POINTER(ZStream), ctypes.c_int
        self.c.inflateInit2_.argtypes = (stream, number, ctypes.c_char_p, number)
        self.c.inflateReset2.argtypes = (stream, number)
        self.c.inflate.argtypes = (stream, number)
        self.c.inflatePrime.argtypes = (stream, number, number)
        self.c.inflateSetDictionary.argtypes = (stream, ctypes.c_char_p, ctypes.c_uint)
        self.c.inflateEnd.argtypes = (stream,)


def _load() -> ctypes.CDLL:
    for name in NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise KvmError("there is no libz here")


class Inflater:
    """One inflate; a context manager.  ``wrapping`` is RAW or GZIP."""

    def __init__(self, libz: Libz, wrapping: int) -> None:
        self._c = libz.c
        self._stream = ZStream()
        size = ctypes.sizeof(ZStream)
        version = self._c.zlibVersion()
        if self._c.inflateInit2_(ctypes.byref(self._stream), wrapping, version, size) != OK:
            raise KvmError("libz cannot start: out of memory")
        self._open = True
        self._out = ctypes.create_string_buffer(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give libz's memory back; twice is fine."""
        if getattr(self, "_open", False):
            self._open = False
            self._c.inflateEnd(ctypes.byref(self._stream))

    def prime(self, bits: int, byte: int, window: bytes) -> None:
        """Stand where a block ended: ``bits`` high bits of ``byte`` are still to be taken."""
        stream = ctypes.byref(self._stream)
        if bits:
            self._c.inflatePrime(stream, bits, byte >> (8 - bits))
        self._c.inflateSetDictionary(stream, window, len(window))

    def reset(self, wrapping: int) -> None:
        """Start anew, at the start of a stream."""
        self._c.inflateReset2(ctypes.byref(self._stream), wrapping)

    def step(self, data: bytes, start: int, length: int, flush: int = NO_FLUSH) -> Step:
        """Take of ``data`` from ``start`` on, give at most ``length`` bytes."""
        if len(self._out) < length:
            self._out = ctypes.create_string_buffer(length)
        stream = self._stream
        # a c_char_p points into the bytes object itself, which outlives the call
        stream.next_in = (ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0) + start
        stream.avail_in = len(data) - start
        stream.next_out = ctypes.addressof(self._out)
        stream.avail_out = length
        code = self._c.inflate(ctypes.byref(stream), flush)
        kind = stream.data_type
        at_block = code == OK and kind & AT_BLOCK and not kind & LAST_BLOCK
        return Step(
            taken=len(data) - start - stream.avail_in,
            data=ctypes.string_at(self._out, length - stream.avail_out),
            ended=code == STREAM_END,
            bits=kind & 7 if at_block else None,
            error=None if code in (OK, STREAM_END, BUF_ERROR) else _reason(stream, code),
        )


def _reason(stream: ZStream, code: int) -> str:
    text = stream.msg.decode("ascii", "replace") if stream.msg else f"error {code}"
    return f"its compressed stream is damaged ({text})"
