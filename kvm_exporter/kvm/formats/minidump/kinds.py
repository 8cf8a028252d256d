"""Which minidumps are there?  A row for each architecture: its header and what its page map is.

All begin with 24 bytes of magic (powerpc64: 32, and 32 more of its MMU's name), a version and four
sizes; what follows differs.  A field that came with a later version is 0 before.

Sources: sys/ARCH/include/minidump.h and sys/ARCH/ARCH/minidump_machdep.c; for mips those of
FreeBSD 12 and 13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.layout import Member
from kvm_exporter.kvm.translation import DirectMap

Fields = Mapping[str, int]


class Plan(NamedTuple):
    """How to read the rest of a dump, as its header has it.

    ``levels``: the shifts of the page map's entries and of the tables that they lead to, in the
    form of ``paging`` (a key of Arch.pagings); empty for a hashed page table or none at all.
    ``arch``: a closer name than the one that the kind has.
    """

    page_size: int
    paging: str
    levels: tuple[int, ...]
    windows: tuple[DirectMap, ...] = ()
    displacement: int = 0
    arch: str | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """``arches``: names of Arch; that is meant whose byte order gives a version and which ``fits``.

    ``newest``: the last version.  ``since``: the first version of those fields that came later.
    """

    magic: str
    arches: tuple[str, ...]
    newest: int
    members: Mapping[str, Member]
    plan: Callable[[Fields, Arch], Plan]
    since: Mapping[str, int] = field(default_factory=dict)
    fits: Callable[[Fields, Arch], bool] = lambda _fields, _arch: True


def _members(start: int, **codes: str) -> Mapping[str, Member]:
    """The four sizes, then each field where C aligns it (I: 4, Q: 8)."""
    sizes = ("version", "msgbufsize", "bitmapsize", "pmapsize")
    members = {name: Member(start + 4 * index, "I") for index, name in enumerate(sizes)}
    at = start + 16
    for name, code in codes.items():
        width = {"I": 4, "Q": 8}[code]
        at = -(-at // width) * width
        members[name] = Member(at, code)
        at += width
    return members


def _direct(fields: Fields) -> tuple[DirectMap, ...]:
    return (DirectMap(fields["dmapbase"], fields["dmapend"], fields.get("dmapphys", 0)),)


def _amd64(fields: Fields, _arch: Arch) -> Plan:
    # since version 2 the page map is of PDEs, and the page tables are among the pages
    levels = (12,) if fields["version"] == 1 else (21, 12)
    return Plan(4096, "4-level", levels, _direct(fields))


def _i386(fields: Fields, _arch: Arch) -> Plan:
    return Plan(4096, "pae" if fields["paemode"] else "i386", (12,))


def _arm64(fields: Fields, _arch: Arch) -> Plan:
    shift = {0: 12, 1: 14, 2: 16}.get(fields["flags"] & 3)
    if shift is None:
        raise FormatError(f"minidump: flags {fields['flags']:#x} have no known page size")
    return Plan(1 << shift, f"{1 << shift - 10}k-48", (shift,), _direct(fields))


def _riscv(fields: Fields, _arch: Arch) -> Plan:
    return Plan(4096, "sv39", (12,), _direct(fields))


def _arm(fields: Fields, _arch: Arch) -> Plan:
    # 0: "unknown", of before the field; pages of 1 KB, which alone differ, were never used
    forms = {0: "short", 1: "short-v4", 2: "short", 3: "long"}
    paging = forms.get(fields["mmuformat"])
    if paging is None:
        raise FormatError(f"minidump: MMU format {fields['mmuformat']} is none of 1, 2, 3")
    arch = {6: "armv6", 7: "armv7"}.get(fields["arch"], "arm" if paging == "short-v4" else "armv7")
    return Plan(4096, paging, (12,), arch=arch)


def _mips_fits(fields: Fields, arch: Arch) -> bool:
    """Whether it is 32 or 64 bits: 32-bit addresses are sign-extended in the header."""
    wide = 1 << 32 <= fields["kernbase"] < 0xFFFF_FFFF_0000_0000
    return wide == (arch.abi.pointer_size == 8)


def _mips(_fields: Fields, arch: Arch) -> Plan:
    return Plan(4096, "pte64" if arch.abi.pointer_size == 8 else "pte32", (12,), arch.windows)


KERNBASE = 0x100100
"""Where powerpc64 kernels are linked to (sys/powerpc/include/vmparam.h)."""


def _powerpc64(fields: Fields, _arch: Arch) -> Plan:
    # dmapend is the last byte of the direct map here
    direct = DirectMap(fields["dmapbase"], fields["dmapend"] + 1)
    return Plan(4096, "radix", (), (direct,), fields["startkernel"] - KERNBASE)


_DIRECT = {"kernbase": "Q", "dmapbase": "Q", "dmapend": "Q", "dumpavailsize": "I"}
_OFFSET_DIRECT = {"kernbase": "Q", "dmapphys": "Q", "dmapbase": "Q", "dmapend": "Q"}
_POWERPC = {"kernbase": "Q", "kernend": "Q", "dmapbase": "Q", "dmapend": "Q"}
_POWERPC |= {"hw_direct_map": "I", "startkernel": "Q", "endkernel": "Q", "dumpavailsize": "I"}

KINDS = (
    Kind("amd64", ("amd64",), 3, _members(24, **_DIRECT), _amd64, {"dumpavailsize": 3}),
    Kind(
        "i386",
        ("i386",),
        2,
        _members(24, kernbase="I", paemode="I", dumpavailsize="I"),
        _i386,
        {"dumpavailsize": 2},
    ),
    Kind(
        "arm64",
        ("aarch64",),
        3,
        _members(24, **_OFFSET_DIRECT, dumpavailsize="I", flags="I"),
        _arm64,
        {"dumpavailsize": 2, "flags": 3},
    ),
    Kind(
        "arm",
        ("armv7",),
        2,
        _members(24, kernbase="I", arch="I", mmuformat="I", dumpavailsize="I"),
        _arm,
        {"dumpavailsize": 2},
    ),
    Kind(
        "riscv",
        ("riscv64",),
        2,
        _members(24, **_OFFSET_DIRECT, dumpavailsize="I"),
        _riscv,
        {"dumpavailsize": 2},
    ),
    Kind(
        "powerpc64",
        ("powerpc64", "powerpc64le"),
        2,
        _members(64, **_POWERPC),
        _powerpc64,
        {"dumpavailsize": 2},
    ),
    Kind(
        "mips",
        ("mips64", "mips64el", "mips", "mipsel"),
        2,
        _members(24, **_DIRECT),
        _mips,
        {"dumpavailsize": 2},
        _mips_fits,
    ),
)
