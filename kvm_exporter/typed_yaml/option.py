"""How does a frozen dataclass say what may be set?  Marks for its ``Annotated`` type hints.

A field's hint is its rule: ``str``, ``int``, ``float``, ``bool``, ``re.Pattern[str]``, ``Literal``,
``X | None``, ``tuple[X, ...]``, ``Mapping[str, X]``, ``Seconds``, or another such dataclass.  A
field ``name_seconds`` of type ``Seconds`` is the key ``name``, because its value carries the unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True, slots=True)
class Help:
    """What the key means: a sentence for editors and for the schema."""

    text: str


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The smallest number allowed."""

    minimum: int


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time, more than zero: ``15s``, ``1m30s``, ``500ms``, or a number of seconds."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is never shown."""


Seconds = Annotated[float, Duration()]
Count = Annotated[int, AtLeast(1)]


class OptionError(ValueError):
    """Raised in ``__post_init__``: ``field`` of this dataclass has a value that cannot be."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def key(field: str, *, duration: bool) -> str:
    """The name of a field in the file: ``interval`` for the duration ``interval_seconds``."""
    return field.removesuffix("_seconds") if duration else field
