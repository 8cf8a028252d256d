"""What is wrong with an expression, and where?"""

from __future__ import annotations

import pytest
from fakes.compiling import Forged, forged
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import AccessDenied, KvmError
from kvm_exporter.kvm.expressions.compiling import modules as compiling
from kvm_exporter.kvm.expressions.wanted import List, Metric, Step

TEXTS = """
enum color { RED, GREEN };
struct in { int i_value; };
struct node {
    int n_id; struct hold *n_in_ptr; char n_name[8]; struct node *n_next; struct in n_in;
    int n_odd:3; int n_open[];
};
struct node node, *pointer; int number, numbers[4]; char name[8]; counter_u64_t counters[2];
struct pair { uint64_t p_a, p_b; }; struct hold { struct { struct node *h_p; } h_in; };
struct hold holder; struct queue { struct node *lh_first; } queue;
struct node *pointers[3];
struct mixed { int m_plain; counter_u64_t m_counter; } mixed;
struct hidden *hidden; struct big { uint64_t b[3]; };
enum color color; double ratio;
"""


def kernel() -> Forged:
    """A kernel with the variables above."""
    made = forged(TEXTS)
    for number, name in enumerate(made.c.variables):
        made.put(name, 0x1000 * (1 + number))
    made.put("untyped", 0x90000, size=4)
    made.put("numbers_of_cpus", 0xA0000, "percpu")
    made.c.read("int numbers_of_cpus; char names_of_cpus[4]; enum color color_of_cpus;")
    made.put("names_of_cpus", 0xA1000, "percpu")
    made.put("color_of_cpus", 0xA2000, "percpu")
    return made


@pytest.mark.parametrize(
    ("expression", "column", "what"),
    [
        ("gone", 1, "no variable gone"),
        ("1 + numbrs[2]", 5, "no variable numbrs; near numbrs: number, numbers, numbers_of_cpus"),
        ("1 + RAD", 5, "no variable, and no constant, RAD"),
        ("node.n_idd", 6, "struct node has no member n_idd here; near names: n_id"),
        ("node.n_next.n_id", 13, "it is a pointer: write ->n_id"),
        ("node->n_id", 7, "it is a struct node, and no pointer: write .n_id"),
        ("number.x", 8, "x: it is an int, and has no members"),
        ("pointer", 1, "a pointer is no number"),
        ("pointer->n_next + 1", 17, "a pointer is no number"),
        ("pointer < 5", 9, "a pointer is no number"),
        ("pointer == 5", 9, "compared with an address, or with 0"),
        ("pointer == node", 9, "compared with an address, or with 0"),
        ("number == pointer", 8, "compared with an address, or with 0"),
        ("&number", 1, "an address is no number"),
        ("&(number + 1)", 1, "a number, and lies nowhere"),
        ("(unsigned long)pointer", 2, "a pointer is no unsigned long"),
        ("(unsigned long)&number", 2, "an address is no unsigned long"),
        ("(struct node *)number", 2, "addresses come only from symbols and pointers"),
        ("(struct node *)(1 + 1)", 2, "addresses come only from symbols and pointers"),
        ("(char[24])holder", 2, "a pointer is no number"),
        ("(unsigned long)pointers", 2, "a pointer is no number"),
        ("*(unsigned long *)pointers[0]->n_in_ptr", 3, "there is a pointer, which is no number"),
        ("(struct node)number", 2, "a number is no struct node"),
        ("*number", 1, "points at nothing"),
        ("node", 1, "is no number: take a member of it (n_id, n_in_ptr, n_name, "),
        ("(struct pair)counters", 2, "a struct pair is no number: take a member of it (p_a, p_b)"),
        ("numbers", 1, "an array is no number"),
        ("name", 1, "a text is no number: use it as a label"),
        ("numbers[4]", 8, "no element 4: it has 4"),
        ("numbers[0 - 1]", 8, "no element -1"),
        ("numbers[number]", 9, "could not be read while compiling"),
        ("numbers[numbers[*]]", 16, "an index is one number"),
        ("numbers[1.5]", 9, "1.5 is no integer"),
        ("numbers[0:5]", 8, "ends behind its 4 elements"),
        ("numbers[3:1]", 8, "[3:1] is no slice"),
        ("node.n_open[*]", 12, "does not tell how many elements"),
        ("pointer[*].n_id", 8, "does not tell how many elements"),
        ("number[0]", 7, "it is an int, and has no elements"),
        ("node[0].n_id", 5, "it is a struct node, and has no elements"),
        ("number[*]", 7, "has no elements"),
        ("number.*", 8, "has no members"),
        ("untyped", 1, "declare it in types: or cast it"),
        ("untyped.x", 9, "declare it in types: or cast it"),
        ("(long)untyped", 2, "long has 8 bytes, and this variable 4"),
        ("(gone_t)untyped", 2, "gone_t"),
        ("queue", 1, "a struct queue is the head of a list: its elements are under lists:"),
        ("queue + 1", 1, "a struct queue is the head of a list"),
        ("hidden->x", 9, "does not tell what struct hidden is"),
        ("(struct big)counters", 2, "more than 2 counters"),
        ("percpu(number)", 1, "no pointer in memory"),
        ("percpu(pointer)[0:2].n_id", 16, "a pointer to the copies of each CPU has no elements"),
        ("numbers[cpu] + numbers_of_cpus[cpu]", 31, "CPU's own already"),
        ("color_of_cpus", 1, "states cannot be added up"),
        ("numbers[0:2] + numbers[0:3]", 14, "different elements: only one has 2"),
        ("(enum color)BLUE", 2, "enum color has no BLUE here"),
        ("RED", 1, "no variable RED"),
        ("sizeof(gone_t)", 1, "gone_t"),
        ("1 +", 4, "ends too early"),
    ],
)
def test_an_error_points_at_its_column(expression: str, column: int, what: str) -> None:
    """A metric that cannot be had says which part of the expression is wrong, and why."""
    reason = kernel().error(expression)
    assert reason.startswith(f"{expression}: column {column}: ")
    assert what in reason


