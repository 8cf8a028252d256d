"""Does the real promtool take the alerts, and do they fire when they should?"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

FOLDER = Path(__file__).parents[2] / "dashboards"


def promtool(*arguments):
    """What promtool says, with its status."""
    command = ["promtool", *arguments]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)


def test_promtool_takes_the_rules():
    """The rules pass promtool's check, with every warning taken for an error."""
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_on_the_hosts_that_they_should():
    """Every made-up host of alerts_test.yml gets the alerts that it should."""
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "clause", [" > 0.5", "and predict_linear", "and rate", "for: 10m", "keep_firing_for"]
)
def test_each_clause_of_the_swap_alert_is_tested(clause, tmp_path):
    """Without any one line of its condition the cases fail: none of them is there for show."""
    lines = (FOLDER / "alerts.yml").read_text(encoding="utf-8").splitlines(keepends=True)
    [index] = [number for number, line in enumerate(lines) if clause in line]
    if clause == " > 0.5":
        lines[index] = lines[index].replace(clause, " > 0")
    else:
        del lines[index]
    (tmp_path / "alerts.yml").write_text("".join(lines), encoding="utf-8")
    cases = (FOLDER / "alerts_test.yml").read_text(encoding="utf-8")
    (tmp_path / "alerts_test.yml").write_text(cases, encoding="utf-8")
    assert promtool("test", "rules", str(tmp_path / "alerts_test.yml")).returncode == 1
