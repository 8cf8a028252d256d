"""Do the ctypes declarations call C as FreeBSD's manual pages have it?"""

from __future__ import annotations

import ctypes
import errno
from types import SimpleNamespace

import pytest

from kvm_exporter.kvm.errors import AccessDenied, KvmError, Unsupported
from kvm_exporter.kvm.live.devname import LibcDeviceNames
from kvm_exporter.kvm.live.kldsym import Found, LibcKldsym
from kvm_exporter.kvm.live.sysctl import LibcSysctl

ALPHABET = bytes(range(ord("a"), ord("z") + 1))
TEXT = (ALPHABET * 12)[:300]


def test_a_named_sysctl_is_read_whole(freebsd_libc: ctypes.CDLL) -> None:
    """Name to MIB, size, answer: 300 bytes arrive as they are."""
    sysctl = LibcSysctl(freebsd_libc)
    assert sysctl.mib("test.text") == (7, 300)
    assert sysctl.by_name("test.text") == TEXT
    assert sysctl.by_mib((7, 26)) == ALPHABET


def test_a_sized_sysctl_gets_that_buffer(freebsd_libc: ctypes.CDLL) -> None:
    """A shorter answer than the size is cut to its length, a longer one is ENOMEM or partial."""
    sysctl = LibcSysctl(freebsd_libc)
    assert sysctl.by_name("test.short", 8) == b"abcd"
    with pytest.raises(OSError, match="memory") as caught:
        sysctl.by_mib((7, 300), 10)
    assert caught.value.errno == errno.ENOMEM
    assert sysctl.by_mib((7, 300), 10, keep_partial=True) == TEXT[:10]


def test_an_empty_answer_is_empty(freebsd_libc: ctypes.CDLL) -> None:
    """A size of zero is an empty list."""
    assert LibcSysctl(freebsd_libc).by_mib((7, 0)) == b""


@pytest.mark.parametrize("number", [errno.EPERM, errno.ESRCH, errno.EINVAL])
def test_errno_comes_back(freebsd_libc: ctypes.CDLL, number: int) -> None:
    """OSError carries the errno that C set."""
    with pytest.raises(OSError, match="sysctl") as caught:
        LibcSysctl(freebsd_libc).by_mib((8, number))
    assert caught.value.errno == number


def test_an_unknown_name_is_enoent(freebsd_libc: ctypes.CDLL) -> None:
    """And the message has the name."""
    with pytest.raises(OSError, match=r"test\.nosuch") as caught:
        LibcSysctl(freebsd_libc).by_name("test.nosuch")
    assert caught.value.errno == errno.ENOENT


def test_a_symbol_has_its_full_address(freebsd_libc: ctypes.CDLL) -> None:
    """64 bits of address and the size come back; an unknown name is None."""
    find = LibcKldsym(freebsd_libc)
    assert find(b"allproc") == Found(0xFFFFFFFF80EE6118, 8)
    assert find(b"nosuch") is None


def test_a_refused_symbol_is_no_missing_one(freebsd_libc: ctypes.CDLL) -> None:
    """EPERM is AccessDenied, another errno KvmError, and both name the symbol."""
    find = LibcKldsym(freebsd_libc)
    with pytest.raises(AccessDenied, match="secret"):
        find(b"secret")
    with pytest.raises(KvmError, match="broken"):
        find(b"broken")


def test_a_device_number_keeps_its_64_bits(freebsd_libc: ctypes.CDLL) -> None:
    """dev_t is 64 bits wide and mode_t 16; a nameless device says its number."""
    names = LibcDeviceNames(freebsd_libc)
    assert names(0x1234567890ABCDEF) == "vtbd4"
    assert names(0x33) == "#C:0x33"


@pytest.mark.parametrize("edge", [LibcSysctl, LibcKldsym, LibcDeviceNames])
def test_another_systems_libc_is_unsupported(edge: type) -> None:
    """Not an AttributeError: the message names the call that is missing."""
    with pytest.raises(Unsupported, match="libc"):
        edge(SimpleNamespace())
