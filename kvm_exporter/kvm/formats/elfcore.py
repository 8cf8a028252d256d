"""Where does an ELF core keep physical memory?  FreeBSD's full dumps, and those of hypervisors.

1. PT_LOAD segments hold runs of physical memory.  FreeBSD has the physical address as p_vaddr and
   p_paddr (powerpc: as one of them, the other all ones); QEMU as p_paddr.
2. amd64 and arm add PT_DUMP_DELTA: a kernel virtual address and the physical one that it has.
3. Nothing tells where the page tables are: roots.complete finds them with the kernel file's help.

Sources: sys/kern/kern_dump.c, sys/x86/x86/dump_machdep.c, sys/arm/arm/dump_machdep.c.
"""

from __future__ import annotations

from kvm_exporter.kvm.arch import find_by_elf
from kvm_exporter.kvm.elf import ET_CORE, PT_LOAD, Program, is_elf, program_headers, read_header
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.formats.model import Anchor, Format, Image
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.space import Extent

PT_DUMP_DELTA = 0x6FB5D000
"""sys/sys/elf_common.h: a map of kernel virtual to physical addresses."""


def _probe(source: Source) -> bool:
    start = source.read(0, 18)
    if len(start) < 18 or not is_elf(start):
        return False
    return int.from_bytes(start[16:18], "little" if start[5] == 1 else "big") == ET_CORE


def _open(source: Source) -> Image:
    header = read_header(source)
    arch = find_by_elf(header.identity)
    programs = program_headers(source, header)
    runs = [_run(one, arch.abi.address_mask) for one in programs if one.type == PT_LOAD]
    segments = Segments(runs, source.size)
    held = [extent.length for extent in segments.extents()]
    if not held:
        raise FormatError(f"{source.name}: an ELF core without memory: truncated, or damaged")
    anchors = (Anchor(one.virtual, one.physical) for one in programs if one.type == PT_DUMP_DELTA)
    return Image(
        format="full dump (ELF core)",
        arch=arch,
        abi=header.abi,
        page_size=arch.page_size,
        physical=segments,
        anchor=next(anchors, None),
        facts=(("physical memory", f"{sum(held) >> 20} MiB in {len(held)} runs"),),
    )


FORMAT = Format("elfcore", _probe, _open)


def _run(program: Program, ones: int) -> Extent:
    """The memory of a segment, whichever address has it."""
    address = program.virtual if program.physical == ones else program.physical
    return Extent(address, program.offset, program.file_size)
