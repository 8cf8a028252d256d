"""What does a kernel dump header say?  struct kerneldumpheader of sys/sys/kerneldump.h.

Rules:

1. 512 bytes, numbers big-endian on every machine.  Version 1 is that of FreeBSD 5 to 11; 2 and 3
   lived in the development of 12 (encryption, then compression); 4 is written since 12.0.
2. The exclusive or of all 128 words is zero.
3. savecore(8) replaces the magic of the last header once it has taken the dump, and leaves the
   parity as it was: that of a cleared header is counted with the magic it had.
"""

from __future__ import annotations

import struct

from kvm_exporter.kvm.containers.model import DumpHeader
from kvm_exporter.kvm.layout import Layout, Member

SIZE = 512
"""sizeof(struct kerneldumpheader)."""

KERNEL, TEXT, CLEARED = (
    b"FreeBSD Kernel Dump\0",
    b"FreeBSD Text Dump\0\0\0",
    b"Cleared Kernel Dump\0",
)
"""KERNELDUMPMAGIC, TEXTDUMPMAGIC, KERNELDUMPMAGIC_CLEARED: 20 bytes each."""

COMPRESSIONS = {1: "gzip", 2: "zstd"}
"""KERNELDUMP_COMP_*."""

COMMON = {
    "magic": Member(0, "20s"),
    "architecture": Member(20, "12s"),
    "version": Member(32, "I"),
    "architecture_version": Member(36, "I"),
    "dumplength": Member(40, "Q"),
}
"""The same in all versions."""

VERSION_1 = {
    "dumptime": Member(48, "Q"),
    "blocksize": Member(56, "I"),
    "hostname": Member(60, "64s"),
    "version_string": Member(124, "192s"),
    "panic_string": Member(316, "192s"),
}

VERSION_2 = {
    "dumptime": Member(48, "Q"),
    "keysize": Member(56, "I"),
    "blocksize": Member(60, "I"),
    "hostname": Member(64, "64s"),
    "version_string": Member(128, "192s"),
    "panic_string": Member(320, "188s"),
}

VERSION_3 = {
    "dumpextent": Member(48, "Q"),
    "dumptime": Member(56, "Q"),
    "keysize": Member(64, "I"),
    "blocksize": Member(68, "I"),
    "compression": Member(72, "B"),
    "hostname": Member(73, "64s"),
    "version_string": Member(137, "192s"),
    "panic_string": Member(329, "179s"),
}

VERSION_4 = VERSION_2 | {
    "panic_string": Member(320, "175s"),
    "compression": Member(495, "B"),
    "dumpextent": Member(496, "Q"),
}

VERSIONS = {1: VERSION_1, 2: VERSION_2, 3: VERSION_3, 4: VERSION_4}
"""Layouts by version; a later one would be read as the last."""

WORDS = struct.Struct(">128I")


def parse(data: bytes) -> DumpHeader | None:
    """The header that ``data`` begins with; None where there is none."""
    if len(data) < SIZE or data[:20] not in (KERNEL, TEXT, CLEARED):
        return None
    (version,) = struct.unpack_from(">I", data, 32)
    members = COMMON | VERSIONS.get(version, VERSION_4)
    decoder = Layout("kerneldumpheader", SIZE, ">", members).compile(members)
    values = dict(zip(decoder.names, decoder.decoder.unpack(data[:SIZE]), strict=True))
    text = {name: _text(value) for name, value in values.items() if isinstance(value, bytes)}
    number = {name: value for name, value in values.items() if isinstance(value, int)}
    return DumpHeader(
        magic=text["magic"],
        architecture=text["architecture"],
        architecture_version=number["architecture_version"],
        version=number["version"],
        dumplength=number["dumplength"],
        dumptime=number["dumptime"],
        blocksize=number["blocksize"],
        hostname=text["hostname"],
        version_string=text["version_string"],
        panic_string=text["panic_string"],
        compression=COMPRESSIONS.get(number.get("compression", 0)),
        dumpextent=number.get("dumpextent", number["dumplength"]),
        keysize=number.get("keysize", 0),
        parity_ok=parity_ok(data),
    )


def parity_ok(data: bytes) -> bool:
    """Rules 2 and 3."""
    if data[:20] == CLEARED:
        return any(_parity(magic + data[20:SIZE]) == 0 for magic in (KERNEL, TEXT))
    return _parity(data[:SIZE]) == 0


def _parity(data: bytes) -> int:
    parity = 0
    for word in WORDS.unpack(data):
        parity ^= word
    return parity


def _text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode("utf-8", "replace")
