"""Where indexes are kept, and when they are made anew."""

import errno
import os
import stat
import struct
import zlib

import pytest
from forge import compressed

from kvm_exporter.kvm.containers import cache as cache_module
from kvm_exporter.kvm.containers import open_container
from kvm_exporter.kvm.errors import FormatError, KvmError

DUMP = b"minidump FreeBSD/amd64\0\0" + os.urandom(400_000) + bytes(5 << 20) + os.urandom(3 << 20)
GZ, ZST = compressed.kernel_gzip(DUMP), compressed.kernel_zstd(DUMP)


@pytest.fixture(params=["vmcore.0.gz", "vmcore.0.zst"])
def path(request, tmp_path):
    """A compressed dump in a directory of its own."""
    directory = tmp_path / "crash"
    directory.mkdir()
    made = directory / request.param
    made.write_bytes(GZ if request.param.endswith("gz") else ZST)
    return made


def check(path, **options):
    """Opened and read throughout; what the layers say."""
    got = open_container(str(path), **options)
    assert got.source.size == len(DUMP)
    assert got.source.read(0, len(DUMP)) == DUMP
    got.source.close()
    return got.layers[0]


def index(directory):
    """The one index in a directory."""
    (found,) = directory.glob("*.kvmidx")
    return found


def test_beside_the_dump(path, cache):
    """An index lies beside the dump, for its owner's eyes only, and nothing else is left."""
    check(path)
    found = index(path.parent)
    assert found.name.startswith(path.name)
    assert stat.S_IMODE(found.stat().st_mode) == 0o600
    assert len(list(path.parent.iterdir())) == 2
    assert not cache.exists()


def test_reused(path):
    """A second opening builds nothing: the index is the same file, and no progress is told."""
    check(path)
    before = index(path.parent).stat()
    told = []
    check(path, progress=lambda *at: told.append(at))
    assert told == []
    assert index(path.parent).stat().st_ino == before.st_ino


def refuse(monkeypatch, *directories):
    """Make directories unwritable, for root too."""
    real = cache_module.tempfile.mkstemp

    def mkstemp(suffix, prefix, directory):
        if directories == ("everywhere",) or str(directory) in map(str, directories):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(suffix, prefix, directory)

    monkeypatch.setattr(cache_module.tempfile, "mkstemp", mkstemp)


def test_in_the_cache(path, cache, monkeypatch):
    """Where the dump's directory is read-only, the index goes to the user's cache, and serves."""
    refuse(monkeypatch, path.parent)
    assert str(cache) in check(path)
    assert len(list(path.parent.iterdir())) == 1
    found = index(cache)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    inode = found.stat().st_ino
    check(path)
    assert index(cache).stat().st_ino == inode


def test_in_a_given_directory(path, cache, tmp_path, monkeypatch):
    """A directory that is named takes the cache's place."""
    refuse(monkeypatch, path.parent)
    given = tmp_path / "a" / "b"
    assert str(given) in check(path, cache_directory=str(given))
    assert index(given)
    assert not cache.exists()


def test_in_a_temporary_file(path, cache, monkeypatch):
    """Where neither can be written, a nameless file serves as long as the handle does."""
    refuse(monkeypatch, path.parent, cache)
    assert "a temporary file" in check(path)
    assert list(path.parent.iterdir()) == [path]


def test_in_memory(path, monkeypatch):
    """Where nothing can be written at all, memory serves."""
    refuse(monkeypatch, "everywhere")
    assert check(path).endswith("memory")


def test_too_large_for_memory(path, monkeypatch):
    """Memory has a bound: then the error says what to do."""
    refuse(monkeypatch, "everywhere")
    monkeypatch.setattr(cache_module, "IN_MEMORY", 500)
    with pytest.raises(KvmError, match=r"no room for its index.*cache_directory"):
        open_container(str(path))


def test_full_disk(path, cache, monkeypatch):
    """A disk that fills up while the index is written: the next place is tried, no rest stays."""
    real = cache_module.os.pwrite
    full = {os.stat(path.parent).st_ino}

    def pwrite(fd, data, offset):
        where = os.path.dirname(os.readlink(f"/proc/self/fd/{fd}"))
        if os.stat(where).st_ino in full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data, offset)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("no /proc to tell which file is written")
    monkeypatch.setattr(cache_module.os, "pwrite", pwrite)
    assert str(cache) in check(path)
    assert list(path.parent.iterdir()) == [path]


def test_stale(path):
    """A dump that was replaced by another has its index made anew."""
    check(path)
    before = index(path.parent).read_bytes()
    other = DUMP[::-1]
    pack = compressed.kernel_gzip if path.name.endswith("gz") else compressed.kernel_zstd
    path.write_bytes(pack(other))
    got = open_container(str(path))
    assert got.source.read(0, len(other)) == other
    got.source.close()
    assert index(path.parent).read_bytes() != before


