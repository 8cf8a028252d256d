"""What does a name mean?  The list's element, a member of it, a variable, a constant of an enum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.expressions.compiling.casts import taken
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.operands import Number, Operand, Place
from kvm_exporter.kvm.expressions.compiling.places import member
from kvm_exporter.kvm.expressions.compiling.spreads import CPU, JAIL, Spread, single, widened
from kvm_exporter.kvm.expressions.compiling.surroundings import Frame
from kvm_exporter.kvm.expressions.language.syntax import Member, Name, Node
from kvm_exporter.kvm.expressions.program import ABSOLUTE, ELEMENT, Position
from kvm_exporter.kvm.objects.copies import Variable
from kvm_exporter.kvm.objects.spelling import nearest
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.model import Composite, Enum, Integer, Type, resolve

OUTER = "outer"
ELEMENTS = {"it": 0, OUTER: 1}
"""Names of the element and of that of the list around it."""

SCALARS = (Integer, Enum)
POSITION = "position"
"""The element's number in its list."""


def named(kernel: Kernel, frame: Frame, name: str) -> Spread[Operand] | None:
    """What a name means in an expression, if it is no constant; None for nothing."""
    found = in_list(kernel, frame, name)
    if found is not None:
        return single(found)
    copies = variable(kernel, frame, name)
    if copies is None and frame.element(0) is None and name in (*ELEMENTS, POSITION):
        raise KvmError(f"{name} is of a list's element, and this is in no list")
    return copies


def in_list(kernel: Kernel, frame: Frame, name: str) -> Operand | None:
    """What a name means of a list's element; None outside of lists, and for what it has not."""
    element = frame.element(0)
    if element is None:
        return None
    if name in ELEMENTS:
        return _around(frame, name)
    if name == POSITION:
        return Number(Position(ELEMENT))
    type_ = resolve(element.type) if element.type else None
    if isinstance(type_, Composite) and kernel.find_member(type_, name):
        return member(kernel, element, name)
    return None


def _around(frame: Frame, name: str) -> Place:
    found = frame.element(ELEMENTS[name])
    if found is None:
        raise KvmError(f"{name}: there is no list around this one")
    return found


def around(frame: Frame, node: Member) -> Place | None:
    """What ``outer.outer`` is, the element of a list further around; None for any other member."""
    depth = 1
    of: Node = node
    while isinstance(of, Member) and of.name == OUTER and not of.arrow:
        of, depth = of.of, depth + 1
    if depth == 1 or not isinstance(of, Name) or of.text != OUTER:
        return None
    return frame.element(depth)


def near_members(kernel: Kernel, frame: Frame, name: str) -> Sequence[str]:
    """Members of the element that are spelled nearly so."""
    element = frame.element(0)
    type_ = resolve(element.type) if element and element.type else None
    return nearest(name, kernel.member_names(type_)) if isinstance(type_, Composite) else ()


def variable(kernel: Kernel, frame: Frame, name: str) -> Spread[Operand] | None:
    """The places of a variable; None where the kernel has none of that name."""
    found = kernel.variable(name)
    if found is None:
        return None
    key = name, frame.stack, frame.jails
    if key not in kernel.places:
        kernel.places[key] = _copies(kernel, frame, found)
    return kernel.places[key]


def _copies(kernel: Kernel, frame: Frame, found: Variable) -> Spread[Operand]:
    known = _template(kernel, found)
    if found.kind == "vnet":
        return _of_vnets(kernel, frame, known)
    if found.kind == "percpu":
        return widened(single(known), CPU, lambda template: _of_cpus(kernel, template))
    return single(known)


def _template(kernel: Kernel, found: Variable) -> Place:
    """The variable itself, or what its copies are made of."""
    own, declared = kernel.type_of(found), kernel.declared(found)
    if declared is None:
        _fitting(found, own)
        return Place(own, ABSOLUTE, found.address, size=found.size)
    return taken(kernel, Place(own, ABSOLUTE, found.address, size=found.size), declared)


def _fitting(found: Variable, own: Type | None) -> None:
    """Refuse a number that is larger than its symbol: behind it lies something else.

    Clang makes a byte of a static variable that only ever has two values (GlobalOpt), which then
    tells which of them it is; the type information does not know (pg_g, pmap_initialized).
    """
    type_ = resolve(own) if own else None
    if isinstance(type_, SCALARS) and found.size and type_.size > found.size:
        told = f"{spell(type_)}, its type, has {type_.size} bytes, its symbol {found.size}"
        raise TypeMissing(f"{told}: declare in types: what {found.name} is, as bool")


def _of_cpus(kernel: Kernel, template: Place) -> Iterator[tuple[int, Place]]:
    for cpu in kernel.cpus:
        yield cpu, template._replace(offset=kernel.copies.of_cpu(template.offset, cpu))


def _of_vnets(kernel: Kernel, frame: Frame, template: Place) -> Spread[Operand]:
    stacks = kernel.stacks(frame.stack)
    places = [
        template._replace(offset=kernel.copies.of_vnet(template.offset, vnet)) for vnet in stacks
    ]
    if not frame.jails:
        return single(places[0])
    return Spread(
        (JAIL,), tuple(((vnet.jail,), one) for vnet, one in zip(stacks, places, strict=True))
    )
