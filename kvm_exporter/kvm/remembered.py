"""Which answers were given before?  As many as are worth their memory; then all are forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Answer = TypeVar("Answer")


class Remembered(dict[Key, Answer]):
    """Answers by what was asked, ``most`` of them."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def of(self, key: Key, work_out: Callable[[Key], Answer]) -> Answer:
        """The answer to ``key``, worked out if it is not known; the errors are ``work_out``'s."""
        if key not in self:
            if len(self) >= self._most:
                self.clear()
            self[key] = work_out(key)
        return self[key]