def test_same_bytes_another_time(path):
    """A changed time makes an index stale, even where size and ends are the same."""
    check(path)
    inode = index(path.parent).stat().st_ino
    os.utime(path, ns=(1, 1))
    check(path)
    assert index(path.parent).stat().st_ino != inode


@pytest.mark.parametrize("place", ["magic", "kind", "key", "size", "rows", "count", "end", "sum"])
def test_damaged_header(path, place):
    """An index damaged in its header or rows is made anew."""
    check(path)
    found = index(path.parent)
    data = bytearray(found.read_bytes())
    header = struct.calcsize("<8s8s32sQQQ160s")
    at = {"magic": 7, "kind": 8, "key": 16, "size": 50, "rows": 58, "count": 66}
    data[at.get(place, {"end": len(data) - 3, "sum": header}.get(place))] ^= 0x55
    found.write_bytes(data)
    check(path)
    assert found.read_bytes() != data


def test_truncated_index(path):
    """An index cut off anywhere is made anew."""
    check(path)
    found = index(path.parent)
    data = found.read_bytes()
    for cut in (0, 1, 8, 231, 232, 236, len(data) // 2, len(data) - 1):
        found.write_bytes(data[:cut])
        check(path)


def test_damaged_block(path):
    """Damage that only reading finds is an error that tells which file to delete."""
    check(path)
    found = index(path.parent)
    data = bytearray(found.read_bytes())
    header = struct.calcsize("<8s8s32sQQQ160s") + 4
    rows = struct.unpack_from("<Q", data, 56)[0]
    for at in range(header, rows, 100):
        data[at] ^= 0x10
    found.write_bytes(data)
    with pytest.raises(FormatError, match=f"{found.name}.*delete the file"):
        open_container(str(path)).source.read(5 << 20, 3 << 20)


@pytest.mark.parametrize("extreme", [0, 1, 1 << 31, (1 << 32) - 1])
def test_forged_index(path, extreme):
    """An index with right checksums and wrong content gives errors or bytes, quickly."""
    check(path)
    found = index(path.parent)
    data = found.read_bytes()
    header = struct.Struct("<8s8s32sQQQ160s")
    magic, kind, key, size, at, count, reason = header.unpack_from(data)
    for field in range(6):
        rows = b""
        for row in struct.iter_unpack("<QQQIII", data[at:]):
            changed = list(row)
            changed[field] = extreme
            rows += struct.pack("<QQQIII", *changed)
        for told in (size, 0, extreme << 31):
            head = header.pack(magic, kind, key, told, at, count, reason)
            total = struct.pack("<I", zlib.crc32(rows, zlib.crc32(head)))
            found.write_bytes(head + total + data[header.size + 4 : at] + rows)
            try:
                got = open_container(str(path))
            except KvmError:
                continue
            for offset in (0, 300_000, 6 << 20, len(DUMP) - 5):
                try:
                    assert len(got.source.read(offset, 10_000)) <= 10_000
                except KvmError:
                    continue
            got.source.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_strangers_index(path):
    """An index that belongs to somebody else is not believed, but made anew."""
    check(path)
    found = index(path.parent)
    os.chown(found, 12345, -1)
    check(path)
    assert found.stat().st_uid == 0


def test_not_a_regular_file(path):
    """A link or a pipe in the index's place is not followed nor waited for."""
    check(path)
    found = index(path.parent)
    found.unlink()
    os.mkfifo(found)
    check(path)
    elsewhere = path.parent.parent / "elsewhere"
    elsewhere.write_bytes(found.read_bytes())
    found.unlink()
    found.symlink_to(elsewhere)
    check(path)
    assert not found.is_symlink()


def test_through_a_link(path):
    """A dump opened as vmcore.last has the same index as by its own name."""
    link = path.parent / f"vmcore.last{path.suffix}"
    link.symlink_to(path.name)
    check(link)
    inode = index(path.parent).stat().st_ino
    check(path)
    assert index(path.parent).stat().st_ino == inode


def test_failure_leaves_nothing(path):
    """A progress callback that interrupts leaves no half of an index."""

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_container(str(path), progress=interrupt)
    assert list(path.parent.iterdir()) == [path]
    check(path)


def test_files_are_closed(path):
    """Closing gives back the dump and its index; a failed opening does so too."""
    count = len(os.listdir("/dev/fd"))
    for _ in range(3):
        check(path)
    path.write_bytes(path.read_bytes()[:9])
    open_container(str(path)).source.close()
    assert len(os.listdir("/dev/fd")) == count
