"""Are labels the texts that were written, and nothing of the memory behind them?"""

from __future__ import annotations

import pytest
from fakes.counted import ask
from fakes.nodes import asked, kernel_of, listed
from forge.counting import MACHINES, Counting

from kvm_exporter.kvm.expressions.wanted import List, Metric, Step

TYPES = """
enum kind { K_DISK, K_TAPE = 4 };
struct device {
    char d_name[8]; u_char d_serial[6]; char *d_model; const char *d_maker; u_char *d_raw;
    enum kind d_kind, d_odd; int d_unit; struct device *d_next; signed char d_sign[4];
    int d_numbers[2]; void *d_void; u_int d_flag:1; double d_share;
};
"""


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine."""
    kernel = Counting(request.param)
    kernel.declare(TYPES)
    return kernel


def label(kernel: Counting, expression: str) -> str | None:
    """The label's value; None where the series is left out."""
    found = ask(kernel, [Metric("m", ("1",), {"l": expression})])
    assert not found.missing
    return next((labels[0][1] for labels in found["m"]), None)


def refused(kernel: Counting, expression: str) -> str:
    """Why such a label cannot be."""
    return ask(kernel, [Metric("m", ("1",), {"l": expression})]).missing["m"]


def test_texts_of_all_kinds(kernel: Counting) -> None:
    """Arrays of char, pointers to it, enumerators' names, digits, a text that stands for itself."""
    next_ = kernel.new("struct device", d_name=b"other")
    kernel.variable(
        "struct device d",
        {
            "d_name": "vtbd0",
            "d_serial": "S-1234",
            "d_model": kernel.text("QEMU DISK"),
            "d_maker": kernel.text("maker"),
            "d_raw": kernel.text("raw"),
            "d_kind": 4,
            "d_odd": 3,
            "d_unit": -12,
            "d_next": next_,
            "d_sign": "abc",
            "d_flag": 1,
        },
    )
    expected = {
        "d.d_name": "vtbd0",
        "d.d_serial": "S-1234",  # all six: no NUL is left
        "d.d_model": "QEMU DISK",
        "d.d_maker": "maker",
        "d.d_raw": "raw",
        "d.d_kind": "K_TAPE",
        "d.d_odd": "3",
        "d.d_unit": "-12",
        "d.d_unit * 2": "-24",
        "d.d_next->d_name": "other",
        "d.d_sign": "abc",
        "d.d_flag": "1",
        "=d.d_name": "d.d_name",
        "=": "",
        "(char[4])d.d_name": "vtbd",
        "(char *)d.d_raw": "raw",
    }
    assert {text: label(kernel, text) for text in expected} == expected


def test_nothing_behind_the_end_of_a_text(kernel: Counting) -> None:
    """What lies behind the NUL, or behind the array, is nobody's business."""
    kernel.variable(
        "struct device d",
        {"d_name": b"ab\0SECRT", "d_serial": b"123456", "d_model": kernel.text(b"a\0SECRET")},
    )
    kernel.variable("char full[4]", b"full")
    assert label(kernel, "d.d_name") == "ab"
    assert label(kernel, "d.d_serial") == "123456"
    assert label(kernel, "d.d_model") == "a"
    assert label(kernel, "full") == "full"


def test_a_long_text_is_cut(kernel: Counting) -> None:
    """256 bytes at most of what a pointer leads to; never half a character."""
    kernel.variable("char *long", kernel.text("x" * 1000))
    kernel.variable("char *wide", kernel.text("a" + "ä" * 500))
    assert label(kernel, "`long`") == "x" * 256
    wide = label(kernel, "wide")
    assert wide is not None
    assert wide.startswith("aä")
    assert len(wide.encode()) <= 4 * 256


def test_what_is_not_printable_is_escaped(kernel: Counting) -> None:
    """Control characters and what is no UTF-8; so that a text can be told from its escapes."""
    texts = [b"a\nb", b"\x1b[31m", b"\xff\xfe", b"caf\xc3\xa9", b"back\\x41", b"\x7f", b"\xc3"]
    for at, text in enumerate(texts):
        kernel.variable(f"char t{at}[16]", text)
    found = [label(kernel, f"t{at}") for at in range(len(texts))]
    assert found[:4] == ["a\\x0ab", "\\x1b[31m", "\\xff\\xfe", "café"]
    assert found[5:] == ["\\x7f", "\\xc3"]
    assert len(set(found)) == len(found)
    assert found[4] != "backA"


