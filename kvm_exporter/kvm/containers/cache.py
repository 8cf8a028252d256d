"""Where is the index of a compressed dump kept?

Rules:

1. Beside the dump, as ``vmcore.0.gz.gzip.kvmidx``, where its directory can be written; else in the
   cache directory (kept.py).  Where neither can be, or has room, in a temporary file without a
   name, at last in memory.
2. Nobody but its owner may read it (mode 0600), for what it holds is the dump's; and it is read
   only where its owner is the reader, the dump's owner or root.
3. It is written under another name first: a reader sees all of it or none.
4. Its key is a digest of the dump's size, inode, time of change, first and last bytes and
   wrappings: that of a dump which was replaced does not match, and is made anew.
5. What an encryption hid is never left on a disk under a name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kvm_exporter.kvm import kept
from kvm_exporter.kvm.containers.index import Draft, Index, load
from kvm_exporter.kvm.containers.model import Stage
from kvm_exporter.kvm.errors import AccessDenied, KvmError
from kvm_exporter.kvm.source import File, Source

ENDS = 64 << 10
"""Bytes of the compressed dump, at its start and at its end, that go into the key."""

IN_MEMORY = 64 << 20
"""Bytes of an index that memory may hold where there is no room for it elsewhere."""

Build = Callable[[Draft], tuple[int, str | None]]
"""Adds all rows; the size of the dump, and why it is broken (None if it is not)."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An index, and what to say of where it is."""

    index: Index
    place: str


class Held:
    """An index in memory: a Source of bytes."""

    def __init__(self) -> None:
        self.name = "index in memory"
        self._data = bytearray()

    @property
    def size(self) -> int:
        """As Source.size."""
        return len(self._data)

    def put(self, offset: int, data: bytes) -> None:
        """Write, at most so much; OSError for more."""
        if offset + len(data) > IN_MEMORY:
            raise OSError("no directory for an index can be written, and memory is too small")
        self._data.extend(bytes(max(offset - len(self._data), 0)))
        self._data[offset : offset + len(data)] = data

    def read(self, offset: int, length: int) -> bytes:
        """As Source.read."""
        return bytes(self._data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> int:
        """As Source.write: not possible."""
        raise AccessDenied(f"{self.name}: {len(data)} bytes at {offset:#x} are not for writing")

    def close(self) -> None:
        """As Source.close."""
        self._data.clear()


def kept_index(stage: Stage, kind: str, build: Build) -> Kept:
    """The index of a stage's bytes, read or built.  Errors: KvmError where there is no room."""
    key = _key(stage, kind)
    paths = list(_paths(stage, kind))
    for path in paths:
        if index := _load(path, kind, key, stage):
            return Kept(index, path)
    reasons: list[str] = []
    for place in [*paths, None]:
        try:
            return _written(place, kind, key, build)
        except OSError as e:
            reasons.append(str(e))
    with contextlib.suppress(OSError):
        return _held(kind, key, build)
    raise KvmError(
        f"{stage.source.name}: there is no room for its index: {reasons[0]}; name a directory "
        "that has (cache_directory)"
    )


def _key(stage: Stage, kind: str) -> bytes:
    source = stage.source
    digest = hashlib.sha256(f"{kind} {source.size} {stage.layers} {stage.header}".encode())
    digest.update(stage.identity or b"")
    digest.update(source.read(0, ENDS))
    digest.update(source.read(max(source.size - ENDS, 0), ENDS))
    return digest.digest()


def _paths(stage: Stage, kind: str) -> Iterator[str]:
    """Rule 1's names; none where nothing may stay (rule 5)."""
    if stage.identity is None:
        return
    path = os.path.realpath(stage.source.name)
    name = f"{os.path.basename(path)}.{kind}.kvmidx"
    if os.path.isfile(path):  # /dev is no place for files
        yield os.path.join(os.path.dirname(path), name)
    directory = kept.cache_directory(stage.options.cache_directory)
    unique = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    yield os.path.join(directory, f"{unique}-{name}")


def _load(path: str, kind: str, key: bytes, stage: Stage) -> Index | None:
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        owners = (0, os.geteuid(), os.stat(stage.source.name).st_uid)
        file = File(path)
    except (OSError, KvmError):
        return None
    trusted = file.status.st_uid in owners
    index = load(file, kind.encode(), key) if trusted else None
    if index is None:
        file.close()
    return index


def _written(path: str | None, kind: str, key: bytes, build: Build) -> Kept:
    """Built in a file at ``path``, or in one without a name.  Errors: OSError, KvmError."""
    if path:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd, draft = tempfile.mkstemp(".kvmidx", ".", os.path.dirname(path) if path else None)
    file: Source | None = None
    try:
        writer = Draft(lambda offset, data: _put(fd, offset, data))
        size, broken = build(writer)
        rows = writer.seal(kind.encode(), key, size, broken)
        file = File(draft)
        if path:
            os.replace(draft, path)
    except OSError:
        if file:
            file.close()
        raise
    finally:
        os.close(fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
    return Kept(Index(file, size, rows, broken), path or "a temporary file")


def _put(fd: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def _held(kind: str, key: bytes, build: Build) -> Kept:
    held = Held()
    writer = Draft(held.put)
    size, broken = build(writer)
    rows = writer.seal(kind.encode(), key, size, broken)
    return Kept(Index(held, size, rows, broken), "memory")
