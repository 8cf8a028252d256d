"""Dumps still on their device, live dumps, and dumps with their header in front."""

import pytest
from forge import compressed, kerneldump

from kvm_exporter.kvm.containers import open_container
from kvm_exporter.kvm.containers.disk import Sectors
from kvm_exporter.kvm.errors import FormatError, KvmError

DUMP = b"minidump FreeBSD/amd64\0\0" + bytes(range(256)) * 900 + b"the end of it all"
PADDED = DUMP + bytes(-len(DUMP) % 65536)


def opened(path, data):
    """Written to a file, and opened."""
    path.write_bytes(data)
    return open_container(str(path))


@pytest.mark.parametrize("blocksize", [512, 1024, 2048, 4096, 8192])
def test_device(tmp_path, blocksize):
    """A dump is found on its device, whatever its sectors, and only its bytes are seen."""
    got = opened(tmp_path / "ada0p3", kerneldump.device(PADDED, blocksize=blocksize))
    assert got.source.read(0, len(PADDED) * 2) == PADDED
    assert got.source.size == len(PADDED)
    assert got.header.blocksize == blocksize
    assert got.layers == ("dump device",)
    got.source.close()


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_versions(tmp_path, version):
    """The headers of FreeBSD 5 to 15 say the same in their four layouts."""
    got = opened(tmp_path / "d", kerneldump.device(PADDED, version=version, host="a.b.c"))
    header = got.header
    assert got.source.read(0, 24) == PADDED[:24]
    assert (header.version, header.architecture, header.architecture_version) == (
        version,
        "amd64",
        2,
    )
    assert (header.hostname, header.panic_string) == ("a.b.c", "page fault")
    assert header.version_string.startswith("FreeBSD 15.1-RELEASE #0: Thu\n    root@")
    assert (header.dumplength, header.dumpextent) == (len(PADDED), len(PADDED))
    assert (header.dumptime, header.keysize, header.compression) == (1_700_000_000, 0, None)
    assert header.parity_ok
    got.source.close()


@pytest.mark.parametrize("number", [1, 2])
def test_compressed_on_device(tmp_path, number):
    """A compressed dump starts where its extent does, and what lies behind it does not matter."""
    pack = {1: compressed.kernel_gzip, 2: compressed.kernel_zstd}[number]
    data = kerneldump.device(pack(DUMP), extent=len(PADDED), compression=number)
    got = opened(tmp_path / "d", data)
    assert got.source.read(0, len(PADDED)) == DUMP
    assert got.header.compression == {1: "gzip", 2: "zstd"}[number]
    assert got.layers[0] == "dump device"
    assert len(got.layers) == 2
    got.source.close()


def test_cleared(tmp_path):
    """A dump that savecore has taken is still read, and said to be taken."""
    got = opened(tmp_path / "d", kerneldump.device(PADDED, cleared=True))
    assert got.source.read(0, len(PADDED)) == PADDED
    assert got.header.magic == "Cleared Kernel Dump"
    assert got.header.parity_ok
    assert got.layers == ("dump device (already taken by savecore)",)
    got.source.close()


@pytest.mark.parametrize("page", [4096, 16384])
@pytest.mark.parametrize("length", [0, 1, 511])
def test_live(tmp_path, page, length):
    """The header behind a live dump is no part of it."""
    dump = PADDED + bytes(length)
    got = opened(tmp_path / "livecore.0", kerneldump.live(dump, page=page))
    assert got.source.read(0, len(dump) + 9) == dump
    assert got.layers == ("live dump header",)
    got.source.close()


def test_live_compressed(tmp_path):
    """A compressed live dump that was not cut off is its compressed bytes."""
    data = kerneldump.live(compressed.kernel_zstd(DUMP), extent=len(PADDED), compression=2)
    got = opened(tmp_path / "core", data)
    assert got.source.read(0, len(PADDED)) == DUMP
    got.source.close()


@pytest.mark.parametrize("block", [512, 4096])
def test_leading(tmp_path, block):
    """A header in front, in 512 bytes or in a block, is passed over."""
    got = opened(tmp_path / "vmcore.host.0", kerneldump.leading(PADDED, block=block))
    assert got.source.read(0, len(PADDED) + 1) == PADDED
    assert got.header.hostname == "forge.example.org"
    got.source.close()


def test_leading_without_a_known_dump_behind(tmp_path):
    """Where the bytes behind a header tell nothing, the file's length says where they start."""
    dump = b"\x07" * 8192
    got = opened(tmp_path / "v", kerneldump.leading(dump, block=4096))
    assert got.source.read(0, 9000) == dump
    got.source.close()
    with pytest.raises(FormatError, match="truncated or damaged"):
        opened(tmp_path / "v", kerneldump.leading(dump, block=4096)[:-1000])


