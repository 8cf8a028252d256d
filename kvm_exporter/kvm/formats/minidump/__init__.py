"""Where does a minidump keep things?  FreeBSD's usual crash dump: only the pages that matter.

In the file, each part rounded up to a page: the header; the message buffer's text; dump_avail, the
ranges of physical memory (newer versions); a bitmap with one bit for each page of those ranges; the
page map; the pages whose bit is set, in order.

Sources: sys/ARCH/ARCH/minidump_machdep.c, sys/vm/vm_dumpset.h.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from kvm_exporter.kvm.arch import Arch, arches, find_by_name
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.formats.minidump.kinds import KINDS, Fields, Kind, Plan
from kvm_exporter.kvm.formats.minidump.pagemap import Area, PageMap
from kvm_exporter.kvm.formats.model import Format, Image
from kvm_exporter.kvm.formats.windowed import Windowed
from kvm_exporter.kvm.hashed import Area as HashedArea
from kvm_exporter.kvm.hashed import HashedPages
from kvm_exporter.kvm.layout import Layout
from kvm_exporter.kvm.pageset import NO_RANGES, PageSet, Place, dump_avail
from kvm_exporter.kvm.source import Source, exactly
from kvm_exporter.kvm.space import PhysicalMemory, Stored, Translator

MAGIC = b"minidump FreeBSD/"
LONGEST_HEADER = 512

MOST_BITMAP = 1 << 27
"""Bytes: of four terabytes' pages."""

MOST_RANGES = 1 << 20
"""Bytes of dump_avail; kernels write a page."""


class Header(NamedTuple):
    """``fields`` by name, those that its version has not as 0; ``mmu`` is powerpc64's mmu_name."""

    kind: Kind
    arch: Arch
    fields: Fields
    mmu: str


class Offsets(NamedTuple):
    """Where each part begins."""

    msgbuf: int
    ranges: int
    bitmap: int
    pagemap: int
    pages: int


def _kind(start: bytes) -> Kind | None:
    magic = start[:32].partition(b"\0")[0]
    return next((one for one in KINDS if magic == MAGIC + one.magic.encode()), None)


def _probe(source: Source) -> bool:
    return _kind(source.read(0, 32)) is not None


def _open(source: Source) -> Image:
    header = _header(source)
    plan = header.kind.plan(header.fields, header.arch)
    arch = _arch(header, plan)
    header = header._replace(arch=arch)
    offsets = _offsets(source, header.fields, plan.page_size)
    pages = _pages(source, header, offsets, plan.page_size)
    translator = _translator(source, header, plan, offsets, PhysicalMemory(source, pages))
    return Image(
        format=f"minidump of {header.kind.magic}, version {header.fields['version']}",
        arch=arch,
        abi=arch.abi,
        page_size=plan.page_size,
        physical=pages,
        translator=translator,
        windows=plan.windows,
        message_buffer=Stored(offsets.msgbuf, header.fields["msgbufsize"]),
        displacement=plan.displacement,
        facts=_facts(header, plan),
    )


FORMAT = Format("minidump", _probe, _open)


def _header(source: Source) -> Header:
    start = source.read(0, LONGEST_HEADER)
    kind = _kind(start)
    if kind is None:
        raise FormatError(f"{source.name}: no minidump of a known architecture")
    versions = set()
    for name in kind.arches:
        arch = find_by_name(name)
        fields = _fields(source, kind, arch, start)
        versions.add(fields["version"])
        if 1 <= fields["version"] <= kind.newest and kind.fits(fields, arch):
            mmu = start[32:64].partition(b"\0")[0].decode("latin-1")
            return Header(kind, arch, fields, mmu if kind.magic == "powerpc64" else "")
    found = " or ".join(f"{version:#x}" for version in sorted(versions))
    raise FormatError(
        f"{source.name}: a minidump of {kind.magic} of version {found}: not of 1 to {kind.newest}"
    )


def _fields(source: Source, kind: Kind, arch: Arch, start: bytes) -> Fields:
    names = tuple(kind.members)
    size = max(one.offset + struct.calcsize(one.code) for one in kind.members.values())
    compiled = Layout("minidumphdr", size, arch.abi.order, kind.members).compile(names)
    if len(start) < size:
        raise FormatError(f"{source.name}: ends within its minidump header of {size} bytes")
    values = compiled.decoder.unpack_from(start)
    fields = dict(zip(compiled.names, values, strict=True))
    for name, version in kind.since.items():
        if fields["version"] < version:
            fields[name] = 0
    return fields


