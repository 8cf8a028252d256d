"""Which element of a list is meant?  The list is walked as a module's, and one element taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kvm_exporter.kvm import KvmError
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.listing import listed
from kvm_exporter.kvm.expressions.compiling.surroundings import Frame
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
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.running.runner import Runner
from kvm_exporter.kvm.expressions.wanted import Step
from kvm_exporter.kvm.memory import Memory


@dataclass(frozen=True, slots=True)
class Chosen:
    """A list as a module's ``steps``, and the number of an element, from 0."""

    steps: tuple[Step, ...]
    number: int = 0

    @property
    def name(self) -> str:
        """For people."""
        return ", ".join(step.of[0] for step in self.steps)


class Level(NamedTuple):
    """Where the element of one list lies, and its number in that."""

    address: int
    position: int

    @property
    def walk(self) -> Walk:
        """The way to it alone: it is an element, of a byte, of an array that begins before it."""
        shape = Strided(self.position + 1, 1, numbers=(self.position,))
        return Walk((), (Address(ABSOLUTE, self.address - self.position),), shape)


class Element(NamedTuple):
    """An element, and those of the lists around it, the outermost first; ``many`` there are."""

    levels: tuple[Level, ...]
    many: int

    def address(self, base: int) -> int:
        """Where the element is that a program has as ``base``."""
        return self.levels[base - ELEMENT - 1].address

    @property
    def walks(self) -> tuple[Walk, ...]:
        """The way to it alone."""
        return tuple(level.walk for level in self.levels)


def find_element(
    kernel: Kernel, memory: Memory, frame: Frame, chosen: Chosen
) -> tuple[Element, Frame]:
    """The element, and the frame of an expression over it.

    Errors: KvmError where this kernel does not have the list, or not so many elements.
    """
    found = listed(kernel, frame, chosen.steps)
    bases = range(ELEMENT - len(found.walks) + 1, ELEMENT + 1)
    where = tuple(one for base in bases for one in (Address(base, 0), Position(base)))
    program = Program((), (Series(0, where, Constant(1)),))
    compiled = Compiled(
        Program((), ()), (ListProgram(chosen.name, found.walks, program),), ((),), ()
    )
    [samples] = Runner(compiled, memory, kernel.abi).collect(Budget()).samples
    if chosen.number >= len(samples):
        raise KvmError(f"{chosen.name} has no element {chosen.number}: it has {len(samples)}")
    numbers = iter(map(int, samples[chosen.number][0]))
    levels = tuple(Level(address, next(numbers)) for address in numbers)
    return Element(levels, len(samples)), found.frame
