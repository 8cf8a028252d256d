"""How does a configuration look as YAML again?  The inverse of decode, without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

import yaml

from kvm_exporter.typed_yaml.decode import is_duration, options
from kvm_exporter.typed_yaml.option import File, Secret
from kvm_exporter.typed_yaml.scalar import span

REDACTED = "<redacted>"


def plain(value: Any) -> dict[str, object]:  # noqa: ANN401 - any options dataclass
    """The keys and plain values of an options dataclass."""
    return {
        option.key: plain_value(getattr(value, option.field), option.hint)
        for option in options(type(value)).values()
    }


def yaml_text(shown: Mapping[str, object]) -> str:
    """YAML in block style, in the order of the keys."""
    return yaml.safe_dump(dict(shown), sort_keys=False, allow_unicode=True)


def plain_value(value: object, hint: object) -> object:
    """A value as YAML has it; ``hint`` tells durations and secrets."""
    if is_duration(hint) and isinstance(value, float | int):
        return span(value)
    if isinstance(value, Mapping):
        secret = _secret(hint)
        return {name: REDACTED if secret else plain_value(one, None) for name, one in value.items()}
    if isinstance(value, tuple):
        return [plain_value(one, None) for one in value]
    if isinstance(value, re.Pattern):
        return value.pattern
    if isinstance(value, File):
        return value.name
    return plain(value) if is_dataclass(value) else value


def _secret(hint: object) -> bool:
    return any(isinstance(mark, Secret) for mark in getattr(hint, "__metadata__", ()))
