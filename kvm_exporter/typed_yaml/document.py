"""Where in a YAML file does each value stand?  Text becomes nodes that know their place.

Rule 1: nothing is interpreted here: a scalar is its text and whether it was quoted.
Rule 2: any bytes give nodes or a ConfigError, in bounded time and memory.
Rule 3: nesting is counted while the events arrive, because libyaml's own recursion overflows the
C stack; an alias costs as many values as it stands for, so that no alias bomb goes off later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml
from yaml.reader import Reader

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 100_000


class Mark(NamedTuple):
    """A place in the file; both count from 1, as editors do."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; ``path`` is the key's, as ``collectors.process.groups[2].comm``."""

    file: str
    mark: Mark | None
    path: str
    what: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.mark.line}:{self.mark.column}" if self.mark else self.file
        return ": ".join(filter(None, (place, self.path, self.what)))


class ConfigError(Exception):
    """Everything that is wrong with a configuration; as text, a line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as it was written; ``plain`` means without quotes."""

    mark: Mark
    text: str
    plain: bool
    size: int = 1


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of values; ``size`` counts every value below, aliases as what they stand for."""

    mark: Mark
    items: tuple[Node, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with their values, in the file's order."""

    mark: Mark
    entries: tuple[tuple[Scalar, Node], ...]
    size: int


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Document:
    """A file's outermost value, and what was wrong but did not hinder reading on."""

    file: str
    root: Node
    problems: tuple[Problem, ...]


def read(path: Path) -> Document:
    """The nodes of a UTF-8 YAML file of one document.  Errors: ConfigError."""
    file = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(file, None, "", f"cannot read it: {error.strerror}")]) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem(file, None, "", f"larger than {MAX_BYTES} bytes")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        what = f"byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        raise ConfigError([Problem(file, _mark_after(before), "", what)]) from error
    return parse(text, file)


def parse(text: str, file: str) -> Document:
    """The nodes of a YAML text; ``file`` is its name in messages.  Errors: ConfigError."""
    if bad := Reader.NON_PRINTABLE.search(text):
        what = f"the character U+{ord(bad[0]):04X} is not allowed in YAML"
        raise ConfigError([Problem(file, _mark_after(text[: bad.start()]), "", what)])
    return _Composer(text, file).document()


def _mark_after(text: str) -> Mark:
    return Mark(text.count("\n") + 1, len(text) - text.rfind("\n"))


def _mark(event: yaml.Event) -> Mark:
    mark = event.start_mark
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)


class _Composer:
    """Builds nodes from libyaml's events."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._anchors: dict[str, Node] = {}
        self._problems: list[Problem] = []
        self._events = self._parse(text)

    def document(self) -> Document:
        next(self._events)  # the stream's start
        start = next(self._events)
        if not isinstance(start, yaml.DocumentStartEvent):
            what = "the file is empty; write {} for the defaults, or run without a file"
            raise self._fatal(start, what)
        root = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        if isinstance(event := next(self._events), yaml.DocumentStartEvent):
            raise self._fatal(event, "a second document starts here; write only one")
        return Document(self._file, root, tuple(self._problems))

    def _parse(self, text: str) -> Iterator[yaml.Event]:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            yield from yaml.parse(text, Loader=loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Mark(mark.line + 1, mark.column + 1) if mark else None
            what = ", ".join(filter(None, (error.problem, error.context)))
            raise ConfigError([Problem(self._file, place, "", f"not YAML: {what}")]) from error

    def _fatal(self, event: yaml.Event, what: str) -> ConfigError:
        self._problem(_mark(event), what)
        return ConfigError(self._problems)

    def _problem(self, mark: Mark, what: str) -> None:
        self._problems.append(Problem(self._file, mark, "", what))

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if not isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent):
            return self._alias(event)  # nothing else can stand here
        if depth > MAX_DEPTH:
            raise self._fatal(event, f"nested deeper than {MAX_DEPTH} levels")
        if event.tag is not None:
            what = f"tags such as {event.tag} are not supported; leave it out"
            self._problem(_mark(event), what)
        node = self._fresh(event, depth)
        if node.size > MAX_VALUES:
            raise self._fatal(event, f"more than {MAX_VALUES} values")
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: yaml.Event) -> Node:
        anchor = getattr(event, "anchor", "")
        if anchor not in self._anchors:
            raise self._fatal(event, f"no value before this one is named &{anchor}")
        return self._anchors[anchor]

    def _fresh(self, event: yaml.CollectionStartEvent | yaml.ScalarEvent, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(_mark(event), event.value, event.implicit[0])
        if isinstance(event, yaml.SequenceStartEvent):
            items = tuple(self._children(yaml.SequenceEndEvent, depth))
            return Sequence(_mark(event), items, 1 + sum(item.size for item in items))
        entries = tuple(self._entries(self._children(yaml.MappingEndEvent, depth)))
        return Mapping(_mark(event), entries, 1 + sum(value.size for _, value in entries))

    def _children(self, end: type[yaml.Event], depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), end):
            yield self._node(event, depth + 1)

    def _entries(self, children: Iterator[Node]) -> Iterator[tuple[Scalar, Node]]:
        lines: dict[str, int] = {}
        for key in children:
            value = next(children)
            if not isinstance(key, Scalar):
                self._problem(key.mark, "a key must be a single word")
            elif key.text == "<<" and key.plain:
                self._problem(key.mark, "merge keys (<<) are not supported; repeat the keys")
            elif key.text in lines:
                what = f"the key {key.text} is already there, in line {lines[key.text]}"
                self._problem(key.mark, what)
            else:
                lines[key.text] = key.mark.line
                yield key, value
