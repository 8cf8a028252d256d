"""Which symbols has a forged Linux kernel?  Names, letters and addresses such as kernels have."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from forge.kallsyms import Forged, Kind, Sym, vmcoreinfo, write

BASES = {64: 0xFFFFFFFF81000000, 32: 0xC1000000}
RODATA = 0x200000
"""From the kernel's start."""

LONG = "_RNv" + "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=300))
"""A name as Rust has them, which no token makes short."""

WORDS = ("alloc", "free", "init", "exit", "page", "task", "sched", "net", "sock", "file", "0", "1")

KINDS = {
    "x86-64 6.18": Kind(),
    "x86-64 6.12": Kind(form="percpu"),
    "x86-64 6.3": Kind(form="percpu", order="seqs"),
    "x86-64 6.1": Kind(form="percpu", order="old"),
    "arm64 6.1": Kind(order="old"),
    "x86-64 5.10": Kind(form="percpu", order="old", big=False),
    "x86-64 4.18": Kind(form="percpu", order="old", big=False, wide=True),
    "x86-64 7.0": Kind(form="self"),
    "arm64 4.5": Kind(form="addresses", order="old", big=False, wide=True),
    "ia64 6.4": Kind(form="addresses"),
    "s390x 4.18": Kind(endian=">", order="old", big=False, wide=True),
    "s390x 6.18": Kind(endian=">"),
    "powerpc64 7.0": Kind(endian=">", form="self"),
    "i386 6.1": Kind(32, order="old"),
    "arm 6.18": Kind(32),
    "arm 7.0": Kind(32, form="self"),
    "i386 4.18": Kind(32, order="old", big=False, wide=True),
    "powerpc 6.1": Kind(32, ">", order="old"),
    "powerpc 3.2": Kind(32, ">", form="addresses", order="old", big=False, wide=True),
}
"""By the kernels that have them so, or could."""


@dataclass(frozen=True)
class Kernel:
    """Symbols, the tables made of them, and the memory that has both and the banner."""

    kind: Kind
    symbols: Sequence[Sym]
    tables: Forged
    memory: dict[int, bytes] = field(repr=False)

    @property
    def start(self) -> int:
        """Of the code."""
        return BASES[self.kind.bits]

    def told(self, *, kallsyms: bool = True) -> dict[str, int]:
        """VMCOREINFO's symbols; those of kallsyms since Linux 6.0."""
        return {"_stext": self.start} | (vmcoreinfo(self.tables) if kallsyms else {})


def symbols(kind: Kind, count: int = 700, seed: int = 1) -> list[Sym]:
    """``count`` names; two are alike, one is long where the kind can have such."""
    dice = random.Random(seed)
    base = BASES[kind.bits]
    found = [Sym(base, "T", "_text"), Sym(base, "T", "_stext")]
    if kind.form == "percpu":
        names = ("__per_cpu_start", "cpu_number", "runqueues", "__per_cpu_end")
        found[:0] = [Sym(at * 0x100, "A", name) for at, name in enumerate(names)]
    at = base
    while len(found) < count:
        at += dice.choice((0, 4, 16, 0x80))
        name = "_".join(dice.choices(WORDS, k=dice.randint(2, 5)))
        found.append(Sym(at, dice.choice("tTtTrRdDbBwW"), f"{name}_{len(found)}"))
    last = max(at, base + RODATA) + 0x1000
    found += [Sym(last, "t", "twice"), Sym(last + 8, "T", "twice"), Sym(last + 16, "T", "twice")]
    found += [Sym(last + 24, "d", "thrice"), Sym(last + 32, "b", "thrice")]
    found += [Sym(last + 40, "T", "_under"), Sym(last + 48, "t", LONG if kind.big else "short")]
    return [*found, Sym(last + 0x1000, "B", "_end")]


def kernel(kind: Kind, count: int = 700, before: bytes = b"decoys") -> Kernel:
    """A kernel whose code is a page, and whose .rodata has other bytes before the tables."""
    base = BASES[kind.bits]
    own = symbols(kind, count)
    tables = write(kind, own, base + RODATA, before)
    return Kernel(kind, own, tables, {base: bytes(4096), tables.address: tables.data})
