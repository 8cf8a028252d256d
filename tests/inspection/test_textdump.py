"""What does ``inspect`` show of a textdump, which has no memory?"""

from __future__ import annotations

import json

import pytest
from forge import textdump

from kvm_exporter import cli


def shown(capsys, *argv):
    """What ``inspect`` prints; it goes well."""
    assert cli.main(["inspect", *argv]) == 0
    return capsys.readouterr().out


def test_its_texts_are_its_objects(texts, capsys):
    """Name and version, machine and panic come from its files; the rest is told as missing."""
    info = json.loads(shown(capsys, "info", f"--core={texts}", "--json"))
    assert info["release"] == "15.1-RELEASE"
    assert info["version"] == "FreeBSD 15.1-RELEASE LAB"
    assert (info["machine"], info["panic"]) == ("arm64", "oh")
    assert any("holds no memory" in problem for problem in info["problems"])
    assert "processes" not in info


def test_the_header_on_its_device_tells_more(tmp_path, capsys):
    """Host and time of death are in the dump header around it."""
    device = tmp_path / "ada0p3"
    device.write_bytes(textdump.device({"panic.txt": b"oh", "version.txt": b"FreeBSD 15.1"}))
    info = json.loads(shown(capsys, "info", f"--core={device}", "--json"))
    assert info["nodename"]
    assert info["died"]


def test_messages_are_shown(texts, capsys):
    """msgbuf.txt, with nothing in it that moves the cursor."""
    assert shown(capsys, "msgbuf", f"--core={texts}") == "vtnet0: link up\n\\x1b[2Jcleared\n"


def test_its_files_are_shown(texts, capsys):
    """Each under its name, and as they are in JSON."""
    out = shown(capsys, "textdump", f"--core={texts}")
    assert out.startswith("==> ddb.txt <==\ndb> show panic\npanic: oh\n\n==> config.txt <==\n")
    fields = json.loads(shown(capsys, "textdump", f"--core={texts}", "--json"))
    assert fields["ddb.txt"] == "db> show panic\npanic: oh\n"
    assert list(fields) == ["ddb.txt", "config.txt", "msgbuf.txt", "panic.txt", "version.txt"]


@pytest.mark.parametrize(
    "argv",
    [
        *("ps", "swap", "jails", "mounts", "interfaces", "files", "pages", "symbols"),
        *("nlist allproc", "read 0x10 4", "type proc"),
    ],
)
def test_what_needs_memory_says_so(argv, texts, capsys):
    """The message says what this file is."""
    assert cli.main(["inspect", *argv.split(), f"--core={texts}"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "textdump" in err


def test_a_textdump_of_panic_alone(tmp_path, capsys):
    """What is not among its files is told by its name."""
    path = tmp_path / "textdump.tar.1"
    path.write_bytes(textdump.archive({"panic.txt": b"oh"}))
    info = json.loads(shown(capsys, "info", f"--core={path}", "--json"))
    assert info["panic"] == "oh"
    assert any("no version.txt" in problem for problem in info["problems"])
    assert cli.main(["inspect", "msgbuf", f"--core={path}"]) == 1
    assert "no msgbuf.txt" in capsys.readouterr().err
