"""Are the module files that come with the exporter in order, each by itself and all together?

What promtool's linter wants of metrics (prometheus/util/promlint), and OpenMetrics of their names
and units, before any kernel is read; and that nobody finds one number under two names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import pytest

from kvm_exporter.collectors.symbols import asking, files
from kvm_exporter.collectors.symbols.options import MetricOptions, ModuleOptions

NAMES = tuple(files.shipped())
KERNELS = {"freebsd": "FreeBSD", "linux": "Linux"}

SCHEMA = "# yaml-language-server: $schema=../symbols.schema.json\n"

UNITS = ("bytes", "seconds", "celsius", "joules", "ratio", "hertz", "volts", "amperes")
"""Base units, and what Prometheus calls so; numbers of things have no unit."""

SCALED = re.compile(
    r"(^|_)(nano|micro|milli|kilo|mega|giga|kibi|mebi|gibi)?"
    r"(ms|us|ns|milliseconds|microseconds|nanoseconds|minutes|hours|days|weeks|jiffies|"
    r"bits|kb|mb|gb|kib|mib|gib|kilobytes|megabytes|kibibytes|mebibytes|sectors|blocks_512|"
    r"percent|percentage)(_total|$)|_ticks$"
)
"""Units that are no base units, and times that only a clock's rate explains."""

TYPES = re.compile(r"(^|_)(counter|gauge|histogram|summary|untyped)(_|$)")
"""Words that say a metric's type, which its name is not to say."""

SUFFIXES = re.compile(r"_(total|created|bucket|count|sum|gcount|gsum|info)$")
"""What OpenMetrics puts behind a family's name by itself."""

RESERVED = {"jail", "cpu", "le", "quantile", "__name__", "job", "instance"}
"""Labels that the exporter adds itself, or Prometheus."""

LONGEST_NAME, LONGEST_HELP = 60, 160


@cache
def module_of(name: str) -> ModuleOptions:
    """A module, loaded once."""
    return files.load(files.shipped()[name])


def metrics(module: ModuleOptions) -> Iterator[MetricOptions]:
    """Every metric of a module, also those of lists and sysctls."""
    yield from module.metrics
    for each in module.lists:
        yield from each.metrics


def every() -> list[tuple[str, MetricOptions]]:
    """Each metric of every module, with the module's name."""
    return [(name, metric) for name in NAMES for metric in metrics(module_of(name))]


@pytest.mark.parametrize("name", NAMES)
def test_header(name: str) -> None:
    """A file says by its name which kernel it is for, and in a sentence what it is about."""
    module = module_of(name)
    system, _, subject = name.partition("-")
    assert module.kernel == KERNELS[system]
    assert subject
    assert module.help.endswith(".")
    assert module.help[0].isupper() or module.help[0].isdigit()
    assert files.shipped()[name].read_text(encoding="utf-8").startswith(SCHEMA)
    assert asking.numbered(module) or module.sysctls


@pytest.mark.parametrize("name", NAMES)
def test_text(name: str) -> None:
    """Files are to be read: no tabs, no spaces at an end, lines of at most 100 characters."""
    lines = files.shipped()[name].read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "\t" in line or line != line.rstrip()] == []
    assert [line for line in lines if len(line) > 100] == []
    assert lines[1].startswith("# ")  # says where the numbers are from


@pytest.mark.parametrize("name", NAMES)
def test_help(name: str) -> None:
    """Each family has one help, a sentence; a metric that only adds series to it has none."""
    families = defaultdict(set)
    first = {}
    for metric in metrics(module_of(name)):
        first.setdefault(metric.name, metric)
        families[metric.name].add(metric.help)
    for metric, texts in families.items():
        assert first[metric].help, f"{metric}: the first of its name has no help"
        told = texts - {""}
        assert len(told) == 1, f"{metric}: {sorted(told)}"
        [text] = told
        assert text.endswith("."), f"{metric}: {text}"
        assert not text[0].islower(), f"{metric}: {text}"
        assert len(text) <= LONGEST_HELP, f"{metric}: {text}"
        assert metric not in text


