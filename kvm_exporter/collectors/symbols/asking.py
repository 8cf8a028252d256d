"""What does a module ask of the kernel?  Its options in the words of kvm/expressions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from kvm_exporter.collectors.symbols.options import ListOptions, MetricOptions, ModuleOptions
from kvm_exporter.kvm.expressions import wanted
from kvm_exporter.metric import Metric

PREFIX = "kvm_symbol_"
HOST = "host"


def asked(module: ModuleOptions) -> wanted.Module:
    """The module's metrics but those of sysctls, and its lists."""
    vnet = module.vnet or HOST
    metrics = [_metric(one, vnet) for one in of_symbols(module)]
    lists = [_list(one, vnet) for one in module.lists]
    return wanted.Module(metrics, lists, module.types)


def of_symbols(module: ModuleOptions) -> list[MetricOptions]:
    """The metrics outside lists that have a symbol."""
    return [one for one in module.metrics if not one.sysctl]


def numbered(module: ModuleOptions) -> list[MetricOptions]:
    """The metrics in the order of program.Compiled."""
    return of_symbols(module) + [one for each in module.lists for one in each.metrics]


def every(module: ModuleOptions) -> list[MetricOptions]:
    """All of the module's metrics, of symbols, sysctls and lists."""
    return [*module.metrics, *(one for each in module.lists for one in each.metrics)]


def without(module: ModuleOptions, families: Collection[str]) -> ModuleOptions:
    """The module without the metrics of these families."""

    def others(metrics: Iterable[MetricOptions]) -> tuple[MetricOptions, ...]:
        return tuple(one for one in metrics if one.family not in families)

    lists = tuple(replace(one, metrics=others(one.metrics)) for one in module.lists)
    return replace(module, metrics=others(module.metrics), lists=lists)


def metric(options: MetricOptions, labels: tuple[str, ...], *, shared: bool = False) -> Metric:
    """What is published; its help names where the number is from, if it is not ``shared``."""
    source = f"sysctl {options.sysctl}" if options.sysctl else " or ".join(options.symbol)
    origin = f"From kvm(3): {source}." if source and not shared else "By kvm(3)."
    text = f"{options.help} {origin}".strip()
    return Metric(f"{PREFIX}{options.name}", options.kind, text, labels, options.unit)


def _metric(options: MetricOptions, vnet: str) -> wanted.Metric:
    states = options.kind == "stateset"
    return wanted.Metric(
        options.name,
        options.symbol,
        _labels(options.labels),
        # OpenMetrics's label for the state is the metric's own name
        (PREFIX + options.name, *options.index) if states else options.index,
        _names(options.names),
        options.cpu,
        options.vnet or vnet,
        states,
    )


def _names(names: tuple[str, ...]) -> str | tuple[str, ...]:
    """One text alone is an enum or an array of texts; what begins with a digit is neither."""
    return names[0] if len(names) == 1 and not names[0][:1].isdigit() else names


def _labels(labels: Mapping[str, tuple[str, ...]]) -> Mapping[str, str | tuple[str, ...]]:
    return {name: parts[0] if len(parts) == 1 else parts for name, parts in labels.items()}


def _list(options: ListOptions, vnet: str) -> wanted.List:
    steps = tuple(wanted.Step(one.each, one.via, one.element) for one in options.steps)
    each = wanted.Step(options.each, options.via, options.element)
    return wanted.List(
        (options.each or options.steps[-1].each)[0],
        steps or (each,),
        tuple(_metric(one, options.vnet or vnet) for one in options.metrics),
        _labels(options.labels),
        options.where,
        options.vnet or vnet,
    )
