"""What does a forged kernel answer to a module file of config/symbols?  As the exporter asks it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fakes.counted import PLENTY, answered
from fakes.counting import opened
from forge.counting import PAGE, Counting

from kvm_exporter.collectors.symbols.asking import asked
from kvm_exporter.collectors.symbols.files import load
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies

FOLDER = Path(__file__).parents[2] / "config" / "symbols"


class Answer(NamedTuple):
    """Numbers by series, as ``uma_used_items{number="0",zone="mbuf"}``, labels in the alphabet's
    order; reasons by what is missing."""

    series: dict[str, int | float]
    missing: dict[str, str]


def answer(kernel: Counting, name: str) -> Answer:
    """Load ``name``.yml, compile it for the kernel, and collect once; all must be readable."""
    module = asked(load(FOLDER / f"{name}.yml"))
    target = opened(kernel)
    plan = Plan(target, FreeBSDCopies(target, PAGE), module)
    collected = plan.collect(PLENTY)
    metrics = [*module.metrics, *(one for each in module.lists for one in each.metrics)]
    found = answered(plan, collected, metrics)
    series = {
        _spelled(metric, dict(labels)): number
        for metric, samples in found.samples.items()
        for labels, number in samples.items()
    }
    return Answer(series, found.missing)


def expected(text: str) -> dict[str, int | float]:
    """Lines of ``series number``, as they are written in a test."""
    rows = (line.strip().rpartition(" ") for line in text.splitlines() if line.strip())
    return {series: float(number) if "." in number else int(number) for series, _, number in rows}


def _spelled(metric: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{metric}{{{inside}}}" if inside else metric
