"""Does ``inspect`` show what is in a crash dump?  The dump of forge/whole.py's machine."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from forge import compressed, system_world, whole
from forge.crashed import crash

from kvm_exporter import cli

SUBJECTS = (
    ["info"],
    ["ps"],
    ["ps", "--threads"],
    ["process", "40"],
    ["swap"],
    ["cpus"],
    ["memory"],
    ["msgbuf"],
    ["jails"],
    ["mounts"],
    ["interfaces"],
    ["files"],
    ["nlist", "allproc"],
    ["symbols"],
    ["type", "struct proc"],
    ["read", "version", "16"],
    ["pages"],
)


@pytest.mark.parametrize("subject", SUBJECTS, ids=" ".join)
def test_every_subject_speaks_json(subject, inspect_json):
    """Each has an answer with something in it, but for open files, which nobody has."""
    assert inspect_json(*subject) or subject == ["files"]


def test_info_tells_what_the_machine_did(inspect_json):
    """How it died, and how busy it was, as the forge has it."""
    info = inspect_json("info")
    assert info["panic"] == system_world.PANIC
    assert info["died"] == "2026-11-23 08:49:47+00:00"
    assert info["uptime_seconds"] == 19.5
    assert info["nodename"] == system_world.HOST
    assert info["load_average"] == "0.50 0.25 0.12"
    assert (info["cpus"], info["processes"], info["jails"]) == (2, 7, 3)
    assert info["format"] == "minidump of amd64, version 3"
    assert info["types"].startswith("CTF of ")


def test_info_tells_what_could_not_be_had(inspect, inspect_json):
    """This kernel has no linker_files; text and JSON say so."""
    [problem] = inspect_json("info")["problems"]
    assert problem.startswith("not read: missing or damaged: linker_files, ")
    assert inspect("info")[-1] == problem


def test_processes_are_listed(inspect_json):
    """Every process with its arguments; a zombie is one, too."""
    rows = {row["pid"]: row for row in inspect_json("ps")}
    assert rows.keys() == {0, 1, 40, 41, 50, 60, 77}
    assert rows[40]["arguments"] == ["sh", "-c", "echo 'two words'"]
    assert (rows[40]["state"], rows[40]["wait_channel"]) == ("sleeping", "wait")
    assert rows[40]["cpu_seconds"] == 1.0
    assert rows[1]["arguments"] is None
    assert (rows[60]["state"], rows[60]["ppid"]) == ("zombie", 40)
    assert (rows[50]["jail"], rows[50]["uid"]) == (3, 70)


def test_threads_are_listed(inspect_json):
    """A row a thread, with its name."""
    rows = [row for row in inspect_json("ps", "--threads") if row["pid"] == 41]
    assert {row["thread"] for row in rows} == {"main", "worker"}
    assert len({row["tid"] for row in rows}) == 2


def test_a_hostile_name_stays_in_its_column(inspect):
    """A process cannot set the title of the terminal on which it is listed."""
    text = "\n".join(inspect("ps"))
    assert r"\x1b]0;nginx\x07" in text
    assert "\x1b" not in text


def test_swap_has_a_total(inspect_json):
    """A row a device and their sums."""
    *rows, total = inspect_json("swap")
    sizes = [pages * system_world.PAGE for _, _, pages, _ in system_world.SWAP]
    assert [row["size_bytes"] for row in rows] == sizes
    assert total["name"] == "total"
    for column in ("size_bytes", "used_bytes", "usable_bytes"):
        assert total[column] == sum(row[column] for row in rows)


def test_messages_are_shown(inspect):
    """The message buffer without syslog's priorities."""
    assert inspect("msgbuf") == [
        "---<<BOOT>>---",
        "vtnet0: link state changed to UP",
        "Uptime: 19s",
    ]


def test_jails_mounts_and_interfaces_are_listed(inspect_json):
    """Each with what the forge has of it."""
    assert [(row["jid"], row["name"], row["vnet"]) for row in inspect_json("jails")] == [
        (3, "vnetjail", True),
        (7, "plain", False),
        (9, "plain.nested", False),
    ]
    mounts = inspect_json("mounts")
    assert [(row["device"], row["path"], row["kind"]) for row in mounts] == [
        row[:3] for row in system_world.MOUNTS
    ]
    assert [(row["name"], row["jail"]) for row in inspect_json("interfaces")] == [
        ("em0", 0),
        ("lo0", 0),
        ("lo0", 3),
    ]


def test_names_are_found(inspect_json):
    """A symbol has an address, a missing one has none, and a pattern finds those it matches."""
    found, missing = inspect_json("nlist", "allproc", "nobody_knows")
    assert found["address"].startswith("0xfffffe00")
    assert missing == {"address": None, "type": None, "size": None, "name": "nobody_knows"}
    names = [row["name"] for row in inspect_json("symbols", "*proc")]
    assert "allproc" in names
    assert all(name.endswith("proc") for name in names)
    assert len(inspect_json("symbols")) > len(names)


@pytest.mark.parametrize(
    ("place", "length", "text"),
    [("version", "12", "FreeBSD 15.1"), ("version+8", "4", "15.1"), ("_version+0x8", "4", "15.1")],
)
def test_memory_is_read_by_name(place, length, text, inspect, inspect_json):
    """A symbol or symbol+offset is an address; hexdump -C's lines, and in JSON its hex."""
    got = inspect_json("read", place, length)
    assert bytes.fromhex(got["hex"]).decode() == text
    assert (got["length"], got["missing"]) == (len(text), 0)
    assert inspect("read", place, length)[0].endswith(f"|{text}|")
    assert inspect_json("read", got["address"], length) == got


