"""How is a type written, without a name?  ``struct proc *``, ``unsigned long``, ``char[16]``.

1. A type is ``struct``, ``union`` or ``enum`` and its tag, words of C (``unsigned long``), or the
   name of a typedef; then stars; then the lengths of arrays.  ``const`` and ``volatile`` may stand
   where C allows them, and mean nothing here.
2. Only what is behind a name tells whether it is a typedef's, so a TypeName says how ``sure`` it
   is one: words of C cannot be anything else, nor can what ends with a star.  A name that looks
   like a type's (``uint64_t``, ``u_int``) likely is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from kvm_exporter.kvm.expressions.language.tokens import Token

TAGGED = frozenset(("struct", "union", "enum"))
QUALIFIERS = frozenset(("const", "volatile", "restrict"))
BASIC = frozenset(
    ("void", "char", "short", "int", "long", "signed", "unsigned", "float", "double", "_Bool")
)
RESERVED = TAGGED | QUALIFIERS | BASIC
"""Words of C, which are no name of a variable or member."""

TYPEDEFS = frozenset(("bool", "u_char", "u_short", "u_int", "u_long", "caddr_t")) | frozenset(
    f"{prefix}{bits}" for prefix in ("u", "s", "__u", "__s") for bits in (8, 16, 32, 64)
)
"""BSD's and Linux's names of integers; others end with ``_t``."""

MOST_WORDS = 4
"""``unsigned long long int``."""
MOST_STARS = 8
MOST_DIMENSIONS = 8

Sure = Literal["yes", "likely", "no"]


class TypeName(NamedTuple):
    """A type as it is written; ``base`` with single spaces, ``lengths`` 0 for ``[]``."""

    base: str
    stars: int
    lengths: tuple[int, ...]
    sure: Sure

    def __str__(self) -> str:
        """As C has it: ``struct proc *[2]``."""
        space = " " if self.stars else ""
        dimensions = "".join(f"[{length or ''}]" for length in self.lengths)
        return f"{self.base}{space}{'*' * self.stars}{dimensions}"


def type_at(tokens: Sequence[Token], at: int) -> tuple[TypeName, int] | None:
    """The type that starts with a token, and the number of the token behind it; None for none."""
    base, at = _base(tokens, at)
    if not base:
        return None
    stars, at = _stars(tokens, at)
    lengths, at = _lengths(tokens, at)
    if stars > MOST_STARS or len(lengths) > MOST_DIMENSIONS:
        return None
    sure: Sure = "yes" if stars and tokens[at].text == ")" else _sure(base)
    return TypeName(" ".join(base), stars, lengths, sure), at


def _base(tokens: Sequence[Token], at: int) -> tuple[list[str], int]:
    """Its words; none where there is no type."""
    at = _qualifiers(tokens, at)
    first = tokens[at]
    if first.kind != "name" or first.quoted:
        return [], at
    if first.text in TAGGED:
        tag = tokens[at + 1]
        named = tag.kind == "name" and tag.text not in RESERVED
        return ([first.text, tag.text] if named else []), _qualifiers(tokens, at + 2)
    if first.text not in BASIC:
        return [first.text], _qualifiers(tokens, at + 1)
    words: list[str] = []
    while tokens[at].text in BASIC and len(words) < MOST_WORDS:
        words.append(tokens[at].text)
        at = _qualifiers(tokens, at + 1)
    return words, at


def _qualifiers(tokens: Sequence[Token], at: int) -> int:
    while at < len(tokens) and tokens[at].text in QUALIFIERS:
        at += 1
    return min(at, len(tokens) - 1)


def _stars(tokens: Sequence[Token], at: int) -> tuple[int, int]:
    stars = 0
    while tokens[at].text == "*":
        stars += 1
        at = _qualifiers(tokens, at + 1)
    return stars, at


def _lengths(tokens: Sequence[Token], at: int) -> tuple[tuple[int, ...], int]:
    lengths: list[int] = []
    while tokens[at].text == "[":
        length = tokens[at + 1]
        if length.text == "]":
            lengths.append(0)
            at += 2
        elif (
            isinstance(length.value, int) and length.kind == "number" and tokens[at + 2].text == "]"
        ):
            lengths.append(length.value)
            at += 3
        else:
            break
    return tuple(lengths), at


def _sure(base: Sequence[str]) -> Sure:
    if base[0] in RESERVED:
        return "yes"
    return "likely" if base[0] in TYPEDEFS or base[0].endswith("_t") else "no"
