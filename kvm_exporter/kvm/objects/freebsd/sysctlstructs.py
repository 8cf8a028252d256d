"""What do the bytes of an opaque sysctl say?  Members by name, through the kernel's own types.

1. The format names the struct: ``S,vmtotal``.  Some formats do not (``I`` for struct tcpstat):
   those structs go by the sysctl's name.
2. An answer that has not just the struct's size is a list of them, or something else: it is not
   taken apart.  What is known to be a list, or to want an argument, is not even asked for.
3. Pointers are no numbers, and are left out; so are unions, bit-fields, and what a struct has
   spare.  Integers, floats, truths, and arrays of them are; arrays of char are texts.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, Protocol

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError, KvmError, TypeMissing, Unsupported
from kvm_exporter.kvm.layout import Layout
from kvm_exporter.kvm.objects.freebsd import sysctlkinds as kinds
from kvm_exporter.kvm.objects.freebsd.layouts import layout
from kvm_exporter.kvm.objects.freebsd.sysctlkinds import (
    LONGS,
    TYPE_MASK,
    Number,
    Text,
    number,
    text,
)
from kvm_exporter.kvm.objects.sysctls import Sysctl, Value
from kvm_exporter.kvm.types.flatten import type_code
from kvm_exporter.kvm.types.model import (
    Array,
    Composite,
    Enum,
    Float,
    Integer,
    Type,
    Types,
    resolve,
)

Order = Literal["<", ">"]


class Counters(NamedTuple):
    """Statistics that a network stack keeps as counters (VNET_PCPUSTAT_DEFINE, sys/net/vnet.h)."""

    sysctl: str
    struct: str
    array: str


COUNTERS = (
    Counters("kern.ipc.sfstat", "sfstat", "sfstat"),
    Counters("net.inet.ah.stats", "ahstat", "ahstat"),
    Counters("net.inet.carp.stats", "carpstats", "carpstats"),
    Counters("net.inet.esp.stats", "espstat", "espstat"),
    Counters("net.inet.icmp.stats", "icmpstat", "icmpstat"),
    Counters("net.inet.ip.mrtstat", "mrtstat", "mrtstat"),
    Counters("net.inet.ip.stats", "ipstat", "ipstat"),
    Counters("net.inet.ipcomp.stats", "ipcompstat", "ipcompstat"),
    Counters("net.inet.ipsec.ipsecstats", "ipsecstat", "ipsec4stat"),
    Counters("net.inet.pim.stats", "pimstat", "pimstat"),
    Counters("net.inet.tcp.stats", "tcpstat", "tcpstat"),
    Counters("net.inet.udp.stats", "udpstat", "udpstat"),
    Counters("net.inet6.icmp6.stats", "icmp6stat", "icmp6stat"),
    Counters("net.inet6.ip6.rip6stats", "rip6stat", "rip6stat"),
    Counters("net.inet6.ip6.stats", "ip6stat", "ip6stat"),
    Counters("net.inet6.ipsec6.ipsecstats", "ipsecstat", "ipsec6stat"),
    Counters("net.link.ether.arp.stats", "arpstat", "arpstat"),
    Counters("net.route.stats", "rtstat", "rtstat"),
)
"""Every SYSCTL_VNET_PCPUSTAT of 15.1, and what is alike."""

BY_NAME = {one.sysctl: one.struct for one in COUNTERS} | {
    "vfs.cache.nchstats": "nchstats",
}
"""Structs that no format tells (rule 1)."""

LISTS = frozenset(
    "S," + name
    for name in (
        *("bios_smap_xattr", "devstat", "efi_map_header", "in6_defrouter", "in6_prefix"),
        *("kinfo_vmobject", "lockf", "proc", "sctplog", "sysctl_netisr_proto"),
        *("sysctl_netisr_work", "sysctl_netisr_workstream", "tcp_function_info", "treedump"),
        *("ucred", "xassoc", "xfile", "ximgact_binmisc_entry", "xinpcb", "xktls_session", "xlat"),
        *("xtcpcb", "xtty", "xucred", "xunpcb", "xvfsconf"),
    )
)
"""Formats of lists, however short they may be today, and of what wants an argument (rule 2)."""

SPARE = re.compile(r"(.*_)?(pad|spare|filler|reserved)\d*")
LARGEST = 1 << 20
MOST_MEMBERS = 4096
DEEPEST = 8
"""Bytes and members of a struct, and structs in structs: more than any sysctl's has."""

INTEGERS = frozenset("bBhHiIqQ")
NUMBERS = INTEGERS | set("fd")


class Reader(Protocol):
    """How a value is asked for and read: ``size`` bytes just so; None for all that there is."""

    @property
    def size(self) -> int | None: ...

    def value(self, raw: bytes) -> Value | None:
        """None for bytes that say nothing."""


class Numbers(NamedTuple):
    """As many numbers as the answer has."""

    each: Number
    size: int | None = None

    def value(self, raw: bytes) -> Value | None:
        """An array, even of one."""
        found = self.each.value(raw)
        return (found,) if isinstance(found, int | float) else found


class Column(NamedTuple):
    """A member: ``code`` is the struct module's, without byte order, of ``length`` values."""

    name: str
    offset: int
    code: str
    length: int = 1


class Record(NamedTuple):
    """A struct of ``size`` bytes."""

    order: Order
    size: int | None
    columns: tuple[Column, ...]

    def value(self, raw: bytes) -> Value | None:
        """Its members by name; None for what has another size (rule 2)."""
        if len(raw) != self.size:
            return None
        return {one.name: self._member(raw, one) for one in self.columns}

    def _member(self, raw: bytes, one: Column) -> Value:
        if one.code == "s":
            return text(raw[one.offset : one.offset + one.length])
        several = struct.unpack_from(f"{self.order}{one.length}{one.code}", raw, one.offset)
        return several[0] if one.length == 1 else several


