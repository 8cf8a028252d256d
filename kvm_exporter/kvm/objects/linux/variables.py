"""How are a dead Linux's plain variables read?  By name; their types are in no type information.

Kernels without CONFIG_KALLSYMS_ALL tell the names of their functions, but of few variables: that a
variable is not to be found does not mean that its kernel has none.  Functions tell what it has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kvm_exporter.kvm.errors import KvmError, SymbolMissing
from kvm_exporter.kvm.target import Target

T = TypeVar("T")

INT = 4


def find(target: Target, *names: str) -> int:
    """The address of the first of these variables that there is; SymbolMissing."""
    for symbol in target.symbols.lookup(names):
        if symbol:
            return symbol.value
    raise SymbolMissing(f"the kernel has no symbol {' or '.join(names)}")


def has(target: Target, *names: str) -> bool:
    """Whether any of these variables or functions is there."""
    return any(target.symbols.lookup(names))


def integer(target: Target, *names: str) -> int:
    """An ``int``, or an ``atomic_t``."""
    return target.integer(find(target, *names), INT, signed=True)


def unsigned(target: Target, *names: str) -> int:
    """An ``unsigned int``."""
    return target.integer(find(target, *names), INT)


def long(target: Target, *names: str) -> int:
    """A ``long``, or an ``atomic_long_t``."""
    return target.integer(find(target, *names), target.abi.pointer_size, signed=True)


def unsigned_long(target: Target, *names: str) -> int:
    """An ``unsigned long``, or a pointer."""
    return target.pointer(find(target, *names))


def known(target: Target, what: str, read: Callable[[], T]) -> T | None:
    """What ``read`` gives; None, and counted as a failure of ``what``, where it cannot be had."""
    try:
        return read()
    except KvmError:
        target.tally.add(what, None)
        return None
