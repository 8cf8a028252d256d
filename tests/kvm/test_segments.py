"""Does a file of segments tell where each address lies?"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import Extent

extents = st.lists(
    st.builds(Extent, st.integers(0, 60), st.integers(0, 120), st.integers(0, 30)), max_size=8
)


def test_order_does_not_matter() -> None:
    """Segments in any order are found, up to their ends, and listed by address."""
    segments = Segments([Extent(0x5000, 0x100, 0x1000), Extent(0x1000, 0x2000, 0x800)], 1 << 20)
    assert segments.find(0x5800, 0x10000) == (0x900, 0x800)
    assert segments.find(0x1000, 4) == (0x2000, 4)
    assert list(segments.extents()) == [
        Extent(0x1000, 0x2000, 0x800),
        Extent(0x5000, 0x100, 0x1000),
    ]
    for address in (0, 0xFFF, 0x1800, 0x4FFF, 0x6000, -1, 1 << 70):
        with pytest.raises(Fault) as caught:
            segments.find(address, 1)
        assert caught.value.address == address


def test_neighbours_are_one_run() -> None:
    """What lies together in memory and in the file is read at once; otherwise not."""
    together = Segments([Extent(0, 100, 50), Extent(50, 150, 50)], 1000)
    assert together.find(10, 1000) == (110, 90)
    apart = Segments([Extent(0, 100, 50), Extent(50, 200, 50)], 1000)
    assert apart.find(10, 1000) == (110, 40)


@pytest.mark.parametrize(
    ("size", "missing"), [(1000, 0), (300, 0), (299, 1), (200, 100), (150, 150), (0, 200)]
)
def test_bytes_behind_the_end_are_counted(size: int, missing: int) -> None:
    """Of a truncated file it is known how much memory is gone."""
    segments = Segments([Extent(0, 100, 100), Extent(0x1000, 200, 100)], size)
    assert segments.missing == missing


@pytest.mark.parametrize(("size", "left"), [(1000, 100), (180, 80), (101, 1)])
def test_a_truncated_file(size: int, left: int) -> None:
    """A segment has what the file still has of it."""
    segments = Segments([Extent(0x1000, 100, 100)], size)
    assert segments.find(0x1000, 1000) == (100, left)
    with pytest.raises(Fault):
        segments.find(0x1000 + left, 1)


def test_what_was_cut_off_is_known() -> None:
    """Where the file should go on, and nowhere else."""
    segments = Segments([Extent(0x1000, 100, 100), Extent(0x5000, 200, 100)], 250)
    cut = [address for address in range(0, 0x6000, 10) if segments.cut_off(address)]
    assert cut == list(range(0x5032, 0x5064, 10))
    assert not Segments([Extent(0x1000, 100, 100)], 200).cut_off(0x1064)


def test_a_segment_past_the_end() -> None:
    """It does not exist."""
    segments = Segments([Extent(0, 100, 100), Extent(500, 0, 10)], 100)
    assert list(segments.extents()) == [Extent(500, 0, 10)]


@given(extents, st.integers(0, 150))
def test_any_segments(listed: list[Extent], size: int) -> None:
    """Overlaps: each address has one place, one that some segment gives it, in the file."""
    segments = Segments(listed, size)
    for address in range(100):
        wanted = {
            one.offset + address - one.address
            for one in listed
            if one.address <= address < one.address + one.length
        }
        inside = {offset for offset in wanted if offset < size}
        try:
            found = segments.find(address, 1000)
        except Fault:
            assert not inside
        else:
            assert found.offset in inside
            assert found.offset + found.length <= size
    parts = list(segments.extents())
    for before, after in pairwise(parts):
        assert before.address + before.length <= after.address
