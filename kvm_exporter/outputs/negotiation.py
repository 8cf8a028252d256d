"""What does the client want?  Accept and Accept-Encoding with their q-values (RFC 9110, 12.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvm_exporter.outputs.publication import Form

OPENMETRICS = ("application/openmetrics-text", "1.0.0")
TEXT = ("text/plain", "0.0.4")


class Range(NamedTuple):
    """One element of such a header."""

    value: str
    parameters: dict[str, str]
    quality: float


class Match(NamedTuple):
    """How well a type is accepted; a closer range decides between equal qualities."""

    quality: float
    closeness: int


def form(accept: str, accept_encoding: str) -> Form:
    """The form to answer in.

    OpenMetrics where it is wanted more than text 0.0.4, which is what a client gets that accepts
    anything or nothing we have: a scrape with the wrong type says more than an error 406.
    """
    ranges = tuple(_ranges(accept))
    openmetrics = _match(ranges, *OPENMETRICS)
    wanted = openmetrics.quality > 0 and openmetrics > _match(ranges, *TEXT)
    return Form(openmetrics=wanted, gzip=_accepts_gzip(accept_encoding))


def _accepts_gzip(header: str) -> bool:
    qualities = {coding.value: coding.quality for coding in _ranges(header)}
    anything = qualities.get("*", 0.0)
    gzip = qualities.get("gzip", qualities.get("x-gzip", anything))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _match(ranges: tuple[Range, ...], media_type: str, version: str) -> Match:
    """The closest range that matches decides (RFC 9110, 12.5.1)."""
    patterns = ("*/*", media_type.partition("/")[0] + "/*", media_type)
    matches = (
        (patterns.index(wanted.value), wanted.quality)
        for wanted in ranges
        if wanted.value in patterns and wanted.parameters.get("version", version) == version
    )
    closeness, quality = max(matches, default=(-1, 0.0))
    return Match(quality, closeness)


def _ranges(header: str) -> Iterator[Range]:
    for element in header.lower().split(","):
        value, *rest = (piece.strip() for piece in element.split(";"))
        parameters = dict(_parameter(piece) for piece in rest)
        if value:
            yield Range(value, parameters, _quality(parameters.pop("q", "1")))


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _quality(text: str) -> float:
    """A malformed q-value is taken for 0: the client cannot have meant "best"."""
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
