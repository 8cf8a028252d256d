"""What does a Linux kernel say of itself for those who read its dump?  VMCOREINFO, line by line.

1. It is text: ``KEY=value`` lines; CRASHTIME and perhaps a few more are added when it dies.
2. Numbers come as the kernel printed them: SYMBOL() and KERNELOFFSET in bare hex, NUMBER() in
   decimal, perhaps signed, or in hex with its 0x, all others in decimal.
3. The text is not trusted: what is no number, or one of more than 64 bits, is as good as absent; of
   a key that is there twice the first counts, as for makedumpfile and crash.

Sources: kernel/crash_core.c (kernel/vmcore_info.c since 6.9), include/linux/vmcore_info.h,
Documentation/admin-guide/kdump/vmcoreinfo.rst.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

LONGEST = 1 << 17
"""Bytes of the text at most; a kernel has a page for it (VMCOREINFO_BYTES), of 64 KB or less."""

HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,16})")
DECIMAL = re.compile(r"[-+]?[0-9]{1,20}")
WIDEST = 1 << 64


@dataclass(frozen=True, slots=True)
class Vmcoreinfo:
    """What a kernel says of itself; each question has None for an answer where it says nothing."""

    text: str = field(repr=False)
    values: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Vmcoreinfo:
        """From the text's bytes, which end with the first NUL if there is one."""
        text = data[:LONGEST].partition(b"\0")[0].decode("ascii", "replace")
        values: dict[str, str] = {}
        for line in text.split("\n"):
            key, equals, value = line.partition("=")
            if equals:
                values.setdefault(key.strip(), value.strip())
        return cls(text, values)

    def value(self, key: str) -> str | None:
        """What stands behind ``KEY=``."""
        return self.values.get(key)

    def symbol(self, name: str) -> int | None:
        """The address of a variable or function, where the kernel runs."""
        return _hex(self.values.get(f"SYMBOL({name})"))

    def symbols(self) -> Iterator[int]:
        """Every address that it tells of a variable or function."""
        told = (_hex(value) for key, value in self.values.items() if key.startswith("SYMBOL("))
        return (address for address in told if address is not None)

    def number(self, name: str) -> int | None:
        """A constant's or a variable's value; -2**63 to 2**64-1."""
        return _number(self.values.get(f"NUMBER({name})"))

    def offset(self, path: str) -> int | None:
        """Bytes from a struct's start to a member: ``list_head.next``."""
        return _count(self.values.get(f"OFFSET({path})"))

    def size(self, name: str) -> int | None:
        """Bytes of a type."""
        return _count(self.values.get(f"SIZE({name})"))

    def length(self, name: str) -> int | None:
        """Elements of an array."""
        return _count(self.values.get(f"LENGTH({name})"))

    def config(self, name: str) -> str | None:
        """What a configuration option is: ``y``."""
        return self.values.get(f"CONFIG_{name}")

    @property
    def release(self) -> str | None:
        """As uname -r."""
        return self.values.get("OSRELEASE")

    @property
    def build_id(self) -> str | None:
        """Of vmlinux, in hex (since 5.9)."""
        value = self.values.get("BUILD-ID", "").lower()
        return value if re.fullmatch(r"(?:[0-9a-f]{2})+", value) else None

    @property
    def page_size(self) -> int | None:
        """Bytes; None as well where it is no power of two that any kernel has."""
        size = _count(self.values.get("PAGESIZE"))
        return size if size in (1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16) else None

    @property
    def kernel_offset(self) -> int | None:
        """Bytes that the kernel lies above where it was linked (KASLR)."""
        return _hex(self.values.get("KERNELOFFSET"))


def _hex(text: str | None) -> int | None:
    found = HEX.fullmatch(text) if text else None
    return int(found[1], 16) if found else None


def _count(text: str | None) -> int | None:
    number = _number(text)
    return number if number is not None and number >= 0 else None


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if text.startswith(("0x", "0X")):
        return _hex(text)
    if not DECIMAL.fullmatch(text):
        return None
    number = int(text)
    return number if -(WIDEST >> 1) <= number < WIDEST else None
