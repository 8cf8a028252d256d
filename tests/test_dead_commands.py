"""``scrape``, ``check`` and ``serve`` of a crash dump; and what a running kernel is spared."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fakes.exporter import FakeKvm, serving
from forge import textdump, whole
from forge.crashed import crash
from prometheus_client.parser import text_string_to_metric_families as parse

from kvm_exporter import cli, config, opening
from kvm_exporter.arguments import OtherKernel
from kvm_exporter.self_metrics import SelfMetrics


@pytest.fixture(scope="module")
def dead(tmp_path_factory):
    """The kernel and the dump of forge/whole.py's machine."""
    return crash(whole.machine(), tmp_path_factory.mktemp("dead"))


@pytest.fixture
def flags(dead):
    """The flags that name them."""
    kernel, core = dead
    return [f"--kernel={kernel}", f"--core={core}"]


def other(dead):
    """The same as ``flags``, for who is not asked through the command line."""
    kernel, core = map(str, dead)
    return OtherKernel(kernel, (core,))


def values(text):
    """Every sample of a scrape."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_scrape_tells_of_the_dead_machine(flags, capfdbinary):
    """Its numbers, and that it is dead; the exporter's own process is not looked for in it."""
    assert cli.main(["scrape", *flags]) == 0
    found = values(capfdbinary.readouterr().out.decode())
    assert found["kvm_load1",] == 0.5
    assert found["kvm_dump_uptime_seconds",] == 19.5
    assert [name for name, *_ in found if name.startswith("process_")] == []


def test_own_pid_in_a_dump_is_another_process(dead, monkeypatch):
    """The dump has a process with the exporter's pid; it is not taken for the exporter."""
    monkeypatch.setattr(os, "getpid", lambda: 40)
    with opening.open_kernel(other(dead)) as kvm:
        assert next(iter(kvm.processes(("comm",), 1, 40))).comm == "sh"
        families = SelfMetrics().families((), {}, kvm)
    assert [
        one.metric.name for one in families if one.samples and "process" in one.metric.name
    ] == []


def test_check_tells_what_each_collector_gets(flags, capsys):
    """Every collector goes well; this machine's /dev/kmem is no matter of a dump."""
    assert cli.main(["check", *flags]) == 0
    out = capsys.readouterr().out
    assert "collector process: ok" in out
    assert "kernel memory" not in out
    assert "FAILED" not in out


def test_serve_answers_with_the_dump(dead):
    """A scrape over HTTP has the dead machine's numbers."""
    opener = opening.Opener(other(dead))
    with serving(config.default, open_kvm=opener) as (client, _):
        while client.get("/-/ready").status != 200:
            pass
        assert values(client.get("/metrics").text)["kvm_load15",] == 0.125


def test_a_textdump_has_no_numbers(tmp_path, capfd):
    """Each collector says why; the command fails."""
    path = tmp_path / "textdump.tar.0"
    path.write_bytes(textdump.archive({"panic.txt": b"oh"}))
    assert cli.main(["scrape", f"--core={path}"]) == 1
    out, err = capfd.readouterr()
    assert "a textdump holds no memory" in err
    assert 'kvm_collector_success{collector="loadavg"} 0' in out


@pytest.mark.parametrize("command", ["scrape", "check", "serve"])
@pytest.mark.parametrize(
    ("flag", "told"),
    [("--core=/nonexistent", "/nonexistent"), ("--core={kernel}", "formats that can be read")],
)
def test_what_is_no_dump_is_told(command, flag, told, dead, capsys):
    """A failure at run time names the file."""
    kernel, _ = dead
    assert cli.main([command, f"--kernel={kernel}", flag.format(kernel=kernel)]) == 1
    assert told in capsys.readouterr().err


def test_a_kernel_that_is_another_machines_is_told(flags, tmp_path, capsys):
    """A kernel file of another version would make garbage of every number."""
    world = whole.machine()
    [place] = [one for one in world.symbols if one.name == "version"]
    world.write(place.address, b"FreeBSD 14.0")
    other, _ = crash(world, tmp_path)
    assert cli.main(["scrape", f"--kernel={other}", flags[1]]) == 1
    err = capsys.readouterr().err
    assert "did not write this dump" in err
    assert "FreeBSD 14.0" in err


@pytest.mark.parametrize("flag", ["--kernel=/boot/kernel/kernel", "--private-key=key.pem"])
def test_flags_of_a_dump_want_a_dump(flag, capsys):
    """A kernel file alone would be ignored silently: it is a mistake."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["scrape", flag])
    assert ended.value.code == 2
    assert "name it with --core" in capsys.readouterr().err


def test_the_first_who_asks_gets_what_was_opened(monkeypatch):
    """A dump is not indexed twice; after a late collector lost a handle there is another."""
    opened = []

    def open_kvm():
        opened.append(FakeKvm())
        return opened[-1]

    monkeypatch.setattr(opening.kernel, "open", open_kvm)
    opener = opening.Opener(OtherKernel())
    assert opener.live
    assert len(opened) == 1
    assert [opener(), opener(), opener()] == opened


def test_a_running_kernel_does_not_pay_for_dumps():
    """Neither the command line nor a live handle imports what only dumps need."""
    program = (
        "import sys, kvm_exporter.cli\n"
        "from kvm_exporter import kvm\n"
        "kvm.open().close()\n"
        "rooms = 'dead containers formats arch kernelfile types.ctf types.dwarf'.split()\n"
        "dead = {f'kvm_exporter.kvm.{room}' for room in rooms}\n"
        "dead |= {'kvm_exporter.inspection.command', 'hashlib'}\n"
        "print(sorted(dead & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
