"""Which types has a vmlinux?  Those of its BTF, else of its DWARF or its debug file's.

1. A vmlinux of a distribution's debug package has DWARF, and BTF where the kernel has
   (CONFIG_DEBUG_INFO_BTF); one that was stripped for booting keeps its BTF.
2. BTF may be a file of its own: /sys/kernel/btf/vmlinux copied, or what pahole(1) wrote
   (``--btf_encode_detached``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.debugfile import debug_files
from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.source import Part, Source
from kvm_exporter.kvm.types.btf import BtfTypes
from kvm_exporter.kvm.types.btf_kept import kept_index
from kvm_exporter.kvm.types.btf_section import NAME
from kvm_exporter.kvm.types.dwarf_opening import open_dwarf
from kvm_exporter.kvm.types.dwarf_scan import Progress
from kvm_exporter.kvm.types.linux_types import of_btf
from kvm_exporter.kvm.types.origin import Origin


def open_vmlinux(
    kernel: Source, cache_directory: str | None = None, progress: Progress | None = None
) -> Origin:
    """The types that the file ``kernel`` has.

    ``cache_directory`` keeps an index of them; ``progress`` is told while that of DWARF is made.
    Errors: TypeMissing, saying what was tried; FormatError for what is no ELF file and no BTF.
    """
    if not elf.is_elf(kernel.read(0, 6)):
        return of_btf(BtfTypes(kept_index(kernel)), kernel.name, kernel)
    reasons: list[str] = []
    for file in _files(kernel, reasons):
        for opener in (_open_btf, partial(open_dwarf, progress=progress)):
            try:
                return opener(file, cache_directory)
            except KvmError as e:
                reasons.append(str(e))
        if file is not kernel:
            file.close()
    raise TypeMissing(f"{kernel.name}: {'; '.join(reasons)}")


def _files(kernel: Source, reasons: list[str]) -> Iterator[Source]:
    yield kernel
    yield from debug_files(kernel, reasons)


def _open_btf(file: Source, cache_directory: str | None) -> Origin:
    header = elf.read_header(file)
    section = elf.named(elf.sections(file, header), NAME)
    # a debug file has the place of each section that is loaded, but not its bytes
    if section is None or section.type == elf.SHT_NOBITS:
        raise TypeMissing(f"{file.name} has no {NAME}")
    build_id = elf.build_id(file, header)
    btf = Part(file, section.offset, section.size)
    own = BtfTypes(kept_index(btf, build_id.hex() if build_id else None, cache_directory))
    return of_btf(own, file.name, file)