def test_names() -> None:
    """As promtool lints: counters end in _total and nothing else does; units are base units."""
    wrong = []
    for module, metric in every():
        name = metric.name
        bare = name.removesuffix("_total").removesuffix("_info")
        counter = metric.kind == "counter"
        if name.endswith("_total") != counter:
            wrong.append(f"{module}: {name} is a {metric.kind}")
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > LONGEST_NAME:
            wrong.append(f"{module}: {name} is no good name")
        if TYPES.search(bare) or SUFFIXES.search(bare):
            wrong.append(f"{module}: {name} has a word in it that says a type")
        if SCALED.search(name):
            wrong.append(f"{module}: {name} is in no base unit")
    assert wrong == []


def test_units() -> None:
    """A unit that a name ends in is told, and one that is told the name ends in."""
    wrong = []
    for module, metric in every():
        last = metric.name.removesuffix("_total").rpartition("_")[2]
        if metric.unit != (last if last in UNITS else ""):
            wrong.append(f"{module}: {metric.name} has the unit {metric.unit!r}")
    assert wrong == []


def test_one_name_one_family() -> None:
    """No metric is in two modules of a kernel; of two kernels it has the same kind and unit."""
    homes = defaultdict(set)
    for module, metric in every():
        homes[metric.name].add((module.partition("-")[0], module, metric.kind, metric.unit))
    for name, found in homes.items():
        assert len({kind for _, _, kind, _ in found}) == 1, f"{name}: {found}"
        assert len({unit for *_, unit in found}) == 1, f"{name}: {found}"
        systems = [system for system, *_ in found]
        assert len(systems) == len(set(systems)), f"{name}: {found}"


@pytest.mark.parametrize("name", NAMES)
def test_one_symbol_one_name(name: str) -> None:
    """The same expression with the same labels is not told twice (outside lists)."""
    told = defaultdict(list)
    for metric in module_of(name).metrics:
        if metric.symbol:
            told[metric.symbol, metric.cpu, metric.vnet].append(metric.name)
    assert {symbol: names for symbol, names in told.items() if len(names) > 1} == {}


def test_series_of_a_family_differ() -> None:
    """Series of one name have the same label names, and are told apart by what the labels say."""
    for name in NAMES:
        seen = defaultdict(list)
        for metric in module_of(name).metrics:
            index = tuple(metric.index)
            seen[metric.name].append((dict(metric.labels), index, metric.cpu, metric.vnet))
        for family, found in seen.items():
            labels = [frozenset([*given, *index]) for given, index, _, _ in found]
            assert len(set(labels)) == 1, f"{name}: {family}: {labels}"
            assert len({(cpu, vnet) for *_, cpu, vnet in found}) == 1, f"{name}: {family}"
            values = [tuple(sorted(given.items())) for given, *_ in found]
            assert len(set(values)) == len(values), f"{name}: {family}: {values}"


def test_labels() -> None:
    """Labels leave free what the exporter and Prometheus add."""
    for module, metric in every():
        taken = RESERVED & {*metric.labels, *metric.index}
        assert not taken, f"{module}: {metric.name}: {taken}"
    for name in NAMES:
        for each in module_of(name).lists:
            assert not RESERVED & set(each.labels), f"{name}: {each.each}"


def test_statesets_and_infos() -> None:
    """Only enums are state sets; an info has labels."""
    for module, metric in every():
        if metric.kind == "info":
            assert metric.labels, f"{module}: {metric.name}"
        if metric.kind == "stateset":
            assert not metric.unit, f"{module}: {metric.name}"


@pytest.mark.parametrize("name", NAMES)
def test_types_are_used(name: str) -> None:
    """A variable that has been given a type is in an expression, and no typo of one."""
    module = module_of(name)
    texts = [text for metric in metrics(module) for text in metric.symbol]
    texts += [text for each in module.lists for text in each.each]
    texts += [text for each in module.lists for step in each.steps for text in step.each]
    words = {word for text in texts for word in re.findall(r"\w+", text)}
    assert set(module.types) - words == set()
