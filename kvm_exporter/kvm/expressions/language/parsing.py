"""What does the text of an expression say?  Its tree of Nodes, with C's precedence.

1. Operators bind as in C: what is behind a value first (``.``, ``->``, ``[]``), then what is before
   it (``- ~ ! & *``, casts), then PRECEDENCE, the loosest first; all but those are from left to
   right.
2. ``(name)`` is a cast where a value is behind it that cannot continue a value: a name, a number,
   ``(``, ``~`` or ``!``.  Before ``-``, ``*`` and ``&`` only a name is one that looks like a
   type's (type_syntax.py).
3. A Node's column is that of what may be wrong with it: of a member's name, an index's bracket, an
   operator, a cast's type.
4. Every text gives a Node or an ExpressionError, in time proportional to its length; no tree is
   higher than DEEPEST.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Never

from kvm_exporter.kvm.expressions.language.syntax import (
    Binary,
    Call,
    Cast,
    Every,
    EveryCpu,
    ExpressionError,
    Index,
    Member,
    Members,
    Name,
    Node,
    Number,
    Unary,
)
from kvm_exporter.kvm.expressions.language.tokens import Token, words
from kvm_exporter.kvm.expressions.language.type_syntax import RESERVED, TypeName, type_at

DEEPEST = 64
"""Nodes in nodes, and parentheses in parentheses."""

PRECEDENCE = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<", "<=", ">", ">="),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
BINDING = {sign: level for level, signs in enumerate(PRECEDENCE) for sign in signs}
PREFIXES = frozenset("-~!&*")
CALLS = ("sizeof", "percpu", "sum", "ntohs", "ntohl")


def parse(expression: str) -> Node:
    """An expression's tree.  Errors: ExpressionError, with a column of 1 to one behind its end."""
    parser = _Parser(expression)
    node = parser.whole()
    parser.check_height(node)
    return node


