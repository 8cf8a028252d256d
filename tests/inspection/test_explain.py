"""Does ``explain`` show how an expression becomes a number, and ``symbols`` what could be one?"""

from __future__ import annotations

import gzip
import json
import re

import pytest
from forge.counting import LISTS, Counting
from forge.crashed import BASES, crash
from forge.world import Thing

from kvm_exporter import cli

MACHINES = ("amd64", "aarch64", "i386", "armv7", "powerpc64")
"""Both word sizes, both byte orders."""


class Asking:
    """The command line over one forged dump."""

    def __init__(self, kernel, core, capsys):
        self.core = core
        self._files = ["--kernel", str(kernel), "--core", str(core)]
        self._capsys = capsys

    def __call__(self, *argv, status=0):
        """What it prints, and what it complains of."""
        assert cli.main([*argv, *self._files]) == status
        return self._capsys.readouterr()

    def json(self, *argv):
        """What it prints as JSON."""
        return json.loads(self("explain", *argv, "--json").out)


def counting(machine):
    """A kernel that counts a little of everything."""
    kernel = Counting(machine, base=BASES[machine], jails={"web": 7})
    kernel.declare("enum states { S_IDLE = 1, S_BUSY = 2 };")
    kernel.declare("struct counts { u_int c_in, c_out; int c_low : 3; int c_high : 5; };")
    kernel.declare(
        "struct ring { struct counts *r_counts; struct ring *r_none; char r_name[16]; };"
    )
    kernel.variable("struct counts total", {"c_in": 7, "c_out": 9, "c_low": -2, "c_high": 11})
    kernel.percpu("u_long switches", {0: 10, 2: 20, 5: 30})
    kernel.percpu("struct counts seen", {0: {"c_in": 1}, 2: {"c_in": 2}, 5: {"c_in": 4}})
    kernel.vnet("struct counts ipcounts", {"": {"c_in": 1}, "web": {"c_in": 2}})
    kernel.vnet("counter_u64_t ipstat[2]", {"": kernel.counters([[1, 2, 3], [4, 5, 6]])})
    kernel.declare("struct ipstat { uint64_t ips_total, ips_bad; };")
    kernel.variable("counter_u64_t packets", kernel.counter([1, 2, 2**64 - 1]))
    counts = kernel.new("struct counts", c_in=40, c_out=50)
    name = b"re0\0hidden things"[:16]
    ring = kernel.new("struct ring", r_counts=counts, r_name=name)
    kernel.variable("struct ring *rings[3]", [ring, None, ring])
    kernel.variable("struct counts *lost", BASES[machine] + (64 << 20))
    kernel.variable("enum states state", 2)
    kernel.declare(LISTS["SLIST"].head("parts", "part"))
    kernel.declare(f"struct part {{ int p_size; {LISTS['SLIST'].entry('part')} p_list; }};")
    kernel.declare(LISTS["TAILQ"].head("devices", "device"))
    kernel.declare(
        f"struct device {{ int d_used; {LISTS['TAILQ'].entry('device')} d_list; char d_name[8];"
        "struct parts d_parts; };"
    )
    devices = [kernel.new("struct device", d_used=n, d_name=b"da%d" % n) for n in (3, 5)]
    for device in devices:
        pieces = [kernel.new("struct part", p_size=size) for size in (10, 20)]
        head = Thing(kernel.world, "struct parts", device.at("d_parts"))
        kernel.link_list("SLIST", head, pieces, "p_list")
    kernel.link_list("TAILQ", kernel.variable("struct devices devs", {}), devices, "d_list")
    kernel.variable("int levels[20]", list(range(100, 120)))
    kernel.world.define("untyped", "int", 1234)
    kernel.world.define("scan.recorded", "int", 5)
    return kernel


@pytest.fixture(scope="session")
def dumps(tmp_path_factory):
    """Kernel file and dump of each machine."""
    made = {}

    def dump(machine):
        if machine not in made:
            folder = tmp_path_factory.mktemp(machine)
            version = 2 if machine in ("i386", "armv7", "powerpc64") else 3
            world = counting(machine).world
            made[machine] = crash(world, folder, machine, version=version)
        return made[machine]

    return dump


