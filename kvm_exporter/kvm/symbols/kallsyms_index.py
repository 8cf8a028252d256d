"""Where are the names of a kernel's symbols kept, expanded?  In the cache directory, by build id.

1. Addresses are not kept, only where the tables lie, relative to ``_stext``: values are read from
   the core, so KASLR's displacement does not matter.
2. What is kept serves where the core's own tables have its fingerprint: a digest of tokens, and of
   the words of values where these are the same wherever the kernel runs.
3. A kernel that tells no build id (before 5.9) is known by its release and the distances of some
   symbols.  Were that of two kernels the same, rule 2 would tell them apart.
4. The file is a header, the text of names, where each of them starts, and their checksums, in the
   host's byte order: nothing is made of it but slices.  A damaged one is no index.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from array import array
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from kvm_exporter.kvm import kept
from kvm_exporter.kvm.symbols.kallsyms_names import Names
from kvm_exporter.kvm.symbols.kallsyms_tables import Tables, Told
from kvm_exporter.kvm.symbols.kallsyms_values import Column, Form, Values

MAGIC = b"kvm_exporter kallsyms 1\n"
ORDER = 0x01020304

HEADER = struct.Struct("=24sII32sIIQQQIQQ")
"""Magic, byte order, checksum of all that follows, fingerprint, count of names, bytes of text;
names, token_table and token_index; form, values and base, 0 for none: relative to _stext."""

WRAP = 1 << 64
"""Distances are modulo this: a damaged core's addresses may be any."""

CHECKED = 32
"""Bytes of the header that the checksum is not of."""

LARGEST = 1 << 27

BUILD_ID = re.compile(r"[0-9a-f]{16,128}")
"""The GNU linker's and lld's have 40 digits."""

LANDMARKS = "swapper_pg_dir", "init_uts_ns", "node_online_map", "vmap_area_list", "mem_section"
"""Symbols that VMCOREINFO has had for long, as far as the kernel has them."""


class Index(NamedTuple):
    """What is kept: where the tables are, their fingerprint, and the names."""

    tables: Tables
    fingerprint: bytes
    names: Names


def index_path(info: Told, cache_directory: str | None) -> str | None:
    """Where the index of a kernel is kept; None for one that cannot be known again."""
    start, identity = info.symbol("_stext"), info.build_id
    if start is None:
        return None
    if identity is None or not BUILD_ID.fullmatch(identity):
        places = [info.symbol(name) for name in LANDMARKS]
        distances = [place and place - start for place in places]
        told = repr((info.release, distances)).encode("utf-8", "surrogateescape")
        identity = hashlib.sha256(told).hexdigest()
    return os.path.join(kept.cache_directory(cache_directory), f"{identity}.kallsyms.kvmidx")


def fingerprint(tokens: Sequence[bytes], values: Values) -> bytes:
    """Rule 2's digest."""
    digest = hashlib.sha256(b"\0".join(tokens))
    digest.update(b"%d" % len(values))
    if values.form is not Form.ADDRESSES:
        digest.update(values.words)
    return digest.digest()


def load_index(path: str, start: int) -> Index | None:
    """What is kept at a path, for a kernel whose _stext is at ``start``; None for no index."""
    data = kept.load(path, LARGEST)
    if data is None or len(data) < HEADER.size:
        return None
    magic, order, checksum, known, count, size, *places = HEADER.unpack_from(data)
    names, token_table, token_index, form, values, base = places
    expected = HEADER.size + size + -size % 4 + 4 * (2 * count + 1)
    if (magic, order, len(data)) != (MAGIC, ORDER, expected):
        return None
    if crc32(memoryview(data)[CHECKED:]) != checksum:
        return None
    text = HEADER.size
    offsets = text + size + -size % 4
    checksums = offsets + 4 * (count + 1)
    names, token_table, token_index, values = (
        (at + start) % WRAP for at in (names, token_table, token_index, values)
    )
    column = Column(Form(form), values, base and (base + start) % WRAP)
    return Index(
        Tables(count, names, token_table, token_index, (column,)),
        known,
        Names(
            data[text : text + size],
            memoryview(data)[offsets:checksums].cast("I"),
            data[checksums:],
        ),
    )


def keep_index(path: str, start: int, index: Index) -> None:
    """Write an index, whose tables have the one column that is right."""
    tables, names = index.tables, index.names
    (column,) = tables.columns
    places = (tables.names, tables.token_table, tables.token_index)
    body = b"".join(
        (
            names.text,
            bytes(-len(names.text) % 4),
            array("I", names.offsets).tobytes(),
            names.checksums,
        )
    )
    header = HEADER.pack(
        MAGIC,
        ORDER,
        0,
        index.fingerprint,
        tables.size,
        len(names.text),
        *((at - start) % WRAP for at in places),
        column.form.value,
        (column.address - start) % WRAP,
        column.base and (column.base - start) % WRAP,
    )
    checksum = crc32(body, crc32(header[CHECKED:]))
    kept.keep(path, header[: CHECKED - 4] + struct.pack("=I", checksum) + header[CHECKED:] + body)
