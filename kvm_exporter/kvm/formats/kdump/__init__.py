"""What is in a kdump file?  Linux dumps of makedumpfile and QEMU, their pages packed one by one.

1. A split set's files are opened together (``FORMAT.join``); one of them alone has its own pages.
2. Memory's bytes are those of a store: the pages as they were, one after another.

Sources: makedumpfile's IMPLEMENTATION and diskdump_mod.h; QEMU's dump/dump.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.formats.kdump.header import Header, is_kdump
from kvm_exporter.kvm.formats.kdump.machines import find_machine
from kvm_exporter.kvm.formats.kdump.members import Member, Members, gaps, read_members
from kvm_exporter.kvm.formats.kdump.physical import KdumpMemory, left_out
from kvm_exporter.kvm.formats.kdump.store import PageStore
from kvm_exporter.kvm.formats.kdump.unpacking import NAMES, unpacker
from kvm_exporter.kvm.formats.model import Format, Image
from kvm_exporter.kvm.formats.vmcoreinfo_note import LONGEST, find_note
from kvm_exporter.kvm.source import Source

INCOMPLETE, VMEMMAP = 0x8, 0x10
"""Status: the disk was full before all was written; pages of vmemmap were left out."""

SMALLEST_PAGE = 1 << 12
"""Bytes; of an architecture that is not known."""

COMPRESSIONS = 0x27
"""The bits of a status that tell a compression (unpacking.py)."""


def _probe(source: Source) -> bool:
    return is_kdump(source.read(0, 8))


def _open(source: Source) -> Image:
    return _join([source])


def _join(sources: Sequence[Source]) -> Image:
    members = read_members(sources)
    lead, header = members.files[0]
    if members.starts[-1] == 0:
        raise FormatError(f"{lead.name}: a kdump without a page: truncated, or damaged")
    kind = header.words.status & COMPRESSIONS
    if kind in NAMES:  # to be told of a missing package now, not at the first page
        unpacker(lead.name, kind, header.words.block_size)
    arch, abi = find_machine(lead, header)
    memory = KdumpMemory(members)
    return Image(
        format=f"kdump, version {header.version}",
        arch=arch,
        abi=abi,
        page_size=arch.page_size if arch else SMALLEST_PAGE,
        physical=memory,
        store=PageStore(members, zeros=memory.zeros),
        vmcoreinfo=_vmcoreinfo(lead, header),
        utsname=header.utsname,
        written=header.stamp,
        facts=tuple(_facts(members)),
    )


FORMAT = Format("kdump", _probe, _open, _join)


def _vmcoreinfo(source: Source, header: Header) -> bytes | None:
    """The text where the sub-header says it is, else of the note (versions 3 and 4)."""
    at, size = header.sub.vmcoreinfo_at, header.sub.vmcoreinfo_size
    if at > 0 and 0 < size <= LONGEST:
        return source.read(at, size).rstrip(b"\0") or None
    at, size = header.sub.notes_at, header.sub.notes_size
    return find_note(source, at, size, Abi(header.order, header.width)) if at > 0 else None


def _facts(members: Members) -> Iterator[tuple[str, str]]:
    header = members.files[0].header
    size, kept = header.words.block_size, members.starts[-1]
    status, name = header.words.status, header.utsname
    yield "physical memory", f"{kept * size >> 20} MiB in {kept} pages of {size} bytes"
    yield "compression", NAMES.get(status & COMPRESSIONS, f"several ({status:#x})")
    if header.level is not None:
        without = left_out(header.level)
        yield "dump level", f"{header.level}: " + (f"without {without}" if without else "all")
    if status & VMEMMAP:
        yield "left out", "parts of the page array (vmemmap)"
    if status & INCOMPLETE:
        yield "status", "incomplete: there was no room for all of it"
    if header.stamp is not None:
        yield "written", f"{header.stamp:.0f} seconds after 1970"
    told = " ".join((name.sysname, name.nodename, name.release, name.version, name.machine))
    if told.strip():
        yield "uname", " ".join(told.split())
    yield from _set(members.files)


def _set(files: Sequence[Member]) -> Iterator[tuple[str, str]]:
    """Of a split set."""
    if not files[0].header.split:
        return
    there = ", ".join(f"{one.first:#x} to {one.end:#x}" for _, one in files)
    yield "split dump", f"{len(files)} files, with pages {there}"
    missing = ", ".join(f"{first:#x} to {end:#x}" for first, end in gaps(files))
    if missing:
        yield "missing files", f"those with pages {missing}: name them all"
