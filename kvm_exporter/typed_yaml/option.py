"""How does a frozen dataclass say what may be set?  Marks for its ``Annotated`` type hints.

A field's hint is its rule: ``str``, ``int``, ``float``, ``bool``, ``re.Pattern[str]``, ``Literal``,
``X | None``, ``tuple[X, ...]``, ``Mapping[str, X]``, ``Seconds``, a file (``Reads``), or another
such dataclass.  A field ``name_seconds`` of type ``Seconds`` is the key ``name``, because its value
carries the unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Help:
    """What the key means: a sentence for editors and for the schema."""

    text: str


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The smallest number allowed."""

    minimum: int


@dataclass(frozen=True, slots=True)
class Check:
    """What is wrong with a value of the right type: sentences, which never hold a secret."""

    wrong: Callable[[Any], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time, more than zero: ``15s``, ``1m30s``, ``500ms``, or a number of seconds."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is never shown."""


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """A list that may be given as its only value."""


@dataclass(frozen=True, slots=True)
class File(Generic[T]):
    """What was in a file; ``name`` as the configuration has it."""

    name: str
    content: T


@dataclass(frozen=True, slots=True)
class Reads:
    """A text that names a file: ``read`` takes it, and the file that has it, and gives a File.

    Errors: ConfigError for what is wrong in that file, ValueError for a name that is none.
    """

    read: Callable[[str, str], File[Any]]


Seconds = Annotated[float, Duration()]
Count = Annotated[int, AtLeast(1)]


class OptionError(ValueError):
    """Raised in ``__post_init__``: ``field`` has a value that does not go with the other fields.

    What is wrong with a field alone is for its ``Check``, which is told whatever else is wrong.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def unprintable(headers: Mapping[str, str]) -> Iterable[str]:
    """A Check of HTTP headers: names with values that cannot be sent."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            yield f"the value of {name} is not printable ASCII"


def key(field: str, *, duration: bool) -> str:
    """The name of a field in the file: ``interval`` for the duration ``interval_seconds``."""
    return field.removesuffix("_seconds") if duration else field