class TimeValue(NamedTuple):
    """A struct timeval, as seconds."""

    of: Record
    size: int | None

    def value(self, raw: bytes) -> Value | None:
        """Seconds, with their fraction."""
        match self.of.value(raw):
            case {"tv_sec": int(seconds), "tv_usec": int(micro)}:
                return seconds + micro / 1e6
        return None


class LoadAverage(NamedTuple):
    """A struct loadavg: fixed point numbers over 1, 5 and 15 minutes."""

    of: Record
    size: int | None

    def value(self, raw: bytes) -> Value | None:
        """The three averages; None where they have no scale."""
        match self.of.value(raw):
            case {
                "ldavg0": int(one),
                "ldavg1": int(five),
                "ldavg2": int(last),
                "fscale": int(unit),
            }:
                loads = (one, five, last)
            case {"ldavg": (int(one), int(five), int(last)), "fscale": int(unit)}:
                loads = (one, five, last)
            case _:
                return None
        return tuple(load / unit for load in loads) if unit > 0 else None


class Structs:
    """The structs of one kernel's sysctls.

    ``machine`` is its hw.machine_arch, by which struct timeval and a few others are known without
    type information; ``types`` are asked for the others.
    """

    def __init__(self, machine: str, abi: Abi, types: Callable[[], Types]) -> None:
        self._machine = machine
        self._abi = abi
        self._types = types
        self._known: dict[str, Record | None] = {}

    def reader(self, kind: int, sysctl: Sysctl) -> Reader | None:
        """How a sysctl is read; None for what cannot be, or should not (rule 2)."""
        match kind & TYPE_MASK:
            case kinds.STRING:
                return Text()
            case kinds.OPAQUE:
                return self._opaque(sysctl)
        return number(kind, sysctl.format, self._abi)

    def _opaque(self, sysctl: Sysctl) -> Reader | None:
        form = sysctl.format
        if form in LISTS:
            return None
        if form == "S,pagesizes":  # u_long[MAXPAGESIZES] (sys/kern/kern_mib.c)
            code = LONGS[self._abi.pointer_size]["L"]
            return Numbers(Number(self._abi.order, code, self._abi.pointer_size))
        found = self.record(BY_NAME.get(sysctl.name) or _told(form))
        if found is None or form not in {"S,timeval", "S,loadavg"}:
            return found
        if form == "S,timeval":
            return TimeValue(found, found.size)
        return LoadAverage(found, found.size)

    def record(self, name: str) -> Record | None:
        """A struct by its name, ``timeval``; None for one that nobody knows."""
        if name not in self._known:
            self._known[name] = (self._shipped(name) or self._typed(name)) if name else None
        return self._known[name]

    def _shipped(self, name: str) -> Record | None:
        try:
            return _of_layout(layout(name, self._machine))
        except (TypeMissing, Unsupported):
            return None

    def _typed(self, name: str) -> Record | None:
        try:
            found = resolve(self._types().find(f"struct {name}"))
            if not isinstance(found, Composite) or not 0 < found.size <= LARGEST:
                return None
            columns = tuple(_Columns(self._abi).of(found, "", 0, 0))
        except KvmError:
            return None
        if not columns or any(_end(one) > found.size for one in columns):
            return None
        return Record(self._abi.order, found.size, columns)


def _told(form: str) -> str:
    """``vmtotal`` of ``S,vmtotal`` and of ``S,struct vmtotal``; "" of what names no struct."""
    letter, _, rest = form.partition(",")
    return rest.partition(",")[0].removeprefix("struct ").strip() if letter in {"S", "s"} else ""


def _of_layout(found: Layout) -> Record:
    rows = ((name, row) for name, row in found.members.items() if not SPARE.fullmatch(name))
    columns = (Column(name, row.offset, row.code) for name, row in rows if row.code in INTEGERS)
    return Record("<" if found.order == "<" else ">", found.size, tuple(columns))


class _Columns:
    """The columns of one struct; ``left`` are the members that may still be looked at."""

    def __init__(self, abi: Abi) -> None:
        self._abi = abi
        self._left = MOST_MEMBERS

    def of(self, struct: Composite, path: str, base: int, depth: int) -> Iterator[Column]:
        """The members that are numbers or texts, those of structs in the struct too (rule 3).

        Errors: FormatError for more members than any struct has.
        """
        if struct.kind != "struct" or depth > DEEPEST:
            return
        self._left -= len(struct.members)
        if self._left < 0:
            raise FormatError(f"struct {struct.name}: damaged type information")
        for one in struct.members:
            if one.bit_size is not None or SPARE.fullmatch(one.name):
                continue
            declared = resolve(one.type())
            at = base + one.bit_offset // 8
            name = ".".join(filter(None, (path, one.name)))
            if isinstance(declared, Composite):
                yield from self.of(declared, name, at, depth + 1)
            else:
                yield from _column(name, at, declared, self._abi)


def _column(name: str, at: int, declared: Type, abi: Abi) -> Iterator[Column]:
    element, count = declared, 1
    if isinstance(declared, Array):
        element, count = resolve(declared.element()), declared.count
        if isinstance(element, Integer) and element.kind == "char" and element.size == 1:
            yield Column(name, at, "s", count)
            return
    if isinstance(element, Integer | Float | Enum) and 0 < count <= MOST_MEMBERS:
        code = type_code(element, abi)
        if code in NUMBERS:
            yield Column(name, at, code, count)


def _end(one: Column) -> int:
    return one.offset + one.length * struct.calcsize("<" + one.code)
