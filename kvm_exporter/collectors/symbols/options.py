"""What may a module of symbols hold?  The keys of config/symbols/*.yml, and of ``symbols:`` itself.

docs/symbols.md is the reference of the language in which expressions are written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from kvm_exporter.kvm.expressions.language.parsing import parse
from kvm_exporter.kvm.expressions.language.syntax import ExpressionError
from kvm_exporter.typed_yaml.option import Check, Count, Help, OneOrMore, OptionError, Seconds

METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*")
LABEL_NAME = re.compile(r"[a-z][a-z0-9_]*")
LITERAL = "="
"""What a label's text begins with that stands for itself."""

Type = Literal["counter", "gauge", "info", "stateset"]
SUFFIXES: Mapping[str, Type] = {"_total": "counter", "_info": "info"}


def _no_expression(text: str) -> Iterable[str]:
    try:
        parse(text)
    except ExpressionError as error:
        yield f"{error.what} (column {error.column} of {error.expression!r})"


def _no_part(text: str) -> Iterable[str]:
    return () if text.startswith(LITERAL) else _no_expression(text)


def _no_label_names(names: Collection[str]) -> Iterable[str]:
    if len(set(names)) < len(names):
        yield "a label is named twice"
    for name in names:
        if not LABEL_NAME.fullmatch(name):
            yield f"{name!r} cannot be a label: small letters, digits and _, a letter first"


def _no_metric_name(name: str) -> Iterable[str]:
    if not METRIC_NAME.fullmatch(name):
        yield f"{name!r} cannot be a metric: small letters, digits and _, a letter first"
    elif name.startswith("kvm_symbol_"):
        yield "leave kvm_symbol_ out: it is put before every name"


Expression = Annotated[str, Check(_no_expression)]
Alternatives = Annotated[tuple[Expression, ...], OneOrMore()]
Labels = Annotated[
    Mapping[str, Annotated[tuple[Annotated[str, Check(_no_part)], ...], OneOrMore()]],
    Check(_no_label_names),
    Help(
        "Labels by name: expressions of texts or numbers, several are joined; a text behind = "
        "stands for itself."
    ),
]
Vnet = Annotated[
    str | None,
    Help(
        "FreeBSD: the network stack of the host, of all (label jail), or of a jail by its name; "
        "null: as the module says, which means the host's by itself."
    ),
]


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """A metric, published as kvm_symbol_ and its name."""

    name: Annotated[str, Check(_no_metric_name), Help("Its name, without kvm_symbol_.")]
    symbol: Annotated[
        Alternatives,
        Help("What it counts, an expression; or several, the first that the kernel has counts."),
    ] = ()
    sysctl: Annotated[str, Help("What it counts, by the name of a sysctl, instead.")] = ""
    help: Annotated[str, Help("What it means, a sentence.")] = ""
    type: Annotated[
        Type | None,
        Help("null: a counter if the name ends in _total, an info in _info, else a gauge."),
    ] = None
    unit: Annotated[str, Help("OpenMetrics's unit, which the name carries: bytes, seconds.")] = ""
    labels: Labels = field(default_factory=dict)
    index: Annotated[
        tuple[str, ...],
        OneOrMore(),
        Check(_no_label_names),
        Help("Labels of [*], .* and slices, in their order; index, index2 without."),
    ] = ()
    names: Annotated[
        tuple[str, ...],
        OneOrMore(),
        Help("What the first index's numbers are called: an enum, an array of texts, or texts."),
    ] = ()
    cpu: Annotated[
        Literal["sum", "each"], Help("CPUs' copies together, or each by itself (label cpu).")
    ] = "sum"
    vnet: Vnet = None

    def __post_init__(self) -> None:
        """One source, but for an info, whose labels say it all."""
        if self.symbol and self.sysctl:
            raise OptionError("sysctl", "a metric has a symbol or a sysctl, not both")
        if not (self.symbol or self.sysctl or self.kind == "info"):
            raise OptionError("name", "what does it count? the key symbol or sysctl is missing")
        if self.kind == "counter" and not self.name.endswith("_total"):
            raise OptionError("name", "a counter's name ends in _total")
        if self.sysctl:
            self._check_number()

    def _check_number(self) -> None:
        """A sysctl's is one number: what makes several of a symbol would mean nothing."""
        for key in ("labels", "index", "names", "vnet"):
            if getattr(self, key):
                raise OptionError(key, "the number of a sysctl has no labels; a symbol's may")
        if self.cpu != "sum":
            raise OptionError("cpu", "the number of a sysctl is no CPU's; a symbol's may be")
        if self.kind in {"info", "stateset"}:
            raise OptionError("sysctl", f"a sysctl gives a number, which is no {self.kind}")

    @property
    def kind(self) -> Type:
        """Its type, as told or by its name."""
        if self.type:
            return self.type
        found = (kind for suffix, kind in SUFFIXES.items() if self.name.endswith(suffix))
        return next(found, "gauge")

    @property
    def family(self) -> str:
        """What OpenMetrics calls it: the name without its kind's suffix."""
        suffix = next((text for text, kind in SUFFIXES.items() if kind == self.kind), "")
        return self.name.removesuffix(suffix)


