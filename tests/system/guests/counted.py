"""What do the shipped modules of symbols count in a core?  Everything, read once for all tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from system.guests.seen import opened

from kvm_exporter.collectors.symbols import asking, files
from kvm_exporter.collectors.symbols.options import ModuleOptions
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.handle import Kvm

MODULES = Path(__file__).parents[3] / "config" / "symbols"
LINUX = ("vm", "net", "slab", "scheduler", "sockets")
WORDS = re.compile(r"\(([^()]*)\)\.$")

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Counted:
    """A module's series: `metrics` has (labels, value) pairs by name, `helps` their help texts.

    `missing` are (metric or list, reason) pairs; the rest is as the collection says.
    """

    metrics: Mapping[str, Sequence[tuple[Labels, float]]]
    helps: Mapping[str, str]
    missing: Sequence[tuple[str, str]]
    unreadable: int
    torn: int
    stopped: str

    def value(self, name: str, **labels: str) -> float:
        """The one series of that name with these labels among its own."""
        [value] = self.values(name, **labels)
        return value

    def values(self, name: str, **labels: str) -> list[float]:
        """Every series of that name with these labels among its own."""
        return [value for own, value in self.metrics[name] if labels.items() <= own.items()]

    def told(self) -> Iterator[tuple[str, str]]:
        """Metrics whose help ends in one or two words of /proc in parentheses: name and words."""
        for name, text in self.helps.items():
            if (found := WORDS.search(text)) and "..." not in found[1]:
                yield name, found[1]


@cache
def count(paths: tuple[Path, ...], kernel: Path | None, module: str) -> Counted:
    """What `linux-<module>.yml` counts in the core that is in `paths`."""
    with opened(paths, kernel) as kvm:
        return collect(kvm, module)


def options_of(module: str) -> ModuleOptions:
    """What stands in `linux-<module>.yml`."""
    return files.load(MODULES / f"linux-{module}.yml")


def collect(kvm: Kvm, module: str) -> Counted:
    """What `linux-<module>.yml` counts in a kernel."""
    options = options_of(module)
    plan = Plan(kvm.target, kvm.copies, asking.asked(options))
    budget = options.budget
    found = plan.collect(Budget(budget.bytes, budget.elements, lambda: False))
    missing = [(one.metric, one.reason) for one in plan.missing]
    how = missing, found.unreadable, found.torn, found.stopped
    return named(options, plan.labels, found.samples, *how)


def named(
    options: ModuleOptions,
    labels: Iterable[Sequence[str]],
    collected: Iterable[Iterable[tuple[Sequence[str], float]]],
    *how: object,
) -> Counted:
    """Samples by the names of their metrics; ``how`` are Counted's last fields."""
    metrics: dict[str, list[tuple[Labels, float]]] = {}
    helps: dict[str, str] = {}
    for one, names, samples in zip(asking.numbered(options), labels, collected, strict=True):
        rows = metrics.setdefault(one.name, [])
        rows += [(dict(zip(names, values, strict=True)), value) for values, value in samples]
        helps[one.name] = helps.get(one.name) or one.help
    return Counted(metrics, helps, *how)
