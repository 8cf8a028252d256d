"""Are open descriptors those of kern.file, whose size the kernel over-estimates?"""

from __future__ import annotations

import errno

import pytest
from forge import freebsd_facts
from forge.kinfo import xfile
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.errors import AccessDenied, FormatError
from kvm_exporter.kvm.objects.freebsd import files
from kvm_exporter.kvm.objects.model import OpenFile
from kvm_exporter.kvm.tally import Tally

SOCKET = {
    "xf_pid": 70,
    "xf_uid": 65534,
    "xf_fd": 3,
    "xf_file": 0xFFFFF80003000000,
    "xf_type": 2,
    "xf_count": 4,
    "xf_offset": -1,
    "xf_data": 0xFFFFF80004000000,
    "xf_flag": 7,
}


def kernel(answer: bytes | int) -> ForgedSysctl:
    """A kernel with that kern.file."""
    return ForgedSysctl({"kern.file": answer}, {"kern.file": (1, 15)})


def listed(answer: bytes | int, machine: str = "amd64", pid: int | None = None) -> list[OpenFile]:
    """Its descriptors."""
    return list(files.from_live(kernel(answer), machine, Tally(), pid))


@pytest.mark.parametrize("machine", ["amd64", "i386", "armv7", "powerpc64"])
def test_every_member_reaches_its_field(machine: str) -> None:
    """The struct is the same on every machine but for the byte order."""
    data = xfile(SOCKET, "big" if machine == "powerpc64" else "little")
    assert listed(data, machine) == [
        OpenFile(
            pid=70,
            fd=3,
            kind="socket",
            uid=65534,
            flags=7,
            offset=-1,
            references=4,
            address=0xFFFFF80003000000,
            data_address=0xFFFFF80004000000,
        )
    ]


def test_kinds_nobody_knows_are_other() -> None:
    """A DTYPE_ of a later release, and a negative one, are ``other``."""
    data = xfile({**SOCKET, "xf_type": 99}) + xfile({**SOCKET, "xf_type": -1})
    assert [file.kind for file in listed(data)] == ["other", "other"]


def test_one_process_has_its_own() -> None:
    """By pid only that process's descriptors come; one without any has none."""
    data = b"".join(
        xfile({**SOCKET, "xf_pid": pid, "xf_fd": fd}) for pid in (1, 2) for fd in (0, 1)
    )
    assert [(file.pid, file.fd) for file in listed(data, pid=2)] == [(2, 0), (2, 1)]
    assert listed(data, pid=3) == []


def test_torn_and_empty_answers() -> None:
    """What follows the last whole record is left out; no bytes are no files."""
    assert len(listed(xfile(SOCKET) + xfile(SOCKET)[:127])) == 1
    assert listed(b"") == []


@pytest.mark.parametrize("size", [0, 80, 136])
def test_another_struct_size_is_a_format_error(size: int) -> None:
    """An xfile of another release is refused with both sizes."""
    with pytest.raises(FormatError, match=rf"128 bytes.*{size} in this"):
        listed(xfile({**SOCKET, "xf_size": size}))


def test_a_refusal_is_raised_and_counted() -> None:
    """EPERM is AccessDenied, and in the tally."""
    tally = Tally()
    with pytest.raises(AccessDenied):
        files.from_live(kernel(errno.EPERM), "amd64", tally, None)
    assert tally.counts() == {("kern.file", "EPERM"): 1}


def test_recorded_files_are_what_pstat_counted() -> None:
    """The kernel's own table: as many different files as kern.openfiles said then."""
    sysctl = freebsd_facts.sysctl("root")
    found = list(files.from_live(sysctl, "amd64", Tally(), None))
    assert len(found) == 10624 // 128
    opened = int.from_bytes(sysctl.by_name("kern.openfiles"), "little")
    assert len({file.address for file in found}) == opened
    assert {file.kind for file in found} >= {"vnode", "socket"}
    # the two nc(1) of the recorded machine, with a listening TCP and a UDP socket
    assert {file.pid for file in found if file.kind == "socket"} >= {70, 71}


def test_recorded_files_of_an_unprivileged_user() -> None:
    """With see_other_uids=0 only the user's own descriptors are listed."""
    sysctl = freebsd_facts.sysctl("nobody-hidden")
    assert {file.uid for file in files.from_live(sysctl, "amd64", Tally(), None)} == {65534}
