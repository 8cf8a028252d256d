"""Do the files that install, start and guard the exporter say what they should?"""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
TARGETS = ("serve", "test", "lint", "bench", "system-test", "lock", "clean", "help")


@pytest.mark.parametrize("target", TARGETS)
def test_makefile_is_the_same_to_both_makes(target):
    """GNU make and FreeBSD's bmake take a target to the same commands."""
    commands = {}
    for program in ("make", "bmake"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
        command = [program, "-n", target, "PYTHON=python3"]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        commands[program] = done.stdout.replace("\\\n", " ").split()
    assert commands["make"]
    assert commands["make"] == commands["bmake"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_locks_pin_and_hash_everything(lock):
    """Every requirement is one version with a hash; nothing tells where it was made."""
    text = re.sub(r"^ *#.*\n", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    requirements = text.replace("\\\n", "").splitlines()
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9-]+==[\w.]+ .*--hash=sha256:[0-9a-f]{64}", requirement)
    assert not re.search(r"https?:|file:|--index|--find-links|^/", text, flags=re.MULTILINE)


def test_every_lock_has_its_source_and_every_source_its_lock():
    """requirements/ holds pairs of .in and .txt, one for each environment in the Makefile."""
    sources = {path.stem for path in (ROOT / "requirements").glob("*.in")}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    made = set(re.findall(r"^\.venv/(\w+)/ready: requirements/\1\.txt$", makefile, re.MULTILINE))
    assert sources == {path.stem for path in LOCKS} == made | {"build"}


def test_locks_agree_on_versions():
    """A package has one version in all locks, so that what is tested is what is served."""
    versions = {}
    for lock in LOCKS:
        for name, version in re.findall(r"^([a-z0-9-]+)==([\w.]+)", lock.read_text(), re.MULTILINE):
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_locks_hold_the_package_s_dependencies():
    """What pyproject.toml wants, extras included, is in the lock of `make serve`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    lock = (ROOT / "requirements" / "serve.txt").read_text(encoding="utf-8")
    locked = re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)
    names = {re.match(r"[\w.-]+", each)[0].lower().replace("_", "-") for each in wanted}
    assert names <= set(locked)


def test_unit_starts_with_arguments_that_the_exporter_knows():
    """ExecStart names the configuration file, leaves room for $ARGS and reloads by SIGHUP."""
    unit = configparser.RawConfigParser(strict=False, comment_prefixes="#")
    unit.optionxform = str
    unit.read(ROOT / "kvm_exporter.service")
    program, *arguments = unit["Service"]["ExecStart"].split()
    assert Path(program).name == "kvm_exporter"
    assert arguments == ["serve", "--config.file=/etc/kvm_exporter/kvm_exporter.yml", "$ARGS"]
    assert unit["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"


@pytest.mark.parametrize("path", [".ci/run", "rc.d/kvm_exporter"])
def test_shell_scripts_parse_and_can_be_run(path):
    """Scripts have their x bit and no syntax error."""
    script = ROOT / path
    assert script.stat().st_mode & 0o111 == 0o111
    shell = script.read_text(encoding="utf-8").splitlines()[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", str(script)], check=True)
