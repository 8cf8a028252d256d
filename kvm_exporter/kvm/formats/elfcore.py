"""Where does an ELF core keep physical memory?  FreeBSD's full dumps, Linux's, and hypervisors'.

1. PT_LOAD segments hold runs of physical memory.  FreeBSD has the physical address as p_vaddr and
   p_paddr (powerpc: as one of them, the other all ones); Linux and QEMU as p_paddr.  The same
   memory may be there more than once: QEMU's paging=true has a segment for each mapping.
2. amd64 and arm add PT_DUMP_DELTA: a kernel virtual address and the physical one that it has.
3. Linux adds notes, of which one tells how to read the rest (VMCOREINFO).
4. Memory that the file has not was left out (holes.py), but for what QEMU finds in page tables and
   not in memory, which has an offset of all ones.
5. 32-bit kernels with more than 4 GiB have cores of 64 bits (kexec-tools, QEMU); QEMU's cores of
   powerpc64 may have the wrong byte order (processors.py).
6. Nothing tells where the page tables are: roots.complete finds them with the kernel file's help,
   vmcore.translating with the help of rule 3.

Sources: sys/kern/kern_dump.c, sys/x86/x86/dump_machdep.c, sys/arm/arm/dump_machdep.c; Linux's
fs/proc/vmcore.c and kernel/kexec_file.c, QEMU's dump/dump.c, makedumpfile's write_elf_pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvm_exporter.kvm.arch import Arch, find_by_elf
from kvm_exporter.kvm.elf import (
    ET_CORE,
    PT_LOAD,
    PT_NOTE,
    Header,
    Program,
    is_elf,
    notes,
    program_headers,
    read_header,
)
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.formats.holes import HoledSegments
from kvm_exporter.kvm.formats.model import Anchor, Format, Image
from kvm_exporter.kvm.formats.processors import POWERPC64, elf_of_processors
from kvm_exporter.kvm.formats.vmcoreinfo_note import find_note
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.space import Extent, Physical

PT_DUMP_DELTA = 0x6FB5D000
"""sys/sys/elf_common.h: a map of kernel virtual to physical addresses."""

STANDALONE = 255
"""EI_OSABI of FreeBSD's."""

NARROW = frozenset({3, 20, 40})
"""e_machine of what has 32 bits in a core of 64 (rule 5): i386, powerpc, arm."""


def _probe(source: Source) -> bool:
    start = source.read(0, 18)
    if len(start) < 18 or not is_elf(start):
        return False
    return int.from_bytes(start[16:18], "little" if start[5] == 1 else "big") == ET_CORE


def _open(source: Source) -> Image:
    header = read_header(source)
    arch = _arch(source, header)
    programs = program_headers(source, header)
    ones = header.abi.address_mask
    loads = [one for one in programs if one.type == PT_LOAD]
    segments = Segments([_run(one, ones) for one in loads], source.size)
    held = [extent.length for extent in segments.extents()]
    if not held:
        raise FormatError(f"{source.name}: an ELF core without memory: truncated, or damaged")
    holes = list(_holes(loads, ones))
    physical: Physical = HoledSegments(segments, holes) if holes else segments
    anchors = (Anchor(one.virtual, one.physical) for one in programs if one.type == PT_DUMP_DELTA)
    return Image(
        format="full dump (ELF core)" if header.osabi == STANDALONE else "ELF core",
        arch=arch,
        abi=arch.abi,
        page_size=arch.page_size,
        physical=physical,
        anchor=next(anchors, None),
        linear=_linear(loads, ones),
        vmcoreinfo=_vmcoreinfo(source, header, programs),
        facts=tuple(_facts(held, holes)),
    )


FORMAT = Format("elfcore", _probe, _open)


def _arch(source: Source, header: Header) -> Arch:
    machine, bits, order = header.identity
    if machine == POWERPC64:
        told = elf_of_processors(notes(source, header), header.abi.order)
        return find_by_elf(told or header.identity)
    return find_by_elf((machine, 1 if machine in NARROW else bits, order))


def _run(program: Program, ones: int) -> Extent:
    """The memory of a segment, whichever address has it."""
    return Extent(_address(program, ones), program.offset, program.file_size)


def _address(program: Program, ones: int) -> int:
    return program.virtual if program.physical == ones else program.physical


def _linear(loads: Sequence[Program], ones: int) -> Anchor | None:
    """Where the largest segment lies for the kernel; None where the file does not tell."""
    apart = (one for one in loads if one.virtual not in (0, ones, one.physical))
    largest = max(apart, key=lambda one: one.memory_size, default=None)
    return Anchor(largest.virtual, largest.physical) if largest else None


def _holes(loads: Sequence[Program], ones: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the memory that was left out (rule 4)."""
    for one in loads:
        if one.memory_size > one.file_size and one.offset != ones:
            start = _address(one, ones)
            yield start + one.file_size, start + one.memory_size


def _vmcoreinfo(source: Source, header: Header, programs: Sequence[Program]) -> bytes | None:
    places = ((one.offset, one.file_size) for one in programs if one.type == PT_NOTE)
    texts = (find_note(source, at, size, header.abi) for at, size in places)
    return next((text for text in texts if text), None)


def _facts(held: Sequence[int], holes: Sequence[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    yield "physical memory", f"{sum(held) >> 20} MiB in {len(held)} runs"
    if holes:
        yield (
            "left out",
            f"{sum(end - start for start, end in holes) >> 20} MiB in {len(holes)} runs",
        )
