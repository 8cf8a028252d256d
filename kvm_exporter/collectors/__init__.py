"""What is a collector, and which are there?"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, TypeVar

from kvm_exporter.kvm import Kvm
from kvm_exporter.metric import Family, Metric

Collect = Callable[[Kvm], Iterable[Family]]
Options = TypeVar("Options")

ENTRY_POINTS = "kvm_exporter.collectors"


@dataclass(frozen=True, slots=True)
class NoOptions:
    """For a collector with nothing to set."""


@dataclass(frozen=True, slots=True)
class Collector(Generic[Options]):
    """One subject's metrics.

    ``start`` takes the decoded options and gives the function that collects; what must last from
    one collection to the next (totals of processes that ended) lives in what it returns.
    ``options`` is a frozen dataclass: the configuration decodes the YAML mapping into it.
    ``metrics`` names every family that it can give.
    """

    start: Callable[[Options], Collect]
    options: type[Options]
    metrics: tuple[Metric, ...]
    help: str
    enabled: bool = True


def names() -> tuple[str, ...]:
    """The names of the collectors in this package, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> Collector[object] | None:
    """The collector of that name, here or in an installed package's entry point; None for none.

    Entry points are looked at only for a name that is not ours: reading them costs more time and
    memory than the rest of the start.
    """
    if name in names():
        found: Collector[object] = import_module(f"{__name__}.{name}").COLLECTOR
        return found
    from importlib.metadata import entry_points  # noqa: PLC0415 - see above

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        installed: Collector[object] = entry.load().COLLECTOR
        return installed
    return None
