"""What is a dump format, and what does a dump say of itself?  The records each format fills in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.space import Physical, Stored, Translator
from kvm_exporter.kvm.translation import DirectMap


class Segment(NamedTuple):
    """A loaded part of the kernel file (PT_LOAD): link-time addresses, zeros included."""

    virtual: int
    physical: int
    length: int


class KernelSymbols(Protocol):
    """What a dump without a page map of its own needs of its kernel file (ELF)."""

    @property
    def segments(self) -> Sequence[Segment]:
        """Where the kernel is linked to lie."""

    def address(self, name: str) -> int | None:
        """A symbol's link-time address; None where the kernel has no such symbol."""

    def read(self, address: int, length: int) -> bytes:
        """What the file has at a link-time address; short, or nothing, where it has no more."""


class Anchor(NamedTuple):
    """A virtual address of the kernel, as it was linked, and the physical one that it has."""

    virtual: int
    physical: int


class Utsname(NamedTuple):
    """struct new_utsname, as a dump's header has it; empty for what its writer left out."""

    sysname: str
    nodename: str
    release: str
    version: str
    machine: str
    domainname: str


@dataclass(frozen=True, slots=True)
class Image:
    """What a dump says of itself.

    ``arch`` is None where the file does not tell (raw memory): then it is the kernel's.
    ``translator``: kernel virtual addresses, run-time ones, through what the dump itself brings (a
    minidump's page map and direct map); None where page tables must be found first, which
    roots.complete does, from ``anchor`` if the dump has one.
    ``displacement``: what to add to a link-time address of the kernel file (kvm_kerndisp(3)).
    ``windows``: where physical memory is mapped as a whole; the first is the direct map.
    ``message_buffer``: where the file keeps the message buffer's bytes, if apart.
    ``writable``: it is memory, not a dump.
    ``store``: what ``physical``'s offsets are offsets of, where that is not the file itself (pages
    that are compressed one by one).
    ``linear``: where the largest piece of memory lies in the kernel's address space, if the file
    has that (ELF cores of Linux).
    ``vmcoreinfo``: what a Linux kernel says of itself, where the dump has it in a header or note.
    ``utsname`` and ``written`` (seconds since 1970): what a header of Linux dumps says.
    ``facts`` are for people: (name, value) in the order to be shown.
    """

    format: str
    arch: Arch | None
    abi: Abi | None
    page_size: int
    physical: Physical
    translator: Translator | None = None
    anchor: Anchor | None = None
    windows: tuple[DirectMap, ...] = ()
    message_buffer: Stored | None = None
    displacement: int = 0
    writable: bool = False
    store: Source | None = None
    linear: Anchor | None = None
    vmcoreinfo: bytes | None = None
    utsname: Utsname | None = None
    written: float | None = None
    facts: tuple[tuple[str, str], ...] = ()

    def direct(self, physical: int) -> int | None:
        """Where a physical address shows up in the direct map; None where it does not."""
        return self.windows[0].virtual(physical) if self.windows else None


@dataclass(frozen=True, slots=True)
class Format:
    """A dump format.

    ``probe`` says whether a source is one, from its first page and its name; it raises nothing but
    what reading raises.  ``open`` reads headers and index: FormatError tells what is wrong.
    ``join`` opens the files of one dump that is in several, in any order; None: there are no such.
    """

    name: str
    probe: Callable[[Source], bool]
    open: Callable[[Source], Image]
    join: Callable[[Sequence[Source]], Image] | None = None
