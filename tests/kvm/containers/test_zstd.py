"""Dumps compressed by zstd: in place where frames allow it, through a copy else."""

import contextlib
import importlib
import os
import tracemalloc

import pytest
from forge import compressed

from kvm_exporter.kvm.containers import open_container, zstdlib
from kvm_exporter.kvm.errors import FormatError, KvmError, Unsupported

pytest.importorskip("zstandard")


def opened(tmp_path, data, **options):
    """Written to a file, and opened."""
    path = tmp_path / "vmcore.3.zst"
    path.write_bytes(data)
    return open_container(str(path), **options)


def raw(data, content=None):
    """One frame, by hand."""
    return compressed.zstd_raw(
        [data[at : at + 100_000] for at in range(0, len(data), 100_000)], content=content
    )


IN_PLACE = {
    "frames": lambda data: compressed.zstd_frames(data, 1_000_003),
    "small frames": lambda data: compressed.zstd_frames(data, 4096),
    "skippable": lambda data: (
        compressed.skippable(b"sizes")
        + compressed.zstd_frames(data, 3 << 20)
        + compressed.skippable(b"the table of a seekable file")
    ),
    "by hand": lambda data: (
        raw(data[:3_000_000], 3_000_000) + raw(data[3_000_000:], len(data) - 3_000_000)
    ),
    "padded": lambda data: compressed.zstd_frames(data, 1 << 20) + bytes(777),
}

COPIED = {
    "the kernel": compressed.kernel_zstd,
    "padded": lambda data: compressed.kernel_zstd(data) + bytes(333),
    "by hand": raw,
    "kernels": lambda data: (
        compressed.kernel_zstd(data[:3_000_000]) + compressed.kernel_zstd(data[3_000_000:])
    ),
    "frames, the last unknown": lambda data: (
        compressed.zstd_frames(data[:4_000_000], 1 << 20) + compressed.kernel_zstd(data[4_000_000:])
    ),
}


@pytest.mark.parametrize("writer", IN_PLACE.values(), ids=IN_PLACE)
def test_in_place(tmp_path, dump, same, writer):
    """Frames that tell their size are read where they are: nothing is left on the disk."""
    got = opened(tmp_path, writer(dump))
    same(got.source)
    assert got.layers == ("zstd, read in place",)
    assert [path.name for path in tmp_path.iterdir()] == ["vmcore.3.zst"]
    got.source.close()


@pytest.mark.parametrize("writer", COPIED.values(), ids=COPIED)
def test_copied(tmp_path, dump, same, writer):
    """A frame of unknown size, as the kernel writes, is read through a copy, which is kept."""
    data = writer(dump)
    got = opened(tmp_path, data)
    same(got.source)
    assert "copied to" in got.layers[0]
    got.source.close()
    (copy,) = tmp_path.glob("*.kvmidx")
    made = copy.stat().st_mtime_ns
    again = open_container(str(tmp_path / "vmcore.3.zst"))
    same(again.source)
    again.source.close()
    assert copy.stat().st_mtime_ns == made


@pytest.mark.parametrize("writer", ["frames", "kernel", "raw"])
@pytest.mark.parametrize("part", [0.9999999, 0.5, 0.3])
def test_truncated(tmp_path, dump, writer, part):
    """What is before the end of a truncated file can be read, what is behind is an error."""
    data = {
        "frames": lambda: compressed.zstd_frames(dump, 1 << 20),
        "kernel": lambda: compressed.kernel_zstd(dump),
        "raw": lambda: raw(dump, len(dump)),
    }[writer]()
    got = opened(tmp_path, data[: int(len(data) * part)])
    size = got.source.size
    assert size > 100_000
    assert got.source.read(0, size) == dump[:size]
    with pytest.raises(FormatError, match="truncated"):
        got.source.read(size, 1)
    got.source.close()


