"""How is a kernel's memory read by name and type?  Target: memory, symbols and types together.

Two ways to read: ``record`` compiles the wanted members of a struct once and then reads each
instance in one go, for what comes by the thousand; ``variable`` and ``at`` give a View, for what
comes once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, FormatError, SymbolMissing, TypeMissing
from kvm_exporter.kvm.layout import Compiled
from kvm_exporter.kvm.memory import Memory, Symbols
from kvm_exporter.kvm.remembered import Remembered
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.types.flatten import layout, member_offset
from kvm_exporter.kvm.types.model import Type, Types
from kvm_exporter.kvm.types.view import View

LONGEST_STRING = 4096
"""Bytes of a C string at most, its NUL included (PATH_MAX and more)."""

INTEGERS = frozenset("bBhHiIqQ")
"""Of the struct module's codes."""

TEXT = "[]"
"""What a member that is a text ends in where it is asked for."""

MOST_RECORDS = 1 << 10
"""Structs with members that are remembered."""

LONGEST_LIST = 1 << 22
"""Elements of a linked list at most: more than any kernel has of anything that we list."""


class Record:
    """Chosen members of a struct: ``at(address)`` is a tuple of their values, in their order.

    Integers and pointers are int, char arrays bytes, other arrays tuples of int.
    """

    def __init__(self, memory: Memory, compiled: Compiled, order: Sequence[str]) -> None:
        self._read = memory.read
        self._decoder = compiled.decoder
        self.size = compiled.decoder.size
        positions = [compiled.names.index(name) for name in order]
        self._pick: Callable[[tuple[Any, ...]], tuple[Any, ...]] | None = None
        if positions != list(range(len(positions))):
            self._pick = itemgetter(*positions)

    def at(self, address: int) -> tuple[Any, ...]:
        """The members of the struct at ``address``; Fault where its memory is not there."""
        data = self._read(address, self.size)
        if len(data) != self.size:
            raise Fault(address + len(data), "no page for the rest of a struct")
        values = self._decoder.unpack(data)
        return self._pick(values) if self._pick else values


class Target:
    """One kernel's memory, with what is needed to understand it."""

    def __init__(
        self, memory: Memory, symbols: Symbols, types: Types, abi: Abi, tally: Tally
    ) -> None:
        self.memory = memory
        self.symbols = symbols
        self.types = types
        self.abi = abi
        self.tally = tally
        self._records: Remembered[tuple[str, ...], Record] = Remembered(MOST_RECORDS)

    def address(self, name: str) -> int:
        """Where symbol ``name`` lies; SymbolMissing."""
        (found,) = self.symbols.lookup([name])
        if found is None:
            raise SymbolMissing(f"the kernel has no symbol {name}")
        return found.value

    def read(self, address: int, length: int) -> bytes:
        """Just ``length`` bytes; Fault where any of them is missing."""
        data = self.memory.read(address, length)
        if len(data) != length:
            raise Fault(address + len(data), "no page of memory there")
        return data

    def integer(self, address: int, size: int, *, signed: bool = False) -> int:
        """An integer of ``size`` bytes."""
        return int.from_bytes(self.read(address, size), self.abi.byteorder, signed=signed)

    def pointer(self, address: int) -> int:
        """The pointer at ``address``."""
        return self.integer(address, self.abi.pointer_size)

    def string(self, address: int, limit: int = LONGEST_STRING) -> str:
        """The C string at ``address``, undecodable bytes as surrogates; Fault if it has no page."""
        data = self.memory.read(address, limit).partition(b"\0")[0]
        return data.decode("utf-8", "surrogateescape")

    def view(self, address: int, type_: Type | str) -> View:
        """What lies at ``address``, as ``type_`` (``struct proc``).  TypeMissing."""
        found = self.types.find(type_) if isinstance(type_, str) else type_
        return View(self.memory, self.abi, found, address)

    def variable(self, name: str, type_: Type | str | None = None) -> View:
        """The variable ``name``; its type from the type information unless given.

        Errors: SymbolMissing, TypeMissing.
        """
        address = self.address(name)
        return self.view(address, self.types.variable(name) if type_ is None else type_)

    def has(self, struct: str, path: str) -> bool:
        """Whether ``struct proc`` has ``p_stats.p_start``; False as well if there is no struct."""
        return member_offset(self.types, struct, path) is not None

    def offset(self, struct: str, path: str) -> int:
        """Bytes from a struct's start to a member of it; TypeMissing."""
        return layout(self.types, self.abi, struct, (path,)).members[path].offset

    def record(self, struct: str, paths: Sequence[str]) -> Record:
        """A reader of members: integers and pointers (``p_pid``, ``p_stats.p_start.sec``), and
        texts, arrays of char, which are asked for as ``p_comm[]``.

        TypeMissing says what lacks, or is something else in this kernel.
        """
        return self._records.of((struct, *paths), self._compiled)

    def _compiled(self, wanted: tuple[str, ...]) -> Record:
        struct, *paths = wanted
        names = tuple(path.removesuffix(TEXT) for path in paths)
        found = layout(self.types, self.abi, struct, names)
        for path, name in zip(paths, names, strict=True):
            code, text = found.members[name].code, path != name
            if not (code.endswith("s") if text else code in INTEGERS):
                raise TypeMissing(f"{struct}: {name} is no {'text' if text else 'integer'} here")
        return Record(self.memory, found.compile(names), names)

    def chain(self, first: int, next_of: Callable[[int], int], what: str) -> Iterator[int]:
        """The addresses of a linked list's elements, from ``first`` until a NULL.

        A damaged list (an unreadable element, a circle, no end) ends early, which is counted as a
        failure of ``what``.
        """
        seen: set[int] = set()
        at = first
        try:
            while at:
                if at in seen or len(seen) >= LONGEST_LIST:
                    raise FormatError(f"{what}: the list goes in circles at {at:#x}")
                seen.add(at)
                yield at
                at = next_of(at)
        except (Fault, FormatError):
            self.tally.add(what, None)

    def rows(self, first: int, record: Record, what: str) -> Iterator[tuple[Any, ...]]:
        """The members of each element of a linked list, from the one at ``first`` on.

        The first member of ``record`` is the pointer to the next: in its place is the element's
        address.  A damaged list ends as in chain.
        """
        following = [first]
        try:
            for at in self.chain(first, lambda _: following[0], what):
                following[0], *row = record.at(at)
                yield (at, *row)
        except (Fault, FormatError):
            self.tally.add(what, None)
