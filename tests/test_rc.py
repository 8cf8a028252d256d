"""Does rc.d/kvm_exporter start, check and find the exporter as FreeBSD's rc(8) wants it?

It runs under a stand-in for rc.subr(8) that keeps its contract: the script sets variables,
run_rc_command gets the verb.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

RC_SUBR = """
load_rc_config() { . "$RC_CONF"; }
run_rc_command() {
    case $1 in
    start) "$start_precmd" && for word in $command $command_args; do echo "$word"; done ;;
    configtest) "$configtest_cmd" ;;
    show) eval "echo \\"\\$$2\\"" ;;
    esac
}
"""


class Rc:
    """rc.d/kvm_exporter with a script to start, an rc.conf and the stand-in for rc.subr."""

    def __init__(self, folder, shebang="#!/usr/local/bin/python3.11", status=0):
        self.folder = folder
        self.calls = folder / "calls"
        self.pidfile = folder / "pid"
        self.script = folder / "kvm_exporter"
        # What the kernel and rc.subr read of it is the first line; a shell then runs the rest.
        self.script.write_text(f'{shebang}\necho "$@" >>{self.calls}\nexit {status}\n')
        self.script.chmod(0o755)
        (folder / "rc.subr").write_text(RC_SUBR)
        text = (ROOT / "rc.d" / "kvm_exporter").read_text(encoding="utf-8")
        assert text.count(". /etc/rc.subr\n") == 1
        text = text.replace("/etc/rc.subr", f"{folder}/rc.subr")
        text = text.replace('run_rc_command "$1"', 'run_rc_command "$@"')
        (folder / "rc").write_text(text)

    def conf(self, **settings):
        """Write rc.conf, with this user, who may chown to himself."""
        settings = {"user": "$(id -un)", "group": "$(id -gn)"} | settings
        settings |= {"script": str(self.script), "pidfile": str(self.pidfile)}
        lines = (f'kvm_exporter_{key}="{value}"\n' for key, value in settings.items())
        (self.folder / "rc.conf").write_text("".join(lines))

    def run(self, *arguments):
        """Run it with a verb."""
        environment = {"PATH": "/usr/bin:/bin", "RC_CONF": str(self.folder / "rc.conf")}
        command = ["sh", "-eu", str(self.folder / "rc"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def show(self, variable):
        """A variable as rc.subr finds it."""
        return self.run("show", variable).stdout.rstrip("\n")


@pytest.fixture
def rc(tmp_path):
    """The rc script with a shell script in the exporter's place."""
    rc = Rc(tmp_path, "#!/bin/sh")
    rc.conf()
    return rc


def words(text):
    """A command line as rc.subr's eval will split it, one word a line."""
    return text.splitlines()


def test_rc_script_is_off_and_unprivileged_unless_told(rc):
    """The defaults: not enabled, user nobody, the ports' places for files."""
    (rc.folder / "rc.conf").write_text("")
    assert rc.show("rcvar") == "kvm_exporter_enable"
    assert rc.show("kvm_exporter_enable") == "NO"
    assert rc.show("kvm_exporter_user") == "nobody"
    assert rc.show("procname") == "/usr/local/bin/kvm_exporter"
    assert rc.show("required_files") == "/usr/local/etc/kvm_exporter.yml"
    assert rc.show("pidfile") == "/var/run/kvm_exporter.pid"
    assert rc.show("extra_commands") == "reload configtest"
    assert rc.show("sig_reload") == "HUP"


def test_rc_script_starts_the_exporter_under_daemon(rc):
    """Start makes a pidfile of the user's and runs daemon(8) with the child's pid in it."""
    rc.conf(config="/etc/k.yml")
    started = rc.run("start")
    assert words(started.stdout) == [
        *("/usr/sbin/daemon", "-f", "-p", str(rc.pidfile), "-T", "kvm_exporter"),
        *(str(rc.script), "serve", "--config.file=/etc/k.yml"),
    ]
    assert rc.pidfile.read_bytes() == b""
    assert rc.calls.read_text() == "--config.check --config.file=/etc/k.yml\n"


def test_rc_script_passes_address_and_flags_on(rc):
    """listen_address and args become words of the command line; an empty one leaves none."""
    rc.conf(listen_address="[::1]:10111", args="--log.level=debug --no-collector.cpu")
    assert words(rc.run("start").stdout)[-3:] == [
        "--web.listen-address=[::1]:10111",
        "--log.level=debug",
        "--no-collector.cpu",
    ]


def test_rc_script_starts_nothing_on_a_bad_configuration(tmp_path):
    """A configuration that the exporter refuses stops start before daemon(8) hides the message."""
    rc = Rc(tmp_path, "#!/bin/sh", status=2)
    rc.conf()
    assert rc.run("start").stdout == ""
    assert not rc.pidfile.exists()
    assert rc.run("configtest").returncode == 2


def test_rc_script_checks_the_configuration_before_reload_and_restart(rc):
    """A running exporter is neither stopped nor told to reload for a file it would refuse."""
    assert rc.show("reload_precmd") == rc.show("restart_precmd") == rc.show("configtest_cmd")


@pytest.mark.parametrize(
    ("shebang", "interpreter"),
    [
        ("#!/usr/local/bin/python3.11", "/usr/local/bin/python3.11"),
        ("#! /usr/local/bin/python3.12 -sP", "/usr/local/bin/python3.12"),
        ("#!/usr/bin/env python3", "python3"),
    ],
)
def test_rc_script_finds_its_process_by_the_interpreter_in_the_script(
    tmp_path, shebang, interpreter
):
    """command_interpreter is what rc.subr's _find_processes() takes from the script, too."""
    rc = Rc(tmp_path, shebang)
    rc.conf()
    assert rc.show("procname") == str(rc.script)
    assert rc.show("command_interpreter") == interpreter


def test_rc_script_survives_an_exporter_that_is_not_installed(rc):
    """Without the exporter the script still answers, as `service kvm_exporter rcvar` must."""
    rc.script.unlink()
    assert rc.show("command_interpreter") == ""
    assert rc.show("rcvar") == "kvm_exporter_enable"
