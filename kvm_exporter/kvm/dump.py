"""What is known of the dump that is open?  Its wrappings, its headers, and its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvm_exporter.kvm.errors import Unsupported

if TYPE_CHECKING:  # a running kernel is read without any of these, in 8 MiB less
    from kvm_exporter.kvm.arch import Arch
    from kvm_exporter.kvm.containers import Textdump, Unwrapped
    from kvm_exporter.kvm.formats import Image
    from kvm_exporter.kvm.formats.pages import Page
    from kvm_exporter.kvm.space import Translator

Progress = Callable[[int, int], None]
"""(bytes done, bytes in all), while a compressed dump is indexed."""


@dataclass(frozen=True, slots=True)
class DumpOptions:
    """How to read a dump.

    ``private_key``: a PEM file, for encrypted dumps.  ``cache_directory``: where indexes go that
    cannot lie beside the dump; None is the user's own (XDG_CACHE_HOME).  ``raw``: take the file for
    raw memory, where an address is its own offset, whatever its name.
    """

    private_key: str | None = None
    cache_directory: str | None = None
    progress: Progress | None = None
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Dump:
    """An open dump: what it came in, what it is, and how its kernel's addresses are translated.

    ``facts()`` are for people: (name, value), in the order to be shown.
    """

    unwrapped: Unwrapped
    image: Image
    arch: Arch
    translator: Translator
    facts: Callable[[], tuple[tuple[str, str], ...]]

    @property
    def format(self) -> str:
        """What it is, for people."""
        return self.image.format

    @property
    def writable(self) -> bool:
        """Whether it can be written at all: raw memory, if it was opened for that."""
        return self.image.writable

    @property
    def displacement(self) -> int:
        """Bytes between where the kernel lies and where it was linked (kvm_kerndisp(3))."""
        return self.image.displacement

    def pages(self) -> Iterator[Page]:
        """Every page that the dump holds, as kvm_walk_pages(3) visits them."""
        from kvm_exporter.kvm.formats.pages import pages  # noqa: PLC0415 - as above

        return pages(self.image, self.translator)


@dataclass(frozen=True, slots=True)
class TextDump:
    """An open textdump(4): Dump's interface, of a dump without memory."""

    unwrapped: Unwrapped
    texts: Textdump
    facts: Callable[[], tuple[tuple[str, str], ...]]
    format: str = "textdump"
    writable: bool = False
    displacement: int = 0

    @property
    def arch(self) -> Arch:
        """Unsupported."""
        raise Unsupported(f"{self.unwrapped.source.name}: a textdump has an architecture in words")

    def pages(self) -> Iterator[Page]:
        """Unsupported."""
        raise Unsupported(f"{self.unwrapped.source.name}: a textdump holds no pages of memory")
