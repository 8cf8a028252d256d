"""Where does an expression stand?  In a list or not, in which network stacks, for which CPUs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kvm_exporter.kvm.expressions.compiling.operands import Place
from kvm_exporter.kvm.expressions.program import ELEMENT
from kvm_exporter.kvm.objects.copies import Vnet
from kvm_exporter.kvm.types.model import Type

HOST, ALL = "host", "all"
"""Whose copies are meant of what belongs to network stacks (wanted.Metric.vnet)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """``elements``: the types of the elements around, the outermost first, None for those without
    a name.

    ``stack``: the network stack that is meant, as Metric.vnet has it or itself; with ``jails``
    values have a label for it.  ``each``: every CPU's copy is a value of its own.  ``cpus``: the
    elements are of lists that each CPU has for itself.
    """

    elements: tuple[Type | None, ...] = ()
    stack: str | Vnet = HOST
    jails: bool = False
    each: bool = False
    cpus: bool = False

    @property
    def jail(self) -> str:
        """To whom belongs what is no network stack's: to the host, unless only one is meant."""
        return self.stack.jail if isinstance(self.stack, Vnet) else ""

    @property
    def outside(self) -> Frame:
        """The frame in which an index is worked out: in no list, in one network stack."""
        return Frame(stack=HOST if self.stack == ALL else self.stack)

    def inside(self, element: Type | None) -> Frame:
        """The frame of a list's element."""
        return replace(self, elements=(*self.elements, element))

    def element(self, around: int) -> Place | None:
        """The element of the innermost list, or of one around it; None where there is none."""
        named = [level for level, type_ in enumerate(self.elements) if type_ is not None]
        if around >= len(named):
            return None
        level = named[-1 - around]
        base = ELEMENT - (len(self.elements) - 1 - level)
        return Place(self.elements[level], base, 0)
