"""What does a forged kernel that counts answer to expressions?  Asked as the exporter asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fakes.counting import opened
from forge.counting import PAGE, Counting

from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.running.runner import Collected
from kvm_exporter.kvm.expressions.wanted import List, Metric, Module
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies

PLENTY = Budget(1 << 24, 1 << 17, lambda: False)

Labels = tuple[tuple[str, str], ...]


@dataclass
class Asked:
    """What a module was answered: samples by metric and labels, reasons by what is missing."""

    samples: dict[str, dict[Labels, int | float]]
    missing: dict[str, str]
    collected: Collected

    def __getitem__(self, metric: str) -> dict[Labels, int | float]:
        return self.samples[metric]


def ask(
    kernel: Counting,
    metrics: Sequence[Metric] = (),
    lists: Sequence[List] = (),
    *,
    types: Mapping[str, str] | None = None,
    budget: Budget = PLENTY,
    memory: Memory | None = None,
) -> Asked:
    """Compile and collect once."""
    target = opened(kernel, memory)
    plan = Plan(target, FreeBSDCopies(target, PAGE), Module(metrics, lists, types or {}))
    return answered(plan, plan.collect(budget), [*metrics, *_of(lists)])


def _of(lists: Sequence[List]) -> Iterator[Metric]:
    for one in lists:
        yield from one.metrics


def answered(plan: Plan, collected: Collected, metrics: Sequence[Metric]) -> Asked:
    """What was collected, by names; no labels twice."""
    samples: dict[str, dict[Labels, int | float]] = {}
    for metric, names, found in zip(metrics, plan.labels, collected.samples, strict=True):
        mine = samples.setdefault(metric.name, {})
        for values, number in found:
            labels = tuple(zip(names, values, strict=True))
            assert labels not in mine, f"{metric.name}: {labels} is there twice"
            mine[labels] = number
    return Asked(samples, {one.metric: one.reason for one in plan.missing}, collected)


def values(
    kernel: Counting, expressions: Sequence[str], **how: object
) -> dict[str, int | float | dict[Labels, int | float] | str]:
    """Each expression's number; by labels where it has some, a reason where it is missing."""
    options = {key: how.pop(key) for key in ("types", "memory", "budget") if key in how}
    metrics = [Metric(text, (text,), **how) for text in expressions]
    found = ask(kernel, metrics, **options)
    return {text: _one(found, text) for text in expressions}


def _one(found: Asked, text: str) -> int | float | dict[Labels, int | float] | str:
    if text in found.missing:
        return found.missing[text]
    samples = found[text]
    return samples[()] if list(samples) == [()] else samples
