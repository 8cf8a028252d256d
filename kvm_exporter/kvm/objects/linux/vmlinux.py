"""Where is the running kernel's vmlinux, with all that the file it booted from was stripped of?

1. Distributions put it in different places (the list is libbpf's, btf__load_vmlinux_btf(), and
   that of drgn's debug info search); some have it in a package of its own.
2. It must have the running kernel's build id, which the kernel tells in /sys/kernel/notes: another
   build's types would make garbage of everything.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.abi import NATIVE
from kvm_exporter.kvm.errors import KvmError, SymbolMissing
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols, read_symbols

NOTES = "/sys/kernel/notes"
LONGEST_NOTES = 1 << 16

START = "_stext"
"""Where the kernel's code begins: VMCOREINFO always tells."""

PLACES = (
    "/usr/lib/debug/.build-id/{id:.2}/{rest}.debug",
    "/usr/lib/debug/boot/vmlinux-{release}",  # Debian's linux-image-*-dbg, Ubuntu's -dbgsym
    "/usr/lib/debug/boot/vmlinux-{release}.debug",  # openSUSE's kernel-*-debuginfo
    "/usr/lib/debug/lib/modules/{release}/vmlinux",  # Fedora's, RHEL's kernel-debuginfo
    "/usr/lib/debug/lib/modules/{release}/vmlinux.debug",
    "/boot/vmlinux-{release}",
    "/lib/modules/{release}/vmlinux-{release}",
    "/lib/modules/{release}/vmlinux",
    "/lib/modules/{release}/build/vmlinux",  # a kernel that was built here; Arch's, Fedora's devel
    "/usr/lib/modules/{release}/kernel/vmlinux",
)


def running_build_id(root: str = "") -> bytes | None:
    """The build id of the kernel that runs; None where it does not tell."""
    try:
        with File(root + NOTES) as file:
            notes = file.read(0, LONGEST_NOTES)
    except KvmError:
        return None
    ids = (
        one.description
        for one in elf.parse_notes(notes, NATIVE)
        if (one.name, one.type) == (b"GNU", elf.NT_GNU_BUILD_ID)
    )
    return next(ids, None)


def vmlinux_files(release: str, reasons: list[str], root: str = "") -> Iterator[File]:
    """Each file of the running kernel's build, open; ``reasons`` gets a phrase for one of another.

    The caller closes them.  Of a kernel that does not tell its build id no file is.
    """
    build_id = running_build_id(root)
    if build_id is None:
        reasons.append(f"{NOTES} does not tell which vmlinux is the kernel's")
        return
    text = build_id.hex()
    for place in PLACES:
        path = root + place.format(id=text, rest=text[2:], release=release)
        if not os.path.isfile(path):
            continue
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(File(path))
                own = elf.build_id(file)
            except KvmError as error:
                reasons.append(str(error))
                continue
            if own == build_id:
                stack.pop_all()
                yield file
            else:
                reasons.append(f"{path} is of another build of the kernel")


def open_symbols(root: str, files: contextlib.ExitStack, start: int | None) -> ElfSymbols:
    """The symbols of the running kernel's vmlinux, where it runs: ``start`` is that of its code.

    ``files`` closes the file.  Errors: SymbolMissing without one, or without ``start``.
    """
    reasons: list[str] = []
    for file in vmlinux_files(os.uname().release, reasons, root):
        files.callback(file.close)
        with contextlib.suppress(KvmError):
            found = read_symbols(file)
            linked = found.address(START)
            if start is not None and linked is not None:
                found.displacement = start - linked
                return found
        reasons.append(f"{file.name} does not tell where it runs")
    raise SymbolMissing("; ".join(reasons) or "the running kernel's vmlinux is not installed")
