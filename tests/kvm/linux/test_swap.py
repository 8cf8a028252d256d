"""Are /proc/swaps and the swap lines of /proc/vmstat read?"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from kvm_exporter.kvm.errors import AccessDenied, FormatError, Unsupported
from kvm_exporter.kvm.objects.model import SwapActivity, SwapDevice

HEADING = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def test_devices_in_bytes_and_in_order(forged: Any) -> None:
    """Sizes are KiB in the file; all of a device is usable; priorities may be negative."""
    forged.tree.put(
        "swaps",
        HEADING
        + "/dev/dm-1                               partition\t8388604\t\t12\t\t-2\n"
        + "/swapfile                               file\t\t5368709120\t0\t\t10\n",
    )
    assert forged.system.swap_devices() == (
        SwapDevice("/dev/dm-1", 8388604 * 1024, 12 * 1024, 8388604 * 1024, priority=-2),
        SwapDevice("/swapfile", 5 * 2**40, 0, 5 * 2**40, priority=10),
    )


@pytest.mark.parametrize(
    ("escaped", "name"),
    [
        (r"/my\040swap\011file\012x", "/my swap\tfile\nx"),
        (r"/back\134040slash", r"/back\040slash"),
        (r"/swapfile\040(deleted)", "/swapfile (deleted)"),
        (r"/\303\274ber", "/über"),
        (r"/not\08octal\777", r"/not\08octal\777"),
    ],
)
def test_names_are_unescaped_once(forged: Any, escaped: str, name: str) -> None:
    r"""``\ooo`` is a byte, an escaped backslash is not looked at again."""
    forged.tree.put("swaps", f"{HEADING}{escaped} file 8 4 -2\n")
    assert forged.system.swap_devices()[0].name == name


def test_undecodable_names_can_be_turned_back(forged: Any) -> None:
    """A name that is no UTF-8 keeps its bytes."""
    forged.tree.put("swaps", HEADING.encode() + b"/sw\xffap file 8 4 -2\n")
    name = forged.system.swap_devices()[0].name
    assert name.encode("utf-8", "surrogateescape") == b"/sw\xffap"


def test_no_swap_is_no_error(forged: Any) -> None:
    """Neither an empty table nor a kernel without swap is a failure."""
    assert forged.system.swap_devices() == ()
    forged.tree.put("swaps", HEADING)
    assert forged.system.swap_devices() == ()
    assert forged.tally.counts() == {}


def test_no_proc_is_an_error(forged: Any) -> None:
    """Where not even /proc/stat is there, nothing is known about swap."""
    (forged.tree.root / "stat").unlink()
    with pytest.raises(Unsupported, match="swaps"):
        forged.system.swap_devices()


def test_refused_is_an_error(forged: Any) -> None:
    """Permission denied does not mean no swap."""
    forged.procfs.refused = {"swaps": errno.EACCES}
    with pytest.raises(AccessDenied, match="swaps"):
        forged.system.swap_devices()


@pytest.mark.parametrize("line", ["/a file 8 4", "/a file x 4 1", "/a file 8 4 1 1"])
def test_a_strange_line_is_a_format_error(forged: Any, line: str) -> None:
    """A line of another shape is shown, not guessed at."""
    forged.tree.put("swaps", f"{HEADING}{line}\n")
    with pytest.raises(FormatError, match="/a file"):
        forged.system.swap_devices()


def test_activity_in_bytes(forged: Any) -> None:
    """Pages become bytes; Linux knows no operations."""
    forged.tree.put("vmstat", f"pgpgin 5\npswpin 3\npswpout {2**40}\nswap_ra 9\n")
    assert forged.system.swap_activity() == SwapActivity(3 * 4096, 2**40 * 4096, None, None)


def test_activity_that_is_not_told_is_unknown(forged: Any) -> None:
    """A missing line costs its field, a missing file both, and that is counted."""
    forged.tree.put("vmstat", "pswpin 3\n")
    assert forged.system.swap_activity() == SwapActivity(3 * 4096)
    forged.procfs.refused = {"vmstat": errno.EIO}
    assert forged.system.swap_activity() == SwapActivity()
    assert forged.tally.counts() == {(forged.procfs.path("vmstat"), "EIO"): 1}
