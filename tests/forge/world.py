"""What lies in a kernel's memory?  Structs declared as C text, filled in, linked and given names.

A World is one kernel's memory while it is being made up.  Its declarations (forge/kernel_structs)
may lay structs out in any order and with any padding: a reader has to take every offset from the
types.

    world = World(MODERN, cdecl.POWERPC)
    one = world.new("struct proc", p_pid=1, p_comm=b"init")
    two = world.new("struct proc", p_pid=2, p_comm=b"sh")
    world.list(world.define("allproc", "struct proclist"), [one, two], "p_list")
    world.define("ticks", "int", 4242)
    world.define("cp_time", "long", [1, 2, 3, 4, 5])

What it yields: ``read`` and ``symbols`` for a reader under test (tests/fakes/world.py makes a
Target of them), ``pages`` for a dump of it.  Written from the facts of sys/sys/queue.h; it shares
nothing with the package.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Literal, NamedTuple

from forge import cdecl

NOTYPE, OBJECT, FUNC = 0, 1, 2
"""ELF symbol types."""

GAP = 64
"""Bytes between two allocations, which nothing may read as if they belonged to one of them."""

FILL = 0xA5
"""What those bytes are."""


class Symbol(NamedTuple):
    """A name of the kernel's; ``type`` is an ELF symbol type."""

    name: str
    address: int
    size: int = 0
    type: int = OBJECT


class Thing(NamedTuple):
    """A struct, or a variable, at an address: ``thing.set(p_pid=4)``.

    Values are an int, bytes (the rest is filled with NULs), another Thing (its address), None (a
    null pointer), a list for an array, or a mapping for a struct in it.
    """

    world: World
    type: str
    address: int

    def set(self, **members: object) -> Thing:
        """Write members by name."""
        for name, value in members.items():
            self.put(name, value)
        return self

    def put(self, path: str, value: object) -> Thing:
        """Write the member at ``path`` (``p_list.le_next``); no bit-field."""
        place = self.world.place(self.type, path)
        assert place.width is None, f"{path} is a bit-field"
        known = plain(value)
        if isinstance(known, int):
            data = self.world.number(known, place.size)
        else:
            whole = self.world.c.pack(self.type, {path: known})
            data = whole[place.offset : place.offset + place.size]
        self.world.write(self.address + place.offset, data)
        return self

    def at(self, path: str) -> int:
        """Where a member lies."""
        return self.address + self.world.place(self.type, path).offset

    def get(self, path: str) -> int:
        """The number that a member is now, unsigned."""
        raw = self.world.read(self.at(path), self.world.place(self.type, path).size)
        return int.from_bytes(raw, self.world.byteorder)


