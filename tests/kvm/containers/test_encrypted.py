"""Encrypted dumps, with their key beside them or on their device."""

import importlib
import sys
from pathlib import Path

import pytest
from forge import compressed, kerneldump

from kvm_exporter.kvm import containers
from kvm_exporter.kvm.containers import open_container
from kvm_exporter.kvm.errors import AccessDenied, FormatError, KvmError, Unsupported

pytest.importorskip("cryptography")
encrypted = pytest.importorskip("forge.encrypted")

AES, CHACHA = 1, 2
DUMP = b"minidump FreeBSD/amd64\0\0" + bytes(range(256)) * 500 + bytes(range(200)) * 100
DUMP += bytes(-len(DUMP) % 4096)


@pytest.fixture(scope="module")
def keys():
    """A key of RSA."""
    return encrypted.pair()


@pytest.fixture
def pem(tmp_path, keys):
    """Its private half's path."""
    path = tmp_path / "private.pem"
    path.write_bytes(keys.pem())
    return str(path)


@pytest.fixture
def crash(tmp_path):
    """Writes vmcore_encrypted.7 and key.7 as savecore does; the dump's path."""

    def write(data, key, suffix=""):
        directory = tmp_path / "crash"
        directory.mkdir(exist_ok=True)
        (directory / "key.7").write_bytes(key)
        path = directory / f"vmcore_encrypted.7{suffix}"
        path.write_bytes(data)
        return str(path)

    return write


@pytest.mark.parametrize("oaep", [True, False], ids=["OAEP", "PKCS 1 v1.5"])
@pytest.mark.parametrize("algorithm", [AES, CHACHA])
def test_reads_as_the_dump(crash, keys, pem, algorithm, oaep):
    """Both ciphers and both paddings: every place reads as in the dump, from any direction."""
    path = crash(encrypted.encrypt(algorithm, DUMP), encrypted.key_file(algorithm, keys, oaep=oaep))
    got = open_container(path, private_key=pem)
    size = len(DUMP)
    for offset in (size - 1, size - 4097, 100_001, 65536, 32768, 32767, 16, 15, 0):
        for length in (1, 17, 40_000, size):
            assert got.source.read(offset, length) == DUMP[offset : offset + length]
    assert got.layers == ("encrypted, " + {AES: "AES-256-CBC", CHACHA: "ChaCha20"}[algorithm],)
    got.source.close()


@pytest.mark.parametrize("pack", [compressed.kernel_gzip, compressed.kernel_zstd])
def test_compressed_inside(crash, keys, pem, cache, pack):
    """What the kernel compressed, then encrypted; nothing that was hidden is left on the disk."""
    data = encrypted.encrypt(CHACHA, pack(DUMP))
    path = crash(data, encrypted.key_file(CHACHA, keys))
    got = open_container(path, private_key=pem)
    assert got.source.read(0, len(DUMP) + 1) == DUMP
    assert "a temporary file" in got.layers[1]
    assert not list(cache.parent.rglob("*.kvmidx"))
    got.source.close()


def test_compressed_around(crash, keys, pem):
    """What savecore -z compressed after it was encrypted."""
    packed = compressed.kernel_gzip(encrypted.encrypt(AES, DUMP))
    path = crash(packed, encrypted.key_file(AES, keys), ".gz")
    got = open_container(path, private_key=pem)
    assert got.source.read(0, len(DUMP) + 1) == DUMP
    assert [layer.split(",")[0] for layer in got.layers] == ["gzip", "encrypted"]
    got.source.close()


