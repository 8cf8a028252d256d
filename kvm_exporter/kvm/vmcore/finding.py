"""Where is VMCOREINFO?  In the dump's header or note; else in memory, where the kernel keeps it.

1. In memory it lies at a page's start: as the text itself, and as the ELF note of it.  Older ones
   are there as well: of a boot before, of a kernel that was prepared to take over.
2. So the first one is taken that fits: with which the kernel, and tables that map it, are where it
   says.  A note's counts first, unless only another fits; none that fits is better than a wrong
   one, but a note's that does not is kept, so that what is wrong can be told.

Sources: kernel/crash_core.c (vmcoreinfo_data is a page since 4.13), QEMU's hw/misc/vmcoreinfo.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.formats import Image
from kvm_exporter.kvm.space import PhysicalMemory
from kvm_exporter.kvm.vmcore.scanning import search
from kvm_exporter.kvm.vmcore.translating import fits
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

START = b"OSRELEASE="
"""The first line, always (crash_save_vmcoreinfo_init)."""

PAGE = 4096
WITHIN = (0, 24)
"""Where in a page it begins: as the text, and behind the head of the note."""
MOST_PAGES = 16
"""Of the text: no kernel has larger pages than 64 KB."""

MOST_FOUND = 1 << 14
"""Pages that begin so: of a file about such things, of a damaged dump."""

NEEDED = ("PAGESIZE", "SYMBOL(swapper_pg_dir)")
"""Lines without which it is not the kernel's own text, or of no use."""


def find_vmcoreinfo(image: Image, memory: PhysicalMemory) -> Vmcoreinfo | None:
    """What the kernel says of itself; None where it is nowhere, or fits nowhere.

    Without a note that fits all of memory is read, as far as it takes.
    """
    note = None if image.vmcoreinfo is None else Vmcoreinfo.parse(image.vmcoreinfo)
    if note is not None and fits(image, memory, note):
        return note
    second = note
    for one in _in_memory(image, memory):
        if fits(image, memory, one):
            return one
        second = second or one
    return second


def _in_memory(image: Image, memory: PhysicalMemory) -> Iterator[Vmcoreinfo]:
    seen = set()
    places = (at for at in search(memory, image.physical, START) if at % PAGE in WITHIN)
    for at in islice(places, MOST_FOUND):
        info = Vmcoreinfo.parse(_text(memory, at))
        if info.text not in seen and _complete(info):
            seen.add(info.text)
            yield info


def _complete(info: Vmcoreinfo) -> bool:
    return all(info.value(line) for line in NEEDED)


def _text(memory: PhysicalMemory, at: int) -> bytes:
    """The text there, to a NUL or the end of what can be read; b"" if its first page is no such."""
    data = _rest_of_page(memory, at)
    if not _complete(Vmcoreinfo.parse(data)):
        return b""
    while b"\0" not in data and len(data) < MOST_PAGES * PAGE:
        more = _rest_of_page(memory, at + len(data))
        if not more:
            break
        data += more
    return data


def _rest_of_page(memory: PhysicalMemory, at: int) -> bytes:
    try:
        return memory.read(at, PAGE - at % PAGE)
    except Fault:
        return b""
