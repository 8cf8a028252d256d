"""Do direct maps and chains translate what is theirs, and nothing else?"""

from __future__ import annotations

import pytest

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.space import READ, WRITE, Mapping
from kvm_exporter.kvm.translation import Chain, DirectMap

DIRECT = DirectMap(0xFFFF_A000_0000_0000, 0xFFFF_A000_4000_0000, 0x8000_0000)
"""arm64: physical memory starts at 2 GB (dmapphys)."""


def test_within() -> None:
    """An address moves by the difference of the bases, its run ends where the map does."""
    assert DIRECT.translate(0xFFFF_A000_0000_1234, 8) == (0x8000_1234, 8)
    assert DIRECT.translate(0xFFFF_A000_3FFF_FFFF, 8) == (0xBFFF_FFFF, 1)


@pytest.mark.parametrize("address", [0, -1, 0xFFFF_9FFF_FFFF_FFFF, 0xFFFF_A000_4000_0000, 1 << 70])
def test_outside(address: int) -> None:
    """What is not in the map is a Fault at its own address."""
    with pytest.raises(Fault) as caught:
        DIRECT.translate(address, 8)
    assert caught.value.address == address


def test_back() -> None:
    """A physical address has its place in the map, or none."""
    assert DIRECT.virtual(0x8000_1234) == 0xFFFF_A000_0000_1234
    assert DIRECT.virtual(0x7FFF_FFFF) is None
    assert DIRECT.virtual(0xC000_0000) is None


def test_listing() -> None:
    """The map is one mapping."""
    assert list(DIRECT.mappings()) == [
        Mapping(0xFFFF_A000_0000_0000, 0x8000_0000, 0x4000_0000, READ | WRITE)
    ]


def test_the_first_that_knows() -> None:
    """A chain asks in order; where none knows, the last one's Fault is the answer."""
    first, second = DirectMap(0x1000, 0x3000, 0), DirectMap(0x2000, 0x5000, 0x10000)
    chain = Chain((first, second))
    assert chain.translate(0x2800, 4) == (0x1800, 4)
    assert chain.translate(0x3000, 4) == (0x11000, 4)
    with pytest.raises(Fault, match="0x2000 to 0x5000"):
        chain.translate(0x5000, 4)
    assert list(chain.mappings()) == [*first.mappings(), *second.mappings()]


def test_an_empty_chain() -> None:
    """Nothing is mapped by nobody."""
    with pytest.raises(Fault) as caught:
        Chain(()).translate(0x1234, 1)
    assert caught.value.address == 0x1234
    assert list(Chain(()).mappings()) == []
