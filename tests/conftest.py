"""Files that hold what we promise, compared whole; ``--update`` writes them anew for review."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--update``."""
    parser.addoption("--update", action="store_true", help="rewrite golden files and metric docs")


@pytest.fixture
def same_as_file(request: pytest.FixtureRequest) -> Callable[[str, Path], None]:
    """A check that a text equals a file's, or with ``--update`` writes it there."""

    def check(text: str, path: Path) -> None:
        if request.config.getoption("--update"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{path}: review, then pytest --update"

    return check


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Indexes of forged dumps go where nobody keeps them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
