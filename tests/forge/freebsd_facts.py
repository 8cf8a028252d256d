"""What did a real FreeBSD 15.1 say?  The recordings that lie beside this repository, replayed."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from forge.sysctl import Answers, ForgedSysctl

FACTS = Path(__file__).parents[2] / "../shared/facts/freebsd-15.1"


def text(name: str) -> str:
    """A recorded text (``tools.txt.gz``); skips the test where there are no recordings."""
    return _bytes(name).decode("utf-8", "replace")


def layouts() -> dict[str, dict[str, dict[str, object]]]:
    """Machine → struct → size and fields, from the DWARF of the kernels."""
    found: dict[str, dict[str, dict[str, object]]] = json.loads(_bytes("layouts.json"))
    return found


def sysctl(user: str) -> ForgedSysctl:
    """The sysctls as ``root``, ``nobody`` or ``nobody-hidden`` read them."""
    answers: Answers = {}
    mibs = {}
    for row in json.loads(_bytes(f"sysctl-{user}.json.gz")):
        if "mib" in row:
            failed = row["errno_size"] or row["errno"]
            answers[row["name"]] = failed or bytes.fromhex(row["hex"])
            mibs[row["name"]] = tuple(row["mib"])
    return ForgedSysctl(answers, mibs)


def printed(pattern: str, name: str = "tools.txt.gz") -> str:
    """The first group of a pattern in a recorded text."""
    found = re.search(pattern, text(name), re.MULTILINE)
    assert found, f"{pattern} is not in {name}"
    return found[1]


def _bytes(name: str) -> bytes:
    path = FACTS / name
    if not path.exists():
        pytest.skip(f"no recordings of FreeBSD at {FACTS}")
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data
