"""Promises of kvm/objects/freebsd/livesysctls.py and what it walks and reads with."""

from __future__ import annotations

import errno
import random
import struct

import pytest
from forge.sysctl_tree import (
    DORMANT,
    INT,
    LONG,
    OPAQUE,
    RD,
    S8,
    S16,
    S32,
    S64,
    SKIP,
    STRING,
    U8,
    U16,
    U32,
    U64,
    UINT,
    ULONG,
    SysctlTree,
)

from kvm_exporter.kvm.errors import AccessDenied, KvmError, TypeMissing
from kvm_exporter.kvm.objects.freebsd.livesysctls import ROUNDS, LiveSysctls
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.types.model import (
    Array,
    Composite,
    Enum,
    Float,
    Integer,
    Member,
    Pointer,
    Void,
)

MACHINES = {"amd64": ("<", 8), "i386": ("<", 4), "powerpc64": (">", 8), "armv7": ("<", 4)}


class NoTypes:
    """Types that nobody may ask for."""

    def find(self, name):
        raise AssertionError(f"types were asked for {name}")


class SomeTypes:
    """Types by name."""

    def __init__(self, **structs):
        self.structs = structs

    def find(self, name):
        if name.removeprefix("struct ") not in self.structs:
            raise TypeMissing(name)
        return self.structs[name.removeprefix("struct ")]


class Kernel:
    """A forged tree and what reads it."""

    def __init__(self, machine="amd64", types=None):
        self.tree = SysctlTree(MACHINES[machine][0])
        self.tally = Tally()
        self.types = types or NoTypes()
        self.sysctls = LiveSysctls(self.tree, machine, lambda: self.types, self.tally)

    def values(self, *prefixes, **how):
        """Name → value of all that is read."""
        found = self.sysctls.read(prefixes or ("",), **how)
        return {one.sysctl.name: one.value for one in found}


@pytest.fixture
def kernel():
    """An amd64 without anything."""
    return Kernel()


INTEGERS = [
    (INT, "i", -7),
    (UINT, "I", 2**32 - 1),
    (S8, "b", -3),
    (U8, "B", 255),
    (S16, "h", -300),
    (U16, "H", 65535),
    (S32, "i", -(2**31)),
    (U32, "I", 2**31),
    (S64, "q", -(2**63)),
    (U64, "Q", 2**64 - 1),
]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_kind_of_integer_is_read(machine):
    """Of its size and sign, in the machine's byte order; long is as wide as the machine's."""
    kernel = Kernel(machine)
    order, long = MACHINES[machine]
    for kind, code, value in INTEGERS:
        kernel.tree.add(f"kern.n{kind}", kind, "", struct.pack(order + code, value))
    signed, unsigned = ("q", "Q") if long == 8 else ("i", "I")
    kernel.tree.add("kern.l", LONG, "L", struct.pack(order + signed, -5))
    kernel.tree.add("kern.ul", ULONG, "LU", struct.pack(order + unsigned, 2 ** (8 * long) - 1))
    expected = {f"kern.n{kind}": value for kind, _, value in INTEGERS}
    assert kernel.values() == expected | {"kern.l": -5, "kern.ul": 2 ** (8 * long) - 1}


def test_an_array_is_read_whole_and_remembered(kernel):
    """More bytes than the kind has are an array; the second time it is asked for at once."""
    oid = kernel.tree.add("kern.cp_time", LONG, "LU", struct.pack("<5q", 1, 2, 3, 4, -5))
    assert kernel.values() == {"kern.cp_time": (1, 2, 3, 4, -5)}
    kernel.tree.asked.clear()
    oid.answer = struct.pack("<2q", 6, 7)
    assert kernel.values() == {"kern.cp_time": (6, 7)}
    assert [mib for mib in kernel.tree.asked if mib[0]] == [kernel.tree.mib("kern.cp_time")]


def test_a_buffer_has_its_types_size(kernel):
    """By which a kernel chooses an answer's width: 8 bytes for 64 bits, 1 for a bool."""
    sizes = {}

    def answer(size, name):
        sizes[name] = size
        return bytes(size)

    kernel.tree.add("vm.wide", U64, "QU", lambda size: answer(size, "wide"))
    kernel.tree.add("vm.bool", U8, "CU", lambda size: answer(size, "bool"))
    assert kernel.values() == {"vm.wide": 0, "vm.bool": 0}
    assert sizes == {"wide": 8, "bool": 1}


