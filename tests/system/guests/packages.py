"""Which Debian package has a guest's kernel or program, for any architecture and release?

The system's own package manager is asked, with a state of its own: nothing of the machine changes.
"""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE
from threading import Lock

ARCHITECTURES = ("amd64", "i386", "arm64", "armhf", "ppc64el")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CONFIGURATION = """
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "-";
APT::Architectures {{ {architectures} }};
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
"""


class Release:
    """The packages of one Debian release, kept under `cache` for the next session."""

    def __init__(self, suite: str, cache: Path) -> None:
        self.root = cache / suite
        self._settings = self.root / "apt.conf"
        self._lock = Lock()
        if not (self.root / "ready").exists():
            self._prepare(suite)

    def _prepare(self, suite: str) -> None:
        for folder in ("state/lists/partial", "cache/archives/partial", "debs"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        quoted = "".join(f'"{name}"; ' for name in ARCHITECTURES)
        self._settings.write_text(CONFIGURATION.format(root=self.root, architectures=quoted))
        source = f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n"
        (self.root / "sources.list").write_text(source)
        self._run("apt-get", "-q", "update", "--error-on=any")
        (self.root / "ready").touch()

    def _run(self, *command: str) -> str:
        environment = os.environ | {"APT_CONFIG": str(self._settings), "LC_ALL": "C"}
        ended = subprocess.run(
            command,
            cwd=self.root / "debs",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{command}: {ended.stderr}"
        return ended.stdout

    def behind(self, name: str, architecture: str) -> str:
        """The package that the metapackage `name` stands for: its first dependency."""
        shown = self._run("apt-cache", "show", "--no-all-versions", f"{name}:{architecture}")
        found = re.search(r"^Depends: ([^ ,]+)", shown, re.MULTILINE)
        assert found, f"{name}:{architecture} depends on nothing"
        return found[1]

    def fetch(self, name: str, architecture: str) -> Path:
        """The file of that package, from the archive unless an earlier session has it."""
        pattern = f"{name}_*_{architecture}.deb"
        with self._lock:
            kept = sorted((self.root / "debs").glob(pattern))
            if not kept:
                self._run("apt-get", "-q", "download", f"{name}:{architecture}")
                kept = sorted((self.root / "debs").glob(pattern))
        return kept[-1]

    def debug_kernel(self, name: str, architecture: str) -> Path:
        """The vmlinux with DWARF of the kernel package `name`, from its debug package.

        Only that file is kept: such a package unpacks to gigabytes.
        """
        path = self.root / f"vmlinux-{name}-{architecture}"
        if not path.exists():
            package = self.fetch(f"{name}-dbg", architecture)
            unpacked_to(package, "./usr/lib/debug/boot/vmlinux-*", path)
            package.unlink()
        return path


class Releases:
    """The releases that have been asked for, prepared once; for several threads."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._lock = Lock()
        self._releases: dict[str, Release] = {}

    def release(self, suite: str) -> Release:
        """The packages of a release by its codename."""
        with self._lock:
            if suite not in self._releases:
                self._releases[suite] = Release(suite, self._cache)
            return self._releases[suite]


def mirror() -> str:
    """Where this machine's package manager gets Debian itself from."""
    listed = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
            "Origin: Debian",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    mains = [address for address in listed if "security" not in address]
    assert mains, "no Debian archive among this machine's package sources"
    return mains[0]


def contents(package: Path, wanted: Mapping[str, str]) -> dict[str, bytes]:
    """The files of a package whose path matches one of `wanted`'s patterns, by its name there."""
    found: dict[str, bytes] = {}
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=PIPE) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as members,
    ):
        for member in members:
            names = [name for name, path in wanted.items() if re.fullmatch(path, member.name)]
            if names and member.isfile():
                found[names[0]] = members.extractfile(member).read()
    missing = wanted.keys() - found.keys()
    assert not missing, f"{package.name} has no {', '.join(sorted(missing))}"
    return found


def unpacked_to(package: Path, pattern: str, path: Path) -> None:
    """Write the first file of a package whose name matches `pattern` to `path`."""
    partial = path.with_suffix(".partial")
    wanted = ["--wildcards", "--occurrence=1", pattern]
    with (
        partial.open("wb") as file,
        subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", package], stdout=PIPE, stderr=DEVNULL
        ) as unpacking,
    ):
        subprocess.run(["tar", "-xO", *wanted], stdin=unpacking.stdout, stdout=file, check=True)
        unpacking.kill()  # of the rest nothing is wanted
    partial.rename(path)
