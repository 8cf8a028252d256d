"""Does any dump whatsoever answer, or say what is wrong with it, without harm to its reader?"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator

import pytest
from fakes.asking import ask, inspect
from forge.booted import boot
from forge.elfcore import write_full_dump
from forge.minidump import ROWS

ARCHES = ("amd64", "i386", "aarch64", "riscv64", "powerpc64")
KINDS = ("people", "system")
EXTREMES = (0, 1, -1, -2, 1 << 31, 1 << 63, 0x1000)
"""As far as they fit into a field."""

MUTANTS = 24
"""Of each dump and way to damage it; a whole one takes a twentieth of a second."""


def set_(data: bytes, code: str, at: int, value: int) -> bytes:
    """``data`` with a field of it changed."""
    changed = bytearray(data)
    struct.pack_into(code, changed, at, value % (1 << 8 * struct.calcsize(code)))
    return bytes(changed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arch", ARCHES)
def test_a_whole_dump_answers(forged, files, arch: str, kind: str) -> None:
    """Undamaged, each forged dump answers what its world holds."""
    found = ask(*files(forged(arch, kind)))
    if kind == "people":
        assert sorted(one.pid for one in found["processes"]) == [1, 2, 3, 4, 5]
        assert len(found["threads"]) == 10
        assert found["open files"][0].path == found["program of 1"] == "/bin/sh"
    else:
        assert found["mounts"]
        assert found["interfaces"]
        assert found["memory"].counters


@pytest.mark.parametrize("arch", ARCHES)
def test_truncated(forged, files, arch: str) -> None:
    """Cut at each part's boundary, and anywhere."""
    whole = forged(arch, "people")
    page = ROWS[arch].page
    size = len(whole.core)
    cuts = {0, 1, 23, 24, 28, 40, 64, 128, page - 1, page, page + 1, 2 * page, 3 * page, 4 * page}
    cuts |= set(range(size - 8 * page, size, page)) | {size - 1}
    for cut in sorted(cut for cut in cuts if 0 <= cut < size):
        ask(*files(whole._replace(core=whole.core[:cut])))


@pytest.mark.parametrize("arch", ARCHES)
def test_every_field_of_the_header(forged, files, arch: str) -> None:
    """Each length, version and address of a minidump's header, as large and small as can be."""
    whole = forged(arch, "system")
    row = ROWS[arch]
    for _, code, at in row.header:
        for value in EXTREMES:
            ask(*files(whole._replace(core=set_(whole.core, row.order + code, at, value))))


def redirected(data: bytes, width: int, rng: random.Random) -> bytes:
    """Pointers set to other pointers: circles, lists that are something else's."""
    changed = bytearray(data)
    start = len(data) - 12 * 4096
    words = [
        at
        for at in range(start, len(data), width)
        if any(data[at : at + width]) and data[at] != 0xA5
    ]
    for _ in range(rng.choice((1, 2, 5, 40))):
        to, of = rng.choice(words), rng.choice(words)
        changed[to : to + width] = data[of : of + width]
    return bytes(changed)


def extreme(data: bytes, width: int, rng: random.Random) -> bytes:
    """Words of memory set to extremes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 3, 20))):
        at = rng.randrange(0, len(data) - width, width)
        value = rng.choice(EXTREMES) % (1 << 8 * width)
        changed[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
    return bytes(changed)


def noisy(data: bytes, width: int, rng: random.Random) -> bytes:
    """Bytes that are anything."""
    changed = bytearray(data)
    for _ in range(width * rng.choice((1, 10, 100))):
        changed[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("damage", [redirected, extreme, noisy])
@pytest.mark.parametrize("arch", ARCHES)
def test_damaged_memory(
    forged, files, arch: str, damage: Callable[[bytes, int, random.Random], bytes]
) -> None:
    """Lists in circles, pointers anywhere, counts without bounds: in the kernel's own structs."""
    rng = random.Random(f"{arch} {damage.__name__}")
    for number in range(MUTANTS):
        whole = forged(arch, KINDS[number % 2])
        width = 4 if arch == "i386" else 8
        ask(*files(whole._replace(core=damage(whole.core, width, rng))))


@pytest.mark.parametrize("kind", KINDS)
def test_inspected(forged, files, kind: str) -> None:
    """Damaged dumps are printed, on a terminal that knows nothing but ASCII."""
    rng = random.Random(kind)
    for damage in (redirected, extreme, noisy):
        whole = forged("amd64", kind)
        inspect(*files(whole._replace(core=damage(whole.core, 8, rng))))


def programs(core: bytes, order: str, wide: bool) -> Iterator[tuple[str, int]]:
    """(code, place) of every field of an ELF core's headers."""
    header = "HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"
    program = "IIQQQQQQ" if wide else "IIIIIIII"
    at = 16
    for code in header:
        yield order + code, at
        at += struct.calcsize(code)
    for _ in range(2):
        for code in program:
            yield order + code, at
            at += struct.calcsize(code)


@pytest.mark.parametrize("name", ["amd64", "i386", "riscv64", "powerpc64-hashed"])
def test_every_field_of_a_full_dump(files, forged, name: str) -> None:
    """Each offset, count and address of an ELF core's headers; and the dump cut anywhere."""
    kernel = boot(name)
    core = write_full_dump(kernel.arch, runs=kernel.runs)
    whole = forged("amd64", "people")._replace(kernel=kernel.file, core=core)
    assert ask(*files(whole))["facts"]
    order = ">" if kernel.arch == "powerpc64" else "<"
    for code, at in programs(core, order, wide=kernel.arch != "i386"):
        for value in EXTREMES:
            ask(*files(whole._replace(core=set_(core, code, at, value))))
    for cut in (0, 15, 16, 63, 64, 119, 120, 176, 4096, 8192, len(core) // 2, len(core) - 1):
        ask(*files(whole._replace(core=core[:cut])))
