"""Does ``inspect`` show what is in a Linux core?  That of forge/linux_whole.py's machine."""

from __future__ import annotations

import json
import zlib

import pytest
from forge import linux_whole
from forge.linux_paths import MOUNTS, SWAP

from kvm_exporter import cli

SUBJECTS = (
    ["info"],
    ["ps"],
    ["ps", "--threads"],
    ["swap"],
    ["msgbuf"],
    ["mounts"],
    ["interfaces"],
    ["files"],
    ["nlist", "init_task"],
    ["symbols"],
    ["type", "struct task_struct"],
    ["read", "linux_banner", "16"],
    ["pages"],
)


@pytest.fixture(scope="module")
def linux():
    """The machine."""
    return linux_whole.machine()


@pytest.fixture(scope="module", params=["ELF", "kdump"])
def core(request, linux, tmp_path_factory):
    """The path of its dump, in either form."""
    path = tmp_path_factory.mktemp("linux") / "vmcore"
    path.write_bytes(linux.core if request.param == "ELF" else linux.kdump().data)
    return path


@pytest.fixture
def inspect(core, capsys):
    """What ``inspect`` of it prints, line by line; no file of its kernel is named."""

    def run(*argv):
        assert cli.main(["inspect", *argv, "--core", str(core)]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out.splitlines()

    return run


@pytest.fixture
def inspect_json(inspect):
    """What ``inspect --json`` of it means."""
    return lambda *argv: json.loads("\n".join(inspect(*argv, "--json")))


@pytest.mark.parametrize("subject", SUBJECTS, ids=" ".join)
def test_every_subject_has_an_answer(subject, inspect, inspect_json):
    """As JSON and as text, with something in it."""
    assert inspect_json(*subject)
    assert len(inspect(*subject)) > (subject[0] in ("ps", "swap", "mounts", "interfaces", "files"))


def test_a_linux_has_no_jails_and_is_no_textdump(inspect_json, core, capsys):
    """An empty table; and an error that says what to ask instead."""
    assert inspect_json("jails") == []
    assert cli.main(["inspect", "textdump", f"--core={core}"]) == 1
    assert "no textdump(4)" in capsys.readouterr().err


def test_info_tells_what_the_machine_did(inspect_json):
    """How it died, how busy it was, and what was learnt of its kernel without any file of it."""
    info = inspect_json("info")
    assert info["panic"] == linux_whole.PANIC
    assert info["died"] == "2023-11-14 22:15:00+00:00"
    assert info["uptime_seconds"] == 105.25
    assert [info[name] for name in ("sysname", "nodename", "release")] == list(
        linux_whole.UNAME[:3]
    )
    assert info["build_id"] == linux_whole.BUILD_ID.hex()
    assert info["KASLR_offset"] == "0x1e000000"
    assert info["types"].startswith("BTF of its memory")
    assert (info["cpus"], info["processes"]) == (2, 7)
    assert info["load_average"].startswith("1.50")
    assert "kernel" not in info
    assert info["problems"] == []


def test_processes_are_listed(inspect_json, inspect):
    """With arguments from their own memory, and where they sleep."""
    rows = {row["pid"]: row for row in inspect_json("ps")}
    assert rows.keys() == {1, 2, 40, 41, 50, 60, 77}
    assert rows[40]["arguments"] == ["sh", "-c", "echo 'two words'", ""]
    assert (rows[40]["state"], rows[40]["wait_channel"]) == ("sleeping", "do_wait")
    assert (rows[40]["uid"], rows[40]["ppid"], rows[40]["cpu_seconds"]) == (1000, 1, 3.0)
    assert rows[60]["state"] == "zombie"
    threads = [row for row in inspect_json("ps", "--threads") if row["pid"] == 41]
    assert {(row["tid"], row["thread"]) for row in threads} == {(41, "postgres"), (42, "worker")}
    assert r"\x1b]0;nginx\x07" in "\n".join(inspect("ps"))


def test_swap_mounts_interfaces_and_files_are_listed(inspect_json):
    """Each with what the forge has of it."""
    *areas, total = inspect_json("swap")
    used = [(name, pages * 4096) for name, flags, pages, *_ in SWAP if flags]
    assert [(row["name"], row["size_bytes"]) for row in areas] == used
    assert total["size_bytes"] == sum(size for _, size in used)
    mounts = inspect_json("mounts")
    assert [(row["device"], row["path"]) for row in mounts] == [row[:2] for row in MOUNTS]
    assert {"lo", "eth0"} < {row["name"] for row in inspect_json("interfaces")}
    assert [row["path"] for row in inspect_json("files")] == ["/etc/hosts"] * 2


def test_names_are_found_and_read(inspect_json, inspect, linux):
    """In the kernel and in its module; a symbol is where KASLR put it."""
    banner, poll, missing = inspect_json("nlist", "linux_banner", "forged_poll", "nowhere")
    [symbol] = [one for one in linux.world.symbols if one.name == "linux_banner"]
    assert int(banner["address"], 16) == symbol.address
    assert poll["address"]
    assert missing["address"] is None
    assert inspect("read", "linux_banner", "13")[0].endswith("|Linux version|")
    names = [row["name"] for row in inspect_json("symbols", "*banner")]
    assert names == ["linux_banner"]


def test_types_are_declared(inspect, linux):
    """As C, with offsets: where the forge's declarations have them."""
    offset = linux.world.place("struct task_struct", "tgid").bit // 8
    [line] = [line for line in inspect("type", "struct task_struct") if " tgid;" in line]
    assert line.split()[:2] == ["pid_t", "tgid;"]
    assert line.split()[-3] == str(offset)


def test_a_split_set_is_named_part_by_part(linux, tmp_path, capsys):
    """With --core for each of its files."""
    flags = []
    for number, part in enumerate(linux.split()):
        path = tmp_path / f"part{number}"
        path.write_bytes(part)
        flags.append(f"--core={path}")
    assert cli.main(["inspect", "info", "--json", *flags]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["processes"] == 7
    assert info["split_dump"].startswith("2 files")


def test_what_was_left_out_is_told(linux, tmp_path, capsys):
    """Of a filtered dump users' memory is unknown, which is no missing argument."""
    path = tmp_path / "filtered"
    path.write_bytes(linux.kdump(filtered=True).data)
    assert cli.main(["inspect", "info", "--json", f"--core={path}"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["dump_level"].startswith("31: without zeros, page cache")
    assert cli.main(["inspect", "ps", "--json", f"--core={path}"]) == 0
    rows = {row["pid"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[40]["arguments"] is None


def test_a_truncated_core_is_told(linux, tmp_path, capsys):
    """Info says how much is missing, and shows what there is."""
    path = tmp_path / "cut"
    path.write_bytes(linux.core[:-4096])
    assert cli.main(["inspect", "info", f"--core={path}"]) == 0
    assert "truncated: 4096 bytes of memory are missing" in capsys.readouterr().out


def test_an_expression_is_explained(core, capsys):
    """The bytes of a read are where the answer says; in a kdump its page is packed there."""
    argv = ["explain", "init_task.pid + 5", "--type=init_task=struct task_struct", "--json"]
    assert cli.main([*argv, "--core", str(core)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [sample["value"] for sample in told["samples"]] == [5]
    [read] = told["reads"]
    assert all(step["entry"] for step in read["walk"] if step["at"])
    data, offset = core.read_bytes(), int(read["file_offset"], 16)
    if read["packed_bytes"] is None:
        assert data[offset : offset + 4] == bytes.fromhex(read["bytes"])
    else:
        page = data[offset : offset + read["packed_bytes"]]
        page = page if len(page) == 4096 else zlib.decompress(page)
        within = int(read["physical"], 16) % 4096
        assert page[within : within + 4] == bytes.fromhex(read["bytes"])


def test_candidates_are_listed(core, capsys):
    """Variables by pattern, and no functions."""
    assert cli.main(["symbols", "init_*", "--core", str(core), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["init_task"]["kind"] == "plain"
