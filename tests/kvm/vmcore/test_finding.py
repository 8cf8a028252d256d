"""Is VMCOREINFO found in memory, and the right one of several?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from forge.linux_memory import NOTE, TEXT, Kernel, linux, note
from forge.pagetables import KB, MB

from kvm_exporter.kvm.vmcore.finding import find_vmcoreinfo
from kvm_exporter.kvm.vmcore.scanning import search

IMAGE = 2 * MB


def other(kernel: Kernel, **values: str) -> bytes:
    """The text of the same kernel booted elsewhere."""
    moved = {"NUMBER(phys_base)": "123731968", "KERNELOFFSET": "7600000"}
    return replace(kernel, values=kernel.values | moved | values).text


def found(core, kernel: Kernel, told: bytes | None = None, **how) -> bytes | None:
    """The text of what is found."""
    made = core(kernel, told, **how)
    info = find_vmcoreinfo(made.image, made.memory)
    return None if info is None else info.text.encode()


def erase(kernel: Kernel, *places: int) -> None:
    """Make its VMCOREINFO at those places zeros."""
    for at in places:
        kernel.ram.put(IMAGE + at, bytes(len(kernel.text) + 64))


def test_the_note_of_the_core(core) -> None:
    """A note that fits is taken, whatever is in memory."""
    kernel = linux("x86_64")
    told = other(kernel, **{"NUMBER(phys_base)": kernel.values["NUMBER(phys_base)"]})
    assert found(core, kernel, told) == told


@pytest.mark.parametrize("gone", [TEXT, NOTE])
def test_in_memory(core, gone: int) -> None:
    """The page with the text will do, and so will the note of it."""
    kernel = linux("x86_64")
    erase(kernel, gone)
    assert found(core, kernel) == kernel.text


def test_nowhere(core) -> None:
    """No VMCOREINFO is None."""
    kernel = linux("x86_64")
    erase(kernel, TEXT, NOTE)
    assert found(core, kernel) is None


def test_a_boot_before(core) -> None:
    """An older kernel's, at a lower address, does not fit; nor does an older note."""
    kernel = linux("x86_64")
    stale = other(kernel)
    kernel.ram.put(0x3000, stale)
    kernel.ram.put(0x6000, note(stale))
    assert found(core, kernel) == kernel.text
    assert found(core, kernel, stale) == kernel.text


def test_another_release(core) -> None:
    """A kernel that was prepared to take over, and lies nowhere yet."""
    kernel = linux("arm64-4k-48")
    kernel.ram.put(kernel.ram.base + 0x3000, other(kernel, OSRELEASE="6.18.1"))
    assert found(core, kernel) == kernel.text


def test_none_that_fits(core) -> None:
    """Then the note is as good as any, and what is in memory if there is no note."""
    kernel = linux("x86_64")
    erase(kernel, TEXT, NOTE)
    stale = other(kernel)
    assert found(core, kernel, stale) == stale
    kernel.ram.put(0x3000, stale)
    assert found(core, kernel) == stale


@pytest.mark.parametrize(
    "decoy", [b"OSRELEASE=", b"OSRELEASE=6.1\n", b"OSRELEASE=6.1\nPAGESIZE=4096\n"]
)
def test_what_only_begins_so(core, decoy: bytes) -> None:
    """A program's strings, a file's page: not the kernel's own."""
    kernel = linux("x86_64")
    for at in range(0, MB, 4 * KB):
        kernel.ram.put(at, decoy)
    assert found(core, kernel) == kernel.text


def test_a_text_over_two_pages(core) -> None:
    """With pages of 64 KB it may be longer than 4 KB."""
    kernel = linux("arm64-64k-48")
    kernel.values |= {f"NUMBER(N{n})": str(n) for n in range(500)}
    for place in (TEXT, NOTE):
        kernel.ram.put(kernel.ram.base + IMAGE + place, bytes(0x4000))
    kernel.ram.put(kernel.ram.base + IMAGE + TEXT, kernel.text)
    assert len(kernel.text) > 8 * KB
    assert found(core, kernel) == kernel.text


def test_a_text_at_the_end_of_memory(core) -> None:
    """What the dump has of it counts."""
    kernel = linux("x86_64")
    erase(kernel, NOTE)
    start = IMAGE + TEXT
    lost = ((start + 4 * KB, start + 64 * KB),)
    assert found(core, kernel, lost=lost) == kernel.text


def test_a_search_across_pieces(core) -> None:
    """Bytes are found wherever they lie, also across what is read at once, but not across holes."""
    kernel = linux("x86_64")
    needle = b"needle in memory"
    places = [0, MB - 3, 3 * MB - 16, 3 * MB + 100]
    for at in places:
        kernel.ram.put(at, needle)
    made = core(kernel)
    assert list(search(made.memory, made.image.physical, needle)) == places
    made = core(kernel, lost=((MB, MB + 4 * KB),))
    assert list(search(made.memory, made.image.physical, needle)) == [0, *places[2:]]
    assert list(search(made.memory, made.image.physical, b"\1" * 20)) == []
