"""How do other programs show our metrics?  A prometheus_client collector for their registry."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from threading import Lock
from types import TracebackType
from typing import Self

from prometheus_client.metrics_core import Metric as PrometheusMetric

from kvm_exporter.collectors import Collect, Collector, find, names
from kvm_exporter.kvm import Kvm, KvmError
from kvm_exporter.kvm import open as open_kernel
from kvm_exporter.metric import Family, Metric
from kvm_exporter.outputs.exposition import family_name, family_unit
from kvm_exporter.outputs.readable import readable

log = logging.getLogger(__name__)


class KvmCollector:
    """The kernel's metrics in your own process's registry; each scrape reads the live kernel.

    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> registry = CollectorRegistry()
    >>> registry.register(KvmCollector(collectors=["loadavg"]))
    >>> b"kvm_load1" in generate_latest(registry)
    True

    ``kvm`` is the kernel to read: by default the running one, opened here and closed by ``close``;
    one that you give stays yours to close.  ``collectors`` are names of built-in or installed
    collectors, by default every built-in one that is on by default, each with its own defaults.
    Errors: ValueError for a collector that is not there, KvmError where no kernel can be opened.

    Scrapes wait for each other: a handle is not for two threads at once.  A collector that fails
    leaves its families out of the scrape; its first failure of each kind is logged.
    """

    def __init__(self, kvm: Kvm | None = None, collectors: Collection[str] | None = None) -> None:
        found = _collectors(collectors)
        self._metrics = [metric for collector in found.values() for metric in collector.metrics]
        self._collects: dict[str, Collect] = {
            name: collector.start(collector.options()) for name, collector in found.items()
        }
        self._owned = kvm is None
        self._kvm = open_kernel() if kvm is None else kvm
        self._lock = Lock()
        self._logged: set[tuple[str, type[KvmError]]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the kernel back; unregister first, for a collection afterwards may fail."""
        with self._lock:
            if self._owned:
                self._kvm.close()

    def describe(self) -> Iterable[PrometheusMetric]:
        """Every family that a collection can give, without samples; reads nothing."""
        return [_family(metric.family(())) for metric in self._metrics]

    def collect(self) -> Iterable[PrometheusMetric]:
        """The families of this instant; those without a sample are left out."""
        with self._lock:
            return [_family(family) for family in self._families() if family.samples]

    def _families(self) -> Iterator[Family]:
        for name, collect in self._collects.items():
            try:
                yield from tuple(collect(self._kvm))
            except KvmError as error:
                if (name, type(error)) not in self._logged:
                    self._logged.add((name, type(error)))
                    log.warning("%s: not collected: %s (logged once)", name, error)


def _collectors(wanted: Collection[str] | None) -> dict[str, Collector[object]]:
    found = {name: find(name) for name in (names() if wanted is None else wanted)}
    missing = [name for name, collector in found.items() if collector is None]
    if missing:
        raise ValueError(f"no collector {', '.join(missing)}; there are {', '.join(names())}")
    return {
        name: collector
        for name, collector in found.items()
        if collector is not None and (wanted is not None or collector.enabled)
    }


def _family(family: Family) -> PrometheusMetric:
    metric: Metric = family.metric
    result = PrometheusMetric(
        family_name(metric), readable(metric.help), metric.kind, family_unit(metric)
    )
    for labels, value in family.samples:
        pairs = zip(metric.labels, map(readable, labels), strict=True)
        result.add_sample(metric.name, dict(pairs), value)
    return result
