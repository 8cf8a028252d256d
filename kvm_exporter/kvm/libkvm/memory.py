"""kvm_read(3) and kvm_nlist(3): what lies at an address, and at which address lies a name?"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from kvm_exporter.kvm.libkvm.descriptor import Descriptor


@dataclass(slots=True)
class Nlist:
    """struct nlist (nlist.h), and struct kvm_nlist, which has no n_other and n_desc.

    A name of None or "" ends an array.  ``n_type`` 0 (N_UNDF) says that there is no such symbol.
    """

    n_name: str | None
    n_type: int = 0
    n_other: int = 0
    n_desc: int = 0
    n_value: int = 0


def kvm_nlist(kd: Descriptor, nl: Sequence[Nlist]) -> int:
    """Fill in each entry; how many names were not found, -1 if none could be looked up."""
    return kvm_nlist2(kd, nl)


def kvm_nlist2(kd: Descriptor, nl: Sequence[Nlist]) -> int:
    """As kvm_nlist: addresses are whole in Python in any case."""
    entries = list(takewhile(lambda entry: entry.n_name, nl))
    for entry in entries:
        entry.n_type = entry.n_other = entry.n_desc = entry.n_value = 0
    with kd.reporting("kvm_nlist"):
        missing = 0
        symbols = kd.kvm.nlist([entry.n_name or "" for entry in entries])
        for entry, symbol in zip(entries, symbols, strict=True):
            if symbol is None:
                missing += 1
            else:
                entry.n_type, entry.n_value = symbol.type, symbol.value
        if missing:
            kd.fail_with("kvm_nlist", errno.ENOENT)
        return missing
    return -1


def kvm_read(kd: Descriptor, addr: int, buf: bytearray | memoryview, nbytes: int) -> int:
    """Read kernel memory into the start of ``buf``; the count, -1 if there is nothing at ``addr``.

    Fewer than ``nbytes`` are "short read".  ValueError if ``buf`` has no room for them.
    """
    return kvm_read2(kd, addr, buf, nbytes)


def kvm_read2(kd: Descriptor, addr: int, buf: bytearray | memoryview, nbytes: int) -> int:
    """As kvm_read: addresses are whole in Python in any case."""
    if len(buf) < nbytes:
        raise ValueError(f"a buffer of {len(buf)} bytes has no room for {nbytes}")
    with kd.reporting("kvm_read", soft=True):
        data = bytes_at(kd, addr, nbytes)
        buf[: len(data)] = data
        if len(data) < nbytes:
            kd.fail("short read")
        return len(data)
    return -1


def kvm_write(
    kd: Descriptor, addr: int, buf: bytes | bytearray | memoryview, nbytes: int | None = None
) -> int:
    """Write the first ``nbytes`` of ``buf`` (None: all); the count, -1 on failure.

    Fewer than ``nbytes`` are "short write".
    """
    with kd.reporting("kvm_write", soft=True):
        if not kd.writable:
            kd.fail_with("kvm_write", errno.EBADF, soft=True)
            return -1
        data = bytes(buf[:nbytes])
        written = kd.kvm.write(addr, data)
        if written < len(data):
            kd.fail("short write")
        return written
    return -1


def bytes_at(kd: Descriptor, address: int, length: int) -> bytes:
    """At most ``length`` bytes; none where the core is /dev/null.  Errors as Kvm.read."""
    return b"" if kd.memoryless else kd.kvm.read(address, length)
