"""Is kernel memory read at the right offset, and is each refusal told in plain words?"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kvm_exporter.kvm.errors import AccessDenied, Fault, KvmError, Unsupported
from kvm_exporter.kvm.live import devmem
from kvm_exporter.kvm.live.devmem import DeviceMemory, NoMemory

KERNEL = 0xFFFFFFFF80C4F408


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A file in the place of /dev/kmem."""
    path = tmp_path / "kmem"
    path.write_bytes(bytes(range(100)))
    return path


@pytest.fixture
def failing(device: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Make every transfer fail with an errno."""

    def fail(number: int) -> Path:
        def transfer(*_arguments: object) -> bytes:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(devmem.os, "pread", transfer)
        monkeypatch.setattr(devmem.os, "pwrite", transfer)
        return device

    return fail


def test_an_address_is_the_files_offset(device: Path) -> None:
    """Reading starts there; a short read at the end is kept."""
    memory = DeviceMemory(str(device))
    assert memory.read(10, 3) == b"\x0a\x0b\x0c"
    assert memory.read(98, 10) == b"\x62\x63"
    memory.close()


def test_kernel_addresses_are_negative_offsets(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """off_t is signed: the upper half of the address space wraps to below zero."""
    offsets = []

    def pread(_descriptor: int, length: int, offset: int) -> bytes:
        offsets.append(offset)
        return b"x" * length

    monkeypatch.setattr(devmem.os, "pread", pread)
    memory = DeviceMemory(str(device))
    for address in (KERNEL, 2**63, 2**63 - 1, 2**64 - 1):
        memory.read(address, 4)
    assert offsets == [KERNEL - 2**64, -(2**63), 2**63 - 1, -1]
    memory.close()


def test_python_hands_negative_offsets_to_the_kernel(device: Path) -> None:
    """The kernel refuses them for a regular file (EINVAL); Python itself does not."""
    memory = DeviceMemory(str(device))
    with pytest.raises(KvmError, match=r"0xffffffff80c4f408.*Invalid") as caught:
        memory.read(KERNEL, 4)
    assert isinstance(caught.value.__cause__, OSError)
    memory.close()


def test_nothing_is_opened_before_the_first_read(tmp_path: Path) -> None:
    """A handle costs no privilege; a device that is not there is told at the read."""
    memory = DeviceMemory(str(tmp_path / "none"))
    with pytest.raises(Unsupported, match="none"):
        memory.read(0, 1)
    memory.close()


@pytest.mark.parametrize("address", [-1, 2**64])
def test_an_impossible_address_is_a_fault(device: Path, address: int) -> None:
    """Not an OverflowError."""
    with pytest.raises(Fault, match="64 bits"):
        DeviceMemory(str(device)).read(address, 1)


def test_efault_is_a_fault_at_that_address(failing: Callable[[int], Path]) -> None:
    """The address is in the error."""
    with pytest.raises(Fault) as caught:
        DeviceMemory(str(failing(errno.EFAULT))).read(KERNEL, 8)
    assert caught.value.address == KERNEL


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize(
    ("address", "length", "whole"),
    [(0x1800, 0x2000, 0x1800), (0x1000, 0x5000, 0x2000), (0x2FFF, 2, 1), (0x1000, 0x2000, 0x2000)],
)
def test_a_read_stops_at_the_first_missing_page(
    device: Path,
    monkeypatch: pytest.MonkeyPatch,
    short: bool,
    address: int,
    length: int,
    whole: int,
) -> None:
    """Two pages at 0x1000 are there: amd64 gives a short read, arm64 EFAULT; we the same bytes."""

    def pread(_descriptor: int, size: int, offset: int) -> bytes:
        there = min(size, max(0x3000 - offset, 0)) if offset >= 0x1000 else 0
        if there == 0 or (there < size and not short):
            raise OSError(errno.EFAULT, "Bad address")
        return bytes(there)

    monkeypatch.setattr(devmem.os, "pread", pread)
    memory = DeviceMemory(str(device))
    assert len(memory.read(address, length)) == whole
    with pytest.raises(Fault):
        memory.read(0x800, 0x1000)
    with pytest.raises(Fault):
        memory.read(0x3000, 0x2000)
    memory.close()


def test_an_end_of_file_is_a_fault(device: Path) -> None:
    """No byte at all means no page; asking for no byte is no error."""
    memory = DeviceMemory(str(device))
    with pytest.raises(Fault):
        memory.read(100, 1)
    assert memory.read(100, 0) == b""
    memory.close()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_refused_read_says_which_group_helps(failing: Callable[[int], Path], number: int) -> None:
    """Device, mode and group are in the message."""
    path = failing(number)
    with pytest.raises(AccessDenied, match=r"kmem: .*0640 root:kmem.*group kmem"):
        DeviceMemory(str(path)).read(0, 1)


def test_a_refused_write_says_which_privilege_helps(failing: Callable[[int], Path]) -> None:
    """More than the file's mode is needed."""
    path = failing(errno.EPERM)
    with pytest.raises(AccessDenied, match=r"PRIV_KMEM_WRITE.*securelevel"):
        DeviceMemory(str(path), writable=True).write(0, b"x")


def test_writing_changes_the_device(device: Path) -> None:
    """The count comes back, and the bytes are there."""
    memory = DeviceMemory(str(device), writable=True)
    assert memory.write(5, b"abc") == 3
    assert memory.read(4, 5) == b"\x04abc\x08"
    memory.close()


def test_a_handle_for_reading_writes_nothing(device: Path) -> None:
    """AccessDenied says how to open it; the device is as it was."""
    with pytest.raises(AccessDenied, match="write=True"):
        DeviceMemory(str(device)).write(5, b"abc")
    assert device.read_bytes() == bytes(range(100))


def test_a_closed_handle_stays_closed(device: Path) -> None:
    """No descriptor is opened again behind close(); closing twice is no error."""
    memory = DeviceMemory(str(device))
    memory.read(0, 1)
    memory.close()
    memory.close()
    with pytest.raises(KvmError, match="closed"):
        memory.read(0, 1)


def test_a_handle_without_memory_says_so() -> None:
    """/dev/null as the core: every read and write is Unsupported."""
    memory = NoMemory()
    with pytest.raises(Unsupported, match="/dev/null"):
        memory.read(KERNEL, 4)
    with pytest.raises(Unsupported, match="/dev/null"):
        memory.write(KERNEL, b"x")
    memory.close()
