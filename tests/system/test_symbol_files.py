"""What does the real promtool say of the metrics in the module files?"""

from __future__ import annotations

import subprocess

import pytest

from kvm_exporter.collectors.symbols import asking, files
from kvm_exporter.metric import Family
from kvm_exporter.outputs import exposition

NAMES = tuple(files.shipped())


def families(name: str) -> list[Family]:
    """A family of each metric of a module, with a sample."""
    module = files.load(files.shipped()[name])
    told = {one.name: one for one in reversed(asking.numbered(module))}
    made = []
    for one in told.values():
        metric = asking.metric(one, tuple(one.labels))
        made.append(metric.family([(tuple("x" for _ in one.labels), 1)]))
    return made


@pytest.mark.parametrize("name", NAMES)
def test_promtool_finds_nothing_to_say(name: str) -> None:
    """Every metric of a module passes promtool's linter, in the plain text format."""
    text = exposition.render(families(name))
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
