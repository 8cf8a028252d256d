"""What did the user ask for?  YAML becomes frozen values; errors name file:line and the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kvm_exporter.collectors import Collector


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
    """Where to push the snapshots; ``endpoint`` is the whole URL, as …/v1/metrics."""

    endpoint: str
    headers: Mapping[str, str]
    interval_seconds: float
    timeout_seconds: float
    semconv: Literal["current", "hostmetrics"]
    resource: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Config:
    """All of the configuration; ``compat`` may hold ``node_exporter``."""

    collectors: tuple[CollectorSettings, ...]
    compat: tuple[str, ...]
    otlp: Otlp | None
