"""What did the user ask for?  YAML becomes frozen values; errors name file:line and the key."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from kvm_exporter import collectors
from kvm_exporter.collectors import Collector
from kvm_exporter.typed_yaml import document
from kvm_exporter.typed_yaml.decode import (
    INVALID,
    Decoder,
    Entries,
    Invalid,
    join,
    options,
    suggestion,
)
from kvm_exporter.typed_yaml.document import ConfigError, Document, Node, Problem, Scalar
from kvm_exporter.typed_yaml.encode import REDACTED, plain, yaml_text
from kvm_exporter.typed_yaml.option import Check, Count, Help, Seconds, Secret, unprintable
from kvm_exporter.typed_yaml.scalar import kind

__all__ = [
    "CollectorSettings",
    "Config",
    "ConfigError",
    "Otlp",
    "Outline",
    "Problem",
    "Schedule",
    "decode",
    "default",
    "load",
    "redacted",
    "with_collectors",
]

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110, 5.6.2."""


def _no_url(endpoint: str) -> Iterator[str]:
    if not re.match(r"https?://[^/\s]+(/\S*)?$", endpoint):
        yield "expected a URL as http://127.0.0.1:4318/v1/metrics"
        return
    try:
        _ = urlsplit(endpoint).port
    except ValueError as error:
        yield f"not a URL: {error}"


def _no_header_names(headers: Mapping[str, str]) -> Iterator[str]:
    for name in headers:
        if not HEADER_NAME.fullmatch(name):
            yield f"{name!r} cannot be a header's name"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a collector runs and how much it may give; at the top, the default for all of them."""

    interval_seconds: Annotated[Seconds, Help("Time from one collection to the next.")] = 15.0
    deadline_seconds: Annotated[
        Seconds, Help("A collection that takes longer counts as failed.")
    ] = 5.0
    max_series: Annotated[
        Count, Help("Budget: series of a collector beyond it are dropped, and counted.")
    ] = 10_000


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """One enabled collector, its schedule and its limits."""

    name: str
    collector: Collector[object]
    options: object
    interval_seconds: float
    deadline_seconds: float
    max_series: int


@dataclass(frozen=True, slots=True)
class Otlp:
    """Where to push the snapshots with OTLP/HTTP."""

    endpoint: Annotated[
        str, Check(_no_url), Help("The whole URL, as http://127.0.0.1:4318/v1/metrics.")
    ]
    headers: Annotated[
        Mapping[str, str],
        Secret(),
        Check(_no_header_names),
        Check(unprintable),
        Help("HTTP headers to send, as Authorization; never shown."),
    ] = field(default_factory=dict)
    interval_seconds: Annotated[Seconds, Help("Time from one push to the next.")] = 30.0
    timeout_seconds: Annotated[Seconds, Help("A push that takes longer is given up.")] = 10.0
    semconv: Annotated[
        Literal["current", "hostmetrics"],
        Help("Attribute names: OpenTelemetry's current ones, or the hostmetrics receiver's."),
    ] = "current"
    resource: Annotated[
        Mapping[str, str], Help("Resource attributes, as service.name: kvm_exporter.")
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """All of the configuration; ``compat`` may hold ``node_exporter``.

    ``schedule`` is the default of collectors that have none of their own.
    """

    collectors: tuple[CollectorSettings, ...]
    compat: tuple[str, ...]
    otlp: Otlp | None
    schedule: Schedule = Schedule()


@dataclass(frozen=True, slots=True)
class Outline:
    """The file's other keys: all but the schedule and the collectors."""

    compat: Annotated[
        tuple[Literal["node_exporter"], ...],
        Help("Give node_exporter's own names too, for dashboards that expect them."),
    ] = ()
    otlp: Annotated[Otlp | None, Help("Push to an OpenTelemetry collector; null: do not.")] = None


def load(path: Path) -> Config:
    """The configuration in a file.  Errors: ConfigError, holding everything that is wrong."""
    return decode(document.read(path))


def default() -> Config:
    """The configuration of who has no file: every collector that is on by default."""
    return Config(tuple(_built_in(Schedule())), (), None)