@pytest.mark.parametrize(
    ("raw", "value"),
    [(b"\x05", 5), (b"\xff\xff", -1), (struct.pack("<i", -9), -9), (b"", None), (bytes(3), None)],
)
def test_a_shorter_answer_counts_as_it_is(kernel, raw, value):
    """As wide as the answer, with the kind's sign; no bytes, or odd ones, are no value."""
    kernel.tree.add("kern.short", S64, "Q", raw)
    assert kernel.values() == ({} if value is None else {"kern.short": value})


def test_what_has_a_tail_is_no_array(kernel):
    """Bytes that no whole number of values fills."""
    kernel.tree.add("kern.odd", INT, "I", bytes(9))
    assert kernel.values() == {}


@pytest.mark.parametrize(
    ("form", "number", "celsius"),
    [
        ("IK", 3001, 26.95),
        ("IK1", 2731, -0.05),
        ("IK0", 300, 26.85),
        ("IK2", 30015, 27.0),
        ("IK3", 300150, 27.0),
        ("IKx", 2732, 0.05),
        ("IK", 0, -273.15),
        ("IK", -1, None),
    ],
)
def test_temperatures_are_celsius(kernel, form, number, celsius):
    """By the digit of the format, tenths of a kelvin without one; a negative one is none."""
    kernel.tree.add("dev.cpu.0.temperature", INT, form, struct.pack("<i", number))
    assert kernel.values() == ({} if celsius is None else {"dev.cpu.0.temperature": celsius})


def test_texts_are_read_on_demand_only(kernel):
    """To their NUL; bytes that are no UTF-8 as surrogates."""
    kernel.tree.add("kern.ostype", STRING, "A", b"FreeBSD\0junk")
    kernel.tree.add("kern.odd", STRING, "A", b"\xff\0")
    assert kernel.values() == {}
    assert not any(mib[0] for mib in kernel.tree.asked)
    assert kernel.values(texts=True) == {"kern.ostype": "FreeBSD", "kern.odd": "\udcff"}


@pytest.mark.parametrize("machine", MACHINES)
def test_well_known_structs_need_no_types(machine):
    """Timeval as seconds, loadavg as averages, clockinfo and vmtotal by their members."""
    kernel = Kernel(machine)
    order, long = MACHINES[machine]
    word = "q" if long == 8 else "i"
    times = {"i386": "ii", "armv7": "qi4x"}.get(machine, "qq")
    kernel.tree.add("kern.boottime", OPAQUE, "S,timeval", struct.pack(order + times, 90, 250000))
    loads = struct.pack(order + "3I", 2048, 1024, 512)
    loads += bytes(4) * (long == 8) + struct.pack(order + word, 2048)
    kernel.tree.add("vm.loadavg", OPAQUE, "S,loadavg", loads)
    clock = struct.pack(order + "5i", 100, 10000, 9, 127, 8128)
    kernel.tree.add("kern.clockrate", OPAQUE, "S,clockinfo", clock)
    assert kernel.values() == {
        "kern.boottime": 90.25,
        "vm.loadavg": (1.0, 0.5, 0.25),
        "kern.clockrate": {"hz": 100, "tick": 10000, "stathz": 127, "profhz": 8128},
    }


INT32 = Integer("int", 4, signed=True)
UINT64 = Integer("uint64_t", 8, signed=False)
CHAR = Integer("char", 1, signed=True, kind="char")
PAIR = Composite(
    "struct",
    "pair",
    16,
    (Member("p_first", lambda: UINT64, 0), Member("p_second", lambda: INT32, 64)),
)
EVERYTHING = Composite(
    "struct",
    "everything",
    88,
    (
        Member("e_count", lambda: UINT64, 0),
        Member("e_level", lambda: INT32, 64),
        Member("e_bits", lambda: INT32, 96, 3),
        Member("e_pointer", lambda: Pointer(8, Void), 128),
        Member("e_name", lambda: Array(lambda: CHAR, 8), 192),
        Member("e_many", lambda: Array(lambda: INT32, 2), 256),
        Member("e_pair", lambda: PAIR, 320),
        Member("e_ratio", lambda: Float("double", 8), 448),
        Member("e_state", lambda: Enum("state", 4, (("ON", 1),)), 512),
        Member("e_spare", lambda: Array(lambda: INT32, 1), 544),
        Member("", lambda: Composite("struct", "", 8, (Member("e_in", lambda: UINT64, 0),)), 576),
        Member("e_either", lambda: Composite("union", "", 8, ()), 640),
    ),
)


