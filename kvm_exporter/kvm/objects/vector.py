"""How does a block of C strings become a vector?  As execve(2) lays out argv and envp."""

from __future__ import annotations


def vector(block: bytes) -> tuple[str, ...]:
    """Strings that a NUL each ends; empty ones count, and a last one may have lost its NUL.

    They are UTF-8, undecodable bytes as surrogates (os.fsencode gives them back).
    """
    if not block:
        return ()
    ended = block.removesuffix(b"\0").split(b"\0")
    return tuple(string.decode("utf-8", "surrogateescape") for string in ended)