def test_missing_memory_is_told(inspect_json, inspect):
    """Bytes up to the first page that is not there, and how many are missing."""
    last = max(int(page["kernel"], 16) for page in inspect_json("pages") if page["kernel"])
    got = inspect_json("read", hex(last + 4096 - 3), "40")
    assert (got["length"], got["missing"]) == (3, 37)
    assert inspect("read", hex(last + 4096 - 3), "40")[-1].endswith("37 bytes are missing")


def test_types_are_declared(inspect):
    """As C, with offsets: p_pid is where the forge's declarations have it."""
    offset = whole.machine().place("struct proc", "p_pid").bit // 8
    [line] = [line for line in inspect("type", "struct proc") if " p_pid;" in line]
    assert line.split()[:2] == ["pid_t", "p_pid;"]
    assert line.split()[-3] == str(offset)


def test_pages_are_walked(inspect_json):
    """Every page has its physical address, its mapping and its place in the file."""
    pages = inspect_json("pages")
    assert {page["length"] for page in pages} == {4096}
    mapped = [page for page in pages if page["kernel"]]
    assert all(page["protection"] == "rwx" for page in mapped)
    assert all(int(page["offset"], 16) % 4096 == 0 for page in mapped)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["read", "nobody_knows", "4"], "no symbol nobody_knows; inspect symbols lists"),
        (["read", "0x10", "4"], "address 0x10"),
        (["type", "struct nobody"], "struct nobody"),
        (["textdump"], "no textdump(4)"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_what_cannot_be_shown_is_an_error(argv, told, more, dead, capsys):
    """Nothing on standard output, a line on the other, and status 1."""
    kernel, core = dead
    assert cli.main(["inspect", *argv, *more, f"--kernel={kernel}", f"--core={core}"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kvm_exporter: ")
    assert told in err


def test_a_truncated_dump_is_told(dead, tmp_path, capsys):
    """Info says how much is missing, and shows what there is."""
    kernel, core = dead
    cut = tmp_path / "vmcore.1"
    cut.write_bytes(core.read_bytes()[:-4096])
    assert cli.main(["inspect", "info", f"--kernel={kernel}", f"--core={cut}"]) == 0
    out = capsys.readouterr().out
    assert "truncated: 4096 bytes of memory are missing behind the end of the file" in out


def test_a_bad_dump_is_told(dead, tmp_path, capsys):
    """What savecore(8) thought of it is among the problems."""
    kernel, core = dead
    (tmp_path / "vmcore.0").write_bytes(core.read_bytes())
    (tmp_path / "info.0").write_text("Dump header from device: /dev/ada0p3\n  Dump Status: bad\n")
    assert cli.main(["inspect", "info", f"--kernel={kernel}", f"--core={tmp_path}"]) == 0
    assert "savecore(8) calls this dump 'bad'" in capsys.readouterr().out


def test_a_reader_that_has_enough_is_no_disaster(dead):
    """``inspect pages | head`` prints no traceback."""
    kernel, core = dead
    reading, writing = os.pipe()
    os.close(reading)
    command = ["inspect", "pages", f"--kernel={kernel}", f"--core={core}"]
    done = subprocess.run(
        [sys.executable, "-m", "kvm_exporter", *command],
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_letters_that_a_terminal_lacks_are_spelt_out(tmp_path):
    """In a locale of the last century a name of this one is no error."""
    world = whole.machine()
    world.define("version", "char", "FreeBSD \u6587\n".encode() + b"\0")
    world.symbols[:] = {one.name: one for one in world.symbols}.values()
    kernel, core = crash(world, tmp_path)
    command = ["inspect", "info", f"--kernel={kernel}", f"--core={core}"]
    done = subprocess.run(
        [sys.executable, "-m", "kvm_exporter", *command],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        timeout=60,
    )
    assert b"FreeBSD \\u6587" in done.stdout


def on_a_terminal(*argv):
    """Standard error of the command line where that is a terminal, and its status."""
    leader, follower = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "kvm_exporter", *argv], stdout=subprocess.DEVNULL, stderr=follower
    )
    os.close(follower)
    seen = b""
    try:
        while part := os.read(leader, 4096):
            seen += part
    except OSError:  # Linux's way to say that nobody has the other end
        pass
    finally:
        os.close(leader)
    return seen.decode(), done.wait(60)


def test_indexing_shows_its_progress_on_a_terminal(dead, tmp_path):
    """Of a compressed dump there is a bar, gone at the end; the second time nothing is indexed."""
    kernel, core = dead
    packed = tmp_path / "vmcore.0.gz"
    packed.write_bytes(compressed.kernel_gzip(core.read_bytes() + bytes(64 << 20), level=1))
    argv = ("inspect", "swap", f"--kernel={kernel}", f"--core={packed}")
    seen, status = on_a_terminal(*argv)
    assert status == 0
    assert seen.startswith("\rindexing vmcore.0.gz [")
    assert seen.endswith("\r\x1b[K")
    assert on_a_terminal(*argv) == ("", 0)


def test_indexing_is_silent_elsewhere(dead, tmp_path, capsys):
    """In a log there is no bar."""
    kernel, core = dead
    packed = tmp_path / "vmcore.0.gz"
    packed.write_bytes(compressed.kernel_gzip(core.read_bytes(), level=1))
    assert cli.main(["inspect", "swap", f"--kernel={kernel}", f"--core={packed}"]) == 0
    assert capsys.readouterr().err == ""