@pytest.mark.parametrize("form", ["S,everything", "S,struct everything", "s,everything,x"])
def test_structs_are_read_by_the_kernels_types(form):
    """Numbers, arrays, texts and what lies in structs; no pointers, bits, unions or spare room."""
    kernel = Kernel(types=SomeTypes(everything=EVERYTHING))
    raw = struct.pack("<QiIQ8sii", 7, -2, 5, 0xDEAD, b"em0\0xx", 1, 2)
    raw += struct.pack("<QiIdiiQQ", 8, 9, 0, 0.5, 1, 77, 11, 12)
    kernel.tree.add("net.everything", OPAQUE, form, raw)
    assert kernel.values() == {
        "net.everything": {
            "e_count": 7,
            "e_level": -2,
            "e_name": "em0",
            "e_many": (1, 2),
            "e_pair.p_first": 8,
            "e_pair.p_second": 9,
            "e_ratio": 0.5,
            "e_state": 1,
            "e_in": 11,
        }
    }


def test_statistics_are_known_by_their_names():
    """net.inet.tcp.stats says no struct: it is a struct tcpstat all the same."""
    kernel = Kernel(types=SomeTypes(tcpstat=PAIR))
    kernel.tree.add("net.inet.tcp.stats", OPAQUE, "I", struct.pack("<QiI", 5, 6, 0))
    assert kernel.values() == {"net.inet.tcp.stats": {"p_first": 5, "p_second": 6}}


@pytest.mark.parametrize("count", [0, 2, 3])
def test_a_list_of_structs_is_asked_for_once(count):
    """What has not one struct's size has no members, and is not asked for again."""
    kernel = Kernel(types=SomeTypes(pair=PAIR))
    kernel.tree.add("net.pairs", OPAQUE, "S,pair", bytes(16) * count)
    assert kernel.values() == {}
    kernel.tree.asked.clear()
    assert kernel.values() == {}
    assert kernel.tree.mib("net.pairs") not in kernel.tree.asked


@pytest.mark.parametrize("form", ["S,xfile", "S,xucred", "", "S,unknown", "LU"])
def test_lists_and_the_unknown_are_not_asked_for(form):
    """Lists of anything, what wants an argument, and what no type tells."""
    kernel = Kernel(types=SomeTypes())
    kernel.tree.add("kern.file", OPAQUE, form, lambda size: pytest.fail("was asked for"))
    assert kernel.values() == {}


def test_page_sizes_are_longs(kernel):
    """As many as the kernel has."""
    sizes = struct.pack("<3Q", 4096, 2**21, 2**30)
    kernel.tree.add("hw.pagesizes", OPAQUE, "S,pagesizes", sizes)
    assert kernel.values() == {"hw.pagesizes": (4096, 2**21, 2**30)}


def test_nodes_with_arguments_are_never_entered(kernel):
    """kern.proc.sigtramp panicked a kernel: no value is asked of a node, nothing below it."""
    kernel.tree.node("kern.proc.sigtramp")
    kernel.tree.add("kern.proc.all", OPAQUE, "S,proc", b"")
    kernel.tree.add("kern.maxproc", INT, "I", bytes(4))
    assert kernel.values(texts=True) == {"kern.maxproc": 0}
    mib = kernel.tree.mib("kern.proc.sigtramp")
    assert {asked for asked in kernel.tree.asked if asked[-len(mib) :] == mib} == {
        (0, 2, *mib),
        (0, 4, *mib),
        (0, 1, *mib),
        (0, 5, *mib),
        (0, 6, *mib),
    }


def test_what_sysctl_skips_is_skipped(kernel):
    """CTLFLAG_SKIP and CTLFLAG_DORMANT, as CTL_SYSCTL_NEXT has it."""
    kernel.tree.add("vm.objects", INT, "I", bytes(4), flags=RD | SKIP)
    kernel.tree.add("vm.asleep", INT, "I", bytes(4), flags=RD | DORMANT)
    kernel.tree.add("vm.awake", INT, "I", bytes(4))
    assert kernel.values() == {"vm.awake": 0}


def test_a_leaf_without_a_format_is_none(kernel):
    """oid_fmt may be null; its neighbours are there."""
    kernel.tree.add("vm.one", INT, "I", bytes(4))
    kernel.tree.add("vm.none", INT, None, bytes(4))
    kernel.tree.add("vm.two", INT, "I", bytes(4))
    assert set(kernel.values()) == {"vm.one", "vm.two"}


def filled(kernel):
    """A tree of ten numbers in three subtrees."""
    kernel.tree.add("kern.j", INT, "I", bytes(4))
    for name in ("vm.a", "vm.stats.b", "vm.stats.c", "vm.statsx", "vm.stats.vm.d", "vm.stats.vm.e"):
        kernel.tree.add(name, INT, "I", bytes(4))
    for name in ("hw.f", "hw.g.h", "hw.g.i"):
        kernel.tree.add(name, INT, "I", bytes(4))


