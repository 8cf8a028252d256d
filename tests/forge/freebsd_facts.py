"""What did a real FreeBSD 15.1 say?  The recordings that lie beside this repository, replayed."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from forge.sysctl import Answers, ForgedSysctl
from forge.sysctl_tree import NODE, SysctlTree

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


LABELS = (
    # SYSCTL_ADD_NODE_WITH_LABEL and FEATURE(): sys/kern/subr_bus.c, kern_tc.c, kern_et.c,
    # sys/sys/sysctl.h; the recordings have no labels
    (r"dev\.[^.]+\.\d+", "device_index"),
    (r"kern\.timecounter\.tc\.[^.]+", "timecounter"),
    (r"kern\.eventtimer\.et\.[^.]+", "eventtimer"),
    (r"kern\.features\.[^.]+", "feature"),
)


def tree(user: str) -> SysctlTree:
    """Every recorded leaf as a tree that can be walked, with the kernel's own numbers."""
    found = SysctlTree()
    for row in json.loads(_bytes(f"sysctl-{user}.json.gz")):
        name, mib = row.get("name", ""), row.get("mib", ())
        if "fmt" not in row or name.count(".") + 1 != len(mib) or re.search(r"[ (|]", name):
            continue  # unknown there, or asked for with arguments
        if row["kind"] & 15 == NODE:
            oid = found.node(name, flags=row["kind"] & ~15, handler=name != "kern.features")
        else:
            answer = row["errno_size"] or row["errno"] or bytes.fromhex(row["hex"])
            oid = found.add(name, row["kind"] & 15, row["fmt"], answer, flags=row["kind"] & ~15)
        oid.number = mib[-1]
        _label(found, name, mib)
    return found


def _label(found: SysctlTree, name: str, mib: Sequence[int]) -> None:
    """The numbers and labels of the nodes on the way to a leaf."""
    at = found.root
    parts = name.split(".")
    for depth, (part, number) in enumerate(zip(parts, mib, strict=True), 1):
        at = at.children[part]
        at.number = number
        so_far = ".".join(parts[:depth])
        at.label = next((label for one, label in LABELS if re.fullmatch(one, so_far)), None)


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
