"""Does any kernel file whatsoever give answers, or say what is wrong with it?"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest
from fakes.asking import ask, inspect
from forge.elf import EHDR, SHDR, SHDR_SIZE, SYMTAB

ARCHES = ("amd64", "i386", "powerpc64")
EXTREMES = (0, 1, -1, -2, 1 << 31, 1 << 63, 0x1000)
MUTANTS = 40

CTF_HEADER = "HBB8I"
SYMBOLS = {64: "IBBHQQ", 32: "IIIBBH"}


class Elf:
    """Where a forged kernel file has its fields; the test's own reader."""

    def __init__(self, data: bytes) -> None:
        self.bits = 32 * data[4]
        self.order = "<" if data[5] == 1 else ">"
        values = struct.unpack_from(self.order + EHDR[self.bits], data, 16)
        self.sections_at, self.count, self.names = values[5], values[11], values[12]
        self.data = data

    def header(self) -> Iterator[tuple[str, int]]:
        """(code, place) of each field of the file's header, the identification among them."""
        yield from (("B", at) for at in range(4, 8))
        yield from self._fields(EHDR[self.bits], 16)

    def section(self, number: int) -> Iterator[tuple[str, int]]:
        """Of a section's header."""
        return self._fields(SHDR[self.bits], self.sections_at + number * SHDR_SIZE[self.bits])

    def values(self, number: int) -> tuple[int, ...]:
        """A section's header: name, type, flags, address, offset, size …"""
        at = self.sections_at + number * SHDR_SIZE[self.bits]
        return struct.unpack_from(self.order + SHDR[self.bits], self.data, at)

    def _fields(self, codes: str, at: int) -> Iterator[tuple[str, int]]:
        for code in codes:
            yield self.order + code, at
            at += struct.calcsize(code)

    def symbols(self, count: int) -> Iterator[tuple[str, int]]:
        """Of the first symbols."""
        [table] = [at for at in range(self.count) if self.values(at)[1] == SYMTAB]
        codes = SYMBOLS[self.bits]
        start, size = self.values(table)[4], struct.calcsize(self.order + codes)
        for number in range(1, count + 1):
            yield from self._fields(codes, start + number * size)

    def ctf(self) -> int:
        """Where the type information begins."""
        return self.data.index(struct.pack(self.order + "HB", 0xCFF1, 3))


def set_(data: bytes, code: str, at: int, value: int) -> bytes:
    """``data`` with a field of it changed."""
    changed = bytearray(data)
    struct.pack_into(code, changed, at, value % (1 << 8 * struct.calcsize(code)))
    return bytes(changed)


@pytest.mark.parametrize("arch", ARCHES)
def test_every_field_of_its_headers(forged, files, arch: str) -> None:
    """Each offset, count and size of the file, of its sections and of symbols."""
    whole = forged(arch, "people")
    parts = Elf(whole.kernel)
    fields = [*parts.header(), *parts.symbols(4)]
    for number in range(parts.count):
        fields += parts.section(number)
    for place, (code, at) in enumerate(fields):
        for value in EXTREMES[place % 3 :: 3]:
            ask(*files(whole._replace(kernel=set_(whole.kernel, code, at, value))))


@pytest.mark.parametrize("arch", ARCHES)
def test_truncated(forged, files, arch: str) -> None:
    """Cut in each part, and at its end."""
    whole = forged(arch, "people")
    parts = Elf(whole.kernel)
    cuts = {0, 3, 15, 16, 51, 52, 63, 64, parts.sections_at, len(whole.kernel) - 1}
    for number in range(parts.count):
        offset, size = parts.values(number)[4:6]
        cuts |= {offset, offset + 1, offset + size // 2, offset + size}
        cuts.add(parts.sections_at + number * SHDR_SIZE[parts.bits])
    for cut in sorted(cuts):
        ask(*files(whole._replace(kernel=whole.kernel[:cut])))


@pytest.mark.parametrize("arch", ARCHES)
def test_every_field_of_the_types(forged, files, arch: str) -> None:
    """Each field of CTF's header, and the first records' words."""
    whole = forged(arch, "system")
    parts = Elf(whole.kernel)
    start = at = parts.ctf()
    fields = []
    for code in "HBBIIIIIIII":
        fields.append((parts.order + code, at))
        at += struct.calcsize(code)
    fields += [(parts.order + "I", place) for place in range(start + 36, start + 36 + 60, 4)]
    for place, (code, at) in enumerate(fields):
        for value in EXTREMES[place % 2 :: 2]:
            ask(*files(whole._replace(kernel=set_(whole.kernel, code, at, value))))


@pytest.mark.parametrize("kind", ["people", "system"])
@pytest.mark.parametrize("arch", ARCHES)
def test_types_that_are_others(forged, files, arch: str, kind: str) -> None:
    """Members of other types, integers that are structs, arrays that are pointers, circles."""
    rng = random.Random(f"{arch} {kind}")
    whole = forged(arch, kind)
    parts = Elf(whole.kernel)
    start = parts.ctf() + 36
    end = start + int.from_bytes(
        whole.kernel[start - 8 : start - 4], "big" if parts.order == ">" else "little"
    )
    word = struct.Struct(parts.order + "I")
    small = [at for at in range(start, end, 4) if word.unpack_from(whole.kernel, at)[0] < 1000]
    for number in range(MUTANTS):
        kernel = bytearray(whole.kernel)
        for _ in range(rng.choice((1, 5, 20))):
            value = rng.choice((rng.randrange(150), rng.randrange(150), 1 << 20, 1 << 31))
            word.pack_into(kernel, rng.choice(small), value)
        paths = files(whole._replace(kernel=bytes(kernel)))
        ask(*paths)
        if not number % 20:
            inspect(*paths)


@pytest.mark.parametrize("arch", ARCHES)
def test_noise(forged, files, arch: str) -> None:
    """Bytes that are anything, in the headers and elsewhere."""
    rng = random.Random(arch)
    whole = forged(arch, "system")
    for _ in range(MUTANTS):
        kernel = bytearray(whole.kernel)
        for _ in range(rng.choice((1, 10, 100))):
            kernel[rng.randrange(len(kernel))] = rng.randrange(256)
        ask(*files(whole._replace(kernel=bytes(kernel))))
