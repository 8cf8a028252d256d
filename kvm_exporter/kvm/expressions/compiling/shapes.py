"""How is a list linked?  Its shape, from its head's type and the member that links elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling.heads import (
    LEFT,
    NODE,
    QUEUES,
    RIGHT,
    RINGS,
    ROOTS,
    TREES,
    Branches,
    Queue,
    Ring,
    Root,
)
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.language.phrases import indefinite
from kvm_exporter.kvm.expressions.program import Chain, Strided, Tree
from kvm_exporter.kvm.expressions.wanted import Step
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.model import Composite, Pointer, Type, Void, resolve

MOST_SHOWN = 8
"""Members that an error names."""


class Shaped(NamedTuple):
    """A list's shape, and the type of its elements."""

    shape: Chain | Tree
    element: Type


class Link(NamedTuple):
    """The struct that links elements, and where in them it is."""

    type: Composite
    offset: int


class Linking(NamedTuple):
    """Which structs link the elements of a list, and ``what`` such a one is."""

    fits: Callable[[Composite], bool]
    what: str


def is_head(kernel: Kernel, type_: Type) -> bool:
    """Whether a list, or a tree, begins with something of this type."""
    head = resolve(type_)
    return isinstance(head, Composite) and _kind(kernel, head) is not None


def shaped(kernel: Kernel, head: Type, step: Step) -> Shaped:
    """The list that begins with a ``head``; KvmError where it is none that is known."""
    type_ = resolve(head)
    kind = _kind(kernel, type_) if isinstance(type_, Composite) else None
    if kind is None or not isinstance(type_, Composite):
        raise KvmError(f"{indefinite(spell(head))} is no head of a list")
    match kind:
        case Queue():
            return _queue(kernel, type_, kind, step)
        case Branches():
            return _tree(kernel, type_, kind, step)
        case Ring():
            return _ring(kernel, type_, kind, step)
    return _root(kernel, type_, kind, step)