@pytest.fixture
def ask(dumps, capsys):
    """The command line over amd64's dump."""
    return Asking(*dumps("amd64"), capsys)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("argv", "samples"),
    [
        (["total.c_out"], {"": 9}),
        (["(int)`scan.recorded`"], {"": 5}),
        (["total.c_low"], {"": -2}),
        (["total.c_high"], {"": 11}),
        (["switches"], {"": 60}),
        (["switches", "--cpu=each"], {"cpu=0": 10, "cpu=2": 20, "cpu=5": 30}),
        (["seen.c_in * 2", "--cpu=5"], {"cpu=5": 8}),
        (["packets"], {"": 2}),
        (["packets", "--cpu=each"], {"cpu=0": 1, "cpu=2": 2, "cpu=5": 2**64 - 1}),
        (["ipcounts.c_in", "--vnet=all"], {"jail=": 1, "jail=web": 2}),
        (["ipcounts.c_in", "--vnet=web"], {"": 2}),
        (["((struct ipstat)ipstat).ips_bad"], {"": 15}),
        (["ipstat.ips_bad", "--type=ipstat=struct ipstat"], {"": 15}),
        (["rings[0]->r_counts->c_out"], {"": 50}),
        (["rings[2]->r_name"], {"": "re0"}),
        (["levels[2:4]"], {"index=2": 102, "index=3": 103}),
        (["sizeof(struct counts) + S_BUSY"], {"": 14}),
        (["untyped", "--type=untyped=int"], {"": 1234}),
        (["(int)untyped"], {"": 1234}),
        (["state"], {"": 2}),
        (["rings[1]->r_counts->c_in"], {"": None}),
        (["d_used * 2", "--each=devs"], {"": 6}),
        (["d_used + position", "--each=devs", "--via=d_list", "--number=1"], {"": 6}),
        (["d_name", "--each=devs", "--number=1"], {"": "da5"}),
        (["outer.d_used * 100 + p_size", "--each=devs", "--each=d_parts", "--number=2"], {"": 510}),
        (["position", "--each=devs", "--each=d_parts", "--number=3"], {"": 1}),
        (["&it == devs.tqh_first", "--each=devs"], {"": 1}),
        (["r_counts->c_out + position", "--each=rings", "--number=1"], {"": 52}),
    ],
)
def test_every_read_is_in_the_file(machine, argv, samples, dumps, capsys):
    """The number is what the forge has counted; each read's bytes are in the dump where it says."""
    asking = Asking(*dumps(machine), capsys)
    told = asking.json(*argv)
    found = {
        ",".join(f"{name}={value}" for name, value in one["labels"].items()): one["value"]
        for one in told["samples"]
    }
    assert found == samples
    assert told["problem"] is None
    dump = asking.core.read_bytes()
    for read in told["reads"]:
        if read["address"] is not None:
            assert read["walk"]
            assert int(read["physical"], 16) % 4096 == int(read["address"], 16) % 4096
            data = bytes.fromhex(read["bytes"])
            assert dump[int(read["file_offset"], 16) :].startswith(data)
            assert read["file"] == str(asking.core)


def test_a_story_for_people(ask):
    """Variable, type, copies, members, pointers, the way to the byte, and the number."""
    lines = ask("explain", "rings[0]->r_counts->c_out").out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "rings",
        "rings[0]",
        "rings[0]->r_counts",
        "rings[0]->r_counts->c_out",
        "read 0",
        "read 1: what read 0 points at",
        "read 2: what read 1 points at, byte 4",
        "rings[0]->r_counts->c_out = 50",
    ]
    told = "\n".join(lines)
    assert re.search(
        r"variable   one for all, at 0xf{5}\w+, 24 bytes\n    type +struct ring \*", told
    )
    assert re.search(r"rings\[0\]->r_counts->c_out\n    offset +4\n    type +u_int", told)
    assert re.search(r"walk +page map at 0x\w+ of the file, entry \d+: 0x\w+\n", told)
    assert re.search(
        r"physical +0x\w+\n    file +/.*vmcore.0 at 0x\w+\n    bytes +32 00 00 00", told
    )


