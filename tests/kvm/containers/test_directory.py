"""Directories of dumps, info.N, and which dump a path means."""

import pytest
from forge import compressed

from kvm_exporter.kvm.containers import DumpInfo, directory, find_dump, open_container, parse_info
from kvm_exporter.kvm.errors import KvmError

INFO = """\
Dump header from device: /dev/ada0p3
  Architecture: amd64
  Architecture Version: 2
  Dump Length: 266391552
  Blocksize: 512
  Compression: zstd
  Dumptime: 2026-06-01 12:34:56 +0200
  Hostname: db1.example.org
  Magic: FreeBSD Kernel Dump
  Version String: FreeBSD 15.1-RELEASE releng/15.1-n1 GENERIC
    root@releng.example.org:/usr/obj/usr/src/amd64.amd64/sys/GENERIC
  Panic String: page fault: at 0x8
and then more of it
  Dump Parity: 3424531206
  Bounds: 4
  Dump Status: good
"""

OLD = """\
Dump header from device /dev/da0s1b
  Architecture: i386
  Architecture Version: 2
  Dump Length: 268435456B (256 MB)
  Blocksize: 512
  Dumptime: Thu Jul  6 12:00:00 2006
  Hostname: old.example.org
  Magic: FreeBSD Kernel Dump
  Version String: FreeBSD 6.1-RELEASE #0
  Panic String: from debugger
  Dump Parity: 12
  Bounds: 0
  Dump Status: good
"""


def test_info():
    """Every line of info.N becomes a field; values of several lines keep them."""
    assert parse_info(INFO) == DumpInfo(
        device="/dev/ada0p3",
        architecture="amd64",
        architecture_version=2,
        dump_length=266391552,
        blocksize=512,
        compression="zstd",
        dumptime="2026-06-01 12:34:56 +0200",
        hostname="db1.example.org",
        magic="FreeBSD Kernel Dump",
        version_string="FreeBSD 15.1-RELEASE releng/15.1-n1 GENERIC\n"
        "    root@releng.example.org:/usr/obj/usr/src/amd64.amd64/sys/GENERIC",
        panic_string="page fault: at 0x8\nand then more of it",
        parity=3424531206,
        bounds=4,
        status="good",
    )


def test_old_info():
    """An older release's info is read as well; what it does not say is None."""
    info = parse_info(OLD)
    assert (info.dump_length, info.hostname) == (268435456, "old.example.org")
    assert (info.compression, info.device) == (None, None)


def test_no_info():
    """Text that says nothing gives a value that says nothing."""
    for text in ("", ":", "\0" * 100, "x" * 10000, "Dump Length: many\nBounds: -1\nBlocksize: ٣"):
        info = parse_info(text)
        assert (info.dump_length, info.bounds, info.blocksize, info.device) == (None,) * 4


@pytest.fixture
def crash(tmp_path):
    """A crash directory with dumps 0, 3 and 10, each of which says its number."""
    path = tmp_path / "crash"
    path.mkdir()
    (path / "vmcore.0").write_bytes(b"dump 0")
    (path / "vmcore.3.gz").write_bytes(compressed.kernel_gzip(b"dump 3"))
    (path / "vmcore.10").write_bytes(b"dump 10")
    (path / "info.3").write_text(INFO)
    return path


def read(path):
    """What the dump that ``path`` means says."""
    got = open_container(str(path))
    data = got.source.read(0, 100)
    got.source.close()
    return data


def test_the_highest_number(crash):
    """Without links and bounds, the last dump is that of the highest number."""
    assert read(crash) == b"dump 10"


def test_bounds(crash):
    """Bounds holds the next number: the dump before it is the last."""
    (crash / "bounds").write_text("4\n")
    assert read(crash) == b"dump 3"


@pytest.mark.parametrize("bounds", ["", "\n", "0\n", "-1", "x", "9" * 5000, "77\n", "٤"])
def test_bounds_that_lead_nowhere(crash, bounds):
    """A bounds file that is damaged, or whose dump is gone, is passed over."""
    (crash / "bounds").write_text(bounds)
    assert read(crash) == b"dump 10"


def test_the_link(crash):
    """The link that savecore makes says which dump is the last."""
    (crash / "bounds").write_text("11\n")
    (crash / "vmcore.last.gz").symlink_to("vmcore.3.gz")
    assert read(crash) == b"dump 3"
    assert find_dump(str(crash)) == str(crash / "vmcore.3.gz")


def test_a_dangling_link(crash):
    """A link to a dump that was deleted is passed over."""
    (crash / "vmcore.last").symlink_to("vmcore.9")
    assert read(crash) == b"dump 10"


def test_an_empty_directory(tmp_path):
    """A directory without dumps is an error that names it."""
    with pytest.raises(KvmError, match="there is no dump in it"):
        open_container(str(tmp_path))


def test_a_number(crash, monkeypatch):
    """A number is that of a dump in /var/crash."""
    monkeypatch.setattr(directory, "CRASH_DIRECTORY", str(crash))
    assert read("3") == b"dump 3"
    assert read("10") == b"dump 10"
    with pytest.raises(KvmError, match="there is no dump 5"):
        open_container("5")


def test_a_file_whose_name_is_a_number(tmp_path, monkeypatch):
    """A file of that name comes before any number."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "3").write_bytes(b"a file")
    assert read("3") == b"a file"


def test_info_beside(crash):
    """A dump that is compressed, or opened through its link, has the info of its number."""
    (crash / "info.last").symlink_to("info.3")
    (crash / "vmcore.last.gz").symlink_to("vmcore.3.gz")
    (crash / "mine").symlink_to("vmcore.3.gz")
    for name in ("vmcore.3.gz", "vmcore.last.gz", "mine"):
        got = open_container(str(crash / name))
        assert got.info.bounds == 4
        got.source.close()
    got = open_container(str(crash / "vmcore.0"))
    assert got.info is None
    got.source.close()


def test_info_that_cannot_be_read(crash):
    """An info.N that is no file or no text costs only itself."""
    (crash / "info.0").mkdir()
    (crash / "info.10").write_bytes(b"Hostname: \xff\xfe\nBounds: 10\n")
    for name, bounds in (("vmcore.0", None), ("vmcore.10", 10)):
        got = open_container(str(crash / name))
        assert (got.info and got.info.bounds) == bounds
        got.source.close()
