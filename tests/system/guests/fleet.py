"""Which guests does a test session want, and when is one ready?  Two are prepared at a time."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from system.guests.guest import Guest, prepare
from system.guests.packages import Releases
from system.guests.recipes import BY_NAME, Recipe

AT_A_TIME = 2


class Fleet:
    """Guests under preparation; a context manager, which ends with the last of them."""

    def __init__(self, names: Iterable[str], releases: Releases, folder: Path) -> None:
        self._releases = releases
        self._folder = folder
        self._pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="guest")
        self._guests: dict[str, Future[Guest]] = {
            name: self._pool.submit(self._prepare, BY_NAME[name]) for name in names
        }

    def _prepare(self, recipe: Recipe) -> Guest:
        return prepare(recipe, self._releases, self._folder / recipe.name)

    def guest(self, name: str) -> Guest:
        """The guest of that name, once it is dumped; its own failure otherwise, each time."""
        return self._guests[name].result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
