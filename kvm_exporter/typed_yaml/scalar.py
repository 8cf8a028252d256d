"""What value does one word of the configuration stand for?  Strictly: nothing is coerced.

Each function takes a Scalar and gives its value, or raises ValueError saying what was expected and
what stands there instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import yaml

from kvm_exporter.typed_yaml.document import Scalar

WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})(\.[0-9]{0,17})?([eE][-+]?[0-9]{1,2})?")
SPAN = r"^([0-9]{1,12}(\.[0-9]{1,9})?(ms|s|m|h|d))+$"
"""Durations as text; the schema shows it too."""
SPAN_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
MAX_SECONDS = 366 * 86400

KINDS = {
    "bool": "the YAML 1.1 boolean",
    "float": "the number",
    "int": "the number",
    "null": "nothing",
    "timestamp": "the date",
}


def kind(scalar: Scalar) -> str:
    """``str``, or what readers of YAML 1.1 or 1.2 take an unquoted word for: ``int``, ``bool`` …"""
    text = scalar.text
    if not scalar.plain:
        return "str"
    for tag, pattern in yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], ()):
        if pattern.match(text):
            return str(tag).rpartition(":")[2]
    return "float" if NUMBER.fullmatch(text) else "str"


def shown(scalar: Scalar) -> str:
    """What stands there, for a message."""
    name = KINDS.get(kind(scalar), "the text")
    return name if name == "nothing" else f"{name} {scalar.text[:40]!r}"


def expected(what: str, scalar: Scalar, hint: str = "") -> ValueError:
    """The error for a word of the wrong kind."""
    return ValueError(f"expected {what}, found {shown(scalar)}{hint}")


def text(scalar: Scalar) -> str:
    """A text, in quotes if others could take it for something else."""
    if kind(scalar) == "str":
        return scalar.text
    raise expected("a text", scalar, "; put it in quotes if a text is meant")


def whole(scalar: Scalar) -> int:
    """A whole number in decimal."""
    if scalar.plain and WHOLE.fullmatch(scalar.text):
        return int(scalar.text)
    raise expected("a whole number in plain decimal", scalar)


def number(scalar: Scalar) -> float:
    """A number in decimal, whole or not."""
    if scalar.plain and NUMBER.fullmatch(scalar.text):
        return float(scalar.text)
    raise expected("a number in plain decimal", scalar)


def boolean(scalar: Scalar) -> bool:
    """``true`` or ``false``; YAML 1.1's other words differ from reader to reader."""
    if scalar.plain and scalar.text in ("true", "false"):
        return scalar.text == "true"
    raise expected("true or false", scalar)


def nothing(scalar: Scalar) -> None:
    """No value."""
    if kind(scalar) != "null":
        raise expected("nothing", scalar)


def duration(scalar: Scalar) -> float:
    """Seconds, of ``15s``, ``1m30s``, ``500ms`` or a bare number."""
    if scalar.plain and NUMBER.fullmatch(scalar.text):
        seconds = float(scalar.text)
    elif re.match(SPAN, scalar.text):
        parts = SPAN_PART.findall(scalar.text)
        seconds = sum(float(count) * UNIT_SECONDS[unit] for count, unit in parts)
    else:
        raise expected("a duration such as 15s, 1m30s or 500ms", scalar)
    if 0 < seconds <= MAX_SECONDS:
        return seconds
    raise ValueError(f"a duration must be more than 0 and at most 366d, found {scalar.text}")


def span(seconds: float) -> str | float:
    """The duration as one would write it, the inverse of ``duration``."""
    for unit, length in UNIT_SECONDS.items():
        count = round(seconds / length)
        if count and count * length == seconds:
            return f"{count}{unit}"
    return seconds


def pattern(scalar: Scalar) -> re.Pattern[str]:
    """A regular expression of Python's re."""
    try:
        return re.compile(text(scalar))
    except re.error as error:
        place = "" if error.pos is None else f" at its character {error.pos + 1}"
        raise ValueError(f"not a regular expression: {error.msg}{place}") from error


SCALARS: dict[object, Callable[[Scalar], object]] = {
    str: text,
    int: whole,
    float: number,
    bool: boolean,
    type(None): nothing,
    re.Pattern[str]: pattern,
}
"""By type hint."""