@pytest.mark.parametrize("at", [21, 40, 64, 200, 500, 511])
def test_parity(tmp_path, at):
    """One wrong byte in the last header is an error that names its place."""
    data = bytearray(kerneldump.device(PADDED))
    data[len(data) - 512 + at] ^= 0x40
    with pytest.raises(FormatError, match=f"header at {len(data) - 512:#x} is damaged: its parity"):
        opened(tmp_path / "d", data)


def test_first_copy_disagrees(tmp_path):
    """A first header of another dump is an error: swap was used since, or the dump not finished."""
    data = bytearray(kerneldump.device(PADDED))
    data[kerneldump.METADATA : kerneldump.METADATA + 512] = kerneldump.header(17)
    with pytest.raises(FormatError, match="disagree"):
        opened(tmp_path / "d", data)


@pytest.mark.parametrize(
    "fields",
    [{"extent": 1 << 40}, {"extent": 1 << 63}, {"extent": 512}, {"keysize": 1 << 30}],
    ids=["past the start", "far past it", "shorter than the dump", "a giant's key"],
)
def test_does_not_fit(tmp_path, fields):
    """A header whose dump cannot be on its device is an error that tells the numbers."""
    head = kerneldump.header(len(PADDED), **fields)
    with pytest.raises(FormatError, match=f"does not fit its device.*{len(PADDED):#x} bytes"):
        opened(tmp_path / "d", bytes(65536) + head + PADDED + head)


def test_a_header_amid_a_dump(tmp_path):
    """A vmcore whose last page happens to hold the kernel's own header is a plain file."""
    header = kerneldump.header(len(PADDED), blocksize=512)
    data = PADDED + header + bytes(3584)
    got = opened(tmp_path / "vmcore.0", data)
    assert got.layers == ()
    assert got.source.size == len(data)
    got.source.close()


EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@pytest.mark.parametrize(("at", "width"), [(32, 4), (40, 8), (56, 4), (60, 4), (496, 8)])
def test_extremes(tmp_path, at, width):
    """Every length and size of a header at its extremes, with the parity right: value or error."""
    head = kerneldump.header(len(PADDED))
    for value in (*EXTREMES, 2 ** (8 * width) - 1, len(PADDED) + 1, len(PADDED) - 512):
        body = bytearray(head[:508])
        body[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "big")
        changed = kerneldump.with_parity(bytes(body))
        for data in (
            bytes(65536) + changed + PADDED + changed,
            PADDED + changed,
            changed + PADDED,
        ):
            path = tmp_path / "d"
            path.write_bytes(data)
            try:
                got = open_container(str(path))
            except KvmError:
                continue
            assert got.source.size <= len(data)
            assert len(got.source.read(0, 4096)) <= 4096
            got.source.read(max(got.source.size - 9, 0), 100)
            got.source.close()


@pytest.mark.parametrize(
    "make",
    [
        kerneldump.device,
        kerneldump.live,
        kerneldump.leading,
        lambda dump: kerneldump.device(compressed.kernel_gzip(dump), extent=65536 * 4),
    ],
)
def test_truncated(tmp_path, make):
    """Cut off anywhere, a device or a file gives a value or an error."""
    data = make(PADDED)
    cuts = {0, 1, 19, 20, 511, 512, 513, 4096, 65536, 65536 + 512, len(data) // 2}
    for cut in sorted(cuts | {len(data) - cut for cut in cuts if cut < len(data)}):
        path = tmp_path / "d"
        path.write_bytes(data[:cut])
        try:
            got = open_container(str(path))
        except KvmError:
            continue
        got.source.read(0, 4096)
        got.source.close()


class Disk:
    """Reads as FreeBSD's disks do: whole sectors or nothing."""

    name = "/dev/da0"

    def __init__(self, data, sector):
        self.data = data
        self.sector = sector
        self.size = len(data)
        self.closed = False

    def read(self, offset, length):
        """Errors where it is not whole sectors."""
        if offset % self.sector or length % self.sector:
            raise KvmError("Invalid argument")
        return self.data[offset : offset + length]

    def close(self):
        """Remember it."""
        self.closed = True


@pytest.mark.parametrize("sector", [512, 4096])
def test_disk(sector):
    """A disk is read in whole sectors only, and gives the same bytes."""
    disk = Disk(kerneldump.device(PADDED, blocksize=sector), sector)
    got = open_container(Sectors(disk))
    assert got.source.read(13, 5000) == PADDED[13:5013]
    assert got.source.read(0, len(PADDED) + 1) == PADDED
    got.source.close()
    assert disk.closed
