"""Which number is in a place?  The one that its type means: plain, counted in parts, or wrapped.

1. counter_u64_t is a pointer to 64 bits of each CPU, which are added up modulo 2^64 (counter(9)).
   One that is not allocated yet points at what all of them share, and has no number.
2. Arrays of them stand for a struct of uint64_t (VNET_PCPUSTAT_DEFINE of sys/net/vnet.h): the
   member at byte o is counter o / 8.  The kernel copies all counters over the struct
   (COUNTER_ARRAY_COPY), so a member of 32 bits is half of one.
3. struct percpu_counter is ``count`` and what the CPUs have not yet handed in; below zero, which is
   by chance, it means zero (percpu_counter_sum_positive() of lib/percpu_counter.c).
4. struct timeval, timespec and bintime are seconds.
5. A struct with a single member is that: atomic_t, refcount_t, local64_t, struct kref ...
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling import kinds
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.operands import Number, Place
from kvm_exporter.kvm.expressions.compiling.places import described, known, member, pointer_read
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.scalars import scalar
from kvm_exporter.kvm.expressions.compiling.shapes import is_head
from kvm_exporter.kvm.expressions.compiling.strides import copied
from kvm_exporter.kvm.expressions.program import (
    Apply,
    Constant,
    Formula,
    Read,
    Sum,
    Truncated,
    Value,
)
from kvm_exporter.kvm.types.model import Array, Composite, Enum, Float, Integer, Pointer

COUNTED = Integer("uint64_t", 8, signed=False)
EXACT = Integer("int64_t", 8, signed=True)
SECONDS = Float("seconds", 8)

PERCPU_COUNTER = "percpu_counter"
UNSIGNED = frozenset(("u64_stats_t",))
"""Wrapped numbers without a sign, though what is in them has one (linux/u64_stats_sync.h)."""

DEEPEST = 16
"""Structs of a single member in each other."""


class Time(NamedTuple):
    """A struct that tells a time: members of whole seconds, and of what ``parts`` make one."""

    whole: str
    part: str
    parts: int


TIMES = (
    Time("tv_sec", "tv_usec", 10**6),
    Time("tv_sec", "tv_nsec", 10**9),
    Time("sec", "frac", 2**64),
)


def is_counter(place: Place) -> bool:
    """Whether each CPU has a part of it (rules 1 and 2)."""
    return place.counters is not None or (place.type is not None and kinds.is_counter(place.type))


def splits(place: Place) -> bool:
    """Whether a part of it belongs to each CPU, and is a number of its own."""
    if place.counters is None:
        return is_counter(place)
    type_ = known(place)[1]
    return isinstance(type_, Integer) and type_.size == 8


def parts(kernel: Kernel, reads: Reads, place: Place) -> Iterator[tuple[int, Number]]:
    """What each CPU has of a counter."""
    counter = _counter(kernel, reads, place)
    for cpu, distance in kernel.allocations.items():
        part = Value(reads.number(Read(counter, distance, "Q")))
        yield cpu, Number(_allocated(kernel, counter, part), COUNTED)


def number(kernel: Kernel, reads: Reads, place: Place) -> Number:
    """The number that is there.  KvmError for what is none: texts, structs, pointers."""
    if place.type is not None and place.counters is not None:
        return _of_array(kernel, reads, place)
    if is_counter(place):
        return _counted(kernel, reads, place)
    found, type_ = known(place)
    match type_:
        case Integer() | Enum() | Float():
            return scalar(kernel, reads, found, type_)
        case Composite():
            return _of_struct(kernel, reads, found, type_)
        case Pointer():
            raise KvmError("a pointer is no number")
        case Array():
            raise KvmError(_none(kernel, place, type_))
    raise KvmError(f"it is {described(place)}, and no number")


def is_number(kernel: Kernel, place: Place) -> bool:
    """Whether ``number`` would find one."""
    try:
        number(kernel, Reads(), place)
    except KvmError:
        return False
    return True


def _none(kernel: Kernel, place: Place, type_: Composite | Array) -> str:
    """Why it is no number, and what would be."""
    if isinstance(type_, Composite):
        names = kernel.member_names(type_)
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        return f"{described(place)} is no number: take a member of it ({shown})"
    if kinds.is_text(type_.element()):
        return "a text is no number: use it as a label"
    return "an array is no number: take [a number], [*], [first:stop] or [cpu] of it"


SHOWN = 8
"""Members of a struct that an error names."""


def _counter(kernel: Kernel, reads: Reads, place: Place) -> int:
    """The number of the read of the pointer that a counter is."""
    if place.counters is not None:
        width = kernel.abi.pointer_size
        place = place._replace(offset=place.offset + place.counters // 8 * width)
    return pointer_read(kernel, place, reads)


def _allocated(kernel: Kernel, counter: int, of: Formula) -> Formula:
    """Only of a counter that is allocated: by zero nothing can be divided."""
    if kernel.early is None:
        return of
    return Apply("/", (of, Apply("!=", (Value(counter), Constant(kernel.early)))))


def _counted(kernel: Kernel, reads: Reads, place: Place) -> Number:
    counter = _counter(kernel, reads, place)
    copies = copied(kernel, reads, Read(counter, 0, "Q"), kernel.allocations.values())
    return Number(_allocated(kernel, counter, Sum(copies, 64, signed=False)), COUNTED)


def _of_array(kernel: Kernel, reads: Reads, place: Place) -> Number:
    """Rule 2."""
    type_ = known(place)[1]
    if isinstance(type_, Composite | Array):
        raise KvmError(_none(kernel, place, type_))
    if not isinstance(type_, Integer) or place.bits or place.counters is None:
        raise KvmError(f"it is {described(place)}: only integers are counted by CPUs")
    whole = _counted(kernel, reads, place)
    first = place.counters % 8
    if first + type_.size > 8:
        raise KvmError(f"{type_.size} bytes from byte {first} of a counter on are no number")
    if type_.size == 8:
        return Number(whole.formula, type_) if not type_.signed else _cut(whole.formula, 0, type_)
    little = kernel.abi.order == "<"
    return _cut(whole.formula, 8 * (first if little else 8 - first - type_.size), type_)


def _cut(of: Formula, shift: int, type_: Integer) -> Number:
    shifted = Apply(">>", (of, Constant(shift))) if shift else of
    return Number(Truncated(shifted, 8 * type_.size, type_.signed), type_)


def _of_struct(kernel: Kernel, reads: Reads, place: Place, type_: Composite) -> Number:
    if is_head(kernel, type_):
        raise KvmError(f"{described(place)} is the head of a list: its elements are under lists:")
    if type_.name == PERCPU_COUNTER:
        return _percpu_counter(kernel, reads, place, type_)
    names = kernel.member_names(type_)
    for time in TIMES:
        if set(names) == {time.whole, time.part}:
            return _time(kernel, reads, place, time)
    return _wrapped(kernel, reads, place, type_)


def _percpu_counter(kernel: Kernel, reads: Reads, place: Place, type_: Composite) -> Number:
    parts: tuple[Formula, ...] = (_integer(kernel, reads, member(kernel, place, "count")),)
    if kernel.find_member(type_, "counters"):  # a kernel for one CPU has none
        counters = pointer_read(kernel, member(kernel, place, "counters"), reads)
        parts += copied(kernel, reads, Read(counters, 0, "i"), kernel.allocations.values())
    total = Sum(parts, 64, signed=True)
    return Number(Apply("clamp", (total, Constant(0))), EXACT)


def _time(kernel: Kernel, reads: Reads, place: Place, time: Time) -> Number:
    whole = _integer(kernel, reads, member(kernel, place, time.whole))
    part = _integer(kernel, reads, member(kernel, place, time.part))
    parts = Apply("+", (Apply("*", (whole, Constant(time.parts))), part))
    return Number(Apply("/", (parts, Constant(time.parts))), SECONDS)


def _integer(kernel: Kernel, reads: Reads, place: Place) -> Formula:
    found, type_ = known(place)
    if not isinstance(type_, Integer):
        raise KvmError(f"it is {described(place)}, where an integer is expected")
    return scalar(kernel, reads, found, type_).formula


def _wrapped(kernel: Kernel, reads: Reads, place: Place, of: Composite) -> Number:
    """Rule 5."""
    unsigned = False
    inner = place
    for _ in range(DEEPEST):
        unsigned = unsigned or not UNSIGNED.isdisjoint(kinds.names(inner.type or COUNTED))
        type_ = known(inner)[1]
        only = kinds.only_member(type_) if isinstance(type_, Composite) else None
        if only is None:
            break
        inner = member(kernel, inner, only.name) if only.name else inner._replace(type=only.type())
    if only or inner is place:
        raise KvmError(_none(kernel, place, of))
    if unsigned and isinstance(type_, Integer):
        return scalar(kernel, reads, inner, Integer(type_.name, type_.size, signed=False))
    return number(kernel, reads, inner)