def with_collectors(config: Config, enable: Collection[str], disable: Collection[str]) -> Config:
    """The same with further collectors at their default options, and without some.

    Errors: ConfigError for a name that no collector has.
    """
    found = {name: collectors.find(name) for name in (*enable, *disable)}
    problems = [
        Problem(f"--collector.{name}", None, "", f"there is no such collector{near}")
        for name, collector in found.items()
        if collector is None
        for near in (suggestion(name, collectors.names()),)
    ]
    if problems:
        raise ConfigError(problems)
    there = {one.name for one in config.collectors}
    added = (
        _settings(name, collector, collector.options(), config.schedule)
        for name, collector in found.items()
        if collector and name not in there
    )
    kept = (one for one in (*config.collectors, *added) if one.name not in disable)
    return replace(config, collectors=tuple(kept))


def redacted(config: Config) -> str:
    """The configuration with every default filled in, as YAML; secrets are ``<redacted>``."""
    otlp = config.otlp and replace(
        config.otlp,
        # credentials can stand before the @ and in the query
        endpoint=re.sub(r"(?<=//)[^/]*(?=@)|(?<=\?).*", REDACTED, config.otlp.endpoint),
    )
    shown = plain(config.schedule) | plain(Outline((), otlp)) | {"compat": list(config.compat)}
    shown["collectors"] = {
        one.name: plain(_schedule_of(one)) | plain(one.options) for one in config.collectors
    }
    return yaml_text(shown)


def decode(source: Document) -> Config:
    """The configuration in a document.  Errors: ConfigError, holding everything that is wrong."""
    return _File(source).config()


def _schedule_of(one: CollectorSettings) -> Schedule:
    return Schedule(one.interval_seconds, one.deadline_seconds, one.max_series)


def _built_in(schedule: Schedule) -> Iterator[CollectorSettings]:
    for name in collectors.names():
        collector = collectors.find(name)
        if collector and collector.enabled:
            yield _settings(name, collector, collector.options(), schedule)


def _settings(
    name: str, collector: Collector[object], chosen: object, schedule: Schedule
) -> CollectorSettings:
    return CollectorSettings(
        name,
        collector,
        chosen,
        schedule.interval_seconds,
        schedule.deadline_seconds,
        schedule.max_series,
    )


class _File:
    """Decodes a whole file; collectors' options and their schedules share one mapping."""

    def __init__(self, source: Document) -> None:
        self._root = source.root
        self._decoder = Decoder(source)

    def config(self) -> Config:
        entries = self._decoder.entries(self._root, "") or {}
        self._decoder.unknown(entries, (*options(Schedule), "collectors", *options(Outline)), "")
        schedule = self._schedule(entries, Schedule(), "")
        outline = self._decoder.build(self._root, Outline, entries, "")
        chosen = self._collectors(entries, schedule)
        self._decoder.finish()
        if isinstance(outline, Invalid):  # finish() has told why
            raise ConfigError(self._decoder.problems)
        return Config(chosen, outline.compat, outline.otlp, schedule)

    def _schedule(self, entries: Entries, inherited: Schedule, path: str) -> Schedule:
        """The schedule among the entries; what is wrong or left out is inherited."""
        given = {
            option.field: self._decoder.value(entries[name][1], option.hint, join(path, name))
            for name, option in options(Schedule).items()
            if name in entries
        }
        good: dict[str, Any] = {
            name: value for name, value in given.items() if value is not INVALID
        }
        return replace(inherited, **good)

    def _collectors(self, entries: Entries, schedule: Schedule) -> tuple[CollectorSettings, ...]:
        if "collectors" not in entries:
            return tuple(_built_in(schedule))
        named = self._decoder.entries(entries["collectors"][1], "collectors") or {}
        found = (
            self._collector(place, node, schedule, join("collectors", place.text))
            for place, node in named.values()
        )
        return tuple(one for one in found if one)

    def _collector(
        self, place: Scalar, node: Node, schedule: Schedule, path: str
    ) -> CollectorSettings | None:
        collector = collectors.find(place.text)
        if collector is None:
            near = suggestion(place.text, collectors.names())
            self._decoder.problem(place, path, f"there is no such collector{near}")
            return None
        empty = isinstance(node, Scalar) and kind(node) == "null"
        entries = {} if empty else self._decoder.entries(node, path)
        if entries is None:
            return None
        self._decoder.unknown(entries, (*options(Schedule), *options(collector.options)), path)
        own = self._schedule(entries, schedule, path)
        chosen = self._decoder.build(node, collector.options, entries, path)
        return None if chosen is INVALID else _settings(place.text, collector, chosen, own)
