"""How is a dump opened, whatever it is wrapped in?  One wrapping after the other comes off."""

from __future__ import annotations

import os
import stat
from dataclasses import replace

from kvm_exporter.kvm.containers import encrypted, flattened, gz, kerneldump, textdump, zst
from kvm_exporter.kvm.containers.directory import beside, find_dump, read_info
from kvm_exporter.kvm.containers.disk import Sectors
from kvm_exporter.kvm.containers.model import Options, Progress, Stage, Unwrapped
from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.source import File, Source

CONTAINERS = (
    encrypted.CONTAINER,
    kerneldump.CONTAINER,
    gz.CONTAINER,
    zst.CONTAINER,
    textdump.CONTAINER,
    flattened.CONTAINER,
)
"""At most one of them claims a stage: their order says nothing."""

DEEPEST = 8
"""Wrappings taken off.  savecore and dumpon make three: device or .gz, encryption, compression."""

LARGEST_KEY = 64 << 10
"""Bytes read of key.N."""


def open_container(
    path: str | Source,
    *,
    writable: bool = False,
    private_key: str | None = None,
    cache_directory: str | None = None,
    progress: Progress | None = None,
) -> Unwrapped:
    """The plain bytes of a dump: a file, a directory of dumps, a number, a device, or a Source.

    ``private_key`` is the path of an RSA key (PEM) for encrypted dumps, ``cache_directory`` where
    indexes of compressed ones go if not beside them, ``progress`` is called while one is built
    with (bytes done, bytes in all).  A plain file comes back as it is.  Errors: AccessDenied,
    FormatError with what is damaged and where, Unsupported naming the extra that is missing.
    """
    options = Options(private_key, cache_directory, progress)
    if not isinstance(path, str):
        return _unwrapped(Stage(path, options), None)
    path = find_dump(path)
    file = File(path, writable=writable)
    mode = file.status.st_mode
    disk = stat.S_ISCHR(mode) and file.size > 0
    identity = f"{file.size} {file.status.st_mtime_ns} {file.status.st_ino}".encode()
    return _unwrapped(Stage(Sectors(file) if disk else file, options, identity), path)


def _unwrapped(stage: Stage, path: str | None) -> Unwrapped:
    """All wrappings taken off; the source is closed where that fails."""
    try:
        sealed, around = _key_beside(path) if stage.source.size else (None, 0)
        for depth in range(DEEPEST + 1):
            if depth == around and sealed is not None:
                stage = replace(stage, sealed=sealed)
            inner = _next(stage) if stage.source.size else None
            if inner is None:
                break
            stage = inner
        else:
            raise FormatError(f"{stage.source.name}: wrapped more than {DEEPEST} times")
    except BaseException:
        stage.source.close()
        raise
    return Unwrapped(
        source=stage.source,
        header=stage.header,
        info=read_info(path) if path else None,
        layers=stage.layers,
        textdump=stage.textdump,
    )


def _next(stage: Stage) -> Stage | None:
    """Without its outermost wrapping; None where it has none."""
    for container in CONTAINERS:
        if container.probe(stage):
            return container.open(stage)
    return None


def _key_beside(path: str | None) -> tuple[bytes | None, int]:
    """key.N of vmcore_encrypted.N, and how many wrappings are around what it opens.

    Errors: KvmError where an encrypted dump has no key beside it.
    """
    names = {os.path.basename(name) for name in (path, os.path.realpath(path))} if path else set()
    if path is None or not any(name.startswith("vmcore_encrypted.") for name in names):
        return None, 0
    key = beside(path, "key")
    if key is None:
        raise KvmError(f"{path}: its key is missing: savecore left it beside the dump, as key.N")
    with File(key) as file:
        return file.read(0, LARGEST_KEY), int(path.endswith((".gz", ".zst")))
