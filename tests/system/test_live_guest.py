"""The exporter in a guest that runs: does kernel memory say the same as /proc?

One emulated machine with Debian's kernel and Python, in which live_guest/probe.py asks everything
once; each test compares one answer.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from system.guests.counted import LINUX, options_of
from system.guests.counted import named as counted
from system.guests.qemu import running
from system.guests.recipes import BY_NAME
from system.guests.words import snmp, snmp_words, sockstat, vmstat_words
from system.live_guest.inside import boot_files

pytestmark = pytest.mark.system

RECIPE = replace(BY_NAME["amd64-la57"], name="amd64-live", memory=512)


@pytest.fixture(scope="module")
def answers(tmp_path_factory, releases):
    """Every answer of the probe, by its question."""
    folder = tmp_path_factory.mktemp("live_guest")
    release = releases.release(RECIPE.suite)
    package = release.fetch(release.behind(RECIPE.package, "amd64"), "amd64")
    kernel, initramfs = folder / "kernel", folder / "initramfs"
    for path, data in zip(
        (kernel, initramfs), boot_files(release, package, folder / "root"), strict=True
    ):
        path.write_bytes(data)
    with running(RECIPE.command, kernel, initramfs, folder) as machine:
        for part in (1, 2, 3):
            machine.wait_for(f"===PART {part}===")
    shutil.rmtree(folder)
    lines = machine.console.decode("utf-8", "replace").splitlines()
    told = [json.loads(line[1:]) for line in lines if line.startswith("@")]
    return {name: answer for name, _, answer in told}


@pytest.fixture
def answer(answers, request):
    """The answer to the question that the test is named after."""
    found = answers[request.function.__name__.removeprefix("test_")]
    assert "failed" not in found, found["failed"]
    return found


def values(text):
    """Every sample of a scrape."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_banner(answer):
    """The text at linux_banner is /proc/version's."""
    assert answer["ours"] == answer["proc"]


