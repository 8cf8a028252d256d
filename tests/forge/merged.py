"""How do two files' declarations of one kernel become one?  Structs that both have are joined.

Each file declares what its subject needs of a struct.  The first one's members win; the second's
that have other names are added.  Typedefs and enums come first, then structs in such an order that
each stands behind those that it holds.
"""

from __future__ import annotations

import re

STRUCT = re.compile(r"^(struct (\w+) \{)([^\n]*?|.*?\n)(\};)$", re.MULTILINE | re.DOTALL)
HELD = re.compile(r"\bstruct (\w+) (?!\*)\w")


def merge(first: str, second: str) -> str:
    """The declarations of both."""
    structs = _structs(second)
    for name, members in _structs(first).items():
        structs[name] = {**structs.get(name, {}), **members}
    # what is declared twice is what was declared first
    rest = STRUCT.sub("", second) + STRUCT.sub("", first)
    return rest + "".join(
        f"struct {name} {{ {' '.join(structs[name].values())} }};\n" for name in _ordered(structs)
    )


def _structs(text: str) -> dict[str, dict[str, str]]:
    """By tag each member's declaration by its name."""
    return {
        found[2]: {_name(member): member for member in _members(found[3])}
        for found in STRUCT.finditer(text)
    }


def _members(body: str) -> list[str]:
    """The declarations between semicolons that are in no braces."""
    found, depth, start = [], 0, 0
    for at, char in enumerate(body):
        depth += (char == "{") - (char == "}")
        if char == ";" and not depth:
            found.append(" ".join(body[start : at + 1].split()))
            start = at + 1
    return found


def _name(member: str) -> str:
    """What a declaration declares: its last word, or the whole of what has none."""
    plain = re.sub(r"\[.*?\]|\([^)]*\)", "", member)
    last = re.search(r"(\w+);$", plain)
    return last[1] if last else member


def _ordered(structs: dict[str, dict[str, str]]) -> list[str]:
    ordered: dict[str, None] = {}

    def put(name: str) -> None:
        if name in ordered or name not in structs:
            return
        for member in structs[name].values():
            for held in HELD.findall(member):
                put(held)
        ordered[name] = None

    for name in structs:
        put(name)
    return list(ordered)
