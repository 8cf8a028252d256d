"""What if a kernel had only one CPU?  Its copies without those of the others."""

from __future__ import annotations

from collections.abc import Sequence

from kvm_exporter.kvm import KvmError
from kvm_exporter.kvm.objects.copies import Copies


class OneCpu:
    """Copies (objects/copies.py's) of ``cpu`` alone.  KvmError for one that is not there."""

    def __init__(self, copies: Copies, cpu: int) -> None:
        there = copies.cpus()
        if cpu not in there:
            raise KvmError(f"there is no CPU {cpu}; there are {', '.join(map(str, there))}")
        self._cpu = cpu
        self.variable = copies.variable
        self.of_cpu = copies.of_cpu
        self.of_allocation = copies.of_allocation
        self.vnets = copies.vnets
        self.of_vnet = copies.of_vnet
        self.names_like = copies.names_like
        self.untold = copies.untold
        self.generation = copies.generation

    def cpus(self) -> Sequence[int]:
        """The one."""
        return (self._cpu,)

    def running(self) -> Sequence[int]:
        """The one, whether it runs or not."""
        return (self._cpu,)
