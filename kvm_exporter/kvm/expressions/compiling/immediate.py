"""What is an expression's value now, while a module is compiled?  Indexes, bounds, names."""

from __future__ import annotations

from collections.abc import Sequence

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.program import Compiled, Constant, Formula, Program, Series
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.running.runner import Runner
from kvm_exporter.kvm.expressions.running.samples import Sample

BUDGET = Budget(bytes=1 << 22)
"""More than any names take."""


def integer(kernel: Kernel, reads: Reads, formula: Formula) -> int:
    """The integer that a formula over these reads gives; KvmError where it gives none."""
    if isinstance(formula, Constant):
        return _whole(formula.value)
    samples = _samples(kernel, reads, [Series(0, (), formula)])
    if not samples:
        raise KvmError("its value could not be read while compiling")
    return _whole(samples[0][1])


def texts(kernel: Kernel, reads: Reads, formulas: Sequence[Formula]) -> Sequence[str | None]:
    """The text of each formula; None for what is unread."""
    series = [
        Series(0, (Constant(str(number)), formula), Constant(1))
        for number, formula in enumerate(formulas)
    ]
    found = {labels[0]: labels[1] for labels, _ in _samples(kernel, reads, series)}
    return [found.get(str(number)) for number in range(len(formulas))]


def _samples(kernel: Kernel, reads: Reads, series: Sequence[Series]) -> Sequence[Sample]:
    program = Program(reads.all, tuple(series))
    runner = Runner(Compiled(program, (), ((),), ()), kernel.target.memory, kernel.abi)
    return runner.collect(BUDGET).samples[0]


def _whole(value: float | str) -> int:
    if not isinstance(value, int):
        raise KvmError(f"{value} is no integer")
    return value
