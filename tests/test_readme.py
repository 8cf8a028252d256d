"""Does the README say what is there, and does CI do what it says?"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from forge import whole
from forge.crashed import crash

from kvm_exporter import cli, config
from kvm_exporter.collectors.process.rules import Rules
from kvm_exporter.inspection.arguments import SUBJECTS
from kvm_exporter.kvm.formats.minidump.kinds import KINDS
from kvm_exporter.kvm.objects.model import Process
from kvm_exporter.outputs.http import RESERVED
from kvm_exporter.typed_yaml import document

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    """The examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


CONFIGURATIONS = [text for text in blocks("yaml") if "scrape_configs" not in text]


def flags(text):
    """Long options in a text, those of each collector under one name."""
    found = re.findall(r"--[a-z][\w.-]*", text)
    return {re.sub(r"^--(no-)?collector\..*", "--collector.NAME", flag) for flag in found}


def test_flags_are_those_of_the_program():
    """The table of flags has all that --help has, and nothing else."""
    command = [sys.executable, "-m", "kvm_exporter", "--help"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `--")]
    assert flags(" ".join(rows)) == flags(output) - {"--help"}


COMMANDS = re.findall(r"^kvm_exporter (?:inspect|scrape) .*$", README, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_look_into_a_dump(line, crashed, capsys):
    """Each command of the section on crash dumps tells something of a forged one."""
    argv = shlex.split(crashed(line))[1:]
    if "--kernel" not in argv:  # this machine's /boot has not the forged kernel
        argv += ["--kernel", crashed("/boot/kernel/kernel")]
    assert cli.main(argv) == 0
    assert capsys.readouterr().out


def test_subjects_are_those_of_inspect():
    """The table of subjects has all that inspect has, and nothing else."""
    [_, section] = README.split("\n## Crash dumps\n")
    rows = re.findall(r"^\| (`.*?) \|", section.split("\n###")[0], re.MULTILINE)
    named = re.findall(r"`([a-z]+)`", " ".join(rows))
    assert sorted([*named, "info"]) == sorted(subject.name for subject in SUBJECTS)


def test_extras_are_those_of_the_package():
    """Every extra is explained, by the name that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(re.findall(r"'\.\[(\w+)\]'", README))
    assert extras == project["optional-dependencies"].keys()
    named = set(re.findall(r"`kvm_exporter\[(\w+)\]`", README))
    assert named == {"zstd", "encrypted", "lzo", "snappy"}


def test_architectures_of_dumps_are_those_that_can_be_read():
    """The list has each architecture whose minidumps there are, and none more."""
    [listed] = re.findall(r"It reads minidumps of ([^.]*?), full ELF dumps", README)
    named = set(re.split(r", | and ", listed.replace("\n", " ")))
    assert named == {kind.magic for kind in KINDS}


def test_endpoints_are_those_of_the_server():
    """Every address that the server keeps for itself is in the README."""
    assert all(f"{path}`" in README for path in RESERVED)


def test_targets_are_in_the_makefile():
    """Every `make …` in the README is a target."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    named = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", README, re.MULTILINE)
    assert {first or second for first, second in named} <= set(targets)


def test_links_lead_somewhere():
    """Every relative link is a file of this repository."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_ci_takes_the_test_command_from_here():
    """There is one marked block, and it is what a newcomer is told to type."""
    marked = r"^<!-- test command[^>]*-->\n+```sh\n(.*?)^```$"
    assert re.findall(marked, README, re.MULTILINE | re.DOTALL) == ["make test\n"]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """Makes the paths of the examples those of a forged kernel and its dump in /var/crash."""
    folder = tmp_path_factory.mktemp("crash")
    kernel, _ = crash(whole.machine(), folder)

    def at(text):
        return text.replace("/boot/kernel/kernel", str(kernel)).replace("/var/crash", str(folder))

    return at


@pytest.mark.parametrize("text", blocks("python"), ids=["kvm", "dump", "compat", "registry"])
def test_python_examples_run(text, crashed):
    """Each of the library's examples runs on this machine's kernel or a dump without a warning."""
    command = [sys.executable, "-W", "error", "-c", crashed(text)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("text", CONFIGURATIONS, ids=lambda text: text.split(":")[0])
def test_configurations_are_good(text, tmp_path):
    """Each example of a configuration is one that the exporter takes."""
    (tmp_path / "kvm_exporter.yml").write_text(text)
    config.load(tmp_path / "kvm_exporter.yml")


def groups_example():
    """The rules in the example of process groups."""
    [text] = [text for text in CONFIGURATIONS if "groups:" in text]
    [process] = config.decode(document.parse(text, "README.md")).collectors
    return process.options


@pytest.mark.parametrize(
    ("process", "arguments", "key"),
    [
        (
            Process(1, "postgres", uid=0, cgroup="/system.slice/postgresql.service"),
            "postgres: app orders 10.0.0.7(4242) idle",
            ("postgres orders", "0", ""),
        ),
        (Process(2, "cron", uid=0, cgroup="/system.slice/cron.service"), "cron", ("cron", "0", "")),
        (Process(3, "nginx", uid=0, jail=4), "nginx", ("jail 4", "0", "")),
        (Process(4, "tar", uid=7), "tar c /", ("backup", "backup", "4")),
        (Process(5, "sh", uid=0, jail=9, cgroup="/user.slice"), "sh", ("sh", "0", "")),
    ],
)
def test_the_groups_are_what_it_says(process, arguments, key, monkeypatch):
    """Each rule of the example names the group of a process that is as its comment says."""
    rules = Rules(groups_example())
    monkeypatch.setattr(rules._users, "name", lambda uid: {7: "backup"}.get(uid, str(uid)))
    kernel = SimpleNamespace(
        system=SimpleNamespace(name="linux"), arguments=lambda pid: arguments.split(" ")
    )
    assert rules.key(process, kernel) == key
    if key[0].startswith("postgres"):
        assert f"`{arguments}` is in the group `{key[0]}`" in README


def test_installed_files_are_where_their_users_look():
    """What the README copies is here, and goes where the unit and the rc script expect it."""
    copied = dict(re.findall(r"^install .*-m \d+ (\S+) (\S+)$", README, re.MULTILINE))
    unit = (ROOT / "kvm_exporter.service").read_text(encoding="utf-8")
    rc_script = (ROOT / "rc.d" / "kvm_exporter").read_text(encoding="utf-8")
    assert copied.keys() == {"rc.d/kvm_exporter", "config/kvm_exporter.yml", "kvm_exporter.service"}
    assert all((ROOT / source).exists() for source in copied)
    sources = re.findall(r"^install .* (/\S+\.yml)$", README, re.MULTILINE)
    assert len(sources) == 2
    assert sources[0] in rc_script
    assert sources[1] in unit
    linked = re.search(r"^ln -s \S+ (\S+)$", README, re.MULTILINE)[1]
    assert f"kvm_exporter_script:={linked}" in rc_script
    [venv] = re.findall(r"^python3 -m venv (\S+)$", README, re.MULTILINE)
    assert f"ExecStart={venv}/bin/kvm_exporter" in unit


def test_the_scrape_configuration_is_prometheuss():
    """The address is the exporter's default port, and the rules' file is in dashboards/."""
    [text] = [text for text in blocks("yaml") if "scrape_configs" in text]
    prometheus = yaml.safe_load(text)
    [job] = prometheus["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["host:10111"]}]
    assert all((ROOT / "dashboards" / name).exists() for name in prometheus["rule_files"])
