"""Is a flattened dump read as makedumpfile -R would rearrange it, whole or broken off?"""

import random

import pytest
from fakes.sources import Bytes
from forge.elfcore import write_full_dump
from forge.flattened import flatten, write_flattened
from forge.kdump import write_kdump
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.containers import open_container
from kvm_exporter.kvm.containers.ordering import Piece, Pieces
from kvm_exporter.kvm.errors import AccessDenied, FormatError
from kvm_exporter.kvm.formats import open_image
from kvm_exporter.kvm.space import PhysicalMemory

RNG = random.Random(42)
BROKEN = "ends at 0x[0-9a-f]+ without its end mark"


def rearranged(pieces):
    """What makedumpfile -R makes: each piece written where it belongs."""
    whole = bytearray(max((at + len(data) for at, data in pieces if data), default=0))
    for at, data in pieces:
        if data:
            whole[at : at + len(data)] = data
    return bytes(whole)


def opened(data):
    """The source of a flattened stream, and what it is wrapped in."""
    got = open_container(Bytes(data))
    return got.source, got.layers


PIECES = st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=30)), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(PIECES, st.integers(0, 100), st.integers(0, 100))
def test_pieces_anywhere(pieces, offset, length):
    """Over each other, side by side, apart, empty, in any order: as if written one by one."""
    expected = rearranged(pieces)
    stream = write_flattened(pieces)
    if not expected:
        with pytest.raises(FormatError, match="without a piece: it is empty"):
            opened(stream)
        return
    source, layers = opened(stream)
    assert layers == ("flattened, read in place",)
    assert source.size == len(expected)
    assert source.read(0, 1000) == expected
    assert source.read(offset, length) == expected[offset : offset + length]
    assert source.read(-1, 5) == b""


def test_what_is_seen_lies_apart():
    """A hundred thousand pieces under one become three, at once."""
    many = [Piece(10 + number, 5000, 1) for number in range(100_000)]
    found = Pieces([*many, Piece(20, 9_000_000, 99_000)]).in_order()
    assert list(found.starts[10:12]) == [20, 99_020]
    assert (found.places[10], found.lengths[10]) == (9_000_000, 99_000)
    assert len(found.starts) == 10 + 1 + 990


def test_dumps_of_each_form(same, dump):
    """A dump in pieces, its beginning written twice, reads as the dump does at any place."""
    source, _ = opened(flatten(dump, 5000))
    same(source)


def test_kdump_and_elf_within():
    """Both formats are found in their flattened form, and nothing of them is copied."""
    pages = {number: RNG.randbytes(300) for number in range(40)}
    runs = [(number * 4096, data) for number, data in pages.items()]
    for data in (write_kdump(pages), write_full_dump(runs=runs)):
        source, _ = opened(flatten(data, 777))
        image = open_image(source)
        memory = PhysicalMemory(image.store or source, image.physical)
        for number, page in pages.items():
            assert memory.read(number * 4096, 300) == page


def test_holes_are_zeros():
    """Bytes that no piece has, between two and before the first."""
    source, _ = opened(write_flattened([(1000, b"b"), (10, b"a")]))
    assert source.read(0, 2000) == bytes(10) + b"a" + bytes(989) + b"b"
    assert source.read(11, 5) == bytes(5)
    assert source.read(3, 2) == bytes(2)


def test_a_stream_that_breaks_off():
    """Cut anywhere: what is there is read, and the layer says that it is not all."""
    stream = write_flattened([(0, b"a" * 100), (100, b"b" * 100)])
    for cut in range(4096, len(stream)):
        there = min(max(cut - 4096 - 16, 0), 100) + min(max(cut - 4096 - 132, 0), 100)
        if not there:
            with pytest.raises(FormatError, match=f"without a piece: it {BROKEN}"):
                opened(stream[:cut])
            continue
        source, layers = opened(stream[:cut])
        assert source.read(0, 1000) == (b"a" * 100 + b"b" * 100)[:there]
        assert layers[0].startswith("flattened, read in place; it ends at ")
        source.close()


@pytest.mark.parametrize("field", [0, 8])
@pytest.mark.parametrize("value", [-2, -1, 1 << 60, (1 << 63) - 1, -(1 << 63)])
def test_pieces_that_cannot_be(field, value):
    """A negative or endless offset or length ends the stream, and is told."""
    stream = bytearray(write_flattened([(0, b"first"), (5, b"second")]))
    at = 4096 + 16 + 5 + field
    stream[at : at + 8] = value.to_bytes(8, "big", signed=True)
    source, layers = opened(bytes(stream))
    assert source.read(0, 100) == b"first"
    assert "cannot be" in layers[0]


@pytest.mark.parametrize(("type_", "version"), [(0, 1), (2, 1), (1, 0), (1, 2)])
def test_other_types_and_versions_are_not_claimed(type_, version):
    """They stay as they are, and the format's error says what they seem to be."""
    source, layers = opened(write_flattened([(0, b"x")], type_=type_, version=version))
    assert layers == ()
    with pytest.raises(FormatError, match="flattened Linux dump of no known version"):
        open_image(source)


def test_flattened_dumps_are_not_written():
    """AccessDenied; closing closes the file."""
    stream = Bytes(write_flattened([(0, b"x")]))
    source = open_container(stream).source
    with pytest.raises(AccessDenied, match="flattened"):
        source.write(0, b"y")
    source.close()
    assert stream.closed