def test_every_cut(tmp_path):
    """Cut off after any byte, a file gives whole blocks, and says that it was cut."""
    dump = os.urandom(700)
    data = compressed.zstd_raw([dump[at : at + 100] for at in range(0, 700, 100)])
    for cut in [*range(1, 20), *range(20, len(data) - 20, 13), *range(len(data) - 20, len(data))]:
        got = opened(tmp_path, data[:cut])
        if cut < 4:  # nothing tells that it was zstd
            assert got.layers == ()
        else:
            size = got.source.size
            assert size == max(cut - 6, 0) // 103 * 100
            assert got.source.read(0, size) == dump[:size]
            with pytest.raises(FormatError, match="truncated"):
                got.source.read(size, 1)
        got.source.close()


def test_wrong_checksum(tmp_path, dump):
    """A wrong checksum at the end costs no byte of the dump, and is told."""
    data = bytearray(compressed.kernel_zstd(dump))
    data[-2] ^= 0xFF
    got = opened(tmp_path, data)
    assert got.source.read(0, len(dump)) == dump
    with pytest.raises(FormatError, match="damaged"):
        got.source.read(len(dump), 1)
    got.source.close()


def test_frame_that_lies(tmp_path, dump):
    """A frame that claims another size than it has is an error when it is read."""
    lies = raw(dump[:300_000], 400_000) + raw(dump[300_000:], len(dump) - 300_000)
    got = opened(tmp_path, lies)
    with pytest.raises(FormatError):
        got.source.read(300_000, 200_000)
    got.source.close()


def test_block_of_no_type(tmp_path):
    """A reserved block type is damage."""
    data = compressed.zstd_raw([])[:6] + (7).to_bytes(3, "little") + b"xxx"
    got = opened(tmp_path, data)
    assert got.source.size == 0
    with pytest.raises(FormatError, match="block type 3"):
        got.source.read(0, 1)
    got.source.close()


@pytest.mark.parametrize("told", [True, False])
def test_bomb(tmp_path, told):
    """256 MiB out of 8 KiB, in place or copied: bounded memory, and a copy of next to nothing."""
    lengths = [128 << 10] * 2048
    frame = compressed.zstd_rle(0, lengths[:64], content=8 << 20 if told else None)
    tracemalloc.start()
    got = opened(tmp_path, frame * 32)
    assert got.source.size == 256 << 20
    assert got.source.read((256 << 20) - 5, 10) == bytes(5)
    assert got.source.read(100 << 20, 5) == bytes(5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20
    assert sum(path.stat().st_size for path in tmp_path.glob("*.kvmidx")) < 200_000
    got.source.close()


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("value", [0, 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1])
def test_extreme_sizes(tmp_path, value, width):
    """A content size or a skippable frame's length at its extremes gives a value or an error."""
    frame = raw(b"0123456789", value)
    data = {
        8: frame,
        4: b"\x50\x2a\x4d\x18" + (value & 0xFFFFFFFF).to_bytes(4, "little") + frame,
    }[width]
    try:
        got = opened(tmp_path, data)
    except KvmError:
        return
    with contextlib.suppress(KvmError):
        assert got.source.read(0, 10) in (b"0123456789"[: got.source.size], b"")
    got.source.close()


def test_without_zstd(tmp_path, monkeypatch):
    """Where there is no zstd, the error names the extra that brings it."""

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(zstdlib, "importlib", type("none", (), {"import_module": absent}))
    with pytest.raises(Unsupported, match=r"kvm_exporter\[zstd\]"):
        opened(tmp_path, compressed.kernel_zstd(b"x"))


def test_pythons_own(tmp_path, dump, same, monkeypatch):
    """Python's own zstd serves as well as the package (where there is one)."""
    own = pytest.importorskip("compression.zstd")
    real = importlib.import_module

    def only(name):
        if name == "zstandard":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(zstdlib, "importlib", type("own", (), {"import_module": only}))
    assert own
    for data in (compressed.kernel_zstd(dump), compressed.zstd_frames(dump, 1 << 20)):
        got = opened(tmp_path, data)
        same(got.source)
        got.source.close()
