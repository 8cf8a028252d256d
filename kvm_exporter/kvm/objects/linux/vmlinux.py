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
from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.source import File

NOTES = "/sys/kernel/notes"
LONGEST_NOTES = 1 << 16

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


def running_build_id(path: str = NOTES) -> bytes | None:
    """The build id of the kernel that runs; None where it does not tell."""
    try:
        with File(path) as file:
            notes = file.read(0, LONGEST_NOTES)
    except KvmError:
        return None
    ids = (
        one.description
        for one in elf.parse_notes(notes, NATIVE)
        if (one.name, one.type) == (b"GNU", elf.NT_GNU_BUILD_ID)
    )
    return next(ids, None)


def vmlinux_files(
    release: str, build_id: bytes | None, reasons: list[str], root: str = ""
) -> Iterator[File]:
    """Each file of that build, open; ``reasons`` gets a phrase for one that is none.

    The caller closes them.  Of a kernel that does not tell its build id no file is.
    """
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
