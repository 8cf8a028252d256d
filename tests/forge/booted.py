"""Forges a kernel in memory, as its loader and pmap_bootstrap leave it: image, page tables, names.

For dumps that do not tell where the tables are: a reader has to find them with the kernel file.
Variables are those of sys/ARCH/ARCH/pmap.c (amd64, i386, arm64, riscv), arm/arm/pmap-v6.c, and
powerpc/aim/mmu_radix.c and moea64_native.c.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from forge.elf import GLOBAL, MACHINES, OBJECT, Section, Sym, kernel, note
from forge.pagetables import FORMS, Page, Ram, build, hash_table

VERSION = b"FreeBSD 15.1-RELEASE forged 0123456789abcdef GENERIC\n\0"
FAR = b"bytes of a page that only the page tables lead to"


@dataclass(frozen=True)
class Model:
    """How one architecture's kernel is linked (``base``), loaded, and names its tables.

    ``variables``: (symbol, what it holds of the root, see ``_held``; offset into the symbol), and
    ``extra`` ones with their values.  ``far``: where a page is mapped that lies elsewhere.
    ``direct``: the direct map's virtual address, of the physical address ``direct_from``; its pages
    are of ``big`` bytes.
    """

    form: str
    base: int
    load: int
    variables: tuple[tuple[str, str, int], ...]
    far: int
    direct: int | None = None
    direct_from: int = 0
    page: int = 4096
    big: int = 1 << 21
    extra: tuple[tuple[str, int], ...] = ()


IMAGE = 0x10000
VERSION_AT, VARIABLES_AT, PMAP_AT, FAR_AT = 0x2040, 0x3000, 0x3100, 0x8000
DIRECT = 0xC000000000000000
"""powerpc64 kernels run in the direct map."""

MODELS = {
    "amd64": Model(
        "4-level",
        0xFFFFFFFF80200000,
        0x200000,
        (("KPML4phys", "root", 0),),
        0xFFFFFE0012345000,
        0xFFFFF80000000000,
        extra=(("KPML5phys", 0),),
    ),
    "amd64-la57": Model(
        "5-level",
        0xFFFFFFFF80200000,
        0x600000,
        (("KPML5phys", "root", 0), ("KPML4phys", "below", 0)),
        0xFFFFFE0012345000,
        0xFF01000000000000,
    ),
    "amd64-stripped": Model(
        "4-level",
        0xFFFFFFFF80200000,
        0x400000,
        (("kernel_pmap_store", "root", 0x38),),
        0xFFFFFE0012345000,
        0xFFFFF80000000000,
    ),
    "i386": Model(
        "i386",
        0x00800000,
        0x00800000,
        (("IdlePTD_nopae", "root", 0),),
        0xF0123000,
        big=1 << 22,
        extra=(("IdlePDPT", 0), ("IdlePTD_pae", 0), ("pae_mode", 0)),
    ),
    "i386-pae": Model(
        "pae",
        0x00800000,
        0x00800000,
        (("IdlePDPT", "root", 0),),
        0xF0123000,
        extra=(("IdlePTD_nopae", 0), ("pae_mode", 1)),
    ),
    "aarch64": Model(
        "4k-48",
        0xFFFF000000000000,
        0x40200000,
        (("pagetable_l0_ttbr1", "itself", 0),),
        0xFFFF00007FFF0000,
        0xFFFFA00000000000,
        0x40000000,
        extra=(("dmap_phys_base", 0x40000000),),
    ),
    "aarch64-16k": Model(
        "16k-48",
        0xFFFF000000000000,
        0x42000000,
        (("kernel_pmap_store", "root", 0x20),),
        0xFFFF00007FFF0000,
        0xFFFFA00000000000,
        0x40000000,
        page=16384,
        big=1 << 25,
        extra=(("dmap_phys_base", 0x40000000),),
    ),
    "riscv64": Model(
        "sv39",
        0xFFFFFFC000000000,
        0x80200000,
        (("kernel_pmap_store", "satp", 0x28),),
        0xFFFFFFC012345000,
        0xFFFFFFD000000000,
        0x80000000,
        extra=(("dmap_phys_base", 0x80000000),),
    ),
    "riscv64-sv48": Model(
        "sv48",
        0xFFFFFFC000000000,
        0x80200000,
        (("kernel_pmap_store", "satp", 0x28),),
        0xFFFFFFC012345000,
        0xFFFFFFD000000000,
        0x80000000,
        extra=(("dmap_phys_base", 0x80000000),),
    ),
    "armv7": Model(
        "short",
        0xC0000000,
        0x60300000,
        (("pmap_kern_ttb", "flags", 0),),
        0xD0123000,
        big=1 << 20,
    ),
    "armv7-l1pa": Model(
        "short",
        0xC0000000,
        0x60300000,
        (("kernel_l1pa", "virtual", 0),),
        0xD0123000,
        big=1 << 20,
    ),
    "powerpc64": Model(
        "radix",
        0x100000,
        0x4000000,
        (("kernel_pmap_store", "direct", 0x40),),
        0xC008000000123000,
        0xC000000000000000,
    ),
    "powerpc64le": Model(
        "radix",
        0x100000,
        0x4000000,
        (("kernel_pmap_store", "direct", 0x40),),
        0xC008000000123000,
        0xC000000000000000,
    ),
}
HASHED = Model(
    "hashed",
    0x100000,
    0x4000000,
    (("moea64_pteg_table", "direct", 0), ("moea64_pteg_count", "groups", 0)),
    0xC008000000123000,
    0xC000000000000000,
)
GROUPS = 2048


@dataclass(frozen=True)
class Booted:
    """A kernel in memory: ``runs`` (physical address, bytes) and its ``file``.

    ``version`` and ``far`` are (run-time virtual address, physical address) of VERSION and FAR;
    ``base`` and ``load`` the image's link-time virtual and its physical address; ``symbols`` the
    file's, by name.
    """

    arch: str
    runs: list[tuple[int, bytes]]
    file: bytes
    version: tuple[int, int]
    far: tuple[int, int]
    base: int
    load: int
    symbols: dict[str, int]


NAMES = (*MODELS, "powerpc64-hashed")


def boot(name: str, *, version: bytes = VERSION) -> Booted:
    """The kernel of MODELS[name], or a powerpc64 one with a hash table (``powerpc64-hashed``)."""
    arch = name.partition("-")[0]
    model = HASHED if name.endswith("-hashed") else MODELS[name]
    symbols = _symbols(model)
    image = bytearray(IMAGE)
    image[VERSION_AT : VERSION_AT + len(version)] = version
    image[FAR_AT : FAR_AT + len(FAR)] = FAR
    image[0x1000:0x1040] = b"\xcc" * 64
    build_note = note(MACHINES[arch][2], b"GNU\0", 3, bytes(range(20)))
    image[: len(build_note)] = build_note
    run_at = DIRECT + model.load if arch.startswith("powerpc") else model.base
    ram = Ram(model.load + IMAGE)
    _, bits, order = MACHINES[arch]
    for address, value in _tables(model, symbols, run_at, ram):
        at = address - model.base
        image[at : at + bits // 8] = value.to_bytes(bits // 8, "little" if order == "<" else "big")
    rodata = Section(version, 1, 2, symbols["version"])
    listed = [Sym(one, value, 8, OBJECT, GLOBAL) for one, value in symbols.items()]
    return Booted(
        arch=arch,
        runs=[(model.load, bytes(image)), (ram.base, bytes(ram.bytes))],
        file=kernel(arch, listed, base=model.base, more={".rodata.version": rodata}),
        version=(run_at + VERSION_AT, model.load + VERSION_AT),
        far=(model.far, model.load + FAR_AT),
        base=model.base,
        load=model.load,
        symbols=symbols,
    )


def _symbols(model: Model) -> dict[str, int]:
    """Where each variable was linked to."""
    names = [one for one, _, _ in model.variables] + [one for one, _ in model.extra]
    symbols = {name: model.base + VARIABLES_AT + 8 * n for n, name in enumerate(names)}
    symbols["kernel_pmap_store"] = model.base + PMAP_AT
    symbols["version"] = model.base + VERSION_AT
    itself = [one for one, kind, _ in model.variables if kind == "itself"]
    return symbols | dict.fromkeys(itself, model.base + IMAGE)


def _tables(model: Model, symbols: dict[str, int], run_at: int, ram: Ram) -> list[tuple[int, int]]:
    """Build them; (link-time address, value) of the variables that lead there."""
    spans = [Page(model.far, model.load + FAR_AT, model.page)]
    values = [(symbols[one], value) for one, value in model.extra]
    if model is HASHED:
        root = ram.allocate(GROUPS * 128)
        ram.put(root, hash_table(spans, GROUPS))
    else:
        if run_at == model.base:
            steps = range(0, IMAGE, model.page)
            spans += [Page(run_at + at, model.load + at, model.page) for at in steps]
        if model.direct is not None:
            top = model.load & -model.big
            spans.append(Page(model.direct + top - model.direct_from, top, model.big))
        root = build(FORMS[model.form], spans, ram)
    return values + list(_held(model, symbols, root, run_at - model.load, ram))


def _held(
    model: Model, symbols: dict[str, int], root: int, delta: int, ram: Ram
) -> Iterable[tuple[int, int]]:
    """What is in each variable that has something of the root."""
    for name, kind, offset in model.variables:
        last_entry = int.from_bytes(ram.bytes[root - ram.base + 511 * 8 :][:8], "little")
        value = {
            "root": root,
            "below": last_entry & 0xFFFFFFFFFF000,
            "virtual": root + delta,
            "satp": 8 << 60 | root >> 12,
            "flags": root | 0x6A,
            "direct": DIRECT | root,
            "groups": GROUPS,
        }.get(kind)
        if value is not None:
            yield symbols[name] + offset, value
