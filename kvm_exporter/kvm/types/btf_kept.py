"""Where is the index of a kernel's BTF kept?  In the cache directory, named by its build id.

1. The directory is that of kept.py.  Where it cannot be written, the pass over all types (some
   40 ms) is made each time, after all of them have been read.
2. A file is ``HEADER``, ``SIZES`` and then words, strings, starts and keys of Index, as they lie in
   this machine's memory: nothing has to be worked out, and nothing else of the BTF to be read.
3. Its key is a digest of the build id, the BTF's length and its first and last bytes.  A file that
   has another, and one that is not as it was written, is made anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import sys
import zlib
from array import array
from itertools import accumulate, pairwise
from typing import Final

from kvm_exporter.kvm import kept
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.source import Readable, exactly
from kvm_exporter.kvm.types.btf_index import Index, build_index
from kvm_exporter.kvm.types.btf_section import HEADER_SIZE, LARGEST, NAME, Section, read_section

VERSION: Final = f"kvm_exporter BTF index 1 {sys.byteorder}"

HEADER = struct.Struct("=32sI")
"""Key, checksum of all behind it."""

SIZES = struct.Struct("=?3x4Q")
"""marks_signs, the bytes of words, of strings, of starts and of keys."""

LARGEST_INDEX = 1 << 28
ENDS = 4096
"""Bytes of the BTF at its start and at its end that go into the key."""

BUILD_ID = re.compile("[0-9a-f]{8,128}")


def kept_index(btf: Readable, build_id: str | None = None, directory: str | None = None) -> Index:
    """The index of a BTF section: read where it is kept, else made and kept.

    ``build_id`` is the kernel's, in hex; without one nothing is kept.  Errors: FormatError, and
    those of reading ``btf``.
    """
    if not HEADER_SIZE <= btf.size <= LARGEST:
        raise FormatError(f"{btf.name}: {btf.size} bytes are no {NAME}")
    if not build_id or not BUILD_ID.fullmatch(build_id):
        return build_index(read_section(exactly(btf, 0, btf.size, NAME)))
    key = _key(btf, build_id)
    path = os.path.join(kept.cache_directory(directory), f"{build_id}.btf.kvmidx")
    index = _read(kept.load(path, LARGEST_INDEX), key)
    if index is None:
        index = build_index(read_section(exactly(btf, 0, btf.size, NAME)))
        kept.keep(path, _written(index, key))
    return index


def _key(btf: Readable, build_id: str) -> bytes:
    digest = hashlib.sha256(f"{VERSION} {build_id} {btf.size} ".encode())
    length = min(ENDS, btf.size)
    digest.update(exactly(btf, 0, length, NAME))
    digest.update(exactly(btf, btf.size - length, length, NAME))
    return digest.digest()


def _written(index: Index, key: bytes) -> bytes:
    parts = (
        array("I", index.section.words).tobytes(),
        index.section.strings,
        array("I", index.starts).tobytes(),
        array("Q", index.keys).tobytes(),
    )
    rest = SIZES.pack(index.marks_signs, *map(len, parts)) + b"".join(parts)
    return HEADER.pack(key, zlib.crc32(rest)) + rest


def _read(data: bytes | None, key: bytes) -> Index | None:
    if data is None or len(data) < HEADER.size + SIZES.size:
        return None
    found, checksum = HEADER.unpack_from(data)
    rest = memoryview(data)[HEADER.size :]
    if found != key or zlib.crc32(rest) != checksum:
        return None
    signs, *lengths = SIZES.unpack_from(rest)
    ends = list(accumulate(lengths, initial=SIZES.size))
    words, strings, starts, keys = (bytes(rest[at:end]) for at, end in pairwise(ends))
    return Index(Section(array("I", words), strings), array("I", starts), array("Q", keys), signs)