def test_an_empty_text_is_one(kernel: Counting) -> None:
    """A label of nothing; the series stays."""
    kernel.variable("char empty[4]", b"")
    kernel.variable("char *pointed", kernel.text(""))
    assert label(kernel, "empty") == ""
    assert label(kernel, "pointed") == ""


def test_a_series_without_its_label_is_left_out(kernel: Counting) -> None:
    """A pointer to where no memory is: nobody knows the text."""
    kernel.variable("char *bad", 0x10)
    assert label(kernel, "bad") is None


@pytest.mark.parametrize(
    "expression",
    [
        "d.d_void",
        "d.d_next",
        "d",
        "d.d_numbers",
        "&d",
        "&d.d_name",
        "(u_long)&d",
        "(char[8])d.d_void",
        "(char[4])(&d.d_void)",
        "(char *)&d.d_void",
        "*(char[8] *)&d.d_next",
        "(u_char[64])d",
    ],
)
def test_no_address_is_a_label(kernel: Counting, expression: str) -> None:
    """Pointers, structs and arrays are no texts."""
    kernel.variable("struct device d", {"d_void": 0x1234})
    assert "column" in refused(kernel, expression)


def test_a_text_is_no_number(kernel: Counting) -> None:
    """As a value it is missing; so is a sum of it."""
    kernel.variable("struct device d", {"d_name": "1"})
    found = ask(kernel, [Metric("a", ("d.d_name",)), Metric("b", ("d.d_name + 1",))])
    assert set(found.missing) == {"a", "b"}


def test_an_info_has_labels_only(kernel: Counting) -> None:
    """Its value is 1."""
    kernel.variable("struct device d", {"d_name": "vtbd0", "d_unit": 3})
    found = ask(kernel, [Metric("m", (), {"name": "d.d_name", "unit": "d.d_unit"})])
    assert found["m"] == {(("name", "vtbd0"), ("unit", "3")): 1}


def test_a_text_of_each_network_stack_and_cpu() -> None:
    """Labels come from the same copy as the value."""
    kernel = Counting(jails={"web": 3})
    kernel.declare(TYPES)
    kernel.vnet(
        "struct device d", {"": {"d_name": "a", "d_unit": 1}, "web": {"d_name": "b", "d_unit": 2}}
    )
    kernel.percpu("struct device c", {at: {"d_name": f"cpu{at}", "d_unit": at} for at in (0, 2, 5)})
    found = ask(
        kernel,
        [
            Metric("v", ("d.d_unit",), {"name": "d.d_name"}, vnet="all"),
            Metric("c", ("c.d_unit",), {"name": "c.d_name"}, cpu="each"),
        ],
    )
    assert found["v"] == {
        (("name", "a"), ("jail", "")): 1,
        (("name", "b"), ("jail", "web")): 2,
    }
    assert found["c"] == {(("name", f"cpu{at}"), ("cpu", str(at))): at for at in (0, 2, 5)}


def test_a_label_behind_a_null_pointer_is_empty(kernel: Counting) -> None:
    """Nothing is there, which is known; what cannot be read costs its element."""
    kernel = kernel_of(kernel.machine)
    found = listed(kernel, [1, 2, 3, 4])
    found[0].put("n_peer", found[2])
    found[3].put("n_peer", 0x10)
    labels = {"name": "n_name", "peer": "n_peer->n_name", "both": ("n_peer->n_id", "n_id")}
    answer = asked(kernel, labels=labels)
    told = {tuple(text for _, text in key): one for key, one in answer["used"].items()}
    assert told == {("n1", "n3", "31"): 10, ("n2", "", "2"): 20, ("n3", "", "3"): 30}
    assert answer.collected.unreadable == 2


def test_a_null_text_is_empty(kernel: Counting) -> None:
    """A char * that points nowhere, in a list and by itself, also two pointers away."""
    kernel.declare("struct named { int id; char *name; struct named *other; };")
    one = kernel.new("struct named", id=1, name=kernel.text("x"))
    two = kernel.new("struct named", id=2, other=one)
    kernel.variable("struct named *all[3]", [one, two, None])
    labels = {"name": "name", "far": "other->other->name"}
    wanted = List("l", (Step(("all",)),), (Metric("m", ("id",)),), labels)
    assert ask(kernel, lists=[wanted])["m"] == {
        (("name", "x"), ("far", "")): 1,
        (("name", ""), ("far", "")): 2,
    }
    own = Metric("n", (), {"name": "all[1]->name", "far": "all[2]->other->name"})
    assert ask(kernel, [own])["n"] == {(("name", ""), ("far", "")): 1}
