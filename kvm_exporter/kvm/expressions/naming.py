"""What does a name mean?  The list's element, a member of it, a variable, a constant of an enum."""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.casts import taken
from kvm_exporter.kvm.expressions.kernel import Kernel
from kvm_exporter.kvm.expressions.operands import Number, Operand, Place
from kvm_exporter.kvm.expressions.places import member
from kvm_exporter.kvm.expressions.program import ABSOLUTE, ELEMENT, Position
from kvm_exporter.kvm.expressions.spreads import CPU, JAIL, Spread, single, widened
from kvm_exporter.kvm.expressions.surroundings import Frame
from kvm_exporter.kvm.objects.copies import Variable
from kvm_exporter.kvm.types.model import Composite, resolve

ELEMENTS = {"it": 0, "outer": 1}
"""Names of the element and of that of the list around it."""

POSITION = "position"
"""The element's number in its list."""


def named(kernel: Kernel, frame: Frame, name: str) -> Spread[Operand] | None:
    """What a name means in an expression, if it is no constant; None for nothing."""
    found = in_list(kernel, frame, name)
    return variable(kernel, frame, name) if found is None else single(found)


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
        return Place(own, ABSOLUTE, found.address, size=found.size)
    return taken(kernel, Place(own, ABSOLUTE, found.address, size=found.size), declared)


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
