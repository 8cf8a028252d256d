"""Text dumps, as tar files and on their device."""

import pytest
from forge import compressed, textdump

from kvm_exporter.kvm.containers import Textdump, open_container
from kvm_exporter.kvm.errors import AccessDenied, KvmError

FILES = {
    "ddb.txt": b"db> show pcpu\ncpuid        = 0\n" * 100,
    "config.txt": b"options DDB\n" * 43,
    "msgbuf.txt": b"x" * 1024,
    "panic.txt": "panic: größer".encode(),
    "version.txt": b"FreeBSD 15.1-RELEASE\n",
}


def expected(files):
    """What is to come out."""
    return Textdump(**{name[:-4]: data.decode() for name, data in files.items()})


def opened(tmp_path, data, name="textdump.tar.0"):
    """Written to a file, and opened."""
    path = tmp_path / name
    path.write_bytes(data)
    return open_container(str(path))


def test_tar(tmp_path):
    """All files of a text dump are texts; its source stays the tar."""
    got = opened(tmp_path, textdump.archive(FILES))
    assert got.textdump == expected(FILES)
    assert got.source.read(0, 7) == b"ddb.txt"
    assert got.layers == ("textdump",)
    got.source.close()


@pytest.mark.parametrize("missing", FILES)
def test_missing_files(tmp_path, missing):
    """Files that ddb was told to leave out are None, the others are there."""
    files = {name: data for name, data in FILES.items() if name != missing}
    got = opened(tmp_path, textdump.archive(files))
    assert got.textdump == expected(files)
    assert getattr(got.textdump, missing[:-4]) is None
    got.source.close()


@pytest.mark.parametrize("cleared", [False, True])
def test_device(tmp_path, cleared):
    """On its device the blocks run backwards, and come out forwards at any place."""
    tar = textdump.archive(FILES)
    got = opened(tmp_path, textdump.device(FILES, cleared=cleared), "ada0p3")
    assert got.textdump == expected(FILES)
    assert got.source.size == len(tar)
    for offset in (0, 1, 511, 512, 1000, len(tar) - 1):
        for length in (1, 511, 512, 513, 3000, len(tar)):
            assert got.source.read(offset, length) == tar[offset : offset + length]
    assert got.source.read(len(tar), 1) == b""
    with pytest.raises(AccessDenied):
        got.source.write(0, b"x")
    got.source.close()


def test_compressed(tmp_path):
    """Savecore -z compresses text dumps as well."""
    data = compressed.kernel_gzip(textdump.archive(FILES))
    got = opened(tmp_path, data, "textdump.tar.0.gz")
    assert got.textdump == expected(FILES)
    got.source.close()


def test_another_tar(tmp_path):
    """A tar of other things is no text dump."""
    got = opened(tmp_path, textdump.member("readme.txt", b"hello"))
    assert got.textdump is None
    got.source.close()


def test_every_cut(tmp_path):
    """A text dump cut off anywhere gives the files and parts of files that are there."""
    tar = textdump.archive(FILES)
    for cut in range(0, len(tar), 97):
        got = opened(tmp_path, tar[:cut])
        if cut < 512:
            assert got.textdump is None
        else:
            assert FILES["ddb.txt"].decode().startswith(got.textdump.ddb)
        got.source.close()


def test_every_cut_of_a_device(tmp_path):
    """A device cut off anywhere gives a value or an error."""
    data = textdump.device(FILES, before=1024)
    for cut in range(0, len(data), 256):
        try:
            got = opened(tmp_path, data[cut:], "d")
        except KvmError:
            continue
        got.source.close()


@pytest.mark.parametrize("size", [0, 1, 0o77777777777, 8**11 - 512])
def test_extreme_sizes(tmp_path, size):
    """A member's size at its extremes gives what is there of it."""
    tar = textdump.member("ddb.txt", b"hello", size=size) + textdump.member("panic.txt", b"p")
    got = opened(tmp_path, tar)
    assert got.textdump.ddb is not None
    assert len(got.textdump.ddb) <= len(tar)
    got.source.close()


@pytest.mark.parametrize("field", [b"-1", b"7x", b"\xff" * 12, b"\x80" + b"\0" * 11, b""])
def test_sizes_that_are_none(tmp_path, field):
    """A size that is no octal number ends the list; nothing is made up."""
    block = bytearray(textdump.member("panic.txt", b"p")[:512])
    block[124:136] = field.ljust(12, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):6o}".encode().ljust(8, b"\0")
    got = opened(tmp_path, textdump.member("ddb.txt", b"hello") + bytes(block))
    assert got.textdump == Textdump(ddb="hello")
    got.source.close()


def test_wrong_checksum(tmp_path):
    """A header whose checksum is wrong ends the list."""
    tar = bytearray(textdump.archive(FILES))
    tar[0] ^= 1
    got = opened(tmp_path, tar)
    assert got.textdump is None
    got.source.close()


def test_members_without_end(tmp_path):
    """Of thousands of members only so many are looked at."""
    tar = textdump.member("ddb.txt", b"") * 5000 + textdump.member("panic.txt", b"never")
    got = opened(tmp_path, tar)
    assert got.textdump == Textdump(ddb="")
    got.source.close()
