"""Which variables could be counted?  ``kvm_exporter symbols PATTERN``: names with their types.

A pattern is the shell's (``*tcp*``); one without ``*``, ``?`` or ``[`` is looked for anywhere in a
name.  Behind a dot or an arrow it is of members: ``tcpstat.*conn*``, ``vm_cnt.*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from kvm_exporter.inspection.report import Column, Report, Row, Table
from kvm_exporter.kvm import Kvm, Symbol, SymbolMissing, TypeMissing
from kvm_exporter.kvm.expressions.compiling.kinds import is_counters
from kvm_exporter.kvm.expressions.language.phrases import quoted
from kvm_exporter.kvm.nm import N_EXT, N_TEXT
from kvm_exporter.kvm.objects.copies import Variable
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.flatten import Place, size_of
from kvm_exporter.kvm.types.model import Composite, Pointer, Type, Types, resolve

COLUMNS = (
    Column("address", 18, "address"),
    Column("kind", 6),
    Column("size", 8, "number"),
    Column("type", 24),
    Column("name"),
)
TEMPLATES = ("vnet_entry_", "pcpu_entry_")
"""What FreeBSD's names of variables with copies begin with (sys/net/vnet.h, sys/sys/pcpu.h)."""

GENERATED = ("__ksymtab_", "__kstrtab_", "__kstrtabns_", "__crc_", "__set_")
"""What compilers and linkers add for each exported symbol (include/linux/export.h), and for each
element of a linker set (sys/sys/linker_set.h)."""

WILD = r"[*?[]"
MOST_ANONYMOUS = 1 << 10
"""Structs in a struct whose members count as its own."""


class Wanted(NamedTuple):
    """A pattern of names, and of members: (``.`` or ``->``, pattern), from the outside in."""

    whole: str
    name: str
    members: tuple[tuple[str, str], ...]


class Start(NamedTuple):
    """From where members are looked for; ``address`` None: behind a pointer, which is not read."""

    address: int | None
    kind: str
    type: Type
    name: str


def candidates(kvm: Kvm, pattern: str) -> Report:
    """A row a variable, or a member.  SymbolMissing where there is none."""
    return Table(COLUMNS, _rows(kvm, wanted(pattern)))


def wanted(pattern: str) -> Wanted:
    """What a pattern says."""
    name, *rest = re.split(r"(\.|->)", pattern)
    members = tuple((sign, _shell(one)) for sign, one in zip(rest[::2], rest[1::2], strict=True))
    return Wanted(_shell(pattern), name if members else _shell(name), members)


def _shell(pattern: str) -> str:
    return pattern if re.search(WILD, pattern) else f"*{pattern}*"


def _rows(kvm: Kvm, pattern: Wanted) -> Iterator[Row]:
    found = False
    for variable in _variables(kvm, pattern):
        for row in _matching(kvm.target.types, variable, pattern):
            found = True
            yield row
    if not found:
        raise SymbolMissing(_none(kvm, pattern))


def _none(kvm: Kvm, pattern: Wanted) -> str:
    """Why there is none, and what is spelled nearly so."""
    name = pattern.name.strip("*")
    why = kvm.copies.untold()
    near = [] if re.search(WILD, name) else kvm.copies.names_like(name)
    told = f"no variable of this kernel matches {pattern.whole}" + (f": {why}" if why else "")
    return f"{told}; near names: {', '.join(map(quoted, near))}" if near else told


def _variables(kvm: Kvm, pattern: Wanted) -> Iterator[Variable]:
    """Each variable whose name may match, once."""
    copies = kvm.copies
    seen: set[str] = set()
    for symbol in kvm.symbols:
        if symbol.name.startswith(GENERATED):
            continue
        prefix = next((one for one in TEMPLATES if symbol.name.startswith(one)), "")
        name = symbol.name.removeprefix(prefix)
        if name in seen or not _may_match(name, pattern) or _is_code(kvm, symbol):
            continue
        seen.add(name)
        variable = copies.variable(name)
        if variable is not None:
            yield variable


def _is_code(kvm: Kvm, symbol: Symbol) -> bool:
    """Of what nlist(3) counts to the text, constants are there on FreeBSD; they have a type."""
    if symbol.type & ~N_EXT != N_TEXT:
        return False
    return kvm.system.name != "freebsd" or _type(kvm.target.types, symbol.name) is None


def _may_match(name: str, pattern: Wanted) -> bool:
    return fnmatchcase(name, pattern.whole) or fnmatchcase(name, pattern.name)


def _matching(types: Types, variable: Variable, pattern: Wanted) -> Iterator[Row]:
    type_ = _type(types, variable.type_name)
    if fnmatchcase(variable.name, pattern.whole):
        size = variable.size or (size_of(type_) if type_ else None)
        told = spell(type_) if type_ else None
        yield variable.address, variable.kind, size, told, quoted(variable.name)
    if type_ and pattern.members and fnmatchcase(variable.name, pattern.name):
        start = Start(variable.address, variable.kind, type_, quoted(variable.name))
        yield from _members(_counted(types, start), pattern.members)


def _type(types: Types, name: str) -> Type | None:
    try:
        return types.variable(name)
    except TypeMissing:
        return None


def _counted(types: Types, start: Start) -> Start:
    """An array of counters as the struct that it is of, by its name (VNET_PCPUSTAT_DEFINE)."""
    if not is_counters(start.type):
        return start
    try:
        struct = types.find(f"struct {start.name}")
    except TypeMissing:
        return start
    return Start(None, start.kind, struct, f"((struct {start.name}){start.name})")


def _members(start: Start, steps: Sequence[tuple[str, str]]) -> Iterator[Row]:
    """The members that match, and those of members where there are more steps."""
    [(sign, pattern), *others] = steps
    outer, address = resolve(start.type), start.address
    if sign == "->" and isinstance(outer, Pointer):
        outer, address = resolve(outer.target()), None
    elif sign == "->":
        return
    for place, name in _named(outer):
        if not fnmatchcase(name, pattern):
            continue
        at = None if address is None else address + place.bit_offset // 8
        inner = Start(at, start.kind, place.type, f"{start.name}{sign}{name}")
        if others:
            yield from _members(inner, others)
        else:
            yield at, start.kind, size_of(place.type), _spelled(place), inner.name


def _named(outer: Type) -> Iterator[tuple[Place, str]]:
    """A struct's members with names, those of anonymous members among them."""
    within = [(outer, 0)]
    for struct, base in within:
        for one in struct.members if isinstance(struct, Composite) else ():
            if one.name:
                yield Place(one.type(), base + one.bit_offset, one.bit_size), one.name
            elif len(within) < MOST_ANONYMOUS:
                within.append((resolve(one.type()), base + one.bit_offset))


def _spelled(place: Place) -> str:
    bits = "" if place.bit_size is None else f":{place.bit_size}"
    return spell(place.type) + bits
