"""Where do the running Linux kernel's C types come from?

1. What the kernel shows in /sys/kernel/btf, which anybody may read; its modules' types, too.
2. The same data in its memory, where /sys is not mounted or shows none.
3. The vmlinux of this very build, if it is installed: its BTF or its DWARF.
"""

from __future__ import annotations

import os
from functools import partial

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.memory import Memory, Symbols
from kvm_exporter.kvm.objects.linux.vmlinux import running_build_id, vmlinux_files
from kvm_exporter.kvm.types.linux_opening import FOLDER, open_btf_folder, open_symbols_btf
from kvm_exporter.kvm.types.origin import Origin


def open_types(memory: Memory, symbols: Symbols, root: str = "") -> Origin:
    """The types of the running kernel; ``root`` is the directory that has its /sys and vmlinux.

    Errors: TypeMissing, saying what was tried, where there are none.
    """
    build_id = running_build_id(root)
    known = build_id.hex() if build_id else None
    reasons: list[str] = []
    for opener in (
        partial(open_btf_folder, root + FOLDER, known),
        partial(open_symbols_btf, memory, symbols, known),
    ):
        try:
            return opener()
        except KvmError as error:
            reasons.append(str(error))
    from kvm_exporter.kvm.types.vmlinux_opening import open_vmlinux  # noqa: PLC0415 - it reads DWARF, too

    for file in vmlinux_files(os.uname().release, reasons, root):
        try:
            return open_vmlinux(file)
        except KvmError as error:
            reasons.append(str(error))
            file.close()
    raise TypeMissing(
        f"the running kernel's types are not known: {'; '.join(reasons)}; a kernel with "
        "CONFIG_DEBUG_INFO_BTF tells them, or the package with its debugging symbols"
    )
