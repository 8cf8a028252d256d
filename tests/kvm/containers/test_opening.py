"""Opening anything: plain files stay as they are, and each wrapping is claimed once."""

import os
import threading

import pytest
from forge import compressed, kerneldump, textdump
from forge.flattened import flatten
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.containers import open_container
from kvm_exporter.kvm.containers.cells import Cells
from kvm_exporter.kvm.containers.model import Options, Stage
from kvm_exporter.kvm.containers.opening import CONTAINERS
from kvm_exporter.kvm.errors import AccessDenied, FormatError, KvmError
from kvm_exporter.kvm.source import File, Part

DUMP = b"minidump FreeBSD/amd64\0\0" + bytes(range(256)) * 400 + bytes(24)

FORGED = {
    "plain": (DUMP, None),
    "elf": (b"\x7fELF" + bytes(4092), None),
    "gzip": (compressed.kernel_gzip(DUMP), "gzip"),
    "zstd": (compressed.kernel_zstd(DUMP), "zstd"),
    "zstd frames": (compressed.zstd_frames(DUMP, 5000), "zstd"),
    "skippable": (compressed.skippable(b"x") + compressed.kernel_zstd(DUMP), "zstd"),
    "device": (kerneldump.device(DUMP + bytes(-len(DUMP) % 512)), "kerneldump"),
    "device of text": (textdump.device({"ddb.txt": b"db>"}), "kerneldump"),
    "live": (kerneldump.live(DUMP), "kerneldump"),
    "leading": (kerneldump.leading(DUMP), "kerneldump"),
    "flattened": (flatten(DUMP), "flattened"),
    "text": (textdump.archive({"panic.txt": b"oh"}), "textdump"),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("name", FORGED)
def test_each_probe_claims_its_own(tmp_path, name):
    """Every probe on every forged dump: just one claims each, none a plain one."""
    data, expected = FORGED[name]
    path = tmp_path / "d"
    path.write_bytes(data)
    with File(str(path)) as file:
        stage = Stage(file, Options())
        claims = [container.name for container in CONTAINERS if container.probe(stage)]
        sealed = Stage(file, Options(), sealed=b"key")
        assert [container.name for container in CONTAINERS if container.probe(sealed)] == [
            "encrypted"
        ]
    assert claims == ([expected] if expected else [])


@pytest.mark.parametrize("name", ["plain", "elf", "nothing"])
def test_plain_files_stay(tmp_path, name):
    """A plain file is read by itself: nothing between."""
    path = tmp_path / "vmcore.0"
    path.write_bytes(FORGED[name][0])
    got = open_container(str(path))
    assert type(got.source) is File
    assert (got.layers, got.header, got.textdump, got.info) == ((), None, None, None)
    got.source.close()


def test_writable(tmp_path):
    """A plain file opened for writing is written; the others say that they cannot be."""
    path = tmp_path / "mem"
    path.write_bytes(DUMP)
    got = open_container(str(path), writable=True)
    assert got.source.write(0, b"X") == 1
    got.source.close()
    assert path.read_bytes()[:2] == b"Xi"
    got = open_container(str(path))
    with pytest.raises(AccessDenied):
        got.source.write(0, b"X")
    got.source.close()


def test_a_source(tmp_path):
    """A Source is opened as a file is; no index of it is kept."""
    path = tmp_path / "disk"
    path.write_bytes(b"junk" + compressed.kernel_gzip(DUMP) + b"more")
    got = open_container(Part(File(str(path)), 4, path.stat().st_size - 8))
    assert got.source.read(0, len(DUMP) + 1) == DUMP
    assert "a temporary file" in got.layers[0]
    assert list(tmp_path.iterdir()) == [path]
    got.source.close()


def test_several_wrappings(tmp_path):
    """A compressed image of a device that holds a compressed dump: three layers come off."""
    device = kerneldump.device(compressed.kernel_zstd(DUMP), extent=len(DUMP) // 512 * 512 + 512)
    path = tmp_path / "image.gz"
    path.write_bytes(compressed.kernel_gzip(device))
    for _ in range(2):
        got = open_container(str(path))
        assert got.source.read(0, len(DUMP) + 1) == DUMP
        assert len(got.layers) == 3
        got.source.close()


def test_wrapped_without_end(tmp_path):
    """A file compressed again and again is refused at some depth, and closed."""
    data = DUMP
    for _ in range(12):
        data = compressed.kernel_gzip(data)
    path = tmp_path / "d"
    path.write_bytes(data)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(FormatError, match=r"wrapped more than"):
        open_container(str(path))
    assert len(os.listdir("/dev/fd")) == before


def test_no_such_file(tmp_path):
    """A missing file is an error that names it."""
    with pytest.raises(KvmError, match=r"vmcore\.99"):
        open_container(str(tmp_path / "vmcore.99"))


def test_device_without_a_size():
    """/dev/null has no bytes: it is opened, not probed."""
    got = open_container("/dev/null")
    assert (got.source.size, got.layers) == (0, ())
    got.source.close()


class Jealous:
    """Makes cells, and notices when it is asked for one while it makes another."""

    def __init__(self):
        self.busy = threading.Lock()
        self.shared = threading.Event()

    def make(self, index):
        """Waits a little for somebody else to come in."""
        if not self.busy.acquire(blocking=False):
            self.shared.set()
            return {index: bytes(8)}
        self.shared.wait(0.05)
        self.busy.release()
        return {index: bytes(8)}

    def close(self):
        """Nothing to give back."""


def test_one_at_a_time():
    """Two threads never have one decompressor make two cells at once."""
    maker = Jealous()
    cells = Cells("d", 80, 8, maker)
    threads = [threading.Thread(target=cells.read, args=(at, 1)) for at in (0, 20, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not maker.shared.is_set()


def test_threads(tmp_path):
    """One handle read by several threads at once gives each the bytes it asked for."""
    path = tmp_path / "vmcore.0.gz"
    dump = os.urandom(1 << 20) + os.urandom(1 << 20).hex().encode()
    path.write_bytes(compressed.kernel_gzip(dump))
    got = open_container(str(path))
    wrong = []

    def read(start):
        wrong.extend(
            at
            for at in range(start, len(dump), 300_007)
            if got.source.read(at, 50) != dump[at : at + 50]
        )

    threads = [threading.Thread(target=read, args=(number * 1000,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    got.source.close()


STARTS = [data[:at] for data, _ in FORGED.values() for at in (20, 40, 600)]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    start=st.sampled_from(STARTS),
    middle=st.binary(max_size=300),
    end=st.sampled_from([b"", *STARTS]),
)
def test_any_bytes(tmp_path, start, middle, end):
    """Any bytes, with any beginning and end that a probe knows: a value or a KvmError."""
    path = tmp_path / "d"
    path.write_bytes(start + middle + end)
    try:
        got = open_container(str(path))
    except KvmError:
        return
    try:
        assert len(got.source.read(0, 1000)) <= 1000
    except KvmError:
        assert got.layers
    got.source.close()