def test_an_element_of_a_list(ask):
    """Which of how many it is, of which type, where; reads are told as its bytes."""
    lines = ask("explain", "d_used", "--each=devs", "--number=1").out.splitlines()
    assert lines[0] == "devs"
    assert lines[1].split() == ["element", "number", "1", "of", "2"]
    assert lines[2].split() == ["type", "struct", "device"]
    assert "read 0: the element" in lines
    out = ask("explain", "outer.d_used + p_size", "--each=devs", "--each=d_parts").out
    assert out.startswith("devs, d_parts\n    element    number 0 of 4\n")
    assert re.findall(r"read \d: (.*)", out) == ["the element around", "the element"]
    [read] = ask.json("d_name", "--each=devs")["reads"]
    assert (read["element"], read["pointer"], read["offset"]) == (0, None, 24)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["d_used", "--each=devs", "--number=2"], "devs has no element 2: it has 2"),
        (["d_used", "--each=dev"], "no variable dev; near dev: devs\n    dev\n    ^"),
        (["d_use", "--each=devs"], "is called d_use; near members: d_used\n    d_use\n    ^"),
        (["c_in", "--each=total"], "total"),
    ],
)
def test_lists_and_elements_that_are_not_there(argv, said, ask):
    """The complaint says how many there are, or points into the list's own expression."""
    assert said in ask("explain", *argv, status=1).err


def test_memory_that_is_not_there(ask):
    """An unread value is told with the reason, and how far the tables lead."""
    told = ask.json("lost->c_in")
    assert [sample["value"] for sample in told["samples"]] == [None]
    read = told["reads"][1]
    assert (read["bytes"], read["value"], read["physical"]) == (None, None, None)
    assert read["walk"][-1]["entry"] == "0x0"
    assert "not valid" in read["problem"]
    out = ask("explain", "lost->c_in").out
    assert "problem    address 0x" in out
    assert out.endswith("lost->c_in = unread\n")
    out = ask("explain", "rings[1]->r_name").out
    assert "address    none: a null pointer, or one that cannot be read" in out


def test_copies_are_told_apart(ask):
    """Of per-CPU variables each CPU's address is shown; behind a pointer whose copy it is."""
    out = ask("explain", "seen.c_in", "--cpu=each").out
    assert re.search(r"variable +a copy for each CPU \(pcpu_entry_seen\)", out)
    assert len(set(re.findall(r"address +\{cpu=\"[025]\"\} (0x\w+)", out))) == 3
    assert out.endswith('{cpu="0"} = 1\nseen.c_in {cpu="2"} = 2\nseen.c_in {cpu="5"} = 4\n')
    out = ask("explain", "packets").out
    assert re.findall(r"read \d: (.*)", out) == [
        f"CPU {cpu}'s copy of what read 0 points at" for cpu in (0, 2, 5)
    ]


def test_long_lists_are_cut_for_people_only(ask):
    """Of twenty elements eight are shown, and JSON has all."""
    out = ask("explain", "levels[*]").out
    assert "... and 12 more\n" in out
    assert "... and 12 more reads\n" in out
    assert len(ask.json("levels[*]")["reads"]) == 20


def test_nothing_behind_a_text_is_shown(ask):
    """What lies behind a text's end is not the text's: neither its letters nor its bytes."""
    for form in ([], ["--json"]):
        out = ask("explain", "rings[0]->r_name", *form).out
        assert "re0" in out
        assert "hid" not in out
        assert b"hid".hex() not in out.replace(" ", "")


@pytest.mark.parametrize(
    ("argv", "column", "said"),
    [
        (["totla.c_in"], 1, "no variable totla; near totla: total"),
        (["total.c_inn + 1"], 7, "struct counts has no member c_inn here; near names: c_in"),
        (["1 + rings[0]"], 3, "a pointer is no number"),
        (["total"], 1, "take a member of it"),
        (["levels[20]"], 7, "there is no element 20: it has 20"),
        (["untyped"], 1, "declare it"),
        (["(struct coutns)untyped"], 2, "no struct coutns; near: struct counts"),
    ],
)
def test_what_is_wrong_is_pointed_at(argv, column, said, ask):
    """The complaint has the expression, and a caret under the column; status 1."""
    shown = ask("explain", *argv, status=1)
    message, expression, caret = shown.err.splitlines()
    assert said in message
    assert expression == f"    {argv[0]}"
    assert caret == " " * (4 + column - 1) + "^"


