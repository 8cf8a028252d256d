"""Kernel memory (kvm/memory.py) made of stretches of bytes, which counts what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping

from kvm_exporter.kvm.errors import AccessDenied, Fault


class Regions:
    """``regions`` are bytes by address; those that touch are read as one."""

    def __init__(self, regions: Mapping[int, bytes]) -> None:
        self.regions = dict(regions)
        self.bytes_read = 0
        self.reads = 0

    def read(self, address: int, length: int) -> bytes:
        self.reads += 1
        data = b""
        while len(data) < length and (part := self._part(address + len(data), length - len(data))):
            data += part
        if length and not data:
            raise Fault(address, "nothing is there")
        self.bytes_read += len(data)
        return data

    def _part(self, address: int, length: int) -> bytes:
        for start, data in self.regions.items():
            if 0 <= address - start < len(data):
                return data[address - start : address - start + length]
        return b""

    def write(self, address: int, data: bytes) -> int:
        raise AccessDenied("regions are read only")

    def close(self) -> None:
        pass
