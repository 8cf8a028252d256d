"""Does the README say what is there, and does CI do what it says?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from kvm_exporter.outputs.http import RESERVED

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def flags(text):
    """Long options in a text, those of each collector under one name."""
    found = re.findall(r"--[a-z][\w.-]*", text)
    return {re.sub(r"^--(no-)?collector\..*", "--collector.NAME", flag) for flag in found}


def test_flags_are_those_of_the_program():
    """The table of flags has all that --help has, and nothing else."""
    command = [sys.executable, "-m", "kvm_exporter", "--help"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `--")]
    assert flags(" ".join(rows)) == flags(output) - {"--help"}


def test_endpoints_are_those_of_the_server():
    """Every address that the server keeps for itself is in the README."""
    assert all(f"{path}`" in README for path in RESERVED)


def test_targets_are_in_the_makefile():
    """Every `make …` in the README is a target."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    named = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", README, re.MULTILINE)
    assert {first or second for first, second in named} <= set(targets)


def test_links_lead_somewhere():
    """Every relative link is a file of this repository."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_ci_takes_the_test_command_from_here():
    """There is one marked block, and it is what a newcomer is told to type."""
    marked = r"^<!-- test command[^>]*-->\n+```sh\n(.*?)^```$"
    assert re.findall(marked, README, re.MULTILINE | re.DOTALL) == ["make test\n"]
