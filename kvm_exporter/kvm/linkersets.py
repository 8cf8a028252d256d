"""Where are the copies of per-CPU and network-stack variables?  The linker sets of FreeBSD.

Rules, from lib/libkvm/kvm_private.c, kvm_vnet.c and kvm_pcpu.c:

1. One leading ``_`` of a name is dropped.  A name has at most 1023 bytes.
2. A name that is not found is tried as ``vnet_entry_name``, then as ``pcpu_entry_name``.  These
   lie in the linker sets set_vnet and set_pcpu, which are but templates: the value found is moved
   by the network stack's vnet_data_base, or by the CPU's dpcpu_off, if it lies inside the set.
   Moving needs kernel memory; without it such names are not found.
3. An explicit ``vnet_entry_name`` gives the template's address.

libkvm takes the network stack of its own process, or on a dump that of proc0's jail.  Here it is
``vnet0``, the host's, which is both where libkvm runs outside jails; others can be chosen.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.memory import Memory, Symbol

LONGEST = 1023
"""Bytes of a name (libkvm's symname[1024])."""

VNET_MAGIC = 0x5E4A6F28
"""VNET_MAGIC_N (sys/net/vnet.h)."""

MOST_VNETS = 1 << 12
"""Network stacks at most: each takes some 100 KB of kernel memory."""

VNET, PCPU = b"vnet_entry_", b"pcpu_entry_"
"""VNET_SYMPREFIX, DPCPU_SYMPREFIX: what the names in the sets begin with."""


class Template(NamedTuple):
    """A linker set: its bounds, and how far a copy lies from it, modulo the address space."""

    start: int
    stop: int
    distance: int
    mask: int

    def move(self, value: int) -> int:
        """The copy's address; ``value`` itself where it is no template."""
        return (value + self.distance) & self.mask if self.start <= value < self.stop else value


Address = Callable[[bytes], int | None]
"""Exact name → the address of that symbol of the kernel, None for none."""


class LinkerSets:
    """The two sets of one kernel, read afresh at each call."""

    def __init__(self, address: Address, memory: Memory, abi: Abi) -> None:
        self._address = address
        self._memory = memory
        self._abi = abi
        # struct vnet up to vnet_data_base (sys/net/vnet.h): list entry, magic, ifcnt, sockcnt,
        # state, data_mem, base
        self._vnet = struct.Struct(abi.order + abi.pointer * 2 + "IIII" + abi.pointer * 2)

    def vnet(self, vnet: int | None = None) -> Template | None:
        """set_vnet and its copy in the struct vnet at ``vnet``, None for the host's.

        None where the kernel has no set, or there is no network stack.  Errors: those of memory.
        """
        bounds = self._bounds(b"set_vnet")
        if bounds is None:
            return None
        if vnet is None:
            vnet = self._pointed(b"vnet0")
        if not vnet:
            return None
        fields = self._vnet.unpack(self._exactly(vnet, self._vnet.size))
        return self._template(bounds, fields[-1]) if fields[2] == VNET_MAGIC else None

    def vnets(self) -> list[int]:
        """The address of every struct vnet (vnet_head); a damaged list ends early."""
        found: list[int] = []
        at = self._pointed(b"vnet_head")
        while at and at not in found and len(found) < MOST_VNETS:
            fields = self._vnet.unpack(self._exactly(at, self._vnet.size))
            if fields[2] != VNET_MAGIC:
                break
            found.append(at)
            at = fields[0]
        return found

    def pcpu(self, cpu: int) -> Template | None:
        """set_pcpu and its copy of ``cpu``; None where there is none of them."""
        bounds = self._bounds(b"set_pcpu")
        offsets, cpus = self._address(b"dpcpu_off"), self._address(b"mp_maxcpus")
        if bounds is None or offsets is None or cpus is None:
            return None
        count = int.from_bytes(self._exactly(cpus, 4), self._abi.byteorder, signed=True)
        if not 0 <= cpu < count:
            return None
        distance = self._pointer(offsets + cpu * self._abi.pointer_size)
        return self._template(bounds, distance) if distance else None

    def _template(self, bounds: tuple[int, int], distance: int) -> Template:
        return Template(*bounds, distance, self._abi.address_mask)

    def _bounds(self, linker_set: bytes) -> tuple[int, int] | None:
        start = self._address(b"__start_" + linker_set)
        stop = self._address(b"__stop_" + linker_set)
        return None if start is None or stop is None else (start, stop)

    def _pointed(self, name: bytes) -> int | None:
        address = self._address(name)
        return None if address is None else self._pointer(address)

    def _pointer(self, address: int) -> int:
        data = self._exactly(address, self._abi.pointer_size)
        return int.from_bytes(data, self._abi.byteorder)

    def _exactly(self, address: int, length: int) -> bytes:
        data = self._memory.read(address, length)
        if len(data) != length:
            raise Fault(address + len(data), "no page of kernel memory")
        return data


@runtime_checkable
class Templates(Protocol):
    """Symbols in whose lookup a bare name may be a copy (rule 2)."""

    def template(self, name: str) -> Symbol | None:
        """The symbol of just that name, which is no copy's: rules 1 and 2 do not hold."""


Named = Callable[[str, bytes, Template | None], Symbol | None]
"""Name, prefix and how to move its value → symbol, None for none."""


def lookup(
    names: Sequence[str],
    named: Named,
    templates: Sequence[tuple[bytes, Callable[[], Template | None]]],
) -> list[Symbol | None]:
    """Each name's symbol, None for a missing one: as it is, then with each prefix (rule 2)."""
    found = [named(name, b"", None) for name in names]
    for prefix, template_of in templates:
        template = template_of() if None in found else None
        if template is not None:
            found = [
                known or named(name, prefix, template)
                for name, known in zip(names, found, strict=True)
            ]
    return found


def spelled(name: str, prefix: bytes) -> bytes | None:
    """A name as the kernel linker has it (rule 1); None for what no symbol can be called."""
    return encoded(name.removeprefix("_"), prefix)


def encoded(name: str, prefix: bytes = b"") -> bytes | None:
    """Just that name, behind a prefix; None for what no symbol can be called."""
    exact = prefix + name.encode("utf-8", "surrogateescape")
    return None if exact == prefix or b"\0" in exact or len(exact) > LONGEST else exact
