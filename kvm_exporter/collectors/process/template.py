"""What is a group's name made of?  Text with placeholders in braces."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from string import Formatter

FACTS = frozenset(("comm", "exe", "exe_base", "user", "jail", "cgroup"))
"""Placeholders that every rule can use."""


class Template:
    """A parsed name; ``{{`` and ``}}`` stand for braces."""

    def __init__(self, text: str, known: Collection[str]) -> None:
        """Errors: ValueError for a placeholder that is not known, and for other braces."""
        try:
            self._parts = [part[:2] for part in map(_simple, Formatter().parse(text))]
        except ValueError as error:
            raise ValueError(f"{error} in {text!r}; write {{{{ or }}}} for a brace") from error
        self.placeholders = frozenset(name for _, name in self._parts if name is not None)
        for name in sorted(self.placeholders.difference(known)):
            raise ValueError(f"unknown placeholder {{{name}}}{_hint(name, known)}")

    def fill(self, values: Mapping[str, str]) -> str:
        """The name for these values of its placeholders."""
        return "".join(text + ("" if name is None else values[name]) for text, name in self._parts)


def _simple(
    part: tuple[str, str | None, str | None, str | None],
) -> tuple[str, str | None]:
    text, name, form, conversion = part
    if form or conversion:
        raise ValueError(f"the placeholder {{{name}}} takes no format")
    return text, name


def _hint(name: str, known: Collection[str]) -> str:
    if name == "pid":
        return "; per_pid: true gives each process a group of its own, with the label pid"
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {{{near[0]}}}?" if near else f"; known: {', '.join(known)}"
