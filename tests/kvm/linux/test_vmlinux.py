"""Is the running kernel's vmlinux found, and no other build's taken for it?"""

from __future__ import annotations

from pathlib import Path

import pytest
from forge.elf import Section, note, write_elf

from kvm_exporter.kvm.abi import NATIVE
from kvm_exporter.kvm.objects.linux.vmlinux import running_build_id, vmlinux_files

BUILD_ID = bytes(range(20))
RELEASE = "6.1.0-50-amd64"


def vmlinux(build_id: bytes | None) -> bytes:
    """An ELF file with that build id."""
    data = note("<", b"GNU\0", 3, build_id) if build_id else b""
    return write_elf(
        "amd64", sections={".note.gnu.build-id": Section(data, type=7)} if build_id else {}
    )


def put(root: Path, path: str, data: bytes) -> str:
    """A file below ``root``."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return str(file)


NOTES = note(NATIVE.order, b"GNU\0", 3, BUILD_ID)


def found(root: Path, reasons: list[str]) -> list[str]:
    """The names of the files that are the kernel's."""
    put(root, "sys/kernel/notes", NOTES)
    names = []
    for file in vmlinux_files(RELEASE, reasons, str(root)):
        names.append(file.name)
        file.close()
    return names


@pytest.mark.parametrize(
    "place",
    [
        f"usr/lib/debug/.build-id/00/{BUILD_ID.hex()[2:]}.debug",
        f"usr/lib/debug/boot/vmlinux-{RELEASE}",
        f"usr/lib/debug/boot/vmlinux-{RELEASE}.debug",
        f"usr/lib/debug/lib/modules/{RELEASE}/vmlinux",
        f"boot/vmlinux-{RELEASE}",
        f"lib/modules/{RELEASE}/build/vmlinux",
    ],
)
def test_it_is_found_where_distributions_put_it(tmp_path: Path, place: str) -> None:
    """Debian, Ubuntu, openSUSE, Fedora, and a kernel that was built here."""
    path = put(tmp_path, place, vmlinux(BUILD_ID))
    assert found(tmp_path, []) == [path]


def test_another_build_is_not_taken(tmp_path: Path) -> None:
    """Of the files of that name the one with the build id counts; of the others it is told why."""
    put(tmp_path, f"usr/lib/debug/boot/vmlinux-{RELEASE}", vmlinux(bytes(20)))
    put(tmp_path, f"usr/lib/debug/lib/modules/{RELEASE}/vmlinux", b"no ELF file")
    put(tmp_path, f"boot/vmlinux-{RELEASE}", vmlinux(None))
    right = put(tmp_path, f"lib/modules/{RELEASE}/build/vmlinux", vmlinux(BUILD_ID))
    reasons: list[str] = []
    assert found(tmp_path, reasons) == [right]
    assert ["another build" in reason for reason in reasons] == [True, False, True]


def test_the_build_id_is_among_the_kernels_notes(tmp_path: Path) -> None:
    """Linux's own note, GNU's of another type, then the build id; without it, or any file, None."""
    linux, version = (
        note(NATIVE.order, b"Linux\0", 0x100, b"x"),
        note(NATIVE.order, b"GNU\0", 1, b""),
    )
    assert running_build_id(str(tmp_path)) is None
    for notes, expected in (
        (linux + version + NOTES, BUILD_ID),
        (linux + version, None),
        (NOTES[:-4], None),
        (b"", None),
    ):
        put(tmp_path, "sys/kernel/notes", notes)
        assert running_build_id(str(tmp_path)) == expected


def test_no_file_is_a_kernels_that_does_not_tell_its_build(tmp_path: Path) -> None:
    """Whatever is installed."""
    put(tmp_path, f"boot/vmlinux-{RELEASE}", vmlinux(BUILD_ID))
    reasons: list[str] = []
    assert list(vmlinux_files(RELEASE, reasons, str(tmp_path))) == []
    assert "/sys/kernel/notes" in reasons[0]
