"""What is an expression's value now, while a module is compiled?  Indexes and bounds of slices."""

from __future__ import annotations

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.budgets import Budget
from kvm_exporter.kvm.expressions.kernel import Kernel
from kvm_exporter.kvm.expressions.program import Compiled, Constant, Formula, Program, Series
from kvm_exporter.kvm.expressions.reads import Reads
from kvm_exporter.kvm.expressions.running import Runner

BUDGET = Budget(bytes=1 << 16)
"""Some numbers."""


def immediate(kernel: Kernel, reads: Reads, formula: Formula) -> int:
    """The integer that a formula over these reads gives; KvmError where it gives none."""
    if isinstance(formula, Constant):
        return _whole(formula.value)
    program = Program(reads.all, (Series(0, (), formula),))
    runner = Runner(Compiled(program, (), ((),), ()), kernel.target.memory, kernel.abi)
    samples = runner.collect(BUDGET).samples[0]
    if not samples:
        raise KvmError("its value could not be read while compiling")
    return _whole(samples[0][1])


def _whole(value: float | str) -> int:
    if not isinstance(value, int):
        raise KvmError(f"{value} is no integer")
    return value