class _Parser:
    """Where in the text we are, and how deep."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = words(expression)
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._binary(0)
        if self._here.kind != "end":
            self._fail(self._here, f"{self._here.text} is unexpected here")
        return node

    def check_height(self, root: Node) -> None:
        """No tree is so high that walking it would be."""
        level = [root]
        for _ in range(DEEPEST):
            level = [child for node in level for child in parts(node)]
            if not level:
                return
        self._too_deep(level[0].column)

    @property
    def _here(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._here
        if token.kind != "end":
            self._at += 1
        return token

    def _take(self, *signs: str) -> Token | None:
        """The token here, if it is one of these signs."""
        here = self._here
        return self._next() if here.kind == "sign" and here.text in signs else None

    def _expect(self, sign: str, opened: Token) -> None:
        if not self._take(sign):
            self._fail(self._here, f"the {opened.text} of column {opened.column} lacks its {sign}")

    def _fail(self, token: Token, what: str) -> Never:
        if token.kind == "end":
            what = f"the expression ends too early: {what}"
        raise ExpressionError(self._expression, token.column, what)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            self._too_deep(self._here.column)

    def _too_deep(self, column: int) -> Never:
        what = f"an expression is at most {DEEPEST} levels deep"
        raise ExpressionError(self._expression, column, what)

    def _binary(self, level: int) -> Node:
        """What binds at least as tightly as PRECEDENCE's ``level``."""
        left = self._unary()
        while (binding := self._binding()) >= level:
            sign = self._next()
            self._deeper()
            left = Binary(sign.text, left, self._binary(binding + 1), sign.column)
            self._depth -= 1
        return left

    def _binding(self) -> int:
        here = self._here
        return BINDING.get(here.text, -1) if here.kind == "sign" else -1

    def _unary(self) -> Node:
        self._deeper()
        here = self._here
        if here.kind == "sign" and here.text in PREFIXES:
            self._next()
            node: Node = Unary(here.text, self._unary(), here.column)
        elif found := self._cast():
            column, type_ = found
            node = Cast(str(type_), self._unary(), column)
        else:
            node = self._postfix(self._primary())
        self._depth -= 1
        return node

    def _cast(self) -> tuple[int, TypeName] | None:
        """A type in parentheses, if a cast stands here; it is taken, and the parentheses."""
        if self._here.text != "(" or self._here.kind != "sign":
            return None
        found = type_at(self._tokens, self._at + 1)
        if found is None or self._tokens[found[1]].text != ")":
            return None
        type_, end = found
        if not _casts(type_, self._tokens[end + 1]):
            return None
        column = self._tokens[self._at + 1].column
        self._at = end + 1
        return column, type_

    def _primary(self) -> Node:
        token = self._next()
        if token.kind == "number":
            return Number(token.value, token.column)
        if token.kind == "name":
            return self._name(token)
        if token.kind != "sign" or token.text != "(":
            self._fail(token, "a value must stand here")
        inner = self._binary(0)
        self._expect(")", token)
        return inner

    def _name(self, token: Token) -> Node:
        if token.quoted:
            return Name(token.text, token.column)
        if token.text in RESERVED:
            self._fail(token, f"{token.text} is a type's: a cast is (type)value")
        if self._here.text == "(" and self._here.kind == "sign":
            return self._call(token)
        return Name(token.text, token.column)

    def _call(self, name: Token) -> Node:
        if name.text not in CALLS:
            self._fail(name, f"there is no {name.text}(), only {'(), '.join(CALLS)}()")
        opened = self._next()
        argument = (self._type() if name.text == "sizeof" else None) or self._binary(0)
        self._expect(")", opened)
        return Call(name.text, argument, name.column)

    def _type(self) -> str | None:
        """What is surely a type and all that is in these parentheses; it is taken."""
        found = type_at(self._tokens, self._at)
        if found is None or found[0].sure != "yes" or self._tokens[found[1]].text != ")":
            return None
        self._at = found[1]
        return str(found[0])

    def _postfix(self, node: Node) -> Node:
        while sign := self._take(".", "->", "["):
            node = self._index(node, sign) if sign.text == "[" else self._member(node, sign)
        return node

    def _member(self, of: Node, sign: Token) -> Node:
        token = self._next()
        if sign.text == "." and token.kind == "sign" and token.text == "*":
            return Members(of, token.column)
        if token.kind != "name":
            self._fail(token, f"the name of a member must stand behind {sign.text}")
        return Member(of, token.text, sign.text == "->", token.column)

    def _index(self, of: Node, opened: Token) -> Node:
        if whole := self._whole_index():
            return whole(of, opened.column)
        first = None if self._here.text == ":" else self._binary(0)
        if first and not self._take(":"):
            self._expect("]", opened)
            return Index(of, first, opened.column)
        if not first:
            self._next()
        stop = None if self._here.text == "]" else self._binary(0)
        self._expect("]", opened)
        return Every(of, first, stop, opened.column)

    def _whole_index(self) -> Callable[[Node, int], Node] | None:
        """``*]`` and ``cpu]``, which is taken; a variable of that name would be ``[(cpu)]``."""
        here = self._here
        whole = None if here.quoted else WHOLE.get(here.text)
        if whole is None or self._tokens[self._at + 1].text != "]":
            return None
        self._at += 2
        return whole


def _every(of: Node, column: int) -> Node:
    return Every(of, None, None, column)


WHOLE: dict[str, Callable[[Node, int], Node]] = {"*": _every, "cpu": EveryCpu}


def _casts(type_: TypeName, behind: Token) -> bool:
    """Whether a type in parentheses, with this behind them, is a cast."""
    if type_.sure == "yes":
        return True
    starts = behind.kind in ("name", "number") or behind.text in ("(", "~", "!")
    return starts or (type_.sure == "likely" and behind.text in ("-", "*", "&"))


def parts(node: Node) -> tuple[Node, ...]:
    """The nodes that a node is made of, from left to right."""
    match node:
        case Number() | Name():
            return ()
        case Index():
            return (node.of, node.at)
        case Every():
            return tuple(part for part in (node.of, node.first, node.stop) if part)
        case Binary():
            return (node.left, node.right)
        case Call():
            return () if isinstance(node.argument, str) else (node.argument,)
    return (node.of,)


def names_in(node: Node) -> Iterator[str]:
    """The names of variables, constants and elements in it; not those behind a dot or an arrow."""
    if isinstance(node, Name):
        yield node.text
    for part in parts(node):
        yield from names_in(part)
