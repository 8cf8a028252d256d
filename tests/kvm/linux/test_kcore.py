"""Is kernel memory read from an ELF core, and is a hostile one refused?"""

from __future__ import annotations

import contextlib
import errno
import os
import random
from pathlib import Path

import pytest
from fakes.sources import Bytes
from forge import kcore as forge
from forge.elf import note
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import AccessDenied, Fault, FormatError, KvmError, Unsupported
from kvm_exporter.kvm.live.kcore import Kcore, segments

BASE = {64: 0xFFFFFFFF81000000, 32: 0xC1000000}
FORMS = [(bits, order) for bits in (32, 64) for order in "<>"]


def opened(tmp_path: Path, data: bytes) -> Kcore:
    """A reader of a file with that content."""
    path = tmp_path / "kcore"
    path.write_bytes(data)
    return Kcore(str(path))


@pytest.mark.parametrize(("bits", "order"), FORMS)
@pytest.mark.parametrize("header_at", [None, 300])
def test_any_class_and_byte_order(
    tmp_path: Path, bits: int, order: str, header_at: int | None
) -> None:
    """Bytes at an address are those the segment holds there, wherever the headers lie."""
    data = bytes(range(256))
    base = BASE[bits]
    file = forge.core([(0x1000, b"low"), (base, data)], bits=bits, order=order, header_at=header_at)
    memory = opened(tmp_path, file)
    assert memory.read(base, 256) == data
    assert memory.read(base + 250, 3) == b"\xfa\xfb\xfc"
    assert memory.read(0x1000, 3) == b"low"
    memory.close()


def test_neighbouring_segments_are_read_as_one(tmp_path: Path) -> None:
    """A read goes on where the next segment begins, and is short where none does."""
    memory = opened(tmp_path, forge.core([(0x1000, b"a" * 10), (0x100A, b"b" * 10)]))
    assert memory.read(0x1008, 4) == b"aabb"
    assert memory.read(0x1008, 1000) == b"aa" + b"b" * 10
    assert memory.read(0x1000, 0) == b""
    memory.close()


def test_what_follows_in_the_file_is_not_in_the_segment(tmp_path: Path) -> None:
    """A read ends with its segment, though the next one's bytes come right after."""
    memory = opened(tmp_path, forge.core([(0x1000, b"a" * 10), (0x5000, b"b" * 10)]))
    assert memory.read(0x1008, 10) == b"aa"
    memory.close()


def test_a_long_read_is_whole(tmp_path: Path) -> None:
    """More than one piece at a time is put together."""
    data = os.urandom(3 * 2**20 + 5)
    memory = opened(tmp_path, forge.core([(0x1000, data)]))
    assert memory.read(0x1001, len(data)) == data[1:]
    memory.close()


@pytest.mark.parametrize("address", [0, 0xFFF, 0x100A, 2**64 - 1, 2**70, -1])
def test_an_address_in_no_segment_is_a_fault(tmp_path: Path, address: int) -> None:
    """p_memsz is no promise of bytes; the fault carries the address."""
    memory = opened(tmp_path, forge.core([(0x1000, b"a" * 10)]))
    with pytest.raises(Fault, match="in no segment of") as caught:
        memory.read(address, 1)
    assert caught.value.address == address
    memory.close()


def test_overlapping_segments_are_both_read(tmp_path: Path) -> None:
    """An address in the rest of a segment that a shorter one overlaps is found."""
    memory = opened(tmp_path, forge.core([(0x1000, b"a" * 100), (0x1010, b"b" * 4)]))
    assert memory.read(0x1050, 2) == b"aa"
    memory.close()


def test_many_segments_in_any_order(tmp_path: Path) -> None:
    """Each address is found in its own, however they are listed."""
    runs = [(0x1000 * number, bytes([number]) * 0x800) for number in range(1, 200)]
    random.Random(4).shuffle(runs)
    memory = opened(tmp_path, forge.core(runs))
    for address, data in runs:
        assert memory.read(address + 0x7FF, 2) == data[:1]
        with pytest.raises(Fault):
            memory.read(address + 0x800, 1)
    memory.close()


class Refusing:
    """A pread(2) that fails as /proc/kcore's does: a page that cannot be read fails it all."""

    def __init__(self, pages: set[int], error: int) -> None:
        self.pages = pages
        self.error = error
        self.calls = 0
        self.pread = os.pread

    def __call__(self, fd: int, length: int, offset: int) -> bytes:
        self.calls += 1
        first, last = offset >> 12, (offset + length - 1) >> 12
        if any(first <= page <= last for page in self.pages):
            raise OSError(self.error, os.strerror(self.error))
        return self.pread(fd, length, offset)


BODY = 4096
"""Where in the file paged() has its only segment."""


def paged(tmp_path: Path, data: bytes) -> Kcore:
    """A reader of a file whose only segment starts a page of the file, and is at 0x10000."""
    headers = forge.core([(0x10000, data)], note=bytes(BODY - 64 - 2 * 56))
    assert headers[BODY:] == data
    return opened(tmp_path, headers)


@pytest.mark.parametrize("error", [errno.EFAULT, errno.EIO, errno.EINVAL])
@pytest.mark.parametrize("bad", [1, 2, 100, 255, 256, 300])
def test_a_page_that_cannot_be_read_ends_a_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int, error: int
) -> None:
    """All before it is there, in few calls; behind it memory goes on."""
    data = os.urandom(302 * 4096)
    memory = paged(tmp_path, data)
    assert memory.read(0x10000, 1) == data[:1]
    refusing = Refusing({bad + 1}, error)
    monkeypatch.setattr(os, "pread", refusing)
    assert memory.read(0x10000 + 5, len(data)) == data[5 : bad * 4096]
    assert refusing.calls < 100
    with pytest.raises(Fault, match=os.strerror(error)) as caught:
        memory.read(0x10000 + bad * 4096, 4097)
    assert caught.value.address == 0x10000 + bad * 4096
    after = (bad + 1) * 4096
    assert memory.read(0x10000 + after, 4096) == data[after : after + 4096]
    memory.close()