class World:
    """One kernel's memory.

    ``base`` is where allocations start: by default in the upper half of the addresses.  ``c`` are
    its declarations (forge/cdecl.py).
    """

    def __init__(
        self,
        declarations: str,
        abi: cdecl.Abi = cdecl.AMD64,
        *,
        base: int | None = None,
        page_size: int = 4096,
    ) -> None:
        self.c = cdecl.Declarations(declarations, abi)
        self.abi = abi
        self.byteorder: Literal["little", "big"] = "little" if abi.order == "<" else "big"
        self.page_size = page_size
        self.symbols: list[Symbol] = []
        self.users: dict[int, dict[int, bytes]] = {}
        """Address of a struct pmap → address of a user page → its bytes."""
        self._next = base or (0xFFFFF80001230000 if abi.pointer == 8 else 0xC1230000)
        self._blocks: dict[int, bytearray] = {}
        self._starts: list[int] = []
        self._places: dict[tuple[str, str], cdecl.Field] = {}

    # what it is filled with

    def new(self, type_: str, /, **members: object) -> Thing:
        """A zeroed ``struct proc`` of its own, with these members."""
        return Thing(self, type_, self.allocate(self.c.size(type_))).set(**members)

    def array(self, type_: str, count: int) -> list[Thing]:
        """``count`` zeroed structs, one behind the other."""
        size = self.c.size(type_)
        start = self.allocate(size * count)
        return [Thing(self, type_, start + size * at) for at in range(count)]

    def define(self, name: str, type_: str, value: object = 0) -> Thing:
        """A variable with a name.

        ``value`` is a number or a Thing (then ``type_`` is ``int``, ``u_long``, ``pointer`` …), a
        mapping (a struct), bytes (an array of char), or a list (an array of any of these).
        """
        data = value if isinstance(value, bytes) else self._encode(type_, value)
        thing = Thing(self, type_, self.bytes(data))
        self.symbol(name, thing.address, len(data))
        return thing

    def _encode(self, type_: str, value: object) -> bytes:
        if isinstance(value, list):
            return b"".join(self._encode(type_, one) for one in value)
        if isinstance(value, Mapping):
            return self.c.pack(type_, plain(value))
        if type_ == "pointer":
            return self.pointer(int(plain(value)))
        size = self.c.size(type_)
        return self.number(int(plain(value)), size)

    def symbol(self, name: str, address: int, size: int = 0, type_: int = OBJECT) -> None:
        """Give a name to an address."""
        self.symbols.append(Symbol(name, address, size, type_))

    def bytes(self, data: bytes, address: int | None = None) -> int:
        """Bytes somewhere, or at ``address`` (where nothing else may be); where they lie."""
        at = self.allocate(len(data)) if address is None else self._claim(address, len(data))
        self.write(at, data)
        return at

    def text(self, string: str | bytes) -> int:
        """A C string; where it lies."""
        raw = string.encode() if isinstance(string, str) else string
        return self.bytes(raw + b"\0")

    def user(self, pmap: Thing | int, address: int, data: bytes) -> None:
        """Bytes in a process's own memory, in the address space of that struct pmap."""
        key = pmap.address if isinstance(pmap, Thing) else pmap
        pages = self.users.setdefault(key, {})
        while data:
            within = address % self.page_size
            page = address - within
            part = data[: self.page_size - within]
            old = pages.get(page, bytes(self.page_size))
            pages[page] = old[:within] + part + old[within + len(part) :]
            address += len(part)
            data = data[len(part) :]

    def damage(self, chance: Random, times: int) -> None:
        """Other words in so many places: addresses of something, small numbers, anything."""
        blocks = [block for block in self._blocks.values() if len(block) >= 8]
        addresses = list(self._blocks)
        for _ in range(times):
            block = chance.choice(blocks)
            at = chance.randrange(len(block) - 7)
            word = chance.choice(
                [chance.choice(addresses), chance.getrandbits(64), chance.getrandbits(8)]
            )
            block[at : at + 8] = word.to_bytes(8, self.byteorder)

    # lists, as sys/sys/queue.h has them

    def list(self, head: Thing, elements: Sequence[Thing], entry: str) -> None:
        """A LIST: ``lh_first``, and in each element ``le_next`` and ``le_prev``."""
        self._link(head, "lh_first", elements, entry, "le_next", "le_prev")

    def tailq(self, head: Thing, elements: Sequence[Thing], entry: str, member: str = "") -> None:
        """A TAILQ: ``tqh_first``, ``tqh_last``; ``member`` is the head's name in its struct."""
        first = f"{member}.tqh_first" if member else "tqh_first"
        last = f"{member}.tqh_last" if member else "tqh_last"
        end = self._link(head, first, elements, entry, "tqe_next", "tqe_prev")
        head.put(last, end)

    def stailq(self, head: Thing, elements: Sequence[Thing], entry: str, member: str = "") -> None:
        """An STAILQ: ``stqh_first``, ``stqh_last``, and in each element ``stqe_next``."""
        first = f"{member}.stqh_first" if member else "stqh_first"
        last = f"{member}.stqh_last" if member else "stqh_last"
        head.put(last, self._link(head, first, elements, entry, "stqe_next", None))

    def slist(self, head: Thing, elements: Sequence[Thing], entry: str, member: str = "") -> None:
        """An SLIST: ``slh_first``, and in each element ``sle_next``."""
        first = f"{member}.slh_first" if member else "slh_first"
        self._link(head, first, elements, entry, "sle_next", None)

    def _link(
        self,
        head: Thing,
        first: str,
        elements: Sequence[Thing],
        entry: str,
        after: str,
        before: str | None,
    ) -> int:
        """Link them; the address of the last ``next`` pointer."""
        end = head.at(first)
        head.put(first, None)
        for element in elements:
            self.write(end, self.pointer(element.address))
            if before:
                element.put(f"{entry}.{before}", end)
            element.put(f"{entry}.{after}", None)
            end = element.at(f"{entry}.{after}")
        return end

    # what it yields

    def read(self, address: int, length: int) -> bytes:
        """What lies there, short where an allocation's page ends; empty where nothing is."""
        parts = []
        while length > 0:
            at = bisect.bisect_right(self._starts, address) - 1
            start = self._starts[at] if at >= 0 else 0
            block = self._blocks.get(start, bytearray())
            part = bytes(block[address - start : address - start + length])
            if not part:
                break
            parts.append(part)
            address += len(part)
            length -= len(part)
        return b"".join(parts)

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Every page that holds something: (virtual address, its bytes), by rising address."""
        made: dict[int, bytearray] = {}
        for start in self._starts:
            block = self._blocks[start]
            done = 0
            while done < len(block):
                within = (start + done) % self.page_size
                page = made.setdefault(start + done - within, bytearray([FILL]) * self.page_size)
                part = block[done : done + self.page_size - within]
                page[within : within + len(part)] = part
                done += len(part)
        for address in sorted(made):
            yield address, bytes(made[address])

    def scattered(
        self, first: int = 0x300
    ) -> tuple[dict[int, bytes], list[tuple[int, int, int, int]]]:
        """The pages somewhere in physical memory, from page number ``first`` on, none beside its
        neighbour: {page number: bytes} and [(virtual, physical, length, protection)].
        """
        found = list(self.pages())
        numbers = range(first + 2 * len(found) - 2, first - 1, -2)
        placed = {number: data for number, (_, data) in zip(numbers, found, strict=True)}
        size = self.page_size
        spans = [
            (va, number * size, size, 7) for number, (va, _) in zip(numbers, found, strict=True)
        ]
        return placed, spans

    # how it is laid out

    def place(self, struct: str, path: str) -> cdecl.Field:
        """Where a member lies in its struct."""
        key = (struct, path)
        if key not in self._places:
            self._places[key] = self.c.place(struct, path)
        return self._places[key]

    def pointer(self, value: int) -> bytes:
        """An address as it lies in memory."""
        return self.number(value, self.abi.pointer)

    def number(self, value: int, size: int) -> bytes:
        """An integer of ``size`` bytes as it lies in memory."""
        return (value % (1 << 8 * size)).to_bytes(size, self.byteorder)

    def allocate(self, size: int) -> int:
        """``size`` zeroed bytes, aligned for anything; where they lie."""
        at = self._next
        self._next += -(-max(size, 1) // 16) * 16 + GAP
        return self._claim(at, size)

    def write(self, address: int, data: bytes) -> None:
        """Overwrite what was allocated."""
        at = bisect.bisect_right(self._starts, address) - 1
        start = self._starts[at]
        block = self._blocks[start]
        assert address + len(data) <= start + len(block), f"{address:#x}: nothing is allocated"
        block[address - start : address - start + len(data)] = data

    def _claim(self, address: int, size: int) -> int:
        self._blocks[address] = bytearray(size)
        bisect.insort(self._starts, address)
        return address


def plain(value: object) -> object:
    """Things become their addresses, and None a null pointer, however deep they lie."""
    if isinstance(value, Thing):
        return value.address
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return 0 if value is None else value
