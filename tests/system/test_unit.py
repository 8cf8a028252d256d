"""Does systemd itself take the unit, and how exposed does it call the service?"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

UNIT = Path(__file__).parents[2] / "kvm_exporter.service"


@pytest.fixture
def unit(tmp_path):
    """The unit with a program that is installed here."""
    text = UNIT.read_text(encoding="utf-8")
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/opt/kvm_exporter/bin/kvm_exporter", "/bin/true"))
    return copy


def analyze(*arguments):
    """What systemd-analyze says, with its status."""
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_systemd_takes_the_unit(unit):
    """systemd-analyze verify knows every directive and has nothing to say."""
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_is_hardly_exposed(unit):
    """systemd-analyze security gives at most 2.0 of 10: seeing the whole system is all it may."""
    done = analyze("security", "--offline=true", "--threshold=20", unit)
    assert done.returncode == 0, done.stdout
