"""What does a guest boot from?  Its package's kernel, and an initramfs written here."""

from __future__ import annotations

import lzma
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from system.guests.packages import Release, Releases, contents
from system.guests.recipes import Recipe

HERE = Path(__file__).parent
USERLAND = "bookworm"
"""The release whose busybox every guest has, however old its kernel."""
USERS = b"root:x:0:0::/:/bin/sh\nplain:x:1234:56::/:/bin/sh\nquick:x:99:99::/:/bin/sh\n"
BUSYBOX = {"bin/busybox": r"\./(usr/)?bin/busybox"}


def kernel_files(recipe: Recipe, release: Release) -> tuple[bytes, dict[str, bytes]]:
    """The kernel's image, and its modules by their lines in the recipe."""
    name = release.behind(recipe.package, recipe.architecture)
    lines = (*recipe.modules, *recipe.capture_modules)
    wanted = {line: rf"\./.*/{line.partition(' ')[0]}\.ko(\.xz)?" for line in lines}
    wanted["kernel"] = r"\./boot/vmlinu[xz]-.*"
    files = contents(release.fetch(name, recipe.architecture), wanted)
    return files["kernel"], {line: unpacked(files[line]) for line in lines}


def unpacked(data: bytes) -> bytes:
    """A module as the kernel takes it: newer packages compress theirs."""
    return lzma.decompress(data) if data.startswith(b"\xfd7zXZ") else data


def compiled(recipe: Recipe, folder: Path) -> bytes:
    """`stage.c` for the recipe's architecture: it needs no C library."""
    target = folder / "stage"
    command = [sys.executable, "-m", "ziglang", "cc", "-target", recipe.compiler]
    command += ["-O1", "-s", "-static", "-nostdlib", "-ffreestanding", "-fomit-frame-pointer"]
    command += ["-fno-stack-protector", "-fno-sanitize=all", *recipe.compiler_flags]
    subprocess.run([*command, "-o", target, HERE / "stage.c"], check=True)
    return target.read_bytes()


def userland(
    recipe: Recipe, releases: Releases, init: str, modules: Mapping[str, bytes]
) -> dict[str, bytes]:
    """The files of an initramfs: busybox, the script `init`, and `modules` in their order."""
    package = releases.release(USERLAND).fetch("busybox-static", recipe.architecture)
    files = contents(package, BUSYBOX)
    files["init"] = (HERE / init).read_bytes()
    files["etc/passwd"] = USERS
    listed = []
    for line, data in modules.items():
        name, _, options = line.partition(" ")
        files[f"modules/{name}.ko"] = data
        listed.append(f"{name}.ko {options}\n")
    return files | {"modules/list": "".join(listed).encode()}


def archive(files: Mapping[str, bytes]) -> bytes:
    """Those files, all executable, as a cpio archive in the kernel's newc format (initramfs)."""
    entries = [("dev", stat.S_IFDIR | 0o755, b"")]
    folders = {str(parent) for path in files for parent in Path(path).parents} - {"."}
    entries += [(folder, stat.S_IFDIR | 0o755, b"") for folder in sorted(folders)]
    entries += [(path, stat.S_IFREG | 0o755, data) for path, data in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    return b"".join(record(i, *entry) for i, entry in enumerate(entries, 1))


def record(number: int, path: str, mode: int, data: bytes) -> bytes:
    """One member: thirteen numbers in hex, the name and the data, each padded to four bytes."""
    name = path.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def build(recipe: Recipe, releases: Releases, folder: Path) -> tuple[Path, Path]:
    """The paths of the kernel and of the initramfs that `recipe` boots."""
    kernel, modules = kernel_files(recipe, releases.release(recipe.suite))
    capture = {line: modules.pop(line) for line in recipe.capture_modules}
    inside = userland(recipe, releases, "init.sh", modules)
    inside["bin/stage"] = compiled(recipe, folder)
    if capture:
        inside["capture/kernel"] = kernel
        inside["capture/initrd"] = archive(userland(recipe, releases, "capture.sh", capture))
    (folder / "kernel").write_bytes(kernel)
    (folder / "initramfs").write_bytes(archive(inside))
    return folder / "kernel", folder / "initramfs"
