"""Bytes at hand as a source of the package (source.py), which remembers what was asked of it."""

from __future__ import annotations


class Bytes:
    """``largest`` is the longest read so far: what a reader believed of a length."""

    def __init__(self, data: bytes, name: str = "forged") -> None:
        self.data = data
        self.name = name
        self.size = len(data)
        self.largest = 0
        self.reads = 0
        self.closed = False

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        self.reads += 1
        self.largest = max(self.largest, length)
        return self.data[offset : offset + length]

    def write(self, offset: int, data: bytes) -> int:
        raise AssertionError

    def close(self) -> None:
        self.closed = True
