"""What is a metric?  Plain values: collectors make them, outputs send them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "info", "stateset"]
Sample = tuple[tuple[str, ...], float]
"""Label values in the order of ``Metric.labels``, and the value (an int stays exact)."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its samples of one instant."""

    metric: Metric
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of a metric table.

    ``name`` is the sample name as Prometheus stores it: a counter ends in ``_total``, an info in
    ``_info``.  A stateset's samples are 1 or 0 by the state that the label of its own name tells.
    ``unit`` is OpenMetrics's unit (``seconds``, ``bytes``); the name then carries it.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    def family(self, samples: Iterable[Sample]) -> Family:
        """This metric with samples, in their order."""
        return Family(self, tuple(samples))

    def single(self, value: float | None) -> Family:
        """This label-less metric with one sample; with none where the value is unknown."""
        return Family(self, () if value is None else (((), value),))
