"""When is a module compiled?  At its first collection, and again when the kernel has changed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from kvm_exporter.kvm.expressions.compiling.modules import compile_module
from kvm_exporter.kvm.expressions.program import Compiled
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.running.runner import Collected, Runner
from kvm_exporter.kvm.expressions.wanted import Missing, Module
from kvm_exporter.kvm.objects.copies import Copies
from kvm_exporter.kvm.target import Target


class Plan:
    """A module on one kernel.  Every member may raise KvmError; the next call tries anew.

    ``compilations`` counts how often it was compiled.
    """

    def __init__(self, target: Target, copies: Copies, module: Module) -> None:
        self._target = target
        self._copies = copies
        self._module = module
        self._compiled: tuple[Hashable, Compiled, Runner] | None = None
        self.compilations = 0

    @property
    def labels(self) -> Sequence[Sequence[str]]:
        """The label names of each metric, as it was compiled last."""
        return self._current()[1].labels

    @property
    def missing(self) -> Sequence[Missing]:
        """What this kernel does not have, as it was compiled last."""
        return self._current()[1].missing

    def is_compiled(self, generation: Hashable) -> bool:
        """Whether it has been compiled for the kernel as of ``generation`` (``Copies``)."""
        return self._compiled is not None and self._compiled[0] == generation

    def collect(self, budget: Budget, generation: Hashable = None) -> Collected:
        """All samples.

        What a module had may be another's when it is unloaded meanwhile: then, once, all is
        compiled and read again.  Who collects several plans gives the ``generation``, asks for it
        again when all are done, and collects them again if it has become another.
        """
        before = self._copies.generation() if generation is None else generation
        collected = self._compile(before)[2].collect(budget)
        if generation is not None:
            return collected
        after = self._copies.generation()
        return collected if after == before else self._compile(after)[2].collect(budget)

    def _current(self) -> tuple[Hashable, Compiled, Runner]:
        return self._compiled or self._compile(self._copies.generation())

    def _compile(self, generation: Hashable) -> tuple[Hashable, Compiled, Runner]:
        """The module as of that generation, compiled unless it is already."""
        if self._compiled is None or self._compiled[0] != generation:
            compiled = compile_module(self._target, self._copies, self._module)
            runner = Runner(compiled, self._target.memory, self._target.abi)
            self._compiled = generation, compiled, runner
            self.compilations += 1
        return self._compiled
