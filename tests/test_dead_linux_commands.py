"""``scrape``, ``check`` and ``serve`` of a Linux core: that of forge/linux_whole.py's machine."""

from __future__ import annotations

import os

import pytest
from fakes.exporter import serving
from forge import linux_whole
from prometheus_client.parser import text_string_to_metric_families as parse

from kvm_exporter import cli, config, opening
from kvm_exporter.arguments import OtherKernel


@pytest.fixture(scope="module")
def linux():
    """The machine."""
    return linux_whole.machine()


@pytest.fixture(scope="module")
def cores(linux, tmp_path_factory):
    """Paths of its core by form; a split set has two."""
    folder = tmp_path_factory.mktemp("cores")
    forms = {
        "ELF": [linux.core],
        "filtered": [linux.kdump(filtered=True).data],
        "flattened": [linux.flattened()],
        "split": linux.split(),
    }
    paths = {}
    for form, parts in forms.items():
        paths[form] = [folder / f"{form}{number}" for number in range(len(parts))]
        for path, data in zip(paths[form], parts, strict=True):
            path.write_bytes(data)
    return paths


def values(text):
    """Every sample of a scrape."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("form", ["ELF", "filtered", "flattened", "split"])
def test_scrape_tells_of_the_dead_machine(form, cores, capfdbinary):
    """Its numbers, of what it died and when, whatever form its dump has."""
    assert cli.main(["scrape", *(f"--core={core}" for core in cores[form])]) == 0
    out, err = capfdbinary.readouterr()
    found = values(out.decode())
    assert err == b""
    assert found["kvm_load1",] == 1.5
    assert found["kvm_dump_uptime_seconds",] == 105.25
    assert found["kvm_dump_death_timestamp_seconds",] == linux_whole.CRASHED
    [(_, format_, panic)] = [key for key in found if key[0] == "kvm_dump_info"]
    assert format_.startswith("kdump" if form != "ELF" else "ELF core")
    assert panic == linux_whole.PANIC
    assert [name for name, *_ in found if name.startswith("process_")] == []
    assert found["kvm_process_group_cpu_seconds_total", "postgres", "user"] == 7.0


def test_check_tells_what_each_collector_gets(cores, capsys):
    """Every collector goes well; this machine's own devices are no matter of a dump."""
    assert cli.main(["check", f"--core={cores['ELF'][0]}"]) == 0
    out = capsys.readouterr().out
    assert "collector process: ok" in out
    assert "kernel memory" not in out
    assert "FAILED" not in out


def test_serve_answers_with_the_dump(cores):
    """A scrape over HTTP has the dead machine's numbers."""
    opener = opening.Opener(OtherKernel(None, (str(cores["ELF"][0]),)))
    with serving(config.default, open_kvm=opener) as (client, _):
        while client.get("/-/ready").status != 200:
            pass
        assert values(client.get("/metrics").text)["kvm_load1",] == 1.5


def test_own_pid_in_a_core_is_another_process(cores, monkeypatch):
    """The core has a process with the exporter's pid; it is not taken for the exporter."""
    monkeypatch.setattr(os, "getpid", lambda: 40)
    with opening.open_kernel(OtherKernel(None, (str(cores["ELF"][0]),))) as kvm:
        assert next(iter(kvm.processes(("comm",), 1, 40))).comm == "sh"


@pytest.mark.parametrize("command", ["scrape", "check", "serve"])
def test_a_vmlinux_of_another_build_is_told(command, linux, cores, tmp_path, capsys):
    """Its symbols would make garbage of every number."""
    wrong = tmp_path / "vmlinux"
    wrong.write_bytes(linux.file(build_id=bytes(20)))
    assert cli.main([command, f"--kernel={wrong}", f"--core={cores['ELF'][0]}"]) == 1
    assert "did not write this dump: its build id is 00" in capsys.readouterr().err


def test_a_machine_whose_types_nobody_knows_has_few_numbers(tmp_path, capfd):
    """Collectors that need them say so, and which file would help; the command fails."""
    path = tmp_path / "vmcore"
    path.write_bytes(linux_whole.machine(types=False).core)
    assert cli.main(["scrape", f"--core={path}"]) == 1
    out, err = capfd.readouterr()
    assert "its vmlinux, from its debug package, would tell" in err
    assert 'kvm_collector_success{collector="process"} 0' in out
    assert 'kvm_collector_success{collector="loadavg"} 1' in out
