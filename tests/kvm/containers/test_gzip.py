"""Dumps compressed by gzip, read in place."""

import gzip
import os
import tracemalloc
import zlib

import pytest
from forge import compressed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.containers import gz, open_container
from kvm_exporter.kvm.errors import FormatError, KvmError


@pytest.fixture(params=["libz", "no libz"])
def libz(request, monkeypatch):
    """With the shared library, and without."""
    if request.param == "no libz":

        def absent():
            raise KvmError("there is no libz here")

        monkeypatch.setattr(gz, "Libz", absent)
    return request.param


def opened(tmp_path, data, **options):
    """Written to a file, and opened."""
    path = tmp_path / "vmcore.3.gz"
    path.write_bytes(data)
    return open_container(str(path), **options)


WRITERS = {
    "the kernel": compressed.kernel_gzip,
    "gzip": lambda data: gzip.compress(data, 9),
    "stored": lambda data: compressed.kernel_gzip(data, level=0),
    "many blocks": lambda data: compressed.kernel_gzip(data, level=1, flushed=70_001),
    "members": lambda data: b"".join(
        gzip.compress(data[at : at + 777_777], 6) for at in range(0, len(data), 777_777)
    ),
    "empty members": lambda data: gzip.compress(b"") * 9 + gzip.compress(data) + gzip.compress(b""),
    "padded": lambda data: compressed.kernel_gzip(data) + bytes(4000),
    "garbage behind": lambda data: compressed.kernel_gzip(data) + b"\x1f\x8b\x07" + b"x" * 500,
}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_reads_as_the_dump(tmp_path, dump, same, libz, writer):
    """Whoever compressed it and however: every place reads as in the dump, before and after the
    index was kept."""
    data = writer(dump)
    for _ in range(2):
        got = opened(tmp_path, data)
        same(got.source)
        assert len(got.layers) == 1
        got.source.close()


def test_layers_say_where_the_index_is(tmp_path, dump, libz):
    """A user is told where what was made lies."""
    got = opened(tmp_path, gzip.compress(dump))
    (index,) = tmp_path.glob("*.kvmidx")
    assert str(index) in got.layers[0]
    got.source.close()


@pytest.mark.parametrize("part", [0.999999, 0.5, 0.1])
def test_truncated(tmp_path, dump, libz, part):
    """What is before the end of a truncated file can be read, what is behind is an error."""
    data = compressed.kernel_gzip(dump)
    got = opened(tmp_path, data[: int(len(data) * part)])
    size = got.source.size
    assert size > len(dump) * part / 3
    assert got.source.read(0, size) == dump[:size]
    assert got.source.read(size - 7, 100) == dump[size - 7 : size]
    with pytest.raises(FormatError, match="truncated"):
        got.source.read(size, 1)
    assert "truncated" in got.layers[0]
    got.source.close()


def test_every_cut(tmp_path, libz):
    """Cut off after any byte, a small file gives as much as is there, never anything wrong."""
    dump = os.urandom(300) + bytes(5000) + b"text " * 300
    data = compressed.kernel_gzip(dump)
    for cut in [*range(40), *range(40, len(data), 23), *range(len(data) - 12, len(data))]:
        got = opened(tmp_path, data[:cut])
        if got.layers:
            size = got.source.size
            assert got.source.read(0, size) == dump[:size]
            with pytest.raises(FormatError, match="truncated"):
                got.source.read(size, 1)
        got.source.close()


@pytest.mark.parametrize("back", [1, 5, 8])
def test_wrong_checksum(tmp_path, dump, same, libz, back):
    """A wrong CRC or length at the end costs nothing but is told."""
    data = bytearray(compressed.kernel_gzip(dump))
    data[-back] ^= 1
    got = opened(tmp_path, data)
    assert got.source.read(0, len(dump)) == dump
    with pytest.raises(FormatError, match="damaged"):
        got.source.read(len(dump), 1)
    assert "damaged" in got.layers[0]
    got.source.close()


def test_damage_in_the_middle(tmp_path, libz):
    """Bytes before damage read as they are; a read behind it is an error, told when opened."""
    dump = b"".join(f"process {number} is sleeping\n".encode() for number in range(100_000))
    data = bytearray(compressed.kernel_gzip(dump))
    middle = len(data) // 2
    data[middle : middle + 4000] = b"\xff" * 4000
    got = opened(tmp_path, data)
    size = got.source.size
    assert len(dump) / 4 < size < len(dump)
    sound = size - 300_000  # damage may decode for a while before it shows
    assert got.source.read(0, sound) == dump[:sound]
    assert "damaged" in got.layers[0]
    with pytest.raises(FormatError, match="damaged"):
        got.source.read(size + 5, 1)
    got.source.close()


