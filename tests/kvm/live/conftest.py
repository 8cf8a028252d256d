"""A libc with FreeBSD's calls, compiled for the machine that runs the tests."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "forge/libc.c"


@pytest.fixture(scope="session")
def freebsd_libc(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """tests/forge/libc.c, loaded; errno is kept as ctypes keeps it for the real libc."""
    pytest.importorskip("ziglang", reason="PyPI has no wheel for this system")
    folder = tmp_path_factory.mktemp("libc")
    library = folder / "libc.so"
    cache = {"ZIG_GLOBAL_CACHE_DIR": str(folder), "ZIG_LOCAL_CACHE_DIR": str(folder)}
    command = ["cc", "-shared", "-nostdlib", "-fPIC", "-fno-sanitize=all", SOURCE, "-o", library]
    subprocess.run([sys.executable, "-m", "ziglang", *command], env=os.environ | cache, check=True)
    return ctypes.CDLL(str(library), use_errno=True)