@pytest.mark.parametrize(
    ("prefixes", "without", "names"),
    [
        (("vm.stats",), (), "vm.stats.b vm.stats.c vm.stats.vm.d vm.stats.vm.e"),
        (("vm.stats",), ("vm.stats.vm",), "vm.stats.b vm.stats.c"),
        (("vm.stats", "vm.stats.vm"), (), "vm.stats.b vm.stats.c vm.stats.vm.d vm.stats.vm.e"),
        (("kern",), (), "kern.j"),
        (("hw.g.h",), (), "hw.g.h"),
        (("hw.g", "vm.a"), ("hw.g.h",), "hw.g.i vm.a"),
        (("no.such", "hw.f"), (), "hw.f"),
        (("",), ("vm",), "kern.j hw.f hw.g.h hw.g.i"),
    ],
)
def test_trees_are_chosen_by_name(kernel, prefixes, without, names):
    """By whole parts of names, each leaf once; a tree that is not there has nothing."""
    filled(kernel)
    assert set(kernel.values(*prefixes, without=without)) == set(names.split())


def test_the_whole_tree_is_in_the_kernels_order(kernel):
    """That of the numbers, as sysctl(8) lists them."""
    filled(kernel)
    names = list(kernel.values())
    assert names == sorted(names, key=kernel.tree.mib)
    assert len(names) == 10


@pytest.mark.parametrize("prefix", ["", "dev"])
def test_names_and_labels_are_asked_for_once(kernel, prefix):
    """Then values are asked for, and of an eighth of the leaves the next, as long as all stays."""
    for number in range(64):
        kernel.tree.add(f"dev.x.{number}.n", INT, "I", bytes(4))
    kernel.tree.add("dev.x.3.odd", INT, None, bytes(4))
    kernel.values(prefix)
    for _ in range(3 * ROUNDS):
        kernel.tree.asked.clear()
        assert len(kernel.values(prefix)) == 64
        assert sum(mib[0] != 0 for mib in kernel.tree.asked) == 64
        about = [mib for mib in kernel.tree.asked if mib[0] == 0]
        assert {mib[1] for mib in about} == {2}
        assert len(about) <= 64 // ROUNDS + 1


def test_a_new_leaf_is_found(kernel):
    """At the latest after so many collections, whichever leaf it follows."""
    for number in range(30):
        kernel.tree.add(f"dev.x.{number}", INT, "I", bytes(4))
    assert len(kernel.values()) == 30
    for count, name in enumerate(["dev.new", "dev.x.late", "vm.other", "kern.first"], 31):
        kernel.tree.add(name, INT, "I", bytes(4))
        for _ in range(ROUNDS):
            found = kernel.values()
        assert name in found
        assert len(found) == count


def test_a_leaf_that_is_gone_is_dropped(kernel):
    """At once, without a failure being counted; the others keep their identity."""
    filled(kernel)
    before = {one.sysctl.name: one.sysctl for one in kernel.sysctls.read(("",))}
    kernel.tree.remove("vm.stats.c")
    for _ in range(2):
        after = {one.sysctl.name: one.sysctl for one in kernel.sysctls.read(("",))}
        assert set(before) - set(after) == {"vm.stats.c"}
        assert all(before[name] is one for name, one in after.items())
    assert kernel.tally.counts() == {}


def test_a_leaf_whose_handler_says_enoent_costs_one_walk(kernel):
    """It is there, so the tree is not walked again for it; a value that comes later is read."""
    filled(kernel)
    late = kernel.tree.add("vm.stats.none", INT, "I", errno.ENOENT)
    questions = []
    for _ in range(4):
        kernel.tree.asked.clear()
        assert "vm.stats.none" not in kernel.values()
        questions.append(sum(mib[:2] == (0, 2) for mib in kernel.tree.asked))
    leaves = len(kernel.values()) + 1
    assert questions[1] > leaves
    assert max(questions[2:]) < leaves
    late.answer = bytes(4)
    assert kernel.values()["vm.stats.none"] == 0
    assert kernel.tally.counts() == {}


