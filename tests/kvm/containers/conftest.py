"""What the tests of containers share: a dump's bytes, and a cache that is not the user's."""

import random

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache directory, for as long as a test runs."""
    path = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))
    return path / "kvm_exporter"


@pytest.fixture(scope="session")
def dump():
    """A few MiB as dumps have them: pages that repeat, noise, and long runs of zeros."""
    rng = random.Random(20)
    pages = [rng.randbytes(4096) for _ in range(40)]
    text = b"".join(f"process {number} is sleeping\n".encode() for number in range(30000))
    parts = []
    for _ in range(4):
        parts += [b"".join(rng.choices(pages, k=100)), bytes(300_000), rng.randbytes(50_000), text]
    return b"minidump FreeBSD/amd64\0\0" + b"".join(parts)


@pytest.fixture(scope="session")
def places(dump):
    """(offset, length) worth reading: both ends, across every kind of boundary, at random."""
    rng = random.Random(21)
    size = len(dump)
    at = [0, 1, size - 1, size - 4096, 131072 - 8, 1 << 20, (1 << 20) - 1, 5 << 20]
    at += [rng.randrange(size) for _ in range(40)]
    return [(offset, length) for offset in at for length in (1, 16, 5000, 300_000)]


@pytest.fixture
def same(dump, places):
    """Says that a source reads as the dump does."""

    def check(source):
        assert source.size == len(dump)
        for offset, length in places:
            assert source.read(offset, length) == dump[offset : offset + length], hex(offset)
        assert source.read(len(dump), 10) == b""
        assert source.read(len(dump) - 3, 10) == dump[-3:]
        assert source.read(0, 2 * len(dump)) == dump

    return check
