"""How is an expression written?  The text of a tree, with no more parentheses than it needs.

``parse`` makes the same tree of it, but for the columns.
"""

from __future__ import annotations

from kvm_exporter.kvm.expressions.language.parsing import BINDING, PRECEDENCE
from kvm_exporter.kvm.expressions.language.phrases import quoted
from kvm_exporter.kvm.expressions.language.syntax import (
    Binary,
    Call,
    Cast,
    Every,
    EveryCpu,
    Index,
    Member,
    Members,
    Name,
    Node,
    Number,
    Unary,
)

PREFIX = len(PRECEDENCE)
"""How tightly what stands before a value binds: more than every operator between two."""
BEHIND = PREFIX + 1


def written(node: Node) -> str:
    """An expression's text, or that of a part of one."""
    match node:
        case Number():
            return repr(node.value)
        case Name():
            return quoted(node.text)
        case Cast() | Unary():
            before = f"({node.type})" if isinstance(node, Cast) else node.operator
            return before + _part(node.of, BEHIND)
        case Binary():
            own = BINDING[node.operator]
            return f"{_part(node.left, own)} {node.operator} {_part(node.right, own + 1)}"
        case Call():
            of = node.argument if isinstance(node.argument, str) else written(node.argument)
            return f"{node.name}({of})"
    return _of(node.of) + _behind(node)


def _behind(node: Member | Members | Index | Every | EveryCpu) -> str:
    match node:
        case Member():
            return f"{'->' if node.arrow else '.'}{quoted(node.name)}"
        case Members():
            return ".*"
        case EveryCpu():
            return "[cpu]"
        case Index(at=Name(text="cpu")):
            return "[`cpu`]"
        case Index():
            return f"[{written(node.at)}]"
    ends = f"{_end(node.first)}:{_end(node.stop)}"
    return "[*]" if ends == ":" else f"[{ends}]"


def _end(node: Node | None) -> str:
    return "" if node is None else written(node)


def _of(node: Node) -> str:
    """What something stands behind: of a number a point would be a part."""
    return f"({written(node)})" if isinstance(node, Number) else _part(node, BEHIND)


def _part(node: Node, least: int) -> str:
    """In parentheses if it binds less tightly than that."""
    return written(node) if _binding(node) >= least else f"({written(node)})"


def _binding(node: Node) -> int:
    match node:
        case Binary():
            return BINDING[node.operator]
        case Unary() | Cast():
            return PREFIX
    return BEHIND