def test_what_was_found_before_the_mistake_is_shown(ask):
    """The parts that mean something are told, in JSON with the problem beside them."""
    shown = ask("explain", "total.c_inn", "--json", status=1)
    told = json.loads(shown.out)
    assert [part["expression"] for part in told["parts"]] == ["total"]
    assert "no member c_inn" in told["problem"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["switches", "--cpu=1"], "there is no CPU 1; there are 0, 2, 5"),
        (["ipcounts.c_in", "--vnet=mail"], "no jail mail"),
    ],
)
def test_copies_that_are_not_there(argv, said, ask):
    """The complaint says which there are."""
    assert said in ask("explain", *argv, status=1).err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["a +"], "a value must stand here\n    a +\n       ^"),
        (["x" * 5000], "at most 4096 characters"),
        (["a", "--cpu=-1"], "CPU"),
        (["a", "--cpu=x"], "neither sum nor each"),
        (["a", "--type=int"], "not SYMBOL=TYPE"),
        (["a", "--each=b["], "ends too early"),
        (["a", "--via=b"], "name it with --each"),
        (["a", "--each=b", "--number=-1"], "no number from 0 on"),
        (["a", "--type=a=int["], "goes on oddly"),
        ([], "EXPR"),
        (["a", "--kernel=/boot/kernel/kernel"], "name it with --core"),
    ],
)
def test_mistakes_in_the_arguments(argv, said, capsys):
    """Status 2 before any kernel is opened, with a caret where it is about a column."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["explain", *argv])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_compressed_dump(dumps, tmp_path, capsys):
    """The offset is that in the unwrapped dump, and the answer says so."""
    kernel, core = dumps("amd64")
    packed = tmp_path / "vmcore.0.gz"
    packed.write_bytes(gzip.compress(core.read_bytes()))
    told = Asking(kernel, packed, capsys).json("total.c_in")
    [read] = told["reads"]
    assert core.read_bytes()[int(read["file_offset"], 16) :][:4] == bytes.fromhex(read["bytes"])
    assert read["layers"][0].startswith("gzip")
    assert "(unwrapped: gzip" in Asking(kernel, packed, capsys)("explain", "total.c_in").out


def test_a_textdump_has_no_memory(texts, capsys):
    """The complaint says that there is none."""
    assert cli.main(["explain", "a", "--core", str(texts)]) == 1
    assert "textdump" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pattern", "rows"),
    [
        ("otal", {("total", "plain", "struct counts", 12)}),
        ("s[ew]*", {("seen", "percpu", "struct counts", 12), ("switches", "percpu", "u_long", 8)}),
        ("ipst", {("ipstat", "vnet", "counter_u64_t [2]", 16)}),
        ("untyped", {("untyped", "plain", None, 4)}),
        ("recorded", {("`scan.recorded`", "plain", None, 4)}),
        (
            "total.*",
            {
                ("total.c_in", "plain", "u_int", 4),
                ("total.c_out", "plain", "u_int", 4),
                ("total.c_low", "plain", "int:3", 4),
                ("total.c_high", "plain", "int:5", 4),
            },
        ),
        ("seen.c_o", {("seen.c_out", "percpu", "u_int", 4)}),
        ("ipstat.bad", {("((struct ipstat)ipstat).ips_bad", "vnet", "uint64_t", 8)}),
        ("state->x", None),
        ("nothing*", None),
    ],
)
def test_candidates(pattern, rows, ask):
    """Variables and members by pattern, as they are to be written, with their types."""
    shown = ask("symbols", pattern, "--json", status=0 if rows else 1)
    if rows is None:
        assert "no variable of this kernel matches" in shown.err
        return
    found = {(r["name"], r["kind"], r["type"], r["size"]) for r in json.loads(shown.out)}
    assert found == rows


def test_candidates_that_are_not_there(ask):
    """The complaint has the pattern, and what is spelled nearly so."""
    assert ask("symbols", "swithces", status=1).err == (
        "kvm_exporter: no variable of this kernel matches *swithces*; near names: switches\n"
    )
    assert ask("symbols", "scan-recorded", status=1).err.endswith("near names: `scan.recorded`\n")
    assert "near scan: `scan.recorded`" in ask("explain", "scan", status=1).err
    assert ask("symbols", "n*thing", status=1).err.endswith("matches n*thing\n")


def test_members_have_addresses(ask):
    """A member's is its variable's and its offset; behind a pointer there is none to show."""
    [total] = json.loads(ask("symbols", "total", "--json").out)
    [member] = json.loads(ask("symbols", "total.c_out", "--json").out)
    assert int(member["address"], 16) == int(total["address"], 16) + 4
    kernel_wide = json.loads(ask("symbols", "vnet0", "--json").out)
    assert [row["name"] for row in kernel_wide] == ["vnet0"]


def test_candidates_for_people(ask):
    """A table, a row a variable."""
    head, row = ask("symbols", "switches").out.splitlines()
    assert head.split() == ["ADDRESS", "KIND", "SIZE", "TYPE", "NAME"]
    assert row.split()[1:] == ["percpu", "8", "u_long", "switches"]
