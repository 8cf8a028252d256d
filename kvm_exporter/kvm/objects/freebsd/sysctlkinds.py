"""What do the bytes of a sysctl say?  Numbers and texts, by the node's kind and format.

1. The kind tells the C type of one value (CTLTYPE_*, sys/sys/sysctl.h).  An answer of several
   values is an array, whatever the kind says (kern.cp_time is declared a long).
2. A number whose answer is shorter than its kind is taken as it is: as wide as the answer.
3. A format IK is a temperature in tenths of a kelvin, IK3 in thousandths, and so on; a negative one
   says that there is none (sysctl(9)).
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.objects.sysctls import Value

NODE, STRING, OPAQUE = 1, 3, 5
TYPE_MASK = 0xF
"""CTLTYPE_NODE and its kin; CTLTYPE."""

SKIPPED = 0x01000000 | 0x20000000
"""CTLFLAG_SKIP, CTLFLAG_DORMANT: what CTL_SYSCTL_NEXT passes over."""

OF_VNET = 0x00020000
"""CTLFLAG_VNET: arg1 is the template of a network stack's variable."""

NAMES = {
    2: "int",
    STRING: "string",
    4: "int64_t",
    OPAQUE: "opaque",
    6: "unsigned int",
    7: "long",
    8: "unsigned long",
    9: "uint64_t",
    10: "uint8_t",
    11: "uint16_t",
    12: "int8_t",
    13: "int16_t",
    14: "int32_t",
    15: "uint32_t",
}
CODES = {
    2: "i",
    4: "q",
    6: "I",
    7: "l",
    8: "L",
    9: "Q",
    10: "B",
    11: "H",
    12: "b",
    13: "h",
    14: "i",
    15: "I",
}
"""The struct module's, but for l and L, which are as wide as the kernel's."""

LONGS = {4: {"l": "i", "L": "I"}, 8: {"l": "q", "L": "Q"}}
ABSOLUTE_ZERO = -273.15


class Number(NamedTuple):
    """An integer: the struct module's ``code``, of ``size`` bytes."""

    order: Literal["<", ">"]
    code: str
    size: int | None
    format: str = ""

    def value(self, raw: bytes) -> Value | None:
        """One number, or an array of them; None for no bytes, and for a tail (rules 1 to 3)."""
        width = struct.calcsize("<" + self.code)
        if len(raw) == width:
            (one,) = struct.unpack(self.order + self.code, raw)
            return self._scaled(one)
        count, rest = divmod(len(raw), width)
        if count and not rest:
            if is_temperature(self.format):  # one of several may be none
                return None
            return tuple(struct.unpack(f"{self.order}{count}{self.code}", raw))
        if count or len(raw) not in {1, 2, 4}:
            return None
        byteorder: Literal["little", "big"] = "little" if self.order == "<" else "big"
        return self._scaled(int.from_bytes(raw, byteorder, signed=self.code.islower()))

    def _scaled(self, number: int) -> int | float | None:
        """The number itself, or degrees Celsius; None for no temperature (rule 3)."""
        if not is_temperature(self.format):
            return number
        if number < 0:
            return None
        digit = self.format[2:3]
        exponent = int(digit) if digit in set("0123456789") else 1
        return round(number / float(10**exponent) + ABSOLUTE_ZERO, 6)


class Text(NamedTuple):
    """A C string."""

    size: int | None = None

    def value(self, raw: bytes) -> Value | None:
        """The text; an empty one is one."""
        return text(raw)


def number(kind: int, form: str, abi: Abi) -> Number | None:
    """How a node's value is to be read; None for what is no number by its kind."""
    code = CODES.get(kind & TYPE_MASK)
    if code is None:
        return None
    code = LONGS[abi.pointer_size].get(code, code)
    return Number(abi.order, code, struct.calcsize("<" + code), form)


def text(raw: bytes) -> str:
    """A C string; undecodable bytes as surrogates."""
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def is_temperature(form: str) -> bool:
    """Whether values are degrees Celsius (rule 3)."""
    return form.startswith("IK")
