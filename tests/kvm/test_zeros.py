"""Are the kernel's own pages zeros where a dump left them out, and only those?"""

from __future__ import annotations

import pytest

from kvm_exporter.kvm.dead.zeros import BOUNDS, KernelZeros
from kvm_exporter.kvm.errors import Fault, Filtered
from kvm_exporter.kvm.memory import Symbol

BASE = 0xFFFFFFFF82000000
PLACES = (BASE + 0x800, BASE + 0x3800, BASE + 0x8000, BASE + 0xC000)


class Pages:
    """Memory of pages: a byte that fills one, None for one that was left out."""

    def __init__(self, pages):
        self.pages = pages
        self.closed = False

    def read(self, address, length):
        data = b""
        while len(data) < length:
            at = address + len(data)
            if at >> 12 not in self.pages or self.pages[at >> 12] is None:
                if data:
                    return data
                kind = Filtered if at >> 12 in self.pages else Fault
                raise kind(at, "not there")
            data += self.pages[at >> 12] * min(4096 - at % 4096, length - len(data))
        return data

    def write(self, address, data):
        raise AssertionError

    place = write

    def close(self):
        self.closed = True


class Names:
    """Symbols of the four bounds, but for ``without``; lookups are counted."""

    def __init__(self, without=()):
        self.without = without
        self.lookups = 0

    def lookup(self, names):
        self.lookups += 1
        places = dict(zip(BOUNDS, PLACES, strict=True))
        return [None if name in self.without else Symbol(name, places[name]) for name in names]


def memory(**options):
    """Pages of .data, of what is freed after boot, of .bss and behind; and the names used."""
    first = BASE >> 12
    left_out = dict.fromkeys(range(first, first + 16))
    names = Names(**options)
    there = {first: b"a", first + 2: b"c", first + 9: b"i"}
    return KernelZeros(Pages(left_out | there), names), names


def test_what_was_left_out_of_data_is_zeros():
    """Between pages that are there, from one on, and alone."""
    kernel, _ = memory()
    assert kernel.read(BASE + 0xFFE, 0x1004) == b"aa" + bytes(4096) + b"cc"
    assert kernel.read(BASE + 0x1234, 8) == bytes(8)
    assert kernel.read(BASE + 0x8000, 0x2000) == bytes(4096) + b"i" * 4096


def test_what_was_left_out_elsewhere_stays_so():
    """Behind .data, where memory was freed after boot, behind .bss, and below."""
    kernel, _ = memory()
    for address in (BASE + 0x3800, BASE + 0x5000, BASE + 0x7FFF, BASE + 0xC000):
        with pytest.raises(Filtered):
            kernel.read(address, 1)
    with pytest.raises(Fault) as caught:
        kernel.read(BASE + 0x20000, 1)
    assert not isinstance(caught.value, Filtered)
    assert kernel.read(BASE + 0x2FFC, 0x2000) == b"c" * 4 + bytes(0x1000)


@pytest.mark.parametrize("name", BOUNDS)
def test_a_kernel_without_one_of_the_symbols(name):
    """Nothing is known, and so nothing is zeros."""
    kernel, _ = memory(without=(name,))
    with pytest.raises(Filtered):
        kernel.read(BASE + 0x1234, 8)
    assert kernel.read(BASE, 4) == b"aaaa"


def test_symbols_are_looked_up_when_they_are_needed():
    """Once, at the first page that is not there."""
    kernel, names = memory()
    kernel.read(BASE, 4096)
    assert names.lookups == 0
    kernel.read(BASE + 0x1000, 1)
    kernel.read(BASE + 0x8000, 1)
    assert names.lookups == 1
    kernel.close()
    assert kernel._memory.closed
