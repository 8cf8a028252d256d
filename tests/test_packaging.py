"""Does what is built hold what its users need?  A wheel to run, a source archive to build from."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from kvm_exporter import __version__

ROOT = Path(__file__).parents[1]
NOT_SOURCE = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", ".*")
BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]  # which a build overwrites
build_meta.build_wheel(folder)
build_meta.build_sdist(folder)
"""
MODULES = "kvm_exporter/collectors/symbols/shipped"  # a link to config/symbols
NOT_SHIPPED = {".gitignore"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source archive, made from a copy of this checkout."""
    pytest.importorskip("setuptools", "77", "older ones do not know SPDX licenses")
    folder = tmp_path_factory.mktemp("packaging")
    shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=NOT_SOURCE)
    shutil.copytree(ROOT / ".ci", folder / "source" / ".ci")
    command = [sys.executable, "-c", BUILD, str(folder)]
    subprocess.run(command, cwd=folder / "source", capture_output=True, check=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def package_files():
    """The files of the package here, with those that it has by a link."""
    files = [path for path in (ROOT / "kvm_exporter").rglob("*") if path.is_file()]
    files += (ROOT / MODULES).glob("*.yml")
    return {str(path.relative_to(ROOT)) for path in files if path.suffix != ".pyc"}


def test_the_wheel_is_the_package_and_nothing_else(built):
    """Every module and py.typed are in it; configuration and scripts are the archive's."""
    with zipfile.ZipFile(built[0]) as wheel:
        names = wheel.namelist()
        metadata = f"kvm_exporter-{__version__}.dist-info"
        said = Parser().parsestr(wheel.read(f"{metadata}/METADATA").decode())
        scripts = wheel.read(f"{metadata}/entry_points.txt").decode()
    assert {name for name in names if not name.startswith(metadata)} == package_files()
    assert f"{metadata}/licenses/LICENSE" in names
    assert (said["Name"], said["Version"], said["Requires-Python"]) == (
        "kvm_exporter",
        __version__,
        ">=3.11",
    )
    assert "kvm_exporter = kvm_exporter.cli:main" in scripts


def test_the_source_archive_is_the_whole_checkout(built):
    """What git keeps is in it: configuration, rc script, unit, dashboards, tests and locks."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this is no checkout")
    command = ["git", "-c", "safe.directory=*", "ls-files"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    kept = {name for name in listed.splitlines() if (ROOT / name).exists()}
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert kept - names == NOT_SHIPPED
