"""Is /proc/loadavg read, whatever it holds?"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from kvm_exporter.kvm.errors import AccessDenied, FormatError, Unsupported
from kvm_exporter.kvm.objects.model import LoadAverage


def test_the_three_numbers(forged: Any) -> None:
    """The first three numbers are the averages; what follows is ignored."""
    forged.tree.put("loadavg", "0.20 1234.18 0.00 1/80 11206\n")
    assert forged.system.load_average() == LoadAverage(0.2, 1234.18, 0.0)


@pytest.mark.parametrize("text", ["", "1 2", "1 2 x", "nan 1 1", "1 inf 1", "\xff"])
def test_anything_else_is_a_format_error(forged: Any, text: str) -> None:
    """What is no load is an error that shows the file, never a wrong number."""
    forged.tree.put("loadavg", text)
    with pytest.raises(FormatError, match="/loadavg: not understood"):
        forged.system.load_average()


def test_absent_and_refused_say_what_to_do(forged: Any) -> None:
    """A missing file and a refused one are different errors, both counted."""
    with pytest.raises(Unsupported, match="is /proc mounted"):
        forged.system.load_average()
    forged.procfs.refused = {"loadavg": errno.EACCES}
    with pytest.raises(AccessDenied, match="loadavg"):
        forged.system.load_average()
    path = forged.procfs.path("loadavg")
    assert forged.tally.counts() == {(path, "ENOENT"): 1, (path, "EACCES"): 1}