def test_a_short_read_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel may give less than was asked; the rest is asked for."""
    data = os.urandom(10000)
    memory = opened(tmp_path, forge.core([(0x1000, data)]))
    assert memory.read(0x1000, 1) == data[:1]
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: pread(fd, min(length, 7), offset))
    assert memory.read(0x1000, 10000) == data
    memory.close()


@pytest.mark.parametrize(("bits", "order"), FORMS)
def test_the_note_vmcoreinfo(tmp_path: Path, bits: int, order: str) -> None:
    """Its text is found among other notes, and the kernel's word size and byte order are told."""
    text = b"OSRELEASE=6.1\nPAGESIZE=4096\n"
    notes = note(order, b"CORE\0", 1, b"registers") + note(order, b"VMCOREINFO\0", 0, text)
    memory = opened(tmp_path, forge.core([(0x1000, b"a")], bits=bits, order=order, note=notes))
    assert memory.vmcoreinfo() == text
    assert memory.header().abi == Abi(order, bits // 8)
    memory.close()


@pytest.mark.parametrize("notes", [b"", b"a note", note("<", b"CORE\0", 1, b"VMCOREINFO")])
def test_a_kernel_without_the_note(tmp_path: Path, notes: bytes) -> None:
    """Before Linux 4.19 there is none."""
    memory = opened(tmp_path, forge.core([(0x1000, b"a")], note=notes))
    assert memory.vmcoreinfo() is None
    memory.close()


def test_segments_that_come_later_are_seen(tmp_path: Path) -> None:
    """A module that was loaded since is found by reading the headers once more."""
    memory = opened(tmp_path, forge.core([(0x1000, b"old")]))
    with pytest.raises(Fault):
        memory.read(0x2000, 3)
    (tmp_path / "kcore").write_bytes(forge.core([(0x1000, b"old"), (0x2000, b"new")]))
    assert memory.read(0x2000, 3) == b"new"
    memory.close()


def test_nothing_is_opened_before_the_first_read(tmp_path: Path) -> None:
    """A handle costs no privilege and no descriptor; after close it gives none back."""
    before = os.listdir("/dev/fd")
    memory = opened(tmp_path, forge.core([(0x1000, b"a")]))
    assert os.listdir("/dev/fd") == before
    memory.read(0x1000, 1)
    memory.close()
    memory.close()
    assert os.listdir("/dev/fd") == before
    with pytest.raises(KvmError, match="closed"):
        memory.read(0x1000, 1)


def test_a_missing_file_names_the_option(tmp_path: Path) -> None:
    """A kernel without kcore says so."""
    with pytest.raises(Unsupported, match="CONFIG_PROC_KCORE"):
        Kcore(str(tmp_path / "absent")).read(0, 1)


def test_a_refused_file_names_the_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission denied says what it takes."""

    def refuse(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(AccessDenied, match="CAP_SYS_RAWIO"):
        Kcore().read(0, 1)


def test_writing_is_not_there(tmp_path: Path) -> None:
    """Linux has no way to write."""
    with pytest.raises(Unsupported, match="read-only"):
        opened(tmp_path, b"").write(0x1000, b"x")


@pytest.mark.parametrize(("bits", "order"), FORMS)
def test_a_truncated_file_is_an_error(tmp_path: Path, bits: int, order: str) -> None:
    """Cut anywhere in its headers it is a FormatError; in its data, a Fault."""
    whole = forge.core([(0x1000, b"abcd")], bits=bits, order=order, note=b"")
    for length in range(len(whole) - 4):
        with pytest.raises(FormatError):
            opened(tmp_path, whole[:length]).read(0x1000, 4)
    memory = opened(tmp_path, whole[:-2])
    assert memory.read(0x1000, 4) == b"ab"
    with pytest.raises(Fault, match="ends before it"):
        memory.read(0x1002, 2)
    memory.close()


@pytest.mark.parametrize(
    "header",
    [
        forge.file_header(64, "<", 64, 0xFFFF),
        forge.file_header(64, "<", 64, 1, size=8) + bytes(100),
        forge.file_header(64, "<", 2**63, 1),
        forge.file_header(64, "<", 2**63 - 1, 1),
        forge.file_header(64, "<", 64, 1) + forge.program(64, "<", 1, 2**63, 0x1000, 4),
        forge.file_header(64, "<", 64, 1) + forge.program(64, "<", 1, 64, 0x1000, 2**63),
        b"\x7fELF" + bytes(60),
        b"MZ" + bytes(100),
    ],
)
def test_a_hostile_header_is_an_error(tmp_path: Path, header: bytes) -> None:
    """Counts, sizes and offsets beyond any file are refused before they are used."""
    memory = opened(tmp_path, header)
    with pytest.raises(FormatError):
        memory.read(0x1000, 4)
    memory.close()


@given(st.binary(max_size=400), st.sampled_from(FORMS), st.binary(max_size=64))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_segments_or_a_kvm_error(
    noise: bytes, form: tuple[int, str], patch: bytes
) -> None:
    """Neither noise nor a header written over raises anything else."""
    bits, order = form
    whole = forge.core([(0x1000, b"abcd")], bits=bits, order=order)
    for data in (noise, whole[:8] + patch + whole[8 + len(patch) :], whole[: 60 + len(noise)]):
        with contextlib.suppress(KvmError):
            found = segments(Bytes(data))
            for extent in found.extents():
                assert found.find(extent.address, 1).offset == extent.offset
