"""Linked files of real compilers, each made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.compilers import compiled


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], Path]:
    """(target, flags, C text) → the linked file."""
    folder = tmp_path_factory.mktemp("compiled")
    made: dict[tuple[str, str, str], Path] = {}

    def build(target: str, flags: str, text: str) -> Path:
        key = (target, flags, text)
        if key not in made:
            made[key] = compiled(folder / f"{len(made)}.so", *key)
        return made[key]

    return build
