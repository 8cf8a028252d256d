"""Which families do trees of sysctls make?

1. Samples of one name are one family, whichever leaves they are of: its labels are those of all,
   empty where a leaf lacks one, which to Prometheus is none.
2. All are gauges.  A sysctl does not tell whether its number only rises (CTLFLAG_STATS is on levels
   as well), and a counter would have to be called another name.  What is known to be one can be had
   as such: ``{name: context_switches_total, sysctl: vm.stats.sys.v_swtch}``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kvm_exporter.collectors.symbols.sysctl_names import Named, named, pattern, samples
from kvm_exporter.kvm import Kvm
from kvm_exporter.kvm.objects.sysctls import Setting, Sysctl, Value
from kvm_exporter.metric import Family, Metric, Sample

UNITS = ("celsius", "seconds")
DEEPEST = 4
"""Parts of a name that may be a member's."""


class Tree(NamedTuple):
    """What lies below ``root`` (``vm.stats``; "": everything), but for the trees ``without``."""

    root: str
    without: Collection[str] = ()


class Sysctls:
    """Families of several trees together, so that none of them comes twice.

    Names are made once, and kept for as long as the kernel has the sysctl.
    """

    def __init__(self, trees: Sequence[Tree]) -> None:
        self._trees = tuple(trees)
        self._names: dict[Sysctl, Named | None] = {}
        self._metrics: dict[Told, Metric] = {}

    def families(self, kvm: Kvm) -> list[Family]:
        """Every number of the trees, now.  Errors: KvmError."""
        found: dict[str, Gathered] = {}
        names: dict[Sysctl, Named | None] = {}
        for sysctl, value in self._settings(kvm):
            one = self._names[sysctl] if sysctl in self._names else named(sysctl)
            names[sysctl] = one
            if one is None:
                continue
            numbers = ((one, value),) if isinstance(value, int | float) else None
            for sample, number in numbers or samples(one, sysctl.format, value):
                gathered = found.get(sample.metric)
                if gathered is None:
                    gathered = found[sample.metric] = Gathered(sample.labels, sysctl)
                gathered.add(sample, number, sysctl)
        self._names = names
        return self._made(found)

    def _settings(self, kvm: Kvm) -> Iterator[Setting]:
        for tree in self._trees:
            yield from kvm.sysctls((tree.root,), tree.without)

    def _made(self, found: Mapping[str, Gathered]) -> list[Family]:
        """The families; what is told of one is put together when it is new, or has changed."""
        metrics: dict[Told, Metric] = {}
        families = []
        for name, gathered in found.items():
            told = gathered.told(name)
            metric = metrics[told] = self._metrics.get(told) or told.metric()
            families.append(metric.family(gathered.rows(told.labels)))
        self._metrics = metrics
        return families


class Told(NamedTuple):
    """What a metric is made of: its name and labels, its first leaf, what all are described as."""

    name: str
    labels: tuple[str, ...]
    first: Sysctl
    description: str

    def metric(self) -> Metric:
        """The metric, with a help that names the sysctls."""
        text = self.description.partition("\n")[0].strip().rstrip(".")
        source = f"From kvm(3): sysctl {pattern(self.first)}."
        unit = self.name.rpartition("_")[2]
        help_text = f"{text}. {source}" if text else source
        return Metric(self.name, "gauge", help_text, self.labels, unit if unit in UNITS else "")


class Gathered:
    """A family to be, of leaves whose first is ``first``."""

    def __init__(self, labels: tuple[str, ...], first: Sysctl) -> None:
        self._labels = labels
        self._first = first
        self._samples: dict[tuple[str, ...], float] = {}
        self._odd: list[tuple[Named, float]] = []
        self._description = first.description

    def add(self, sample: Named, number: float, sysctl: Sysctl) -> None:
        """One sample more; the first of several with the same labels counts."""
        if sysctl.description != self._description:
            self._description = ""
        if sample.labels == self._labels:
            self._samples.setdefault(sample.values, number)
        else:
            self._odd.append((sample, number))

    def told(self, name: str) -> Told:
        """What makes the metric, with the labels of all leaves (rule 1)."""
        others = (label for one, _ in self._odd for label in one.labels)
        labels = tuple(dict.fromkeys((*self._labels, *others)))
        return Told(name, labels, self._first, self._description)

    def rows(self, labels: tuple[str, ...]) -> Iterable[Sample]:
        """The samples, with a value for each of ``labels``."""
        if not self._odd:
            return self._samples.items()
        lacking = ("",) * (len(labels) - len(self._labels))
        rows = {(*values, *lacking): number for values, number in self._samples.items()}
        for sample, number in self._odd:
            own = dict(zip(sample.labels, sample.values, strict=True))
            rows.setdefault(tuple(own.get(label, "") for label in labels), number)
        return rows.items()


def number(kvm: Kvm, name: str) -> float | None:
    """One sysctl's number; a member of a struct or an element of an array by a longer name
    (``vm.vmtotal.t_free``, ``kern.cp_time.0``).  None where there is none.  KvmError.
    """
    setting, rest = kvm.sysctl(name), ""
    for _ in range(DEEPEST):
        if setting is not None or "." not in name:
            break
        name, _, part = name.rpartition(".")
        rest = f"{part}.{rest}" if rest else part
        setting = kvm.sysctl(name)
    return None if setting is None else _inner(setting, rest)


def _inner(setting: Setting, rest: str) -> float | None:
    value: Value | None = setting.value
    if rest and isinstance(value, Mapping):
        value = value.get(rest)
    elif rest and isinstance(value, tuple):
        value = value[int(rest)] if rest.isdecimal() and int(rest) < len(value) else None
    elif rest:
        value = None
    return value if isinstance(value, int | float) else None
