"""What is there to say of a part of an expression?  Its variable, its type, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.operands import Operand, Place, Reference
from kvm_exporter.kvm.expressions.compiling.spreads import CPU, JAIL, Keys, Spread
from kvm_exporter.kvm.expressions.language.syntax import Cast, Index, Member, Name, Node
from kvm_exporter.kvm.objects.copies import Variable
from kvm_exporter.kvm.types.declare import spell

Fact = tuple[str, str]

KINDS = {
    "plain": "one for all",
    "percpu": "a copy for each CPU",
    "vnet": "a copy for each network stack",
}
AXES = {JAIL: "jail", CPU: "cpu"}


def facts(
    kernel: Kernel, node: Node, found: Spread[Operand], of: Spread[Operand] | None
) -> Iterator[Fact]:
    """What is known of a part; ``of`` is what the part that it is taken of was found to be."""
    first = found.first
    if isinstance(node, Name):
        yield from _name(kernel, node, first)
    if isinstance(node, Member | Index | Cast) and isinstance(first, Place):
        yield from _distance(first, of.first if of else None)
    yield "type", _type(first)


def _name(kernel: Kernel, node: Name, first: Operand) -> Iterator[Fact]:
    variable = kernel.variable(node.text) if isinstance(first, Place) else None
    if variable:
        yield "variable", _variable(variable)


def _variable(variable: Variable) -> str:
    size = "" if variable.size is None else f", {variable.size} bytes"
    own = "" if variable.type_name == variable.name else f" ({variable.type_name})"
    return f"{KINDS[variable.kind]}{own}, at {variable.address:#x}{size}"


def _distance(place: Place, of: Operand | None) -> Iterator[Fact]:
    """How far it lies in what it is of, or behind the pointer."""
    if place.counters is not None:
        yield "counter", f"number {place.counters // 8} of the array, byte {place.counters % 8}"
    elif isinstance(of, Place) and of.base == place.base:
        yield "offset", _bytes(place.offset - of.offset, place)
    elif place.base >= 0:
        yield "offset", _bytes(place.offset, place)


def _bytes(distance: int, place: Place) -> str:
    if place.bits is None:
        return str(distance)
    first, width = place.bits
    return f"{distance}, {width} bits from bit {first} on"


def _type(operand: Operand) -> str:
    match operand:
        case Reference(to=place):
            return f"address of {_type(place)}"
        case Place(type=None):
            return "not known: declare it (--type NAME=TYPE), or cast it"
    return "number" if operand.type is None else spell(operand.type)


def labels(axes: tuple[int, ...], keys: Keys) -> dict[str, str]:
    """What tells a value from others: ``jail``, ``cpu``, ``index``, ``index2`` …"""
    return {_axis(axis): str(key) for axis, key in sorted(zip(axes, keys, strict=True))}


def _axis(axis: int) -> str:
    if axis in AXES:
        return AXES[axis]
    return "index" if not axis else f"index{axis + 1}"
