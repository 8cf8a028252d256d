"""What is a program before it is done?  Reads and series, as they come to be written."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.series import Around
from kvm_exporter.kvm.expressions.compiling.surroundings import Frame
from kvm_exporter.kvm.expressions.program import Formula, ListProgram, Program, Series, Walk


@dataclass(slots=True)
class Draft:
    """A program to be: of a list, if there are ``walks``, of which ``around`` are the labels."""

    frame: Frame
    walks: tuple[Walk, ...] = ()
    around: Around = field(default_factory=dict)
    where: Formula | None = None
    reads: Reads = field(default_factory=Reads)
    series: list[Series] = field(default_factory=list)

    def program(self) -> Program:
        """What has been written so far."""
        return Program(self.reads.all, tuple(self.series))

    def list_program(self, name: str) -> ListProgram:
        """The same, of each element of the list."""
        return ListProgram(name, self.walks, self.program(), self.where)
