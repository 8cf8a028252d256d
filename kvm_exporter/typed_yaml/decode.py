"""What do a file's nodes mean?  Nodes become frozen dataclasses, strictly, by their type hints.

Every problem is noted with its place and decoding goes on, so that all are told at once.  The
kinds of hints are those of option.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from kvm_exporter.typed_yaml import document, scalar
from kvm_exporter.typed_yaml.document import ConfigError, Document, Mark, Node, Problem, Scalar
from kvm_exporter.typed_yaml.option import (
    AtLeast,
    Check,
    Duration,
    OneOrMore,
    Reads,
    Secret,
    key,
)

T = TypeVar("T")
Entries = Mapping[str, tuple[Scalar, Node]]
"""A mapping's values with the places of their keys."""


class Invalid:
    """Stands for a value whose problem has been noted."""


INVALID = Invalid()


@dataclass(frozen=True, slots=True)
class Option:
    """A field of an options dataclass, as the file sees it."""

    field: str
    key: str
    hint: object
    required: bool


def options(cls: type[Any]) -> dict[str, Option]:
    """The keys that a frozen dataclass understands, in its order."""
    hints = get_type_hints(cls, include_extras=True)
    found = (
        Option(
            field.name,
            key(field.name, duration=is_duration(hints[field.name])),
            hints[field.name],
            field.default is MISSING and field.default_factory is MISSING,
        )
        for field in fields(cls)
    )
    return {option.key: option for option in found}


def is_duration(hint: object) -> bool:
    """Whether a type hint is ``Seconds``."""
    return any(isinstance(mark, Duration) for mark in getattr(hint, "__metadata__", ()))


def suggestion(word: str, known: Iterable[str]) -> str:
    """Text for an error's end: the nearest known word, or all of them."""
    known = tuple(known)
    if near := difflib.get_close_matches(word, known, n=1):
        return f"; did you mean {near[0]}?"
    return f"; known: {', '.join(known)}" if known else "; there is nothing to set here"


def join(path: str, name: str) -> str:
    """The path of a key below another."""
    return f"{path}.{name}" if path else name


