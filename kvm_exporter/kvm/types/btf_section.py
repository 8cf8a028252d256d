"""What does a .BTF section hold?  Its header read, its data cut into types and strings.

1. A header of 24 bytes and more (include/uapi/linux/btf.h: struct btf_header): magic 0xeb9f,
   version 1, flags, the header's length, then offset and length of types and of strings, counted
   from the header's end.  What newer headers have behind is passed over.
2. A type's record is made of 32-bit words, in the byte order of the magic.
3. A module's section continues its base's, the kernel's: the first of its type ids follows the
   base's last one, and its strings' offsets start where the base's strings end.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from kvm_exporter.kvm.errors import FormatError

NAME: Final = ".BTF"
MAGIC, VERSION = 0xEB9F, 1
HEADER = "HBBIIIII"
HEADER_SIZE = 24

LARGEST = 1 << 26
"""Bytes of a section at most: a kernel with every driver has some 20 MB."""

LONGEST_NAME = 512
"""Bytes of a name at most (KSYM_NAME_LEN)."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section's parts: the types' records as ``words``, and ``strings``."""

    words: Sequence[int] = field(repr=False)
    strings: bytes = field(repr=False)


def read_section(data: bytes) -> Section:
    """The section in ``data``, of either byte order; FormatError says what is wrong with it."""
    order = order_of(data)
    _magic, version, _flags, header, types, length, strings, size = struct.unpack_from(
        order + HEADER, data
    )
    if version != VERSION or header < HEADER_SIZE:
        raise FormatError(f"{NAME}: version {version}, a header of {header} bytes; 1 is known")
    types, strings = header + types, header + strings
    if types + length > len(data) or strings + size > len(data):
        raise FormatError(
            f"{NAME}: its parts lie at {types:#x} and {strings:#x}, {length:#x} and {size:#x} "
            f"bytes, but it has {len(data):#x}"
        )
    if length % 4:
        raise FormatError(f"{NAME}: {length} bytes of types, no multiple of 4")
    words = array("I", data[types : types + length])
    if (order == "<") != (sys.byteorder == "little"):
        words.byteswap()
    return Section(words, data[strings : strings + size])


def is_btf(data: bytes) -> bool:
    """Whether a file that starts so is a section on its own, of either byte order."""
    return data[:2] in (MAGIC.to_bytes(2, "little"), MAGIC.to_bytes(2, "big"))


def order_of(data: bytes) -> Literal["<", ">"]:
    """The byte order of a section, as the struct module has it; FormatError if it is none."""
    if not HEADER_SIZE <= len(data) <= LARGEST:
        raise FormatError(f"{NAME}: {len(data)} bytes; {HEADER_SIZE} to {LARGEST} are possible")
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        if struct.unpack_from(order + "H", data) == (MAGIC,):
            return order
    raise FormatError(f"{NAME}: starts with {data[:2].hex()}, not with 0xeb9f")