def plain(kernel: Kernel, element: Type, step: Step) -> Shaped:
    """A pointer to the first element, of which ``via`` points at the next."""
    struct = _struct(element)
    place = kernel.member(struct, step.via)
    if not isinstance(resolve(place.type), Pointer):
        raise KvmError(f"via: {step.via} is no pointer to the next element")
    return Shaped(Chain(0, place.bit_offset // 8, 0, ring=True), element)


Shape = Chain | Tree | Strided

Kind = Queue | Branches | Ring | Root


def _kind(kernel: Kernel, head: Composite) -> Kind | None:
    for linux in (*RINGS, *ROOTS):
        if head.name == linux.head:
            return linux
    for queue in QUEUES:
        if kernel.find_member(head, queue.first):
            return queue
    return next((one for one in TREES if kernel.find_member(head, one.root)), None)


def _struct(element: Type) -> Composite:
    struct = resolve(element)
    if not isinstance(struct, Composite):
        raise KvmError(f"element: {spell(element)} is no struct that this kernel tells of")
    return struct


def _element(kernel: Kernel, head: Composite, first: str, step: Step) -> Type:
    """The elements' type: as wanted, else what the head points at."""
    if step.element:
        return kernel.type(step.element)
    pointer = resolve(kernel.member(head, first).type)
    target = pointer.target() if isinstance(pointer, Pointer) else Void()
    if isinstance(resolve(target), Void):
        raise KvmError("element: this kernel does not tell of what type the elements are")
    return target


def _queue(kernel: Kernel, head: Composite, kind: Queue, step: Step) -> Shaped:
    element = _element(kernel, head, kind.first, step)
    linking = Linking(lambda one: _links(one, kind.next), f"has {kind.next}")
    link = _link(kernel, element, step.via, linking)
    following = link.offset + _at(kernel, link.type, kind.next)
    back = link.offset + _at(kernel, link.type, kind.back) if kind.back else None
    first = _at(kernel, head, kind.first)
    return Shaped(Chain(first, following, 0, back, following), element)


def _tree(kernel: Kernel, head: Composite, kind: Branches, step: Step) -> Shaped:
    element = _element(kernel, head, kind.root, step)
    ways = [one for one in TREES if one.root == kind.root]

    def fits(one: Composite) -> bool:
        return any(_links(one, way.left[0]) for way in ways)

    names = " or ".join(way.left[0] for way in ways)
    link = _link(kernel, element, step.via, Linking(fits, f"has {names}"))
    way = next(one for one in ways if kernel.find_member(link.type, one.left[0]))
    left, right = (link.offset + _branch(kernel, link.type, *one) for one in (way.left, way.right))
    return Shaped(Tree(_at(kernel, head, kind.root), left, right, 0), element)


def _branch(kernel: Kernel, link: Composite, name: str, index: int | None) -> int:
    return _at(kernel, link, name) + (index or 0) * kernel.abi.pointer_size


def _ring(kernel: Kernel, head: Composite, kind: Ring, step: Step) -> Shaped:
    element, link = _node(kernel, kind.node, step)
    following = _at(kernel, link.type, kind.next)
    back = _at(kernel, link.type, kind.back) if kind.back else None
    # list_head's prev points at a node, hlist_node's pprev at the pointer to the next in it
    back_to = 0 if kind.circular else following
    first = _at(kernel, head, kind.first)
    chain = Chain(first, following, link.offset, back, back_to, kind.circular, kind.marked)
    return Shaped(replace(chain, locked=kind.locked), element)


def _root(kernel: Kernel, head: Composite, kind: Root, step: Step) -> Shaped:
    element, link = _node(kernel, NODE, step)
    left, right = _at(kernel, link.type, LEFT), _at(kernel, link.type, RIGHT)
    return Shaped(Tree(_at(kernel, head, kind.root), left, right, link.offset), element)


def _node(kernel: Kernel, name: str, step: Step) -> tuple[Type, Link]:
    """A Linux list's: its head does not tell of what it is one."""
    if not step.element:
        raise KvmError("element: of what type are they?  Linux's lists do not tell")
    element = kernel.type(step.element)
    linking = Linking(lambda one: one.name == name, f"is a struct {name}")
    return element, _link(kernel, element, step.via, linking)


def _link(kernel: Kernel, element: Type, via: str, wanted: Linking) -> Link:
    """The member that links elements: ``via``, or the only one that could."""
    struct = _struct(element)
    name = via or _only(kernel, struct, wanted)
    place = kernel.member(struct, name)
    type_ = resolve(place.type)
    if not isinstance(type_, Composite) or not wanted.fits(type_):
        known = _told(_fitting(kernel, struct, wanted.fits))
        others = f"these do: {known}" if known else f"it is none that {wanted.what}"
        raise KvmError(f"via: {name} does not link elements of such a list; {others}")
    return Link(type_, place.bit_offset // 8)


def _only(kernel: Kernel, struct: Composite, wanted: Linking) -> str:
    found = _fitting(kernel, struct, wanted.fits)
    if not found:
        what = f"no member of {spell(struct)} {wanted.what}"
        raise KvmError(f"via: {what}; of what is deeper write the whole way (a.b)")
    if len(found) > 1:
        what = f"which member of {spell(struct)} links the elements"
        raise KvmError(f"via: {what}: {_told(found)}?")
    return found[0]


def _fitting(kernel: Kernel, struct: Composite, fits: Callable[[Composite], bool]) -> Sequence[str]:
    found = []
    for name in kernel.member_names(struct):
        type_ = resolve(kernel.member(struct, name).type)
        if isinstance(type_, Composite) and fits(type_):
            found.append(name)
    return found


def _told(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_SHOWN])


def _links(link: Composite, name: str) -> bool:
    """Whether a struct has that member itself."""
    return any(one.name == name for one in link.members)


def _at(kernel: Kernel, struct: Composite, name: str) -> int:
    return kernel.member(struct, name).bit_offset // 8