class Decoder:
    """Decodes one document, noting problems; ``finish`` raises them."""

    def __init__(self, source: Document) -> None:
        self.file = source.file
        self.problems = list(source.problems)
        self._options: dict[type[Any], dict[str, Option]] = {}
        self._origins: dict[object, Callable[[Node, tuple[Any, ...], str], object]] = {
            Literal: self._literal,
            tuple: self._tuple,
            Mapping: self._mapping,
            Union: self._optional,
            UnionType: self._optional,
            Annotated: self._annotated,
        }

    def finish(self) -> None:
        """Raise ConfigError with every problem so far, in the file's order, if there is any."""
        if self.problems:
            raise ConfigError(sorted(self.problems, key=self._order))

    def _order(self, one: Problem) -> tuple[bool, str, Mark]:
        """This file's problems first, then those of the files that it names."""
        return one.file != self.file, one.file, one.mark or Mark(0, 0)

    def problem(self, node: Node, path: str, what: str) -> Invalid:
        """Note what is wrong at a node."""
        self.problems.append(Problem(self.file, node.mark, path, what))
        return INVALID

    def value(self, node: Node, hint: Any, path: str) -> object:  # noqa: ANN401 - any type hint
        """The value of a node that should be as ``hint`` says; INVALID when it is not."""
        if isinstance(hint, type) and is_dataclass(hint):
            return self.instance(node, hint, path)
        if hint in scalar.SCALARS:
            return self._scalar(node, scalar.SCALARS[hint], path)
        return self._origins[get_origin(hint)](node, get_args(hint), path)

    def instance(self, node: Node, cls: type[T], path: str) -> T | Invalid:
        """A dataclass from a mapping of its options."""
        entries = self.entries(node, path)
        if entries is None:
            return INVALID
        self.unknown(entries, self._known(cls), path)
        return self.build(node, cls, entries, path)

    def entries(self, node: Node, path: str) -> Entries | None:
        """The keys and values of a mapping; None, and a problem, when it is something else."""
        if isinstance(node, document.Mapping):
            return {name.text: (name, value) for name, value in node.entries}
        self.problem(node, path, f"expected a mapping of keys to values, found {_shown(node)}")
        return None

    def unknown(self, entries: Entries, known: Iterable[str], path: str) -> None:
        """Note every key that is not known."""
        known = tuple(known)
        for name, (place, _) in entries.items():
            if name not in known:
                self.problem(place, join(path, name), f"unknown key{suggestion(name, known)}")

    def build(self, node: Node, cls: type[T], entries: Entries, path: str) -> T | Invalid:
        """A dataclass from those entries that are its options; the others are left alone."""
        known = self._known(cls).values()
        given = [option for option in known if option.key in entries]
        missing = [
            self.problem(node, path, f"the key {option.key} is missing")
            for option in known
            if option.required and option not in given
        ]
        values = {
            option.field: self.value(entries[option.key][1], option.hint, join(path, option.key))
            for option in given
        }
        if missing or INVALID in values.values():
            return INVALID
        make: Callable[..., T] = cls
        try:
            return make(**values)
        except ValueError as error:
            for option in given:
                if option.field == getattr(error, "field", None):
                    node, path = entries[option.key][1], join(path, option.key)
            return self.problem(node, path, str(error))

    def _known(self, cls: type[Any]) -> dict[str, Option]:
        """The options of a class, worked out once: a file may have hundreds of its instances."""
        if cls not in self._options:
            self._options[cls] = options(cls)
        return self._options[cls]

    def _scalar(self, node: Node, convert: Callable[[Scalar], object], path: str) -> object:
        if not isinstance(node, Scalar):
            return self.problem(node, path, f"expected a single value, found {_shown(node)}")
        try:
            return convert(node)
        except ValueError as error:
            return self.problem(node, path, str(error))

    def _literal(self, node: Node, words: tuple[Any, ...], path: str) -> object:
        found = self._scalar(node, scalar.text, path)
        if found in words or found is INVALID:
            return found
        return self.problem(node, path, f"{found!r} is not allowed{suggestion(str(found), words)}")

    def _tuple(self, node: Node, hints: tuple[Any, ...], path: str) -> object:
        if not isinstance(node, document.Sequence):
            return self.problem(node, path, f"expected a list, found {_shown(node)}")
        values = tuple(
            self.value(item, hints[0], f"{path}[{index}]") for index, item in enumerate(node.items)
        )
        return INVALID if INVALID in values else values

    def _mapping(self, node: Node, hints: tuple[Any, ...], path: str) -> object:
        entries = self.entries(node, path)
        if entries is None:
            return INVALID
        values = {
            name: self.value(value, hints[1], join(path, name))
            for name, (_, value) in entries.items()
        }
        return INVALID if INVALID in values.values() else values

    def _optional(self, node: Node, hints: tuple[Any, ...], path: str) -> object:
        if isinstance(node, Scalar) and scalar.kind(node) == "null":
            return None
        return self.value(node, next(hint for hint in hints if hint is not NoneType), path)

    def _annotated(self, node: Node, hints: tuple[Any, ...], path: str) -> object:
        hint, *marks = hints
        for mark in marks:
            match mark:
                case Duration():
                    return self._scalar(node, scalar.duration, path)
                case Reads():
                    return self._read(node, mark, path)
                case OneOrMore() if isinstance(node, Scalar):
                    only = self.value(node, get_args(hint)[0], path)
                    found = INVALID if only is INVALID else (only,)
                    return self._checked(node, found, marks, path)
        return self._marked(node, hint, marks, path)

    def _marked(self, node: Node, hint: object, marks: Iterable[object], path: str) -> object:
        before = len(self.problems)
        found = self.value(node, hint, path)
        if any(isinstance(mark, Secret) for mark in marks):
            self._hush(before)
        for mark in marks:
            if (
                isinstance(mark, AtLeast)
                and isinstance(found, int | float)
                and found < mark.minimum
            ):
                return self.problem(node, path, f"must be at least {mark.minimum}, found {found}")
        return self._checked(node, found, marks, path)

    def _read(self, node: Node, mark: Reads, path: str) -> object:
        name = self._scalar(node, scalar.text, path)
        if not isinstance(name, str):
            return INVALID
        try:
            return mark.read(name, self.file)
        except ConfigError as error:
            self.problems += error.problems
        except ValueError as error:
            self.problem(node, path, str(error))
        return INVALID

    def _checked(self, node: Node, found: object, marks: Iterable[object], path: str) -> object:
        if found is INVALID:
            return found
        checks = (mark for mark in marks if isinstance(mark, Check))
        wrong = [what for check in checks for what in check.wrong(found)]
        for what in wrong:
            self.problem(node, path, what)
        return INVALID if wrong else found

    def _hush(self, since: int) -> None:
        """Take values out of the problems noted since: a log is no place for a secret."""
        for index in range(since, len(self.problems)):
            what = "expected a text, in quotes; what stands there is secret and not shown"
            self.problems[index] = replace(self.problems[index], what=what)


def _shown(node: Node) -> str:
    if isinstance(node, Scalar):
        return scalar.shown(node)
    return "a list" if isinstance(node, document.Sequence) else "a mapping"
