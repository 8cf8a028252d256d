"""Which names are spelled nearly as one that was asked for?  Of the 100,000 that a kernel has.

Of a name with one or two letters wrong at least a third stands as it was: only names that have one
of its thirds are compared letter by letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

NEAR = 3
"""Names that help."""

LEAST_ALIKE = 0.7
"""As difflib measures it: 1 are the same letters."""

MOST_COMPARED = 1 << 13
LONGEST = 128
"""Names that are compared letter by letter, and letters of one."""


def nearest(name: str, names: Iterable[str]) -> Sequence[str]:
    """At most NEAR of ``names``, the nearest first; those that begin with ``name`` count as near.

    ``name`` itself is none of them.
    """
    if not 0 < len(name) <= LONGEST:
        return ()
    pieces = thirds(name)
    spread = max(2, len(name) // 3)
    alike: dict[str, None] = {}
    longer: dict[str, None] = {}
    for one in names:
        if one == name or not any(piece in one for piece in pieces):
            continue
        if abs(len(one) - len(name)) <= spread and len(alike) < MOST_COMPARED:
            alike[one] = None
        elif one.startswith(name) and len(longer) < NEAR:
            longer[one] = None
    near = get_close_matches(name, alike, n=NEAR, cutoff=LEAST_ALIKE)
    return (*near, *longer)[:NEAR]


def thirds(name: str) -> Sequence[str]:
    """The three pieces that a name is made of, each once; fewer of a short one."""
    third = -(-len(name) // 3)
    return tuple(dict.fromkeys(name[at : at + third] for at in range(0, len(name), third)))


def nearest_line(name: str, text: str) -> Sequence[str]:
    """The same for names that are lines of ``text``: quick, for all that a kernel has."""
    if not 0 < len(name) <= LONGEST:
        return ()
    return nearest(name, (line for piece in thirds(name) for line in _with(piece, text)))


def _with(piece: str, text: str) -> Iterator[str]:
    at = text.find(piece)
    while at >= 0:
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        end = len(text) if end < 0 else end
        yield text[start:end]
        at = text.find(piece, end)