@dataclass(frozen=True, slots=True)
class StepOptions:
    """A list on the way to the one that is meant: one whose elements have lists."""

    each: Annotated[Alternatives, Help("Its head, or an array.")]
    via: Annotated[str, Help("The member that links its elements.")] = ""
    element: Annotated[str, Help("The type of its elements.")] = ""


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Metrics of each element of a list, a tree or an array."""

    metrics: Annotated[tuple[MetricOptions, ...], Help("Metrics over the element's members.")]
    each: Annotated[Alternatives, Help("The list's head, or an array.")] = ()
    via: Annotated[str, Help("The member that links its elements, if the head does not tell.")] = ""
    element: Annotated[str, Help("The type of its elements, if the head does not tell.")] = ""
    steps: Annotated[
        tuple[StepOptions, ...], Help("Instead of each: lists in lists, the outermost first.")
    ] = ()
    where: Annotated[Expression, Help("Elements of which this is 0 do not count.")] = ""
    labels: Labels = field(default_factory=dict)
    vnet: Vnet = None

    def __post_init__(self) -> None:
        """One way to say where the elements are."""
        if bool(self.each) == bool(self.steps):
            raise OptionError("metrics", "a list has either the key each or the key steps")
        if self.steps and (self.via or self.element):
            raise OptionError("steps", "via and element belong to each of the steps")
        if any(metric.sysctl for metric in self.metrics):
            raise OptionError("metrics", "an element has no sysctl")


@dataclass(frozen=True, slots=True)
class SysctlOptions:
    """Every number of a sysctl tree, under prometheus_sysctl_exporter's names."""

    tree: Annotated[str, Help("Where it begins, as vm.stats; empty for all there is.")] = ""
    without: Annotated[tuple[str, ...], OneOrMore(), Help("Trees in it to leave out.")] = ()


@dataclass(frozen=True, slots=True)
class BudgetOptions:
    """What a collection of the module may cost; what is over it is missing, and counted."""

    bytes: Annotated[Count, Help("Bytes of kernel memory that are read.")] = 16_000_000
    elements: Annotated[Count, Help("Elements of lists that are visited.")] = 100_000
    time_seconds: Annotated[Seconds, Help("Time that it takes.")] = 1.0


Types = Annotated[
    Mapping[str, str], Help("C types of variables, where the kernel does not tell them.")
]
Budget = Annotated[BudgetOptions, Help("What a collection may cost.")]
Metrics = Annotated[tuple[MetricOptions, ...], Help("Metrics, each from an expression.")]
Lists = Annotated[
    tuple[ListOptions, ...], Help("Metrics of each element of lists, trees and arrays.")
]
Sysctls = Annotated[tuple[SysctlOptions, ...], Help("Whole trees of sysctls.")]


@dataclass(frozen=True, slots=True)
class ModuleOptions:
    """A module: metrics that are compiled and collected together."""

    kernel: Annotated[
        Literal["FreeBSD", "Linux"] | None, Help("The kernel that has these; null: any.")
    ] = None
    help: Annotated[str, Help("What the module is about, a sentence.")] = ""
    needs: Annotated[
        str, Help("A variable; a kernel without it (a module that is not loaded) has none of this.")
    ] = ""
    vnet: Vnet = None
    types: Types = field(default_factory=dict)
    budget: Budget = field(default_factory=BudgetOptions)
    metrics: Metrics = ()
    lists: Lists = ()
    sysctls: Sysctls = ()

    def __post_init__(self) -> None:
        """What is one family has one kind: a and a_total are one to OpenMetrics."""
        kinds: dict[str, MetricOptions] = {}
        for one in (*self.metrics, *(metric for each in self.lists for metric in each.metrics)):
            first = kinds.setdefault(one.family, one)
            if first.kind != one.kind or one.unit not in ("", first.unit):
                what = f"{first.name} ({first.kind}) and {one.name} ({one.kind})"
                raise OptionError("metrics", f"{what} are one family, of one type and unit")
