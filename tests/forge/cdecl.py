"""How do C structs lie in memory?  C declarations as text, laid out for an ABI.

    c = Declarations("struct proc { struct proc *p_next; int p_pid; char p_comm[20]; };", AMD64)
    c.layout("proc")                       # name → Field(offset, size, type …), nested names dotted
    c.pack("proc", {"p_pid": 7, "p_comm": "init"})

The rules of the places are c_types.py's; c_reader.py says which C is understood.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping

from forge.c_reader import Reader
from forge.c_types import (
    AARCH64,
    AMD64,
    ARMV7,
    I386,
    POWERPC,
    POWERPC64,
    POWERPC64LE,
    RISCV64,
    VOID,
    Abi,
    Array,
    Base,
    Enum,
    Field,
    Function,
    Pointer,
    Qualified,
    Struct,
    Type,
    Typedef,
    align_of,
    bare,
    size_of,
)

__all__ = [
    "AARCH64", "AMD64", "ARMV7", "I386", "POWERPC", "POWERPC64", "POWERPC64LE", "RISCV64", "VOID",
    "Abi", "Array", "Base", "Declarations", "Enum", "Field", "Function", "Pointer", "Qualified",
    "Struct", "Type", "Typedef", "align_of", "bare", "size_of",
]  # fmt: skip


class Declarations:
    """C ``text`` laid out for ``abi``: ``structs`` by tag, ``typedefs``, ``variables``, ``enums``.

    ``structs`` also has unions; an anonymous struct with a typedef is found by the typedef's name.
    """

    def __init__(self, text: str, abi: Abi = AMD64) -> None:
        self._reader = Reader(abi)
        self._reader.read(text)
        self.abi = abi
        self.structs = self._reader.structs
        self.enums = self._reader.enums
        self.typedefs = self._reader.typedefs
        self.variables = self._reader.variables
        self.functions = self._reader.functions
        self.constants = self._reader.constants

    def read(self, text: str) -> None:
        """Declare more."""
        self._reader.read(text)

    def type(self, name: str) -> Type:
        """``struct proc``, ``proc``, ``pid_t``, ``unsigned int``."""
        return self._reader.type(name)

    def struct(self, name: str) -> Struct:
        """A struct or union that has been defined."""
        found = bare(self.type(name))
        assert isinstance(found, Struct), f"{name} is no struct"
        assert found.fields is not None, f"struct {name} is only declared"
        return found

    def size(self, name: str) -> int:
        """Bytes, as sizeof."""
        return size_of(self.type(name))

    def layout(self, name: str) -> dict[str, Field]:
        """Dotted name → Field with its bit counted from the struct's start, members of members too.

        Anonymous structs' and unions' members are under their own name.
        """
        return {one.name: one for one in self._flat(self.struct(name), "", 0)}

    def offset(self, name: str, path: str) -> int:
        """Bytes, as offsetof."""
        return self.place(name, path).offset

    def place(self, name: str, path: str) -> Field:
        """The member ``a.b[2].c`` of a struct."""
        bit, found = 0, Field("", self.struct(name), 0)
        for step in re.findall(r"\w+|\[\d+\]", path):
            inner = bare(found.type)
            if step.startswith("["):
                assert isinstance(inner, Array), f"{path}: no array"
                at = int(step[1:-1]) * size_of(inner.of) * 8
                found = Field(path, inner.of, at, None, size_of(inner.of))
            else:
                assert isinstance(inner, Struct), f"{path}: no struct before {step}"
                found = next(f for f in self._own(inner, 0) if f.name == step)
            bit += found.bit
        return Field(path, found.type, bit, found.width, found.size)

    def pack(self, name: str, values: Mapping[str, object]) -> bytes:
        """A struct's bytes; ``values`` by path, all others zero.

        Integers, bytes and text as they are; a list for an array (of integers, bytes or mappings),
        a mapping for a struct.
        """
        data = bytearray(self.size(name))
        self._fill(data, 0, self.struct(name), values)
        return bytes(data)

    def encode(self, type_: Type, value: object) -> bytes:
        """The bytes of one value of any type; as ``pack`` has them."""
        data = bytearray(size_of(type_))
        self._fill(data, 0, type_, value)
        return bytes(data)

    def _fill(self, data: bytearray, bit: int, type_: Type, value: object) -> None:
        inner = bare(type_)
        size = size_of(inner)
        at = bit // 8
        if isinstance(value, Mapping):
            assert isinstance(inner, Struct)
            for path, one in value.items():
                place = self._place_in(inner, path)
                if place.width is not None:
                    self._fill_bits(data, bit + place.bit, place.width, int(one))
                else:
                    self._fill(data, bit + place.bit, place.type, one)
        elif isinstance(value, list | tuple):
            assert isinstance(inner, Array)
            assert len(value) <= inner.count or not inner.count
            for index, one in enumerate(value):
                self._fill(data, bit + index * size_of(inner.of) * 8, inner.of, one)
        elif isinstance(value, str | bytes):
            raw = value.encode() if isinstance(value, str) else value
            assert len(raw) <= size, f"{raw!r} is longer than {size} bytes"
            data[at : at + size] = raw.ljust(size, b"\0")
        elif isinstance(inner, Base) and inner.kind == "float":
            data[at : at + size] = struct.pack(self.abi.order + "fd"[size // 8], value)
        else:
            number = int(value) & (1 << 8 * size) - 1
            data[at : at + size] = number.to_bytes(size, self.abi.byteorder)

    def _place_in(self, struct: Struct, path: str) -> Field:
        key = f"<{id(struct)}>"
        self.structs[key] = struct
        try:
            return self.place(key, path)
        finally:
            del self.structs[key]

    def _fill_bits(self, data: bytearray, bit: int, width: int, value: int) -> None:
        for index in range(width):
            # the first bit in memory is the least significant on little endian only
            power = index if self.abi.order == "<" else width - 1 - index
            byte, within = divmod(bit + index, 8)
            mask = 1 << (within if self.abi.order == "<" else 7 - within)
            data[byte] = data[byte] | mask if value >> power & 1 else data[byte] & ~mask

    def _own(self, struct: Struct, base: int) -> Iterator[Field]:
        for one in struct.fields or ():
            inner = bare(one.type)
            if one.name:
                yield Field(one.name, one.type, base + one.bit, one.width, one.size)
            elif isinstance(inner, Struct):
                yield from self._own(inner, base + one.bit)

    def _flat(self, struct: Struct, prefix: str, base: int) -> Iterator[Field]:
        for one in self._own(struct, base):
            yield Field(prefix + one.name, one.type, one.bit, one.width, one.size)
            inner = bare(one.type)
            if isinstance(inner, Struct):
                yield from self._flat(inner, f"{prefix}{one.name}.", one.bit)