@pytest.mark.parametrize(
    ("metric", "what"),
    [
        ({"labels": {"l": "pointer"}}, "a pointer is no number"),
        ({"labels": {"l": "node"}}, "is no number"),
        ({"labels": {"l": "names_of_cpus"}}, "each CPU has a text of its own"),
        ({"labels": {"l": "numbers[*]"}}, "label l: it has several values for one number"),
        ({"labels": {"l": "it.x"}}, "it is of a list's element, and this is in no list"),
        ({"labels": {"l": "outer.x"}}, "outer is of a list's element"),
        ({"labels": {"l": "position"}}, "position is of a list's element"),
        ({"types": {"number": "struct {int x;}"}}, "types: number: struct {int x;}: '{'"),
        ({"types": {"number": "gone_t"}}, "types: number: this kernel's type"),
        ({"symbol": ("mixed.*",), "cpu": "each"}, "some of these are counters of each CPU"),
        ({"labels": {"cpu": "=x"}, "symbol": ("numbers_of_cpus",), "cpu": "each"}, "two labels"),
        ({"symbol": ("numbers[*]",), "index": ("a",), "labels": {"a": "=x"}}, "are called a"),
        ({"symbol": ("numbers[*]",), "names": "gone"}, "no variable gone"),
        ({"symbol": ("numbers[*]",), "names": "enum gone"}, "enum gone"),
        ({"symbol": ("numbers[*]",), "names": "number"}, "has no elements"),
        ({"states": True}, "it has no states: it is no enum"),
        ({"vnet": "web"}, "no jail web"),
        ({"symbol": ("pointer",), "types": {"pointer": "unsigned long"}}, "a pointer is no number"),
        ({"symbol": ("gone", "pointer")}, "no variable gone; or pointer: column 1: a pointer"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_metrics(metric: dict[str, object], what: str) -> None:
    """Labels, names, states and alternatives that cannot be had are told."""
    symbol = metric.pop("symbol", ("number",))
    assert what in kernel().error(*symbol, **metric)


def test_near_names_are_looked_for_only_so_often() -> None:
    """However much is missing, near names are looked for a few times, and once for each name."""
    some = kernel()
    names = [f"gone{number // 2}" for number in range(40)]
    found = some.module([Metric(name, (name, f"{name}.x")) for name in names])
    assert len(found.missing) == 40
    assert len(some.asked_near) == len(set(some.asked_near)) <= 4


def test_no_near_names_of_what_is_not_missing() -> None:
    """Alternatives that this kernel lacks cost no search where another is there."""
    some = kernel()
    some.module([Metric("m", ("gone", "number")), Metric("n", ("number + RED",))])
    assert some.asked_near == []


def test_constants_of_several_enums() -> None:
    """A constant of two values must say of which enum it is one."""
    some = kernel()
    some.c.read("enum other { FIRST, GREEN };  enum third { NO, ANOTHER, GREEN };")
    assert "GREEN is 1 or 2: say of which enum, (enum NAME)GREEN" in some.error("numbers[GREEN]")
    assert some.one("numbers[(enum third)GREEN]").reads[0].offset % 0x1000 == 8


def test_memory_that_may_not_be_read() -> None:
    """That memory is forbidden is no fault of a metric, nor of a list."""
    some = kernel()

    def forbidden(name: str) -> None:
        raise AccessDenied("nobody may")

    some.variable = forbidden
    with pytest.raises(AccessDenied):
        some.module([Metric("m", ("number", "numbers"))])
    with pytest.raises(AccessDenied):
        some.module([Metric("m", (), labels={"l": "name"})])
    with pytest.raises(AccessDenied):
        some.module(lists=[List("l", (Step(("number",)),), ())])


def test_a_module_of_too_many_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes behind too many series is not compiled any more."""
    monkeypatch.setattr(compiling, "MOST_SERIES", 3)
    found = kernel().module([Metric(str(number), ("numbers[*]",)) for number in range(5)])
    assert [one.metric for one in found.missing] == ["1", "2", "3", "4"]
    assert "more than 3 series" in found.missing[0].reason


PARTS = (
    "node", "pointer", "number", "numbers", "name", "counters", "untyped", "RED", "color", "ratio",
    "3", "0", "numbers_of_cpus", "hidden", "n_id", "n_next", "n_name", "n_in", "i_value", "n_odd",
    "it", "cpu", "struct node", "struct node *", "enum color", "long", "char[4]", "char *",
    "[", "]", "(", ")", ".", "->", "*", "&", "-", "~", "!", "+", "/", "==", "&&", "[*]", "[cpu]",
    "[0:2]", ".*", "sizeof(", "percpu(", "sum(", "ntohs(", "counter_u64_t", "struct big",
)  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=12).map("".join))
@settings(max_examples=120, deadline=None)
def test_any_expression(expression: str) -> None:
    """Any expression gives series or a reason; never an error of another kind."""
    labels = {"l": expression}
    metrics = [
        Metric("a", (expression,)),
        Metric("b", (expression,), cpu="each", states=True),
        Metric("c", (), labels=labels, names=expression),
    ]
    lists = [List("l", (Step((expression,)),), (Metric("d", (expression,)),), labels, expression)]
    found = kernel().module(metrics, lists)
    assert len(found.labels) == 4
    assert all(one.reason for one in found.missing)
    assert KvmError.__name__ not in str(found.missing)
