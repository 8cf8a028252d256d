"""Where is each named type and variable of a kernel in its DWARF?  One pass over all DIEs.

A kernel has six million DIEs, and each of its 3000 units repeats the headers' types: the pass reads
no more of a DIE than is needed to know where it ends, and of a type's also its name's place, which
says whether it has been met before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.types.dwarf_die import (
    BLOCK,
    STRP,
    STRX_FIXED,
    ULEB,
    Abbreviation,
    Unit,
    read_die,
    skip,
    uleb,
)
from kvm_exporter.kvm.types.dwarf_file import DwarfFile

NAME, DECLARATION, SPECIFICATION = 0x03, 0x3C, 0x47
STRUCTURE, UNION, ENUMERATION, TYPEDEF, BASE, VARIABLE = 0x13, 0x17, 0x04, 0x16, 0x24, 0x34
PREFIXES = {
    STRUCTURE: "struct ",
    UNION: "union ",
    ENUMERATION: "enum ",
    TYPEDEF: "",
    BASE: "",
    VARIABLE: "",
}

Progress = Callable[[int, int], None]
"""(bytes done, bytes in all)."""


@dataclass(frozen=True, slots=True)
class Names:
    """Offsets in .debug_info: ``types`` by C name (``struct proc``, ``pid_t``), ``variables``.

    Of several of one name the first; only complete types.  ``bare``: enums without a name, by their
    first constant's.  ``seen``: the pass's own memory of names by their place.
    """

    types: dict[str, int] = field(default_factory=dict)
    variables: dict[str, int] = field(default_factory=dict)
    bare: dict[str, int] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to pass over the DIEs of an abbreviation.

    ``fixed``: bytes, or -1 where ``steps`` must be gone.  ``wanted``: it may be a named type or
    variable; ``bare``: it is an enum without a name.  ``name_at``: its name's bytes behind the
    number, -1 if that is not always the same.
    """

    tag: int
    children: bool
    fixed: int
    steps: tuple[int, ...]
    wanted: bool
    bare: bool
    name_at: int
    name_size: int
    name_form: int


def scan(file: DwarfFile, progress: Progress | None = None) -> Names:
    """Every named type and variable; what a damaged unit has is left out."""
    found = Names()
    for head in file.heads:
        try:
            unit = file.unit(head)
            _scan_unit(file, unit, found)
        except (FormatError, IndexError, KeyError):
            continue  # a damaged unit costs its own types: the headers' are in others as well
        if progress:
            progress(head.end, file.size)
    return found


def _scan_unit(file: DwarfFile, unit: Unit, found: Names) -> None:
    # every statement of the loop runs millions of times; scope: the depth where types are declared
    data, end = unit.data, len(unit.data)
    plans = {number: _plan(unit, one) for number, one in unit.abbreviations.items()}
    at, depth, scope = unit.first, 0, 1
    while at < end:
        start = at
        number = data[at]
        at += 1
        if number > 0x7F:
            number, at = uleb(data, start)
        if not number:
            depth -= 1
            scope = min(scope, max(depth, 1))
            continue
        plan = plans[number]
        if plan.wanted and depth == scope:
            _note(file, unit, start, at, plan, found)
        elif plan.bare and depth == scope:
            _note_bare(file, unit, start, at, plans, found)
        if plan.fixed >= 0:
            at += plan.fixed
        else:
            at = _pass_over(unit, at, plan.steps)
        if plan.children:
            # in a struct there may be more structs
            scope += depth == scope and plan.tag in (STRUCTURE, UNION)
            depth += 1


def _pass_over(unit: Unit, at: int, steps: tuple[int, ...]) -> int:
    data = unit.data
    for step in steps:
        if step >= 0:
            at += step
        elif step == ULEB and data[at] < 0x80:
            at += 1
        elif step == BLOCK and data[at] < 0x80:
            at += 1 + data[at]
        else:
            at = skip(unit, at, step)
    return at


def _plan(unit: Unit, one: Abbreviation) -> Plan:
    steps: list[int] = []
    name_at, name_size, name_form = -1, 0, 0
    for attribute in one.attributes:
        size = unit.size(attribute.form)
        if attribute.name == NAME:
            name_form, name_size = attribute.form, size
            if not steps or (len(steps) == 1 and steps[0] >= 0):
                name_at = sum(steps)
        if size >= 0 and steps and steps[-1] >= 0:
            steps[-1] += size
        else:
            steps.append(size)
    fixed = sum(steps) if all(step >= 0 for step in steps) else -1
    # a declaration is no definition; its attribute is always a flag that is set
    known = {attribute.name for attribute in one.attributes}
    wanted = one.tag in PREFIXES and NAME in known
    if one.tag != VARIABLE:
        wanted = wanted and DECLARATION not in known
    if name_form not in (STRP, *STRX_FIXED):
        name_at = -1
    bare = one.tag == ENUMERATION and one.children and not known & {NAME, DECLARATION}
    shape = one.tag, one.children, fixed, tuple(steps)
    return Plan(*shape, wanted, bare, name_at, name_size, name_form)


def _note(file: DwarfFile, unit: Unit, start: int, at: int, plan: Plan, found: Names) -> None:
    if _met_before(file, unit, at, plan, found):
        return
    die = read_die(unit, start)
    name = file.text(unit, die.values.get(NAME)) if die else ""
    if name:
        into = found.variables if plan.tag == VARIABLE else found.types
        into.setdefault(PREFIXES[plan.tag] + name, unit.offset + start)


def _note_bare(
    file: DwarfFile, unit: Unit, start: int, at: int, plans: Mapping[int, Plan], found: Names
) -> None:
    """An enum without a name: its first constant, which follows, has one."""
    plan = plans[uleb(unit.data, start)[0]]
    first = at + plan.fixed if plan.fixed >= 0 else _pass_over(unit, at, plan.steps)
    number, at = uleb(unit.data, first)
    constant = plans.get(number)
    if constant is None or _met_before(file, unit, at, constant, found):
        return
    die = read_die(unit, first)
    name = file.text(unit, die.values.get(NAME)) if die else ""
    if name:
        found.bare.setdefault(name, unit.offset + start)


def _met_before(file: DwarfFile, unit: Unit, at: int, plan: Plan, found: Names) -> bool:
    """Whether the name in a DIE, whose values are at ``at``, was met; as far as that is cheap."""
    if plan.name_at < 0:
        return False
    at += plan.name_at
    number = int.from_bytes(unit.data[at : at + plan.name_size], unit.order)
    key = file.string_offset(unit, plan.name_form, number) << 8 | plan.tag
    if key in found.seen:
        return True
    found.seen.add(key)
    return False