def test_a_struct_of_endless_structs_has_no_value():
    """Damaged types that nest structs without end are given up in bounded time."""
    looked = 0

    def inner(type_):
        nonlocal looked
        looked += 1
        assert looked < 100_000
        return type_

    found = Composite("struct", "leaf", 8, (Member("p", lambda: inner(Pointer(8, Void)), 0),))
    for depth in range(6):
        members = tuple(Member(f"m{at}", lambda of=found: inner(of), 0) for at in range(1000))
        found = Composite("struct", f"n{depth}", 8, members)
    kernel = Kernel(types=SomeTypes(endless=found))
    kernel.tree.add("vm.endless", OPAQUE, "S,endless", bytes(8))
    kernel.tree.add("vm.here", INT, "I", bytes(4))
    assert kernel.values() == {"vm.here": 0}


def test_temperatures_together_are_left_out(kernel):
    """An array under a name in degrees Celsius would be tenths of kelvins."""
    kernel.tree.add("hw.temperatures", INT, "IK", struct.pack("<2i", 3001, -1))
    assert kernel.values() == {}


def test_a_tree_that_is_gone_has_nothing(kernel):
    """And is there again when it comes again."""
    filled(kernel)
    assert len(kernel.values("hw.g")) == 2
    kernel.tree.remove("hw.g")
    assert kernel.values("hw.g") == {}
    assert kernel.values("hw.g") == {}
    kernel.tree.add("hw.g.z", INT, "I", bytes(4))
    assert kernel.values("hw.g") == {"hw.g.z": 0}


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL, errno.ENXIO])
def test_a_refused_value_costs_itself(kernel, number):
    """It is left out, and counted by its errno."""
    filled(kernel)
    kernel.tree.add("vm.refused", INT, "I", number)
    assert "vm.refused" not in kernel.values()
    assert len(kernel.values()) == 10
    assert kernel.tally.counts() == {("sysctl", errno.errorcode[number]): 2}


def test_a_refused_walk_is_an_error(kernel):
    """A kernel that does not let its tree be walked is no empty kernel."""
    filled(kernel)
    kernel.tree._about = lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no"))
    with pytest.raises(AccessDenied, match="its tree"):
        kernel.values()


def test_descriptions_and_labels_are_the_kernels(kernel):
    """Of each part its label; a description as it is."""
    labels = {"dev.cpu.0": "device_index"}
    kernel.tree.add(
        "dev.cpu.0.freq", INT, "I", bytes(4), description="Current frequency", labels=labels
    )
    kernel.tree.add("dev.cpu.1.freq", INT, "I", bytes(4), labels={"dev.cpu.1": "device_index"})
    found = {one.sysctl.name: one.sysctl for one in kernel.sysctls.read(("",))}
    first, second = found["dev.cpu.0.freq"], found["dev.cpu.1.freq"]
    assert first.parts == ("dev", "cpu", "0", "freq")
    assert first.labels == second.labels == ("", "", "device_index", "")
    assert (first.kind, first.format, first.description) == ("int", "I", "Current frequency")
    assert second.description == ""


def test_one_is_found_by_its_name(kernel):
    """A number or a text; None for a node, for what is not there, and what is gone."""
    kernel.tree.add("kern.ostype", STRING, "A", b"FreeBSD\0")
    kernel.tree.add("kern.maxproc", INT, "I", struct.pack("<i", 12))
    assert kernel.sysctls.one("kern.ostype").value == "FreeBSD"
    assert kernel.sysctls.one("kern.maxproc").value == 12
    assert kernel.sysctls.one("kern") is None
    assert kernel.sysctls.one("kern.no") is None
    kernel.tree.remove("kern.maxproc")
    assert kernel.sysctls.one("kern.maxproc") is None
    kernel.tree.add("kern.maxproc", INT, "I", struct.pack("<i", 13))
    assert kernel.sysctls.one("kern.maxproc").value == 13


@pytest.mark.parametrize("seed", range(20))
def test_any_answers_give_values_or_nothing(kernel, seed):
    """Whatever bytes or errors a kernel answers: no other error, and an end."""
    filled(kernel)
    chance = random.Random(seed)
    answer = kernel.tree.by_mib

    def odd(mib, size=None, *, keep_partial=False):
        if chance.random() < 0.7:
            return answer(mib, size, keep_partial=keep_partial)
        if chance.random() < 0.3:
            raise OSError(chance.choice((errno.EPERM, errno.ENOENT, errno.ENOMEM)), "no")
        return chance.randbytes(chance.choice((0, 1, 3, 4, 8, 40, 96)))

    kernel.tree.by_mib = odd
    for _ in range(20):
        try:
            found = list(kernel.sysctls.read(("", "vm"), texts=True))
        except KvmError:
            continue
        assert all(isinstance(one.value, int | float | str | tuple | dict) for one in found)
