"""What words does an expression consist of?  Names, numbers and signs, each with its column.

1. A name is C's.  One that is none of C's stands between backquotes, such as that of a variable in
   a function (```vm_pageout_scan.recorded```, ```last_pid.0```).
2. Numbers are C's: ``1024``, ``0x10``, ``0644`` (octal), ``10UL``, ``1e-9``; integers of at most
   64 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from kvm_exporter.kvm.expressions.language.syntax import ExpressionError

LONGEST = 4096
"""Characters of an expression."""

MOST_BITS = 64

Kind = Literal["name", "number", "sign", "end"]


class Token(NamedTuple):
    """A word: what it says, and the column of its first character.

    A name's text is without backquotes, with ``quoted`` it had them.  The last one is an ``end``
    without text.
    """

    kind: Kind
    text: str
    column: int
    value: int | float = 0
    quoted: bool = False


WORDS = re.compile(
    r"""(?P<space>\s+)
      | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
      | `(?P<quoted>[A-Za-z_$][\w.@$]*)`
      | (?P<number>0[xX]\w*|[0-9](?:[eE][+-]|[.]?\w)*)
      | (?P<sign>->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>()\[\].:])""",
    re.VERBOSE | re.ASCII,
)

INTEGER = re.compile(
    r"(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)(?:[uU](?:l|L|ll|LL)?|(?:l|L|ll|LL)[uU]?)?"
)
FLOAT = re.compile(r"[0-9]+(?:[.][0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)")


def words(expression: str) -> tuple[Token, ...]:
    """The tokens of an expression, an ``end`` behind them.  Errors: ExpressionError."""
    if len(expression) > LONGEST:
        what = f"an expression has at most {LONGEST} characters"
        raise ExpressionError(expression[:LONGEST], LONGEST + 1, what)
    return tuple(_words(expression))


def _words(expression: str) -> Iterator[Token]:
    at = 0
    while at < len(expression):
        found = WORDS.match(expression, at)
        if found is None:
            raise ExpressionError(expression, at + 1, _stray(expression[at]))
        if found.lastgroup != "space":
            yield _token(expression, found)
        at = found.end()
    yield Token("end", "", at + 1)


def _token(expression: str, found: re.Match[str]) -> Token:
    column = found.start() + 1
    match found.lastgroup:
        case "number":
            return Token("number", found[0], column, _number(expression, found[0], column))
        case "quoted":
            return Token("name", found["quoted"], column, quoted=True)
        case "name":
            return Token("name", found[0], column)
    return Token("sign", found[0], column)


def _number(expression: str, text: str, column: int) -> int | float:
    if integer := INTEGER.fullmatch(text):
        digits = integer[1]
        value = int(digits, _base(digits))
        if value >> MOST_BITS:
            raise ExpressionError(expression, column, f"a number of more than {MOST_BITS} bits")
        return value
    if not FLOAT.fullmatch(text):
        raise ExpressionError(expression, column, f"{text} is no number")
    real = float(text)
    if real == float("inf"):
        raise ExpressionError(expression, column, "too large a number")
    return real


def _base(digits: str) -> int:
    if digits[:2] in ("0x", "0X"):
        return 16
    return 8 if digits[0] == "0" else 10


HINTS = {
    "=": "two numbers are compared with ==",
    "?": "there is no ?: here; comparisons are 1 or 0, so that x * (y == 2) is x or 0",
    ",": "an expression is one value: no comma",
    "`": "a name between backquotes lacks its end",
    "'": "there are no characters or texts in expressions",
    '"': "there are no characters or texts in expressions",
}


def _stray(character: str) -> str:
    return HINTS.get(character, f"{character!a} means nothing here")
