"""Do the pieces behind ``explain`` answer their questions, at their edges too?"""

from __future__ import annotations

import pytest
from forge.kcore import core

from kvm_exporter.inspection.onecpu import OneCpu
from kvm_exporter.inspection.pointing import AFTER, BEFORE, pointed
from kvm_exporter.inspection.still import Still
from kvm_exporter.inspection.whose import Whose, whose
from kvm_exporter.kvm import KvmError, Unsupported
from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.expressions.language.syntax import ExpressionError
from kvm_exporter.kvm.live.devmem import DeviceMemory, NoMemory
from kvm_exporter.kvm.live.kcore import Kcore
from kvm_exporter.kvm.memory import Place

MASK = (1 << 64) - 1


class Changing:
    """A memory of two pages, whose bytes count how often it was read."""

    def __init__(self) -> None:
        self.reads = 0
        self.write = self.place = self.close = None

    def read(self, address, length):
        """Short at the end."""
        if not 0 <= address < 8192:
            raise Fault(address, "nothing")
        self.reads += 1
        return bytes([self.reads]) * min(length, 8192 - address)


def test_a_page_stays_as_it_was_first_read():
    """However often it is read; a second page is read when it is needed."""
    memory = Changing()
    still = Still(memory)
    assert still.read(100, 8) == still.read(200, 8) == b"\x01" * 8
    assert still.read(4090, 12) == b"\x01" * 6 + b"\x02" * 6
    assert memory.reads == 2


def test_the_end_of_memory_stays_its_end():
    """A read is short where memory ends, and a Fault behind it."""
    still = Still(Changing())
    assert len(still.read(8190, 10)) == 2
    with pytest.raises(Fault) as caught:
        still.read(8192, 1)
    assert caught.value.address == 8192


def test_a_page_that_cannot_be_read_whole():
    """What it has is still there for who asks for that only."""

    class Half(Changing):
        def read(self, address, length):
            if address + length > 4000:
                raise Fault(address, "a poisoned page")
            return super().read(address, length)

    assert Still(Half()).read(10, 4) == b"\x01" * 4


@pytest.mark.parametrize(
    ("offset", "others", "told"),
    [
        (0x1000, {0x1000, 0x2000, 0x5000}, Whose(0, 0)),
        (0x5008, {0x1008, 0x2008, 0x5008, 0x1000}, Whose(5, 8)),
        (0x2000, {0x2000, 0x5000}, Whose(None, 0x2000)),
        (16, {16}, Whose(None, 16)),
    ],
)
def test_whose_copy_it_is(offset, others, told):
    """A CPU's, if all CPUs' are read; else it is an offset."""
    assert whose(offset, others, {0: 0x1000, 2: 0x2000, 5: 0x5000}, MASK) == told


def test_distances_below_zero():
    """A pointer that lies above its copies: amd64's, modulo 2^64."""
    distances = {0: -0x9000 & MASK, 1: -0x8000 & MASK}
    both = {one + 8 & MASK for one in distances.values()}
    assert whose(-0x8000 + 8 & MASK, both, distances, MASK) == Whose(1, 8)


def test_one_cpu_has_no_distance():
    """Where the only copy is what the pointer leads to, nobody's is told."""
    assert whose(8, {8}, {0: 0}, MASK) == Whose(None, 8)
    assert whose(8, {8}, {}, MASK) == Whose(None, 8)


def test_a_cpu_that_is_not_there():
    """The error says which are."""

    class Copies:
        def cpus(self):
            return (0, 3)

    with pytest.raises(KvmError, match="no CPU 1; there are 0, 3"):
        OneCpu(Copies(), 1)


def test_a_caret_below_the_column():
    """In a short expression, at its end, and in a long one, of which a part is shown."""
    assert pointed(ExpressionError("a +", 4, "what")) == "what\n    a +\n       ^"
    text = "x" * 500 + "?" + "y" * 500
    _, shown, caret = pointed(ExpressionError(text, 501, "what")).splitlines()
    assert shown[len(caret) - 1] == "?"
    assert len(shown) < BEFORE + AFTER + 16


def test_what_cannot_be_shown_does_not_move_the_caret():
    """Line ends, tabs and letters of any width are one blank each."""
    text = "a\n\tb\x1b[2J語?"
    _, shown, caret = pointed(ExpressionError(text, len(text), "what")).splitlines()
    assert shown == "    a  b [2J ?"
    assert caret.index("^") == shown.index("?")


def test_places_of_devices(tmp_path):
    """Of /dev/kmem the address, an off_t; of /proc/kcore what its program headers say."""
    kmem = tmp_path / "kmem"
    kmem.write_bytes(bytes(range(100)))
    memory = DeviceMemory(str(kmem))
    assert memory.place(10) == Place(str(kmem), 10)
    with pytest.raises(Fault):
        memory.place(200)
    memory.close()
    kcore = tmp_path / "kcore"
    data = core([(0xFFFF800000001000, b"abcdef"), (0x2000, b"ghi")])
    kcore.write_bytes(data)
    memory = Kcore(str(kcore))
    place = memory.place(0xFFFF800000001002)
    assert data[place.offset :].startswith(b"cdef")
    with pytest.raises(Fault):
        memory.place(0x9000)
    memory.close()
    with pytest.raises(Unsupported):
        NoMemory().place(0)
