"""Where in an expression is the mistake?  Its text, and a caret under the column."""

from __future__ import annotations

from kvm_exporter.kvm.expressions.language.syntax import ExpressionError

BEFORE, AFTER = 60, 40
"""Characters of a long expression that are shown around the column."""


def pointed(error: ExpressionError) -> str:
    """What is wrong, and below it the expression with a caret where that is."""
    at = error.column - 1
    start = max(at - BEFORE, 0)
    before = "".join(map(_shown, error.expression[start:at]))
    after = "".join(map(_shown, error.expression[at : at + AFTER]))
    more = "..." if start else "", "..." if at + AFTER < len(error.expression) else ""
    caret = " " * (len(more[0]) + len(before))
    return f"{error.what}\n    {more[0]}{before}{after}{more[1]}\n    {caret}^"


def _shown(character: str) -> str:
    """As wide as one character, so that the caret stands below the right one."""
    return character if character.isascii() and character.isprintable() else " "