def _oracle(data):
    """What zlib makes of a single member, a byte at a time; all that comes before an error."""
    inflate, parts = zlib.decompressobj(31), []
    for at in range(len(data)):
        try:
            parts.append(inflate.decompress(data[at : at + 1]))
        except zlib.error:
            break
        if inflate.eof:
            break
    return b"".join(parts)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(10, 3000), mask=st.integers(1, 255), kept=st.integers(0, 3000))
def test_any_damage(tmp_path, libz, at, mask, kept):
    """Any wrong byte anywhere, any cut: just the bytes that zlib itself gives before it."""
    dump = b"".join(f"{number * number} is a square\n".encode() for number in range(1000))
    data = bytearray(compressed.kernel_gzip(dump, flushed=5000))
    data[at % len(data) or 3] ^= mask
    data = bytes(data[: len(data) - kept % len(data)])
    expected = _oracle(data)
    try:
        got = opened(tmp_path, data)
    except KvmError:
        assert expected == b""
        return
    if got.layers:
        assert got.source.size == len(expected)
        assert got.source.read(0, len(expected)) == expected
    got.source.close()


def test_a_file_that_changes_underneath(tmp_path, dump):
    """A file changed while it is open gives errors or bytes, nothing else."""
    got = opened(tmp_path, compressed.kernel_gzip(dump))
    (tmp_path / "vmcore.3.gz").write_bytes(bytes(1000))
    with pytest.raises(KvmError):
        got.source.read(3 << 20, 100)
    got.source.close()


def test_two_handles(tmp_path, dump):
    """Two handles on the same file do not disturb each other."""
    data = compressed.kernel_gzip(dump)
    one, other = opened(tmp_path, data), open_container(str(tmp_path / "vmcore.3.gz"))
    for offset in range(0, len(dump), 500_000):
        back = len(dump) - offset - 10
        assert one.source.read(offset, 10) == dump[offset : offset + 10]
        assert other.source.read(back, 10) == dump[back : back + 10]
    one.source.close()
    assert other.source.read(0, 10) == dump[:10]
    other.source.close()


def test_progress(tmp_path, dump, libz):
    """Progress goes up to all of the file while an index is built; a kept one is silent."""
    data = compressed.kernel_gzip(dump)
    told = []
    opened(tmp_path, data, progress=lambda *at: told.append(at)).source.close()
    assert told == sorted(told)
    assert told[-1] == (len(data), len(data))
    assert len(told) > 3
    told.clear()
    path = str(tmp_path / "vmcore.3.gz")
    open_container(path, progress=lambda *at: told.append(at)).source.close()
    assert told == []


def test_sparse_dump_costs_little(tmp_path, libz):
    """64 MiB with little in it: a small index, a few MiB of memory, never the dump's."""
    dump = bytearray(64 << 20)
    for at in range(0, len(dump), 3 << 20):
        dump[at : at + 5000] = os.urandom(5000)
    path = tmp_path / "vmcore.3.gz"
    path.write_bytes(compressed.kernel_gzip(bytes(dump), level=1))
    tracemalloc.start()
    got = open_container(str(path))
    for at in range(0, len(dump), 1 << 20):
        assert got.source.read(at, 4096) == dump[at : at + 4096]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    (index,) = tmp_path.glob("*.kvmidx")
    assert peak < 20 << 20
    assert index.stat().st_size < 400_000
    got.source.close()


def test_one_block_without_end(tmp_path):
    """A deflate block of 48 MiB, in which nothing can be entered, is read in bounded memory."""
    length = 48 << 20
    path = tmp_path / "bomb.gz"
    path.write_bytes(compressed.one_block_of_zeros(length))
    tracemalloc.start()
    got = open_container(str(path))
    assert got.source.size >= length
    assert got.source.read(length - 10, 10) == bytes(10)
    assert got.source.read(5, 10) == bytes(10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20
    got.source.close()


def test_not_written(tmp_path, dump):
    """A compressed dump cannot be written to."""
    got = opened(tmp_path, compressed.kernel_gzip(dump[:1000]))
    with pytest.raises(KvmError, match="cannot write"):
        got.source.write(0, b"x")
    got.source.close()
