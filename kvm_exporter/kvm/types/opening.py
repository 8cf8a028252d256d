"""Where do a FreeBSD kernel's types come from?  Its CTF, its kernel.debug's DWARF, or a table.

1. GENERIC has CTF on most architectures (makeoptions WITH_CTF=1), so it is asked first; a
   kernel.debug may have it where the kernel was stripped of it.
2. DWARF is looked for in the kernel file itself, then in its kernel.debug (debugfile.py).
3. A shipped table is of a release's GENERIC kernel.  Options change structs (INVARIANTS, for one):
   it is taken for no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from importlib.resources import files

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.debugfile import debug_files
from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.types import ctf_section
from kvm_exporter.kvm.types.ctf import Ctf
from kvm_exporter.kvm.types.dwarf_opening import open_dwarf
from kvm_exporter.kvm.types.dwarf_scan import Progress
from kvm_exporter.kvm.types.origin import Origin
from kvm_exporter.kvm.types.tables import Tables

GENERIC = re.compile(r"FreeBSD (\d+\.\d+)-RELEASE(?:-p\d+)?\b.* GENERIC\b")
TABLES = {
    ("15.1", (62, 2, 1)): "freebsd-15.1-amd64.txt",
    ("15.1", (183, 2, 1)): "freebsd-15.1-aarch64.txt",
    ("15.1", (243, 2, 1)): "freebsd-15.1-riscv64.txt",
}
"""By release and Header.identity; patch levels of a release keep their structs."""

SIGNED_CHAR = frozenset((3, 8, 62))
"""Architectures (e_machine) whose plain char has a sign: i386, mips, amd64."""


def open_types(
    kernel: Source,
    objects: Callable[[], Iterable[str]] | None = None,
    cache_directory: str | None = None,
    progress: Progress | None = None,
    version: Callable[[], str] | None = None,
) -> Origin:
    """The types of the kernel file ``kernel``.

    ``objects``: the names of its data objects in the symbol table's order, for variables' types.
    ``cache_directory`` keeps an index of DWARF; ``progress`` is told while it is made.
    ``version`` gives the kernel's version string, for shipped tables.  Errors: TypeMissing, saying
    why, where there are none; FormatError for what is no ELF file.
    """
    reasons: list[str] = []
    for file in _files(kernel, reasons):
        try:
            return _ctf(file, objects) or open_dwarf(file, cache_directory, progress)
        except KvmError as e:
            reasons.append(str(e))
            if file is not kernel:
                file.close()
    if version and (table := _table(kernel, version())):
        return table
    raise TypeMissing(
        f"{kernel.name}: this kernel's types are not known: {'; '.join(reasons)}; its kernel.debug "
        "would tell them"
    )


def _ctf(file: Source, objects: Callable[[], Iterable[str]] | None) -> Origin | None:
    header = elf.read_header(file)
    section = elf.named(elf.sections(file, header), ctf_section.NAME)
    if section is None:
        return None
    data = elf.contents(file, header, section, ctf_section.LARGEST)
    signed = header.machine in SIGNED_CHAR
    types = Ctf(data, header.abi.pointer_size, None, objects, signed_char=signed)
    return Origin(types, f"CTF of {file.name}, {len(types)} types", file)


def _table(kernel: Source, version: str) -> Origin | None:
    header = elf.read_header(kernel)
    release = GENERIC.search(version)
    name = TABLES.get((release[1], header.identity)) if release else None
    if name is None:
        return None
    text = files(__package__).joinpath("releases", name).read_text("ascii")
    return Origin(
        Tables(text, header.abi.pointer_size),
        f"the table shipped for FreeBSD's release, {name}",
        kernel,
    )


def _files(kernel: Source, reasons: list[str]) -> Iterator[Source]:
    """The kernel file itself, then every kernel.debug that is its own."""
    yield kernel
    yield from debug_files(kernel, reasons)
