"""Memory that is there wherever it is read, and counts what was asked of it."""

from __future__ import annotations


class Endless:
    """Memory (kvm/memory.py) of one byte, over and over."""

    def __init__(self, byte: int = 0) -> None:
        self.bytes_read = 0
        self._byte = bytes([byte])

    def read(self, address: int, length: int) -> bytes:
        assert address >= 0
        self.bytes_read += length
        assert length <= 1 << 27, f"{length} bytes were asked for at once"
        return self._byte * length

    def write(self, address: int, data: bytes) -> int:
        raise AssertionError

    def close(self) -> None:
        pass
