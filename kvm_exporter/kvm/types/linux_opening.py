"""Where do a Linux kernel's types come from?  Its BTF in memory or in /sys, or its vmlinux.

Distributions' kernels have BTF (CONFIG_DEBUG_INFO_BTF) in their memory, between the symbols
``__start_BTF`` and ``__stop_BTF``, and show the running one's in /sys/kernel/btf.  Some have BTF
without those symbols: it is looked for.  Those of most 32-bit architectures have none: their
vmlinux is needed (vmlinux_opening.py), which is asked before anything is looked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import AccessDenied, Fault, FormatError, KvmError, TypeMissing
from kvm_exporter.kvm.memory import Memory, Symbols
from kvm_exporter.kvm.source import File, Source
from kvm_exporter.kvm.types.btf import BtfTypes
from kvm_exporter.kvm.types.btf_kept import kept_index
from kvm_exporter.kvm.types.btf_modules import VMLINUX, modules_in, modules_in_memory
from kvm_exporter.kvm.types.btf_search import find_btf
from kvm_exporter.kvm.types.btf_section import HEADER_SIZE, LARGEST, NAME, order_of
from kvm_exporter.kvm.types.linux_types import no_modules, of_btf
from kvm_exporter.kvm.types.origin import Origin

if TYPE_CHECKING:
    from kvm_exporter.kvm.types.dwarf_scan import Progress

FOLDER = "/sys/kernel/btf"
START, STOP, MODULES = "__start_BTF", "__stop_BTF", "btf_modules"
CODE_END, INIT_CODE = "_etext", "_sinittext"
"""Symbols: of include/asm-generic/vmlinux.lds.h, and of kernel/bpf/btf.c."""


class Stretch:
    """Kernel memory from ``start`` to ``stop``, as a Source of bytes."""

    def __init__(self, memory: Memory, start: int, stop: int) -> None:
        self._memory = memory
        self._start = start
        self.name = f"memory at {start:#x}"
        self.size = max(stop - start, 0)

    def read(self, offset: int, length: int) -> bytes:
        """As Source.read; Fault where a page is not there."""
        length = max(min(length, self.size - offset), 0)
        data = self._memory.read(self._start + offset, length) if length else b""
        if len(data) != length:
            raise Fault(self._start + offset + len(data), f"no page for the rest of {NAME}")
        return data

    def write(self, offset: int, data: bytes) -> int:
        """As Source.write: not possible."""
        raise AccessDenied(f"{self.name}: {len(data)} bytes at {offset:#x} are not for writing")

    def close(self) -> None:
        """As Source.close: the memory is another's."""


def open_linux_types(
    memory: Memory,
    symbols: Symbols,
    kernel: Source | None = None,
    build_id: str | None = None,
    cache_directory: str | None = None,
    progress: Progress | None = None,
) -> Origin:
    """The types of the kernel in ``memory``; of its vmlinux ``kernel`` where memory has none.

    ``build_id`` (hex) is the kernel's: with it an index is kept in ``cache_directory``.
    ``progress`` is told while DWARF is indexed.  Errors: TypeMissing, saying what was tried.
    """
    reasons: list[str] = []
    openers: list[Callable[[], Origin]] = [
        partial(open_symbols_btf, memory, symbols, build_id, cache_directory)
    ]
    if kernel:
        openers.append(partial(_open_vmlinux, kernel, cache_directory, progress))
    openers.append(partial(open_found_btf, memory, symbols, build_id, cache_directory))
    for opener in openers:
        try:
            return opener()
        except KvmError as e:
            reasons.append(str(e))
    advice = "" if kernel else "; its vmlinux, from its debug package, would tell: name that file"
    raise TypeMissing(f"this kernel's types are not known: {'; '.join(reasons)}{advice}")


def _open_vmlinux(kernel: Source, cache_directory: str | None, progress: Progress | None) -> Origin:
    # DWARF's reader is imported by who needs it
    from kvm_exporter.kvm.types.vmlinux_opening import open_vmlinux  # noqa: PLC0415

    return open_vmlinux(kernel, cache_directory, progress)


def open_symbols_btf(
    memory: Memory,
    symbols: Symbols,
    build_id: str | None = None,
    cache_directory: str | None = None,
) -> Origin:
    """As ``open_memory_btf``, between the symbols that say where.  TypeMissing without them."""
    start, stop, modules = (
        one.value if one else 0 for one in symbols.lookup((START, STOP, MODULES))
    )
    if not start or not stop:
        raise TypeMissing(f"it has no symbol {START}")
    return open_memory_btf(memory, start, stop, modules, build_id, cache_directory)


def open_found_btf(
    memory: Memory,
    symbols: Symbols,
    build_id: str | None = None,
    cache_directory: str | None = None,
) -> Origin:
    """As ``open_memory_btf``, looked for between the kernel's code and that for its start.

    Those are functions' symbols, which kernels without CONFIG_KALLSYMS_ALL have, too.
    """
    after, before = (one.value if one else 0 for one in symbols.lookup((CODE_END, INIT_CODE)))
    if not after or not before:
        raise TypeMissing(f"it has no symbols {CODE_END} and {INIT_CODE} to look for BTF between")
    start, stop = find_btf(memory, after, before)
    return open_memory_btf(memory, start, stop, 0, build_id, cache_directory)


def open_memory_btf(
    memory: Memory,
    start: int,
    stop: int,
    modules: int = 0,
    build_id: str | None = None,
    cache_directory: str | None = None,
) -> Origin:
    """The BTF that lies from ``start`` to ``stop`` (``__start_BTF``, ``__stop_BTF``).

    ``modules`` is the address of ``btf_modules``, 0 for unknown.  Errors: FormatError, Fault.
    """
    stretch = Stretch(memory, start, stop)
    if not HEADER_SIZE <= stretch.size <= LARGEST:
        raise FormatError(f"{NAME} cannot lie from {start:#x} to {stop:#x}")
    own = BtfTypes(kept_index(stretch, build_id, cache_directory))
    abi = Abi(order_of(stretch.read(0, HEADER_SIZE)), own.pointer_size)
    find = partial(modules_in_memory, memory, abi, own, modules) if modules else no_modules
    return of_btf(own, "its memory", stretch, find)


def open_btf_folder(
    folder: str = FOLDER, build_id: str | None = None, cache_directory: str | None = None
) -> Origin:
    """The BTF that the running kernel shows of itself and of its modules.

    Errors: KvmError where it shows none (CONFIG_DEBUG_INFO_BTF, Linux 5.4).
    """
    file = File(os.path.join(folder, VMLINUX))
    try:
        own = BtfTypes(kept_index(file, build_id, cache_directory))
    except KvmError:
        file.close()
        raise
    return of_btf(own, file.name, file, partial(modules_in, folder, own))