@pytest.mark.parametrize("blocksize", [512, 4096])
@pytest.mark.parametrize("algorithm", [AES, CHACHA])
def test_on_device(tmp_path, keys, pem, algorithm, blocksize):
    """On its device the key lies between the first header and the dump."""
    path = tmp_path / "ada0p3"
    key = encrypted.key_file(algorithm, keys)
    dump = encrypted.encrypt(algorithm, DUMP)
    path.write_bytes(kerneldump.device(dump, key=key, blocksize=blocksize))
    got = open_container(str(path), private_key=pem)
    assert got.source.read(0, len(DUMP) + 1) == DUMP
    assert got.header.keysize == -(-len(key) // blocksize) * blocksize
    got.source.close()


def test_compressed_on_device(tmp_path, keys, pem):
    """Compressed, encrypted, and in an extent that it does not fill."""
    path = tmp_path / "ada0p3"
    dump = encrypted.encrypt(CHACHA, compressed.kernel_zstd(DUMP))
    extent = -(-len(DUMP) // 512) * 512
    data = kerneldump.device(
        dump, key=encrypted.key_file(CHACHA, keys), extent=extent, compression=2
    )
    path.write_bytes(data)
    got = open_container(str(path), private_key=pem)
    assert got.source.read(0, len(DUMP) + 1) == DUMP
    assert len(got.layers) == 3
    got.source.close()


def test_no_key_given(crash, keys):
    """Without a private key the error says which one is wanted."""
    path = crash(encrypted.encrypt(AES, DUMP), encrypted.key_file(AES, keys))
    with pytest.raises(AccessDenied, match=r"is encrypted: give the private key.*dumpon"):
        open_container(path)


@pytest.mark.parametrize("oaep", [True, False])
def test_wrong_key(tmp_path, crash, keys, oaep):
    """Another private key of the same size is refused, not used."""
    other = tmp_path / "other.pem"
    other.write_bytes(encrypted.pair().pem())
    path = crash(encrypted.encrypt(AES, DUMP), encrypted.key_file(AES, keys, oaep=oaep))
    with pytest.raises(AccessDenied, match="not the private key"):
        open_container(path, private_key=str(other))


def test_key_of_another_size(tmp_path, crash, keys):
    """A private key of another size is told as such."""
    other = tmp_path / "other.pem"
    other.write_bytes(encrypted.pair(1536).pem())
    path = crash(encrypted.encrypt(AES, DUMP), encrypted.key_file(AES, keys))
    with pytest.raises(AccessDenied, match=r"1536 bits, but .* needs 1024"):
        open_container(path, private_key=str(other))


@pytest.mark.parametrize("kind", ["empty", "text", "passphrase", "ec", "missing"])
def test_no_private_key(tmp_path, crash, keys, kind):
    """A file that is no usable private key is an error that names it."""
    content = {
        "empty": b"",
        "text": b"hello",
        "passphrase": keys.pem(b"secret"),
        "ec": encrypted.curve(),
    }
    file = tmp_path / "k.pem"
    if kind in content:
        file.write_bytes(content[kind])
    path = crash(encrypted.encrypt(AES, DUMP), encrypted.key_file(AES, keys))
    with pytest.raises(KvmError, match=r"k\.pem"):
        open_container(path, private_key=str(file))


def test_key_beside_is_missing(crash, keys, pem):
    """Without key.N nothing can be read, and the error says what is missing."""
    path = crash(encrypted.encrypt(AES, DUMP), b"")
    (Path(path).parent / "key.7").unlink()
    with pytest.raises(KvmError, match=r"its key is missing.*key\.N"):
        open_container(path, private_key=pem)


def test_key_at_extremes(crash, keys, pem):
    """key.N cut off anywhere, or with a field at its extremes, is an error."""
    good = encrypted.key_file(AES, keys)
    dump = encrypted.encrypt(AES, DUMP)
    bad = [good[:cut] for cut in (0, 1, 32, 33, 36, 37, 38, len(good) - 1)]
    bad += [bytes((value,)) + good[1:] for value in (0, 3, 255)]
    bad += [
        good[:33] + value.to_bytes(4, "big") + good[37:]
        for value in (0, 1, 127, 129, 2048, 2049, 1 << 31, (1 << 32) - 1)
    ]
    for key in bad:
        with pytest.raises(
            (FormatError, AccessDenied), match=r"key is damaged|not the private|bits"
        ):
            open_container(crash(dump, key), private_key=pem)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 4095, 4096 + 8, 32768 + 1])
@pytest.mark.parametrize("algorithm", [AES, CHACHA])
def test_truncated(crash, keys, pem, algorithm, length):
    """A truncated dump is read up to its last whole block."""
    data = encrypted.encrypt(algorithm, DUMP)[:length]
    got = open_container(crash(data, encrypted.key_file(algorithm, keys)), private_key=pem)
    whole = length // 16 * 16 if algorithm == AES else length
    assert got.source.size == whole
    assert got.source.read(0, length) == DUMP[:whole]
    assert got.source.read(whole, 1) == b""
    got.source.close()


def test_a_short_secret(crash, keys, pem):
    """A key of another length than the kernel's is refused."""
    key = encrypted.key_file(AES, keys, secret=b"short")
    with pytest.raises(AccessDenied):
        open_container(crash(encrypted.encrypt(AES, DUMP), key), private_key=pem)


def test_without_the_package(crash, keys, pem, monkeypatch):
    """Where cryptography is absent, the error names the extra that brings it."""
    for name in [name for name in sys.modules if name.endswith(("containers.keys", ".decrypting"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("keys", "decrypting"):
        monkeypatch.delattr(containers, name, raising=False)
        monkeypatch.setitem(sys.modules, f"{containers.__name__}.{name}", None)
    path = crash(encrypted.encrypt(AES, DUMP), encrypted.key_file(AES, keys))
    with pytest.raises(Unsupported, match=r"kvm_exporter\[encrypted\]"):
        open_container(path, private_key=pem)


def test_secrets_are_not_shown():
    """A key's own repr keeps its bytes to itself."""
    keys = importlib.import_module("kvm_exporter.kvm.containers.keys")
    assert "secret" not in repr(keys.Key(1, b"secret" * 6, b"secret" * 6))
