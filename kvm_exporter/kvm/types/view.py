"""What lies at an address, as a C type?  Typed access to memory, one value at a time.

1. A View is an address and a type; making one reads nothing.
2. ``view["p_pid"]``, ``view["p_un.un_x"]`` and ``view[3]`` are views again, ``int(view)``,
   ``value()``, ``string()`` and ``read()`` read memory.
3. A bit-field's bits are counted in memory order (model.py's Member): from the least significant
   bit of its first byte on little endian machines, from the most significant one on big endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import count, islice

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, FormatError, TypeMissing
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.flatten import is_signed, member, size_of, type_code
from kvm_exporter.kvm.types.model import (
    Array,
    Composite,
    Enum,
    Float,
    Integer,
    Pointer,
    Type,
    resolve,
)

Value = int | float | bool | str | bytes | list["Value"] | dict[str, "Value"]
"""What ``View.value`` gives."""

LONGEST_STRING = 4096
"""Bytes of a C string at most, its NUL included (PATH_MAX is 1024)."""

LARGEST = 1 << 26
WIDEST = 128
MOST_VALUES = 1 << 18
DEEPEST = 64
"""Bytes of one read, bits of a number, values in one struct, structs in structs: more than any
kernel has."""


class View:
    """What lies at ``address`` of ``memory``, as ``type_``.

    ``type`` is what is behind typedefs and qualifiers.  Every read may raise Fault; what the type
    does not allow (a member of an int, the third of two elements) raises TypeMissing.
    """

    __slots__ = ("_abi", "_bits", "_memory", "address", "declared", "type")

    def __init__(
        self,
        memory: Memory,
        abi: Abi,
        type_: Type,
        address: int,
        bits: tuple[int, int] | None = None,
    ) -> None:
        self._memory = memory
        self._abi = abi
        self.declared = type_
        self.type = resolve(type_)
        self.address = address & abi.address_mask
        self._bits = bits

    @property
    def size(self) -> int:
        """Bytes, as sizeof has it; TypeMissing for void, functions and incomplete structs."""
        size = size_of(self.type)
        if size is None:
            raise TypeMissing(f"{self!r}: this kernel does not tell its size")
        return size

    def read(self) -> bytes:
        """Its bytes, all of them."""
        return self._read(self.address, self.size)

    def member(self, path: str) -> View:
        """A member by name or dotted path; anonymous structs' and unions' members are its own."""
        place = member(self.type, path) if isinstance(self.type, Composite) else None
        if place is None:
            raise TypeMissing(f"{self!r} has no member {path} in this kernel")
        at, bit = divmod(place.bit_offset, 8)
        bits = None if place.bit_size is None else (bit, place.bit_size)
        return View(self._memory, self._abi, place.type, self.address + at, bits)

    def has(self, path: str) -> bool:
        """Whether ``member(path)`` would find one."""
        return isinstance(self.type, Composite) and member(self.type, path) is not None

    def members(self) -> Iterator[tuple[str, View]]:
        """Each member of a struct or union; the name is empty for an anonymous one."""
        if not isinstance(self.type, Composite):
            raise TypeMissing(f"{self!r} is no struct or union")
        for one in self.type.members:
            at, bit = divmod(one.bit_offset, 8)
            bits = None if one.bit_size is None else (bit, one.bit_size)
            yield one.name, View(self._memory, self._abi, one.type(), self.address + at, bits)

    def __getitem__(self, key: str | int) -> View:
        """``view["p_pid"]`` is a member, ``view[3]`` an element of an array or behind a pointer."""
        return self.member(key) if isinstance(key, str) else self._element(key)

    def _element(self, index: int) -> View:
        match self.type:
            case Array(element=element, count=length):
                # a flexible array does not tell where it ends
                if not 0 <= index < (length or index + 1):
                    raise TypeMissing(f"{self!r} has no element {index}")
                return self._next(element(), self.address, index)
            case Pointer(target=target):
                return self._next(target(), self._target(), index)
        raise TypeMissing(f"{self!r} is no array or pointer")

    def _next(self, type_: Type, start: int, index: int) -> View:
        size = size_of(type_)
        if size is None:
            raise TypeMissing(f"{self!r}: this kernel does not tell the size of its elements")
        return View(self._memory, self._abi, type_, start + index * size)

    def elements(self) -> Iterator[View]:
        """Each element of an array; none of a flexible one."""
        if not isinstance(self.type, Array):
            raise TypeMissing(f"{self!r} is no array")
        return (self._element(index) for index in range(self.type.count))

    def deref(self) -> View:
        """What a pointer points at; Fault for NULL."""
        if not isinstance(self.type, Pointer):
            raise TypeMissing(f"{self!r} is no pointer")
        return View(self._memory, self._abi, self.type.target(), self._target())

    def _target(self) -> int:
        target = int(self)
        if not target:
            raise Fault(0, f"{self!r} is a null pointer")
        return target

    def __int__(self) -> int:
        """The value of an integer, enum, pointer or bit-field."""
        if not isinstance(self.type, Integer | Enum | Pointer):
            raise TypeMissing(f"{self!r} is no integer")
        signed = is_signed(self.type)
        if self._width > WIDEST:
            raise FormatError(f"{self!r} has {self._width} bits; damaged type information")
        if self._bits:
            return self._bit_field(*self._bits, signed)
        return int.from_bytes(self.read(), self._abi.byteorder, signed=signed)

    __index__ = __int__

    @property
    def _width(self) -> int:
        """Bits of a number."""
        return self._bits[1] if self._bits else 8 * self.size

    def _bit_field(self, first: int, count: int, signed: bool) -> int:
        length = (first + count + 7) // 8
        word = int.from_bytes(self._read(self.address, length), self._abi.byteorder)
        shift = first if self._abi.order == "<" else 8 * length - first - count
        value = word >> shift & (1 << count) - 1
        return value - (1 << count) if signed and 2 * value >> count else value

    def enumerator(self) -> str | None:
        """The name of an enum's value; None for one that it does not name."""
        if not isinstance(self.type, Enum):
            raise TypeMissing(f"{self!r} is no enum")
        # CTF tells all values as signed 32 bits, DWARF as they are meant
        value = int(self)
        mask = (1 << self._width) - 1
        found = (name for name, number in self.type.values if (number ^ value) & mask == 0)
        return next(found, None)

    def string(self, limit: int = LONGEST_STRING) -> str:
        """The text of a char array or behind a char pointer, to its NUL; bad bytes as surrogates.

        ``limit`` bounds a pointer's: its text is cut there, or where memory ends.
        """
        match self.type:
            case Array():
                data = self.read()
            case Pointer():
                data = self._memory.read(self._target(), limit)
            case _:
                raise TypeMissing(f"{self!r} is no string")
        return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")

    def value(self) -> Value:
        """Its value: int (enums, pointers), bool, float; char arrays str, byte arrays bytes.

        Other arrays are lists, structs and unions dicts (anonymous members' members among their
        own).
        """
        return self._value(count(), 0)

    def _value(self, counter: Iterator[int], depth: int) -> Value:
        if next(counter) > MOST_VALUES or depth > DEEPEST:
            raise self._endless()
        match self.type:
            case Integer(kind="bool"):
                return bool(int(self))
            case Float():
                return self._float()
            case Array():
                return self._array(self.type, counter, depth + 1)
            case Composite():
                return self._dict(counter, depth + 1)
        return int(self)

    def _float(self) -> float:
        code = type_code(self.type, self._abi)
        if code is None or code.endswith("s"):
            raise TypeMissing(f"{self!r}: a float of {self.size} bytes")
        (number,) = struct.unpack(self._abi.order + code, self.read())
        return float(number)

    def _array(self, array: Array, counter: Iterator[int], depth: int) -> Value:
        element = resolve(array.element())
        if isinstance(element, Integer) and element.kind == "char" and element.size == 1:
            return self.read() if element.name.startswith("unsigned") else self.string()
        code = type_code(element, self._abi)
        if code and not code.endswith("s") and array.count:
            if array.count > MOST_VALUES or next(islice(counter, array.count, None)) > MOST_VALUES:
                raise self._endless()
            return list(struct.unpack(f"{self._abi.order}{array.count}{code}", self.read()))
        return [one._value(counter, depth) for one in self.elements()]  # noqa: SLF001 — its own kind

    def _endless(self) -> FormatError:
        return FormatError(f"{self!r}: no end of values; damaged type information")

    def _dict(self, counter: Iterator[int], depth: int) -> Value:
        values: dict[str, Value] = {}
        for name, one in self.members():
            value = one._value(counter, depth)  # noqa: SLF001 — its own kind
            if not name and isinstance(value, dict):
                values |= value
            elif name:
                values[name] = value
        return values

    def __repr__(self) -> str:
        return f"{spell(self.declared)} at {self.address:#x}"

    def _read(self, address: int, length: int) -> bytes:
        if length > LARGEST:
            raise FormatError(f"{self!r} has {length} bytes; damaged type information")
        data = self._memory.read(address, length)
        if len(data) != length:
            raise Fault(address + len(data), "no page of memory there")
        return data
