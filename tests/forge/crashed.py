"""How does a forged kernel die?  A World becomes a kernel file with CTF and the dump that it wrote.

    world = Population(World(MODERN, base=BASES["amd64"])).finish()
    kernel, core = crash(world, folder)

The world's allocations are the kernel's map; ``version`` is added where it has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from forge.ctf import Ctf
from forge.elf import ALLOC, NOTE, Section, Sym, kernel
from forge.minidump import write_minidump
from forge.world import OBJECT, World

BASES = {
    "amd64": 0xFFFFFE0001230000,
    "aarch64": 0xFFFF000001230000,
    "riscv64": 0xFFFFFFC001230000,
    "i386": 0xC1230000,
    "armv7": 0xC1230000,
    "powerpc64": 0xC008000001230000,
}
"""Where a World has to start for its pages to lie in the page map of that architecture's dump."""

LINKED = {"amd64": 0xFFFFFFFF80200000}
"""Where the kernel file's own sections are; elsewhere at the start of its map."""

DISPLACED = {"powerpc64": 0xC000000000000000}
"""How far from where it is linked a kernel runs."""

VERSION = b"FreeBSD 15.1-RELEASE forged GENERIC\n\0"


def crash(
    world: World,
    folder: Path,
    arch: str = "amd64",
    *,
    name: str = "vmcore.0",
    version: int = 3,
    pages: Mapping[int, bytes | None] | None = None,
    msgbuf: bytes = b"",
) -> tuple[Path, Path]:
    """Write ``kernel`` and a minidump of that version; their paths.

    ``pages``: more physical pages, by number; None is a page of zeros.
    """
    if not any(symbol.name == "version" for symbol in world.symbols):
        world.define("version", "char", VERSION)
    file, core = folder / "kernel", folder / name
    file.write_bytes(kernel_file(world, arch))
    placed, spans = world.scattered()
    with core.open("wb") as out:
        write_minidump(
            arch,
            version,
            pages={**placed, **(pages or {})},
            mappings=spans,
            msgbuf=msgbuf,
            out=out,
        )
    return file, core


def kernel_file(world: World, arch: str = "amd64", *, compress: bool = True) -> bytes:
    """The world's names, types (compressed or not), version and build id as an ELF file."""
    [place] = [symbol for symbol in world.symbols if symbol.name == "version"]
    text = world.read(place.address, place.size)
    moved = DISPLACED.get(arch, 0)
    more = {".rodata.version": Section(text, 1, 2, place.address - moved)}
    for one in world.symbols:
        if one.name == "__build_id_start":
            build_id = world.read(one.address, one.size)
            more[".note.gnu.build-id"] = Section(build_id, NOTE, ALLOC, one.address - moved)
    symbols = [
        Sym(
            one.name,
            (one.address - moved) % (1 << 64),
            one.size,
            one.type,
            section=".rodata.version" if one is place else ".data",
        )
        for one in world.symbols
    ]
    objects = [
        one.name if one.name in world.c.variables else None
        for one in world.symbols
        if one.type == OBJECT
    ]
    return kernel(
        arch,
        symbols,
        base=LINKED.get(arch, BASES[arch] - moved - 0x30000),
        ctf=Ctf(world.c, compress=compress, objects=objects).data,
        more=more,
    )
