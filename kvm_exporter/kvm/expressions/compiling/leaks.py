"""Would a cast show an address as a number?  Where in a type there are pointers."""

from __future__ import annotations

from kvm_exporter.kvm.types.flatten import size_of
from kvm_exporter.kvm.types.model import (
    Array,
    Composite,
    Enum,
    Float,
    Integer,
    Pointer,
    Type,
    resolve,
)

MOST_PARTS = 1 << 12
"""Parts of a type that are looked at; of larger ones nobody can be sure."""


def shows_address(memory: Type, as_: Type, *, all_of_it: bool = False) -> bool:
    """Whether numbers (or texts) in place of ``memory`` would be made of a pointer's bytes.

    ``all_of_it``: further on in the memory there may be more of them, as behind a pointer.
    """
    wanted = resolve(as_)
    leaf = resolve(wanted.element()) if isinstance(wanted, Array) else wanted
    if not isinstance(leaf, Integer | Float | Enum):
        return False
    return _has_pointer(memory, (all_of_it and size_of(memory)) or size_of(wanted) or 0)


def _has_pointer(memory: Type, size: int) -> bool:
    """Whether a pointer begins in the first ``size`` bytes, as far as anybody can tell."""
    parts = [(resolve(memory), 0)]
    for type_, start in parts:
        if len(parts) > MOST_PARTS or isinstance(type_, Pointer):
            return True
        parts += [(one, at) for one, at in _parts(type_, start, size) if at < size]
    return False


def _parts(type_: Type, start: int, size: int) -> list[tuple[Type, int]]:
    if isinstance(type_, Composite):
        return [(resolve(one.type()), start + one.bit_offset // 8) for one in type_.members]
    if isinstance(type_, Array):
        element = resolve(type_.element())
        width = size_of(element) or size
        count = min(type_.count, size // max(width, 1) + 1, MOST_PARTS)
        return [(element, start + number * width) for number in range(count)]
    return []
