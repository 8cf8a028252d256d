"""What is in the guest?  Python and its libraries of Debian's, the exporter's source, the probe.

All of it is the guest's initramfs: there is no disk, and no driver for one.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

from system.guests.initramfs import BUSYBOX, archive, unpacked
from system.guests.packages import Release, contents

HERE = Path(__file__).parent
PRODUCT = HERE.parents[2] / "kvm_exporter"

DEBIAN = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
    *("libc6", "libexpat1", "libgcc-s1", "zlib1g"),
)
NEEDED = ("PyYAML", "waitress")
"""What ``scrape`` and ``serve`` import that is not Python's own."""

MODULES = ("zsmalloc", "zram")
"""Of the kernel, in the order in which they need each other."""


def boot_files(release: Release, package: Path, folder: Path) -> tuple[bytes, bytes]:
    """The kernel of that package, and the initramfs; ``folder`` is for a while."""
    wanted = {"kernel": r"\./boot/vmlinuz-.*"}
    wanted |= {f"modules/{name}.ko": rf"\./.*/{name}\.ko(\.xz)?" for name in MODULES}
    found = {path: unpacked(data) for path, data in contents(package, wanted).items()}
    kernel = found.pop("kernel")
    found |= {path: (HERE / path).read_bytes() for path in ("init", "probe.py", "patient.yml")}
    found |= contents(release.fetch("busybox-static", "amd64"), BUSYBOX)
    for name in DEBIAN:
        subprocess.run(["dpkg-deb", "-x", release.fetch(name, "amd64"), folder], check=True)
    exporter(folder / "app")
    if sys.version_info[:2] == (3, 11):  # else the emulated processor has to, for a minute
        never = PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(folder, quiet=2, invalidation_mode=never)
    return kernel, archive(found | tree(folder))


def exporter(app: Path) -> None:
    """Our source, and the Python of what it needs: what is compiled is of another interpreter."""
    shutil.copytree(PRODUCT, app / PRODUCT.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in NEEDED:
        for file in importlib.metadata.files(name) or ():
            if file.suffix == ".py" and "tests" not in file.parts:
                place = app / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), place)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; a link has the content of what it leads to there."""
    found = {}
    for at, _, names in os.walk(folder):
        for path in (Path(at, name) for name in names):
            target = path
            while target.is_symlink():
                link = target.readlink()
                target = (
                    folder / str(link).lstrip("/") if link.is_absolute() else target.parent / link
                )
            if target.is_file():
                found[str(path.relative_to(folder))] = target.read_bytes()
    return found
