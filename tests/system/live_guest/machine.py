"""How does the exporter come into a guest?  A root of Debian's packages, our source and its needs.

The whole root is the guest's initramfs: no disk, no driver for one, and nothing to be cleaned up.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from py_compile import PycInvalidationMode

HERE = Path(__file__).parent
PACKAGE = HERE.parents[2] / "kvm_exporter"

PYTHON = ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib")
LIBRARIES = ("libc6", "libexpat1", "libgcc-s1", "zlib1g")
KERNEL = "linux-image-cloud-amd64"
"""A package that depends on the kernel of the day."""

NEEDED = ("PyYAML", "waitress")
"""What `kvm_exporter scrape` and `serve` import that is not Python's own."""

APPLETS = ("dmesg", "insmod", "ip", "modprobe", "mount", "sh", "sleep", "stty")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a command printed; an error tells what it said."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def unpack(names: Sequence[str], folder: Path) -> None:
    """Debian's packages of those names, as they would be installed, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    run("apt-get", "--quiet", "download", *names, cwd=folder)
    for package in folder.glob("*.deb"):
        run("dpkg-deb", "--extract", package, folder)
        package.unlink()


def kernel_package() -> str:
    """The name of the kernel's own package."""
    told = run("apt-cache", "--no-recommends", "--no-suggests", "depends", KERNEL)
    [name] = re.findall(r"^ *Depends: (linux-image-.*)$", told, re.MULTILINE)
    return name


def make_root(root: Path, kernel: Path, modules: Sequence[str]) -> None:
    """Everything that the guest has."""
    unpack((*PYTHON, *LIBRARIES, "busybox-static"), root)
    for folder in ("dev", "proc", "sys", "tmp", "app"):
        (root / folder).mkdir(exist_ok=True)
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    shutil.copy(HERE / "init", root / "init")
    (root / "init").chmod(0o755)
    add_modules(root, kernel, modules)
    app = root / "app"
    shutil.copytree(PACKAGE, app / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("probe.py", "patient.yml"):
        shutil.copy(HERE / name, app)
    for name in NEEDED:
        add_distribution(app, name)
    for folder in (app, root / "usr/lib/python3.11"):
        # the emulated processor would take a minute for that
        compileall.compile_dir(
            folder, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
        )


def add_modules(root: Path, kernel: Path, modules: Sequence[str]) -> None:
    """Kernel modules and those that they need."""
    [release] = os.listdir(kernel / "lib/modules")
    run("depmod", "-b", kernel, release)
    for module in modules:
        told = run("modprobe", "-d", kernel, "-S", release, "--show-depends", module)
        for path in re.findall(r"^insmod (\S+)", told, re.MULTILINE):
            place = root / Path(path).relative_to(kernel)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    run("depmod", "-b", root, release)


def add_distribution(app: Path, name: str) -> None:
    """The Python of an installed distribution; what is compiled is of another interpreter."""
    for file in importlib.metadata.files(name) or ():
        if file.suffix == ".py" and "tests" not in file.parts:
            place = app / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), place)


def initramfs(root: Path, path: Path) -> None:
    """The root as the kernel takes it."""
    found = (Path(folder, name) for folder, *names in os.walk(root) for name in chain(*names))
    names = "\n".join(sorted(str(file.relative_to(root)) for file in found))
    with path.open("wb") as archive:
        command = ["cpio", "--quiet", "--create", "--format=newc", "--owner=0:0"]
        subprocess.run(command, input=names.encode(), stdout=archive, cwd=root, check=True)


def lines(kernel: Path, archive: Path, patience: float) -> Iterator[str]:
    """What the guest prints until it is off, or for so many seconds."""
    command = [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"),
        *("-m", "512", "-smp", "2", "-nic", "none", "-display", "none", "-no-reboot"),
        *("-serial", "stdio", "-kernel", kernel, "-initrd", archive),
        *("-append", "console=ttyS0 quiet panic=-1"),
    ]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as machine:
        impatience = threading.Timer(patience, machine.kill)
        impatience.start()
        for line in machine.stdout or ():
            yield line.decode("utf-8", "replace").rstrip("\r\n")
        impatience.cancel()
