"""What may a configuration hold?  JSON Schema of the dataclasses that decode it, for editors.

``python -m kvm_exporter.schema`` prints it; config/kvm_exporter.schema.json is that output.  For
modules of symbols ``python -m kvm_exporter.schema symbols`` gives config/symbols.schema.json.  It
knows the collectors of this package.  What it accepts may still be refused when it is loaded: a
regular expression that is none, a placeholder that no fact fills, a key that is there twice.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from inspect import getdoc
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from kvm_exporter import collectors
from kvm_exporter.collectors.symbols.options import ModuleOptions
from kvm_exporter.config import Outline, Schedule
from kvm_exporter.typed_yaml.decode import options
from kvm_exporter.typed_yaml.encode import plain_value
from kvm_exporter.typed_yaml.option import AtLeast, Duration, Help, OneOrMore, Reads
from kvm_exporter.typed_yaml.scalar import MAX_SECONDS, SPAN

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "Configuration of kvm_exporter"
MODULE_TITLE = "Module of symbols of kvm_exporter"

DURATION: Schema = {
    "anyOf": [
        {"type": "string", "pattern": SPAN},
        {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS},
    ]
}
SCALARS: dict[object, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    re.Pattern[str]: {"type": "string", "format": "regex"},
}


def schema() -> Schema:
    """The schema of the whole file."""
    return {
        "$schema": DIALECT,
        "title": TITLE,
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **_properties(Schedule),
            "collectors": {
                "description": "The collectors to run, by name; without this key, all of them.",
                "type": "object",
                "additionalProperties": False,
                "properties": {name: _collector(name) for name in collectors.names()},
            },
            **_properties(Outline),
        },
    }


def module_schema() -> Schema:
    """The schema of a module of symbols."""
    return {"$schema": DIALECT, "title": MODULE_TITLE} | _object(ModuleOptions)


def main(arguments: Sequence[str]) -> None:
    """Print the schema, of modules where the arguments say ``symbols``."""
    chosen = module_schema() if arguments == ["symbols"] else schema()
    sys.stdout.write(json.dumps(chosen, indent=2) + "\n")


def _collector(name: str) -> Schema:
    collector = collectors.find(name)
    if collector is None:
        raise LookupError(f"{name} is listed and cannot be found")
    return {
        "description": collector.help,
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            **_properties(Schedule, defaults=False),
            **_properties(collector.options),
        },
    }


def _properties(cls: type[Any], *, defaults: bool = True) -> Schema:
    """The keys of a dataclass; a collector's own schedule has no default but the file's."""
    found = {}
    standard = {field.name: field for field in fields(cls)}
    for option in options(cls).values():
        found[option.key] = dict(_of(option.hint))
        if defaults and not option.required:
            field = standard[option.field]
            value = field.default if field.default_factory is MISSING else field.default_factory()
            found[option.key]["default"] = plain_value(value, option.hint)
    return found


def _of(hint: Any) -> Schema:  # noqa: ANN401 - any type hint
    """The schema of a type hint, the same kinds that decode knows."""
    if isinstance(hint, type) and is_dataclass(hint):
        return _object(hint)
    return SCALARS[hint] if hint in SCALARS else ORIGINS[get_origin(hint)](get_args(hint))


def _object(cls: type[Any]) -> Schema:
    required = [option.key for option in options(cls).values() if option.required]
    return {
        "description": " ".join((getdoc(cls) or "").split()),
        "type": "object",
        "additionalProperties": False,
        "properties": _properties(cls),
        **({"required": required} if required else {}),
    }


def _annotated(hints: tuple[Any, ...]) -> Schema:
    hint, *marks = hints
    found = _plain(hint, marks)
    for mark in marks:
        if isinstance(mark, OneOrMore):
            found = {"anyOf": [found["items"], found]}
        if isinstance(mark, AtLeast):
            found["minimum"] = mark.minimum
        if isinstance(mark, Help):
            found["description"] = mark.text
    return found


def _plain(hint: Any, marks: Sequence[object]) -> Schema:  # noqa: ANN401 - any type hint
    for mark in marks:
        if isinstance(mark, Duration):
            return dict(DURATION)
        if isinstance(mark, Reads):
            return dict(SCALARS[str])
    return dict(_of(hint))


ORIGINS: dict[object, Callable[[tuple[Any, ...]], Schema]] = {
    Annotated: _annotated,
    Literal: lambda words: {"type": "string", "enum": list(words)},
    tuple: lambda hints: {"type": "array", "items": _of(hints[0])},
    Mapping: lambda hints: {"type": "object", "additionalProperties": _of(hints[1])},
    Union: lambda hints: {"anyOf": [_of(hint) for hint in hints]},
    UnionType: lambda hints: {"anyOf": [_of(hint) for hint in hints]},
}


if __name__ == "__main__":
    main(sys.argv[1:])
