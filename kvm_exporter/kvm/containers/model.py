"""What does a dump say of itself, and what is known of it while it is unwrapped?  The values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvm_exporter.kvm.source import Source

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) of the file while an index is built."""


@dataclass(frozen=True, slots=True)
class DumpHeader:
    """struct kerneldumpheader (sys/sys/kerneldump.h), of any of its four versions.

    Lengths and sizes are bytes, ``dumptime`` seconds since 1970; ``magic`` tells a kernel dump, a
    text dump, and one that savecore has already taken (``Cleared Kernel Dump``) apart.
    ``dumplength`` counts what was stored: of a compressed dump, its compressed bytes.
    ``compression`` is ``gzip``, ``zstd`` or None; ``dumpextent`` the room reserved on the device.
    """

    magic: str
    architecture: str
    architecture_version: int
    version: int
    dumplength: int
    dumptime: int
    blocksize: int
    hostname: str
    version_string: str
    panic_string: str
    compression: str | None
    dumpextent: int
    keysize: int
    parity_ok: bool


@dataclass(frozen=True, slots=True)
class DumpInfo:
    """The text that savecore(8) writes as info.N; None for what it does not say.

    ``dumptime`` is as written, in the local time of the machine that saved it; ``dump_length``
    and ``blocksize`` are bytes; ``status`` is good, bad or unknown.
    """

    device: str | None = None
    architecture: str | None = None
    architecture_version: int | None = None
    dump_length: int | None = None
    blocksize: int | None = None
    compression: str | None = None
    dumptime: str | None = None
    hostname: str | None = None
    magic: str | None = None
    version_string: str | None = None
    panic_string: str | None = None
    parity: int | None = None
    bounds: int | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Textdump:
    """The files of a textdump(4), as text; None for those that it does not have."""

    ddb: str | None = None
    config: str | None = None
    msgbuf: str | None = None
    panic: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A dump without its wrappings.

    ``source`` holds the plain bytes; closing it closes every file beneath.  ``header`` is that of
    the dump device or of a live dump, ``info`` the info.N beside the file, ``textdump`` a text
    dump's files (it has no memory).  ``layers`` are for people, outermost first; empty for a plain
    file.
    """

    source: Source
    header: DumpHeader | None = None
    info: DumpInfo | None = None
    layers: tuple[str, ...] = ()
    textdump: Textdump | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How to open: a private key's path (PEM), where indexes may go, whom to tell of progress."""

    private_key: str | None = None
    cache_directory: str | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A dump with some of its wrappings taken off.

    ``identity`` tells this file from every other (None where no index of it may be kept: a source
    that is no file, or what an encryption hid); ``sealed`` is the struct kerneldumpkey of bytes
    that are still encrypted.
    """

    source: Source
    options: Options
    identity: bytes | None = None
    sealed: bytes | None = None
    header: DumpHeader | None = None
    layers: tuple[str, ...] = ()
    textdump: Textdump | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """One kind of wrapping.

    ``probe`` says whether a stage is one, from a few reads: KvmError where they fail.  ``open``
    takes it off: FormatError says what is wrong with it and where, Unsupported what is missing.
    """

    name: str
    probe: Callable[[Stage], bool]
    open: Callable[[Stage], Stage]


def head(stage: Stage, length: int) -> bytes:
    """The first bytes, for a probe: empty where they are encrypted, and so tell nothing."""
    return b"" if stage.sealed is not None else stage.source.read(0, length)