def _arch(header: Header, plan: Plan) -> Arch:
    """The one with the dump's page size, where there are several of a name."""
    name = plan.arch or header.arch.name
    named = (arch for arch in arches() if arch.name == name)
    return next((arch for arch in named if arch.page_size == plan.page_size), header.arch)


def _offsets(source: Source, fields: Fields, page: int) -> Offsets:
    sizes = ("msgbufsize", "dumpavailsize", "bitmapsize", "pmapsize")
    starts = [page]
    for name in sizes:
        starts.append(starts[-1] + -(-fields[name] // page) * page)
    if starts[-1] > source.size:
        parts = ", ".join(f"{name} {fields[name]:#x}" for name in sizes)
        raise FormatError(
            f"{source.name}: the minidump's header wants {starts[-1]:#x} bytes before its pages "
            f"({parts}), and the file has {source.size:#x}: it is truncated or damaged"
        )
    return Offsets._make(starts)


def _pages(source: Source, header: Header, offsets: Offsets, page: int) -> PageSet:
    size = header.fields["bitmapsize"]
    if size > MOST_BITMAP:
        raise FormatError(f"{source.name}: a bitmap of {size:#x} bytes: at most {MOST_BITMAP:#x}")
    bitmap = exactly(source, offsets.bitmap, size, "its bitmap")
    abi = header.arch.abi
    return PageSet(
        bitmap,
        Place(offsets.pages, source.size),
        page,
        ranges=_ranges(source, header, offsets),
        order=abi.order,
        word=abi.pointer_size,
    )


def _ranges(source: Source, header: Header, offsets: Offsets) -> Sequence[tuple[int, int]]:
    """What dump_avail says: addresses of 64 bits on every architecture."""
    size = header.fields["dumpavailsize"]
    if not size:
        return NO_RANGES
    if size > MOST_RANGES:
        raise FormatError(f"{source.name}: dump_avail of {size:#x} bytes: at most {MOST_RANGES:#x}")
    return dump_avail(exactly(source, offsets.ranges, size, "dump_avail"), header.arch.abi.order, 8)


def _translator(
    source: Source, header: Header, plan: Plan, offsets: Offsets, memory: PhysicalMemory
) -> Translator | None:
    """None for radix trees of powerpc64, whose root is to be found in memory."""
    fields, abi = header.fields, header.arch.abi
    if header.mmu == "mmu_radix":
        return None
    ones = abi.address_mask
    area = Area(offsets.pagemap, fields["pmapsize"], fields["kernbase"] & ones, ones + 1)
    if not plan.levels:
        return Windowed(plan.windows, _hashed(source, header, area))
    paging = header.arch.pagings[plan.paging]
    return Windowed(plan.windows, PageMap(source, area, paging, plan.levels, memory))


def _hashed(source: Source, header: Header, area: Area) -> HashedPages:
    """The hash table as memory had it, big-endian; "phyp" asked the hypervisor for numbers."""
    swapped = header.mmu == "mmu_phyp" and header.arch.abi.order == "<"

    def read(offset: int, length: int) -> bytes:
        data = source.read(area.offset + offset, length)
        if swapped:
            words = array("Q", data[: len(data) & ~7])
            words.byteswap()
            data = words.tobytes()
        return data

    kernel = HashedArea(area.base, header.fields["kernend"] + 1)
    return HashedPages(read, area.size, (kernel,))


def _facts(header: Header, plan: Plan) -> tuple[tuple[str, str], ...]:
    fields = header.fields
    facts = [
        ("dump version", str(fields["version"])),
        ("page size", str(plan.page_size)),
        ("page map from", f"{fields['kernbase']:#x}"),
    ]
    if header.mmu:
        facts.append(("MMU", header.mmu))
    facts += [
        ("direct map", f"{one.base:#x} to {one.end:#x}, from physical {one.physical:#x}")
        for one in plan.windows[:1]
    ]
    return tuple(facts)
