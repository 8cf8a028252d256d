"""Does the call of getfsstat(2) give every mounted file system's struct, whole?"""

from __future__ import annotations

import ctypes
import errno
from types import SimpleNamespace

import pytest

from kvm_exporter.kvm.errors import Unsupported
from kvm_exporter.kvm.live.fsstat import LibcFileSystems


def mounted(libc: ctypes.CDLL, count: int, refused: int = 0) -> None:
    """Set what the forged kernel has mounted; one more comes whenever they are counted."""
    ctypes.c_int.in_dll(libc, "mounted").value = count
    ctypes.c_int.in_dll(libc, "refused_mounts").value = refused


@pytest.mark.parametrize("count", [0, 3, 15, 40])
def test_each_struct_is_whole(freebsd_libc: ctypes.CDLL, count: int) -> None:
    """Also of the one that came between counting and reading."""
    mounted(freebsd_libc, count)
    rows = LibcFileSystems(freebsd_libc)(64)
    assert rows == [bytes([number + 1]) * 64 for number in range(count + 1)]


def test_a_list_that_outgrew_its_room_is_read_again(freebsd_libc: ctypes.CDLL) -> None:
    """Many came at once."""
    found = LibcFileSystems(freebsd_libc)
    call = found._call

    def counted(buffer: object, size: int) -> int:
        return 1 if buffer is None else call(buffer, size)

    found._call = counted
    mounted(freebsd_libc, 100)
    assert len(found(64)) == 100


def test_a_refusal_has_its_errno(freebsd_libc: ctypes.CDLL) -> None:
    """OSError with what C set."""
    mounted(freebsd_libc, 1, errno.EPERM)
    with pytest.raises(PermissionError):
        LibcFileSystems(freebsd_libc)(64)
    mounted(freebsd_libc, 1)


def test_another_libc_is_unsupported() -> None:
    """Linux has no getfsstat."""
    with pytest.raises(Unsupported, match="getfsstat"):
        LibcFileSystems(SimpleNamespace())