def test_load_average(answer):
    """The fixed-point numbers at avenrun are /proc/loadavg's, rounded as it rounds them."""
    assert answer["before"] == answer["after"]
    assert answer["ours"][0] > 0
    rounded = [number + (1 << 11) // 200 for number in answer["ours"]]
    hundredths = [(number >> 11, (number & 2047) * 100 >> 11) for number in rounded]
    assert [f"{whole}.{rest:02}" for whole, rest in hundredths] == answer["before"]


def test_jiffies(answer):
    """The clock at jiffies goes on as /proc/uptime does, CONFIG_HZ times a second."""
    first, second = answer["first"], answer["second"]
    ticks = second["ours"] - first["ours"]
    shortest, longest = second["before"] - first["after"], second["after"] - first["before"]
    assert ticks > 0
    # a busy host may stop the emulated processor that counts, while the other one goes on
    assert shortest - 0.5 <= ticks / answer["hertz"] <= longest + 0.5


def test_threads(answer):
    """nr_threads is the number in /proc/loadavg."""
    assert answer["ours"] == answer["before"] == answer["after"]


def test_cpu_times(answer):
    """Each CPU's own kernel_cpustat lies between two readings of /proc/stat, in every mode."""
    assert len(answer["before"]) == len(answer["ours"]) == 2
    for before, ours, after in zip(
        *(answer[at] for at in ("before", "ours", "after")), strict=True
    ):
        for mode, ticks in ours.items():
            assert before[mode] <= ticks <= after[mode]
    assert answer["ours"][0] != answer["ours"][1]
    assert all(cpu["system"] for cpu in answer["ours"])


def test_tasks(answer):
    """The list of tasks is that of /proc: every pid, its parent and its name."""
    assert answer["before"] == answer["after"]
    theirs, ours = answer["before"], answer["ours"]
    assert {pid: ppid for pid, (ppid, _) in ours.items()} == {
        pid: ppid for pid, (ppid, _) in theirs.items()
    }
    assert len(ours) > 30
    # of kernel threads /proc tells more than the 15 bytes in task_struct
    for pid, (_, comm) in ours.items():
        assert comm
        assert theirs[pid][1].startswith(comm)


def test_module(answer):
    """A module's variable and one of its types: the number of its block device, and a struct."""
    assert re.search(rf"^ *{answer['ours']} zram$", answer["devices"], re.MULTILINE)
    assert answer["size"] > 100


def test_module_per_cpu(answers):
    """A module's per-CPU variable: each CPU's copy has the buffer that it was given."""
    areas = answers["module"]["areas"]
    assert [(tuple(labels), value) for labels, value in areas] == [(("0",), 1), (("1",), 1)]


@pytest.fixture
def counters(answers):
    """The series of each module of symbols, and /proc before and after."""
    found = answers["counters"]
    assert "failed" not in found, found["failed"]
    series = {}
    for module in LINUX:
        told = found["ours"][f"linux-{module}"]
        how = told["missing"], told["unread"], told["torn"], ""
        series[module] = counted(options_of(module), told["labels"], told["samples"], *how)
    return series, found["before"], found["after"]


def outside(pairs, before, after, room=512):
    """What does not lie between the two readings; what may fall, with some room."""
    spans = {
        word: (before[word] - spare, ours, after[word] + spare)
        for word, ours, rises in pairs
        if word in before and (spare := 0 if rises else room) >= 0
    }
    return {word: span for word, span in spans.items() if not span[0] <= span[1] <= span[2]}


def test_counters_are_all_read(counters):
    """Every module has its series; nothing was unread or torn."""
    for module, found in counters[0].items():
        assert (module, found.unreadable, found.torn) == (module, 0, 0)
        assert sum(map(len, found.metrics.values())) > 30


def test_counters_of_vmstat(counters):
    """Every number of /proc/vmstat lies between its two readings."""
    series, *texts = counters
    before, after = (
        {name: int(value) for name, value in map(str.split, text["vmstat"].splitlines())}
        for text in texts
    )
    pairs = list(vmstat_words(series["vm"], before))
    assert len(pairs) > 120
    assert outside(pairs, before, after) == {}


def test_counters_of_the_network(counters):
    """So does every number of snmp, snmp6 and netstat; sockets stay the same."""
    series, *texts = counters
    before, after = (snmp(lambda name, text=text: text[f"net/{name}"]) for text in texts)
    [netns] = {labels["netns"] for labels, _ in series["net"].metrics["ip_received_packets_total"]}
    pairs = list(snmp_words(series["net"], netns))
    assert len({pair.word for pair in pairs} & before.keys()) > 200
    assert outside(pairs, before, after, room=0) == {}
    assert before["Tcp ActiveOpens"] > 0
    theirs = sockstat(texts[0]["net/sockstat"])
    assert series["sockets"].value("sockets_tcp_time_waits") == theirs["TCP"]["tw"]


def test_counters_of_processors(counters):
    """So do each CPU's softirqs and its time slices."""
    series, *texts = counters
    rows = [{row.split()[0]: row.split()[1:] for row in text["softirqs"].splitlines()[1:]}
            for text in texts]  # fmt: skip
    for name in rows[0]:
        for cpu in range(2):
            ours = series["scheduler"].value(
                "scheduler_softirqs_total", cpu=str(cpu), softirq=name.removesuffix(":")
            )
            assert int(rows[0][name][cpu]) <= ours <= int(rows[1][name][cpu])
    for cpu in range(2):
        ours = series["scheduler"].value("scheduler_timeslices_total", cpu=str(cpu))
        before, after = (
            int(re.search(rf"^cpu{cpu} .* (\d+)$", text["schedstat"], re.MULTILINE)[1])
            for text in texts
        )
        assert before <= ours <= after


def test_counters_of_slabs(counters):
    """The same caches as in /proc/slabinfo, with about as many objects."""
    series, before, _ = counters
    rows = [line.split() for line in before["slabinfo"].splitlines()[2:]]
    ours = {labels["cache"]: value for labels, value in series["slab"].metrics["slab_objects"]}
    assert ours.keys() == {row[0] for row in rows}
    assert {row[0]: row[2] for row in rows if abs(ours[row[0]] - int(row[2])) > 4096} == {}


def test_names(answer):
    """Two hundred symbols have the addresses that /proc/kallsyms lists."""
    assert len(answer["listed"]) > 200
    assert answer["ours"] == answer["listed"]


def test_hidden_names(answer):
    """The same symbols where the kernel hides addresses from everybody: its memory has them."""
    assert answer["hidden"] == "0" * 16
    assert len(answer["listed"]) > 200
    assert answer["ours"] == answer["listed"]


def test_inspect(answer):
    """A person gets bytes, an address, a type and names."""
    assert {name: (said["status"], said["err"]) for name, said in answer.items()} == dict.fromkeys(
        ("read", "nlist", "type", "symbols"), (0, "")
    )
    assert "|Linux version 6.|" in answer["read"]["out"]
    [jiffies] = json.loads(answer["nlist"]["out"])
    assert int(jiffies["address"], 16) > 1 << 63
    assert "struct list_head *next;" in answer["type"]["out"]
    assert "16 bytes" in answer["type"]["out"]
    assert "linux_banner" in answer["symbols"]["out"]


def test_explain(answer):
    """A CPU's time in the kernel lies between /proc/stat's before and after, and in /proc/kcore."""
    told = answer["told"]
    assert (told["status"], told["err"]) == (0, "")
    story = json.loads(told["out"])
    assert len(story["samples"]) == len(story["reads"]) == 2
    for cpu, sample in enumerate(story["samples"]):
        assert sample["labels"] == {"cpu": str(cpu)}
        before, after = (
            int(re.search(rf"^cpu{cpu} \d+ \d+ (\d+) ", answer[when], re.MULTILINE)[1])
            for when in ("before", "after")
        )
        # nanoseconds, of which /proc/stat counts hundredths of a second (USER_HZ)
        assert before <= sample["value"] // 10**7 <= after
    for read, sample in zip(story["reads"], story["samples"], strict=True):
        assert (read["file"], read["physical"], read["walk"]) == ("/proc/kcore", None, [])
        assert int.from_bytes(bytes.fromhex(read["bytes"]), "little") == sample["value"]
    assert re.search(r"^    file +/proc/kcore at 0x", answer["threads"]["out"], re.MULTILINE)
    assert re.search(r"^nr_threads = \d+$", answer["threads"]["out"], re.MULTILINE)
    [row] = json.loads(answer["candidates"]["out"])
    assert (row["name"], row["kind"]) == ("kernel_cpustat.cpustat", "percpu")
    assert answer["mistake"]["status"] == 1
    assert answer["mistake"]["err"].endswith(
        "near names: cpustat\n    kernel_cpustat.cpustats\n                   ^\n"
    )


def test_unprivileged(answer):
    """Memory and addresses are refused, with what they would take; types and metrics are not."""
    assert {name: said["status"] for name, said in answer.items()} == {
        "read": 1,
        "nlist": 1,
        "type": 0,
        "scrape": 0,
    }
    assert re.fullmatch(r"kvm_exporter: /proc/kcore: .*CAP_SYS_RAWIO.*\n", answer["read"]["err"])
    assert re.fullmatch(
        r"kvm_exporter: /proc/kallsyms: .*CAP_SYSLOG.*kptr_restrict.*CAP_SYS_RAWIO.*\n",
        answer["nlist"]["err"],
    )
    assert "struct list_head *next;" in answer["type"]["out"]
    assert values(answer["scrape"]["out"])["kvm_collector_success", "loadavg"] == 1


def test_scrape(answer):
    """Every collector gets what it wants in a guest, as root."""
    assert (answer["status"], answer["err"]) == (0, "")
    found = values(answer["out"])
    success = {key[1]: value for key, value in found.items() if key[0] == "kvm_collector_success"}
    assert success == dict.fromkeys(success, 1)
    assert success
    assert found["kvm_cpu_seconds_total", "1", "system"] > 0


def test_serve(answer):
    """A scrape over the loopback has the same families, from a process of at most 24 MiB."""
    assert answer["status"] == 0, answer["err"]
    found = values(answer["body"])
    assert found["kvm_collector_success", "process"] == 1
    [resident] = re.findall(r"^VmRSS:\s*(\d+) kB$", answer["process"], re.MULTILINE)
    assert int(resident) <= 24 * 1024


def test_locked_down(answer):
    """A kernel that is locked down keeps its memory from root, too, and that is told."""
    assert answer["status"] == 1
    assert "locked down" in answer["err"]
