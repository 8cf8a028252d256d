"""Where is a symbol of the running FreeBSD kernel and its modules?  kldsym(2), and relocation.

Rules, from lib/libkvm/kvm_private.c, kvm_vnet.c and kvm_pcpu.c:

1. One leading ``_`` of a name is dropped.  A name has at most 1023 bytes.
2. A name that is not found is tried as ``vnet_entry_name``, then as ``pcpu_entry_name``.  These
   lie in the linker sets set_vnet and set_pcpu, which are but templates: the value found is moved
   by the network stack's vnet_data_base, or by the CPU's dpcpu_off, if it lies inside the set.
   Moving needs kernel memory; without it such names are not found.
3. An explicit ``vnet_entry_name`` gives the template's address.
4. The kernel gives no type: it is always 4 (N_TEXT).

libkvm takes the network stack of its own process; here it is ``vnet0``, the host's, which is the
same for whoever may read /dev/kmem.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kvm_exporter.kvm.errors import AccessDenied, Fault, KvmError, Unsupported
from kvm_exporter.kvm.live.tally import Tally
from kvm_exporter.kvm.memory import Memory, Symbol

LOOKUP = 1
"""KLDSYM_LOOKUP (sys/sys/linker.h)."""

LONGEST = 1023
"""Bytes of a name (libkvm's symname[1024])."""

TYPE = 4
"""N_TEXT (nlist(3)): the type of every symbol that kldsym(2) finds."""

VNET_MAGIC = 0x5E4A6F28
"""VNET_MAGIC_N (sys/net/vnet.h)."""

VNET = struct.Struct("@PPIIIIPP")
"""struct vnet up to vnet_data_base: list entry, magic, ifcnt, sockcnt, state, data_mem, base."""

INT = struct.Struct("@i")
POINTER = struct.Struct("@P")
WORD = 1 << (8 * POINTER.size)


class Found(NamedTuple):
    """A symbol's address and size in bytes."""

    value: int
    size: int


Find = Callable[[bytes], Found | None]
"""Exact name → symbol, None for none."""


class Lookup(ctypes.Structure):
    """struct kld_sym_lookup (sys/sys/linker.h)."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("symname", ctypes.c_char_p),
        ("symvalue", ctypes.c_ulong),
        ("symsize", ctypes.c_size_t),
    )


class LibcKldsym:
    """kldsym(2) itself: exact name → symbol, searched in the kernel and then in every module.

    ``libc`` is the library to call, by default the one that Python itself is linked with.
    Errors: Unsupported where it has no kldsym; AccessDenied, KvmError when the kernel says so.
    """

    def __init__(self, libc: ctypes.CDLL | None = None) -> None:
        library = ctypes.CDLL(None, use_errno=True) if libc is None else libc
        try:
            self._kldsym = library.kldsym
        except AttributeError as e:
            raise Unsupported(f"this system's libc has no kldsym(2): {e}") from e
        self._kldsym.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.POINTER(Lookup))
        self._kldsym.restype = ctypes.c_int

    def __call__(self, name: bytes) -> Found | None:
        """The symbol of just that name; None where the kernel has none."""
        lookup = Lookup(version=ctypes.sizeof(Lookup), symname=name)
        if self._kldsym(0, LOOKUP, ctypes.byref(lookup)) == 0:
            return Found(lookup.symvalue, lookup.symsize)
        error = ctypes.get_errno()
        if error == errno.ENOENT:
            return None
        kind = AccessDenied if error in (errno.EPERM, errno.EACCES) else KvmError
        raise kind(f"kldsym(2) of {name!r}: {os.strerror(error)}")


class Template(NamedTuple):
    """A linker set of templates: its bounds, and how far a copy lies from it."""

    start: int
    stop: int
    distance: int

    def move(self, value: int) -> int:
        """The copy's address; ``value`` itself where it is no template."""
        return (value + self.distance) % WORD if self.start <= value < self.stop else value


class KldSymbols:
    """The running kernel's symbols (memory.py's Symbols).

    ``cpu`` chooses whose copy of a per-CPU variable its bare name means (kvm_dpcpu_setcpu).
    """

    def __init__(self, find: Find, memory: Memory, tally: Tally, cpu: int = 0) -> None:
        self._find = find
        self._memory = memory
        self._tally = tally
        self.cpu = cpu

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """Each name's symbol, None for a missing one."""
        found = [self._named(name, b"", None) for name in names]
        for prefix, template_of in ((b"vnet_entry_", self._vnet), (b"pcpu_entry_", self._pcpu)):
            template = self._readable(template_of) if None in found else None
            if template is not None:
                found = [
                    known or self._named(name, prefix, template)
                    for name, known in zip(names, found, strict=True)
                ]
        return found

    def _named(self, name: str, prefix: bytes, template: Template | None) -> Symbol | None:
        exact = prefix + name.removeprefix("_").encode("utf-8", "surrogateescape")
        if exact == prefix or b"\0" in exact or len(exact) > LONGEST:
            return None
        found = self._find(exact)
        if found is None:
            return None
        value = template.move(found.value) if template else found.value
        return Symbol(name, value, TYPE, found.size)

    def _readable(self, template_of: Callable[[], Template | None]) -> Template | None:
        try:
            return template_of()
        except (AccessDenied, Fault, Unsupported) as e:
            # A handle opened without memory misses none: there is no errno behind its error.
            if isinstance(e.__cause__, OSError):
                self._tally.add("kmem", e.__cause__.errno)
        return None

    def _vnet(self) -> Template | None:
        bounds = self._bounds(b"set_vnet")
        vnet0 = self._find(b"vnet0")
        if bounds is None or vnet0 is None:
            return None
        (address,) = POINTER.unpack(self._exactly(vnet0.value, POINTER.size))
        fields = VNET.unpack(self._exactly(address, VNET.size))
        return Template(*bounds, fields[-1]) if fields[2] == VNET_MAGIC else None

    def _pcpu(self) -> Template | None:
        bounds = self._bounds(b"set_pcpu")
        offsets, cpus = self._find(b"dpcpu_off"), self._find(b"mp_maxcpus")
        if bounds is None or offsets is None or cpus is None:
            return None
        (count,) = INT.unpack(self._exactly(cpus.value, INT.size))
        if not 0 <= self.cpu < count:
            return None
        slot = offsets.value + self.cpu * POINTER.size
        (distance,) = POINTER.unpack(self._exactly(slot, POINTER.size))
        return Template(*bounds, distance) if distance else None

    def _bounds(self, linker_set: bytes) -> tuple[int, int] | None:
        start = self._find(b"__start_" + linker_set)
        stop = self._find(b"__stop_" + linker_set)
        return (start.value, stop.value) if start and stop else None

    def _exactly(self, address: int, length: int) -> bytes:
        data = self._memory.read(address, length)
        if len(data) != length:
            raise Fault(address + len(data), "no page of kernel memory")
        return data
