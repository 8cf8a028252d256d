"""Which element of a list is meant?  The list is walked as a module's, and one element taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kvm_exporter.kvm import KvmError
from kvm_exporter.kvm.expressions.budgets import Budget
from kvm_exporter.kvm.expressions.kernel import Kernel
from kvm_exporter.kvm.expressions.listing import listed
from kvm_exporter.kvm.expressions.program import (
    ABSOLUTE,
    ELEMENT,
    Address,
    Compiled,
    Constant,
    ListProgram,
    Position,
    Program,
    Series,
    Strided,
    Walk,
)
from kvm_exporter.kvm.expressions.running import Runner
from kvm_exporter.kvm.expressions.surroundings import Frame
from kvm_exporter.kvm.expressions.wanted import Step
from kvm_exporter.kvm.memory import Memory


@dataclass(frozen=True, slots=True)
class Chosen:
    """A list as a module has it, and the number of an element, from 0."""

    each: str
    via: str = ""
    element: str = ""
    number: int = 0


class Element(NamedTuple):
    """Where it lies, its ``position`` in the list, and how ``many`` elements that has."""

    address: int
    position: int
    many: int

    @property
    def walk(self) -> Walk:
        """The way to it alone: it is an element, of a byte, of an array that begins before it."""
        shape = Strided(self.position + 1, 1, numbers=(self.position,))
        return Walk((), (Address(ABSOLUTE, self.address - self.position),), shape)


def find_element(
    kernel: Kernel, memory: Memory, frame: Frame, chosen: Chosen
) -> tuple[Element, Frame]:
    """The element, and the frame of an expression over it.

    Errors: KvmError where this kernel does not have the list, or not so many elements.
    """
    found = listed(kernel, frame, [Step((chosen.each,), chosen.via, chosen.element)])
    where = Series(0, (Address(ELEMENT, 0), Position(ELEMENT)), Constant(1))
    program = ListProgram(chosen.each, found.walks, Program((), (where,)))
    compiled = Compiled(Program((), ()), (program,), (("address", "position"),), ())
    [samples] = Runner(compiled, memory, kernel.abi).collect(Budget()).samples
    if chosen.number >= len(samples):
        raise KvmError(f"{chosen.each} has no element {chosen.number}: it has {len(samples)}")
    (address, position), _ = samples[chosen.number]
    return Element(int(address), int(position), len(samples)), found.frame
