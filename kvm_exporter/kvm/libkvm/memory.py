"""kvm_read(3) and kvm_nlist(3): what lies at an address, and at which address lies a name?"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

from kvm_exporter.kvm.dump import Dump
from kvm_exporter.kvm.errors import Fault, KvmError
from kvm_exporter.kvm.libkvm.descriptor import Descriptor, Resolver
from kvm_exporter.kvm.linkersets import PCPU, VNET, LinkerSets, Template, lookup
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.symbols.joined import DeadSymbols

N_DATA, N_EXT = 6, 1
"""sys/sys/nlist_aout.h: the type of what a resolver finds, as libkvm has it."""


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
    """Fill in each entry; how many names were not found, -1 if none could be looked up.

    Of a dump, types are those of its kernel's file; a running kernel's are all 4 (N_TEXT).
    """
    return kvm_nlist2(kd, nl)


def kvm_nlist2(kd: Descriptor, nl: Sequence[Nlist]) -> int:
    """As kvm_nlist: addresses are whole in Python in any case, those of other machines, too."""
    entries = list(takewhile(lambda entry: entry.n_name, nl))
    for entry in entries:
        entry.n_type = entry.n_other = entry.n_desc = entry.n_value = 0
    with kd.reporting("kvm_nlist"):
        missing = 0
        symbols = _found(kd, [entry.n_name or "" for entry in entries])
        for entry, symbol in zip(entries, symbols, strict=True):
            if symbol is None:
                missing += 1
            else:
                entry.n_type, entry.n_value = symbol.type, symbol.value
        if missing and kd.kvm.live:
            kd.fail_with("kvm_nlist", errno.ENOENT)
        return missing
    return -1


def _found(kd: Descriptor, names: Sequence[str]) -> list[Symbol | None]:
    return kd.kvm.nlist(names) if kd.resolver is None else _resolved(kd, kd.resolver, names)


def _resolved(kd: Descriptor, resolver: Resolver, names: Sequence[str]) -> list[Symbol | None]:
    """As the dump's own symbols would be found, with ``resolver`` in place of its kernel's file.

    It gets the names as they are, then the bare ones of per-CPU and network-stack variables behind
    their prefixes (linkersets.py), and those of the variables that lead to the copies.
    """
    target, symbols = kd.kvm.target, kd.kvm.symbols
    cpu = symbols.cpu if isinstance(symbols, DeadSymbols) else 0
    sets = LinkerSets(lambda name: resolver(name.decode()), target.memory, target.abi)

    def named(name: str, prefix: bytes, template: Template | None) -> Symbol | None:
        address = resolver(prefix.decode() + name.removeprefix("_") if prefix else name)
        if address is None:
            return None
        return Symbol(name, template.move(address) if template else address, N_DATA | N_EXT)

    copies = (VNET, sets.vnet), (PCPU, lambda: sets.pcpu(cpu))
    return lookup(names, named, [(prefix, partial(_readable, of)) for prefix, of in copies])


def _readable(template_of: Callable[[], Template | None]) -> Template | None:
    """None as well where the dump lacks the memory that leads to the copies."""
    try:
        return template_of()
    except Fault:
        return None


def kvm_read(kd: Descriptor, addr: int, buf: bytearray | memoryview, nbytes: int) -> int:
    """Read kernel memory into the start of ``buf``; the count, -1 if there is nothing at ``addr``.

    Of a running kernel fewer than ``nbytes`` are "short read".  Of a dump any page that is missing
    makes it -1, "invalid address (0x…)"; what is before it is in ``buf`` all the same.  Fewer bytes
    come from a full dump whose file was cut off.  ValueError if ``buf`` has no room for them.
    """
    return kvm_read2(kd, addr, buf, nbytes)


def kvm_read2(kd: Descriptor, addr: int, buf: bytearray | memoryview, nbytes: int) -> int:
    """As kvm_read: addresses are whole in Python in any case."""
    if len(buf) < nbytes:
        raise ValueError(f"a buffer of {len(buf)} bytes has no room for {nbytes}")
    with kd.reporting("kvm_read", soft=True):
        data, missing = _read(kd, addr, nbytes)
        buf[: len(data)] = data
        if missing is not None:
            raise KvmError(f"invalid address ({missing:#x})")
        if len(data) < nbytes:
            kd.fail("short read")
        return len(data)
    return -1


def _read(kd: Descriptor, address: int, length: int) -> tuple[bytes, int | None]:
    """What can be had, and for a dump the address that it has no page for, if it is that."""
    if kd.kvm.live:
        return bytes_at(kd, address, length), None
    try:
        data = bytes_at(kd, address, length)
    except Fault as e:
        return b"", None if _cut_off(kd, e.address) else e.address
    missing = address + len(data)
    return data, None if len(data) == length or _cut_off(kd, missing) else missing


def _cut_off(kd: Descriptor, address: int) -> bool:
    """Whether the dump had a page there, before its file was cut off."""
    dump = kd.kvm.dump
    if not isinstance(dump, Dump) or not isinstance(dump.image.physical, Segments):
        return False
    try:
        return dump.image.physical.cut_off(dump.translator.translate(address, 1).address)
    except Fault:
        return False


def kvm_write(
    kd: Descriptor, addr: int, buf: bytes | bytearray | memoryview, nbytes: int | None = None
) -> int:
    """Write the first ``nbytes`` of ``buf`` (None: all); the count, -1 on failure.

    Fewer than ``nbytes`` are "short write".
    """
    with kd.reporting("kvm_write", soft=True):
        if kd.kvm.dump is not None and not kd.kvm.dump.writable:
            kd.fail("kvm_write not implemented for dead kernels")
            return -1
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
