"""Where is a symbol of the running FreeBSD kernel and its modules?  kldsym(2), and relocation.

1. Names are spelled, and bare names of per-CPU and network-stack variables found, as linkersets.py
   has it.
2. The kernel gives no type: it is always 4 (N_TEXT), as libkvm has it.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from kvm_exporter.kvm.abi import NATIVE
from kvm_exporter.kvm.errors import AccessDenied, Fault, KvmError, Unsupported
from kvm_exporter.kvm.linkersets import PCPU, VNET, LinkerSets, Template, encoded, lookup, spelled
from kvm_exporter.kvm.memory import Memory, Symbol
from kvm_exporter.kvm.tally import Tally

LOOKUP = 1
"""KLDSYM_LOOKUP (sys/sys/linker.h)."""

TYPE = 4
"""N_TEXT (nlist(3)): the type of every symbol that kldsym(2) finds."""


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


class KldSymbols:
    """The running kernel's symbols (memory.py's Symbols).

    ``cpu`` chooses whose copy of a per-CPU variable its bare name means (kvm_dpcpu_setcpu).
    ``listed`` gives every symbol, which kldsym(2) cannot.
    """

    def __init__(
        self,
        find: Find,
        memory: Memory,
        tally: Tally,
        listed: Callable[[], Iterator[Symbol]] = lambda: iter(()),
        cpu: int = 0,
    ) -> None:
        self._find = find
        self._listed = listed
        self._tally = tally
        self._sets = LinkerSets(self._address, memory, NATIVE)
        self.cpu = cpu

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """Each name's symbol, None for a missing one."""
        copies = (VNET, self._sets.vnet), (PCPU, lambda: self._sets.pcpu(self.cpu))
        return lookup(
            names,
            self._named,
            [(prefix, partial(self._readable, template_of)) for prefix, template_of in copies],
        )

    def template(self, name: str) -> Symbol | None:
        """As linkersets.py's Templates."""
        exact = encoded(name)
        found = None if exact is None else self._find(exact)
        return Symbol(name, found.value, TYPE, found.size) if found else None

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol of the kernel file, its modules' left out.  Errors: those of opening it."""
        return self._listed()

    def _named(self, name: str, prefix: bytes, template: Template | None) -> Symbol | None:
        exact = spelled(name, prefix)
        found = None if exact is None else self._find(exact)
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

    def _address(self, name: bytes) -> int | None:
        found = self._find(name)
        return found.value if found else None
